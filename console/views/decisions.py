"""What people decide on an alert's page: shelving, out of service, *won't fix*, technical support and the factory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from alerts.lifecycle import shelving
from alerts.lifecycle.not_allowed import NotAllowed
from alerts.models import Alert, Hold, Ticket
from alerts.support import handover
from alerts.tickets import continuation
from config.operating_day import NS, day_bounds
from console.context import provided
from console.handling import SHELF_DAYS
from console.wording import NOT_ALLOWED


@require_POST
def shelve(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Shelve the alert for some days."""
    alert, now = get_object_or_404(Alert, pk=alert_id), datetime.now(UTC)
    days = request.POST.get("days", "")
    until = now + timedelta(days=int(days)) if days in map(str, SHELF_DAYS) else now
    settings = provided().installation.settings.alerts
    return _done(
        request,
        alert,
        lambda: shelving.shelve(alert, until, request.POST.get("why", ""), request.user, now, settings),
        gettext("Shelved: it is observed as before, and asks for nothing until the shelf ends."),
    )


@require_POST
def take_out_of_service(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Take the failure mode, or the whole asset, out of service; with an end where one is given."""
    alert, now = get_object_or_404(Alert, pk=alert_id), datetime.now(UTC)
    mode = "" if request.POST.get("what") == "asset" else alert.failure_mode

    def take() -> None:
        until = _end_of(request.POST.get("until", ""), alert)
        shelving.take_out_of_service(alert.asset_id, mode, until, request.POST.get("why", ""), request.user, now)

    return _done(request, alert, take, gettext("Out of service: it is recorded as before, and asks for nothing."))


@require_POST
def end_hold(request: HttpRequest, alert_id: int) -> HttpResponse:
    """End a shelf, or put back into service."""
    alert, number = get_object_or_404(Alert, pk=alert_id), request.POST.get("hold", "")
    hold = get_object_or_404(Hold, pk=number if number.isdecimal() and len(number) < 19 else 0, asset_id=alert.asset_id)
    return _done(
        request,
        alert,
        lambda: shelving.end(hold.pk, request.user, datetime.now(UTC)),
        gettext("Ended: what still holds is ready work again."),
    )


@require_POST
def end_wont_fix(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Let the alert have its ticket although people will not fix what the earlier one was of."""
    alert = get_object_or_404(Alert.objects.select_related("case"), pk=alert_id)
    ticket = get_object_or_404(Ticket.objects.select_related("alert"), alert=alert)
    try:
        ended = continuation.end_wont_fix(
            ticket, request.user.get_username(), request.POST.get("why", ""), datetime.now(UTC)
        )
    except ValueError:
        messages.error(request, gettext("Say why: it stands beside your name."))
    else:
        if ended:
            messages.success(request, gettext("The ticket is on its way all the same."))
    return redirect("alert", alert_id=alert_id)


@require_POST
def pass_on(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Pass the case on: to technical support, and from there to the factory."""
    alert, here = get_object_or_404(Alert, pk=alert_id), provided().installation
    note, now = request.POST.get("why", ""), datetime.now(UTC)
    return _done(
        request,
        alert,
        lambda: handover.pass_on(alert.pk, request.user, note, now, here.register, here.settings),
        gettext("Passed on."),
    )


@require_POST
def verify(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Confirm, as technical support, that this is a case for the factory."""
    alert, note = get_object_or_404(Alert, pk=alert_id), request.POST.get("why", "")
    return _done(
        request,
        alert,
        lambda: handover.confirm(alert.pk, request.user, note, datetime.now(UTC)),
        gettext("Confirmed: the case may go to the factory."),
    )


@require_POST
def send_back(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Send the case back to the depot."""
    alert, note = get_object_or_404(Alert, pk=alert_id), request.POST.get("why", "")
    return _done(
        request,
        alert,
        lambda: handover.send_back(alert.pk, request.user, note, datetime.now(UTC)),
        gettext("Sent back to the depot."),
    )


def _done(request: HttpRequest, alert: Alert, do: Callable[[], object], said: str) -> HttpResponse:
    try:
        do()
    except NotAllowed as refused:
        messages.error(request, str(NOT_ALLOWED[refused.reason]))
    else:
        messages.success(request, said)
    return redirect("alert", alert_id=alert.pk)


def _end_of(text: str, alert: Alert) -> datetime | None:
    """Return the end of a day at the alert's site; ``None`` for an empty text. Raises ``NotAllowed``."""
    if not text:
        return None
    register = provided().installation.register
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise NotAllowed("end in the past") from None
    if alert.asset_id not in register.assets or not date(2000, 1, 1) < day < date(2200, 1, 1):
        raise NotAllowed("end too far off")
    return datetime.fromtimestamp(day_bounds(register.site_of(alert.asset_id).zone, day)[1] // NS, UTC)
