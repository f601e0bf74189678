"""What a list and a page both say of an alert."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from alerts.lifecycle.silence import OURSELVES
from alerts.models import Alert, Ticket
from alerts.tickets.text import failure_mode_of
from config.installation import Installation
from console.wording import SEVERITY, STATE, closing, local, reader_language, source_title, suppression

NO_CONNECTOR = "none"


@dataclass(frozen=True, slots=True)
class Headline:
    """An alert in the words of the page; every time is the site's local time."""

    id: int
    asset_id: str
    severity: str
    severity_title: str
    failure_mode_title: str
    source: str
    site_title: str
    zone: str
    since: str
    act_by: str
    overdue: bool
    state: str
    suppressed_by: str
    closed: str
    closed_reason: str
    ticket_url: str
    ticket_key: str
    ticket_note: str
    repeat: bool
    """Whether it is a repeat offender."""


def headline(alert: Alert, installation: Installation) -> Headline:
    """Return an alert in words; ``alert.case`` and its carrier should be loaded with it."""
    asset = installation.register.assets.get(alert.asset_id)
    site = installation.register.sites[asset.site] if asset is not None else None
    zone = site.zone if site is not None else ZoneInfo("UTC")
    ticket: Ticket | None = getattr(alert, "case", None)
    if ticket is not None and ticket.carrier is not None:
        ticket = ticket.carrier  # the ticket of its group names this alert too
    unknown = gettext("this program") if alert.asset_id == OURSELVES else gettext("no longer in the register")
    is_open = alert.state != Alert.State.CLOSED
    return Headline(
        id=alert.pk,
        asset_id=alert.asset_id,
        severity=alert.severity,
        severity_title=str(SEVERITY[alert.severity]),
        failure_mode_title=failure_mode_of(alert.failure_mode, installation.knowledge).title.in_language(
            reader_language()
        ),
        source=source_title(alert.source),
        site_title=site.title if site is not None else unknown,
        zone=zone.key,
        since=str(alert.first_day),
        act_by=local(alert.act_by, zone),
        overdue=is_open and alert.act_by < datetime.now(UTC),
        state=str(STATE[alert.state]),
        suppressed_by=suppression(alert.suppressed_by, installation.knowledge),
        closed=local(alert.closed_at, zone) if alert.closed_at is not None else "",
        closed_reason=closing(alert.closed_reason, installation.knowledge),
        ticket_url=ticket.url if ticket is not None and _is_of_the_web(ticket.url) else "",
        ticket_key=(ticket.external_key or ticket.key) if ticket is not None else "",
        ticket_note=_ticket_note(alert, ticket, installation.settings.tickets.connector != NO_CONNECTOR),
        repeat=alert.repeat_of_id is not None,
    )


def _is_of_the_web(url: str) -> bool:
    """Whether an address that a ticket system gave may be a link: not one that runs something."""
    return url.startswith(("https://", "http://"))


def _ticket_note(alert: Alert, ticket: Ticket | None, has_system: bool) -> str:
    if ticket is None:
        waits = alert.ticket == "review" and not alert.suppressed_by and alert.state != Alert.State.CLOSED
        return gettext("after review") if waits else gettext("none")
    if ticket.status == Ticket.Status.DEAD:
        return gettext("cannot be delivered: %(error)s") % {"error": ticket.last_error}
    if ticket.status == Ticket.Status.HELD_BACK:
        return gettext("held back: %(reason)s") % {"reason": ticket.last_error}
    if ticket.status == Ticket.Status.DELIVERED:
        return ticket.external_key
    if not has_system:
        return gettext("due; no ticket system is configured")
    return gettext("on its way") if not ticket.last_error else gettext("trying again: ") + ticket.last_error
