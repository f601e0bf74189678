"""The page on which a person records what was found of an alert."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from alerts.models import Alert, Outcome
from alerts.outcomes.finding import BadFinding, checked, converted
from alerts.outcomes.record import current, record_all
from alerts.outcomes.shared_finding import companions
from config.installation import Installation
from console.context import provided
from console.headline import headline
from console.wording import FINDING, VERDICT, reader_language

_MINUTES = "%Y-%m-%dT%H:%M"
_TEXTS = (
    "verdict", "failure_mode", "cause", "root_cause", "action", "downtime_hours", "cost", "currency", "whole_group",
)  # fmt: skip


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, alert_id: int) -> HttpResponse:
    """Show the form, filled with what stands; take what a person enters, or say which field is wrong."""
    alert = get_object_or_404(Alert.objects.select_related("case__carrier"), pk=alert_id)
    installation = provided().installation
    asset = installation.register.assets.get(alert.asset_id)
    zone = installation.register.site_of(asset.id).zone if asset is not None else ZoneInfo("UTC")
    wrong = ""
    if request.method == "POST":
        values: Mapping[str, str] = {name: str(value) for name, value in request.POST.items()}
        try:
            recorded = _take(request, alert, values, zone, installation)
        except BadFinding as error:
            wrong = str(FINDING.get(re.split(r"[.\[]", error.field)[0], error.field))
        else:
            many = gettext("Recorded for %(n)s alerts.") % {"n": recorded}
            messages.success(request, many if recorded > 1 else gettext("Recorded."))
            return redirect("alert", alert_id=alert_id)
    else:
        values = _standing(alert, zone)
    return render(
        request,
        "console/outcome.html",
        {
            "alert": headline(alert, installation),
            "held": alert.held,
            "companions": companions(alert).count(),
            "values": values,
            "wrong": wrong,
            "verdicts": [(name, title, values.get("verdict") == name) for name, title in VERDICT.items()],
            "modes": [
                (code, mode.title.in_language(reader_language()), values.get("failure_mode") == code)
                for code, mode in sorted(installation.knowledge.failure_modes.items())
                if code != alert.failure_mode
            ],
        },
        status=400 if wrong else 200,
    )


def _take(
    request: HttpRequest, alert: Alert, values: Mapping[str, str], zone: ZoneInfo, installation: Installation
) -> int:
    """Record what the form says; return of how many alerts that is new. Raises ``BadFinding``."""
    now = datetime.now(UTC)
    fields: dict[str, object] = {name: values.get(name, "").strip() for name in _TEXTS}
    fields["at"] = _instant(values.get("at", ""), zone)
    fields["by"] = request.user.get_username()
    fields["parts"] = [line.strip() for line in values.get("parts", "").splitlines() if line.strip()]
    finding = checked(converted(fields), installation.knowledge, now, alert.first_day)
    told = [(alert.pk, finding)]
    return len(record_all(told, Outcome.Source.CONSOLE, installation.settings, now, request.user))


def _instant(text: str, zone: ZoneInfo) -> str:
    """Return what a browser's field for date and time holds, the site's local time, with its offset."""
    try:
        return datetime.strptime(text, _MINUTES).replace(tzinfo=zone).isoformat()
    except (ValueError, OverflowError):
        raise BadFinding("at", "is no time") from None


def _standing(alert: Alert, zone: ZoneInfo) -> dict[str, str]:
    outcome = current().filter(alert=alert).first()
    if outcome is None:
        return {"at": datetime.now(zone).strftime(_MINUTES)}
    values = {name: getattr(outcome, name) for name in _TEXTS}
    values["whole_group"] = "true" if outcome.whole_group else ""
    shown = {name: "" if value is None else str(value) for name, value in values.items()}
    return shown | {"at": outcome.at.astimezone(zone).strftime(_MINUTES), "parts": "\n".join(outcome.parts)}
