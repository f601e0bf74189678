"""What a page says of how an alert is handled: who is called, who left it alone, whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from alerts.lifecycle.recurrence import CHATTERING, recurrences
from alerts.lifecycle.shelving import Holds
from alerts.models import Alert, Hold, Ticket
from alerts.support.escalation import Called, desk_of, next_call
from alerts.support.handover import is_support
from alerts.tickets.continuation import held_back_by
from config.installation import Installation
from config.register import Site
from console.wording import DESTINATION, WITHHELD, local

SHELF_DAYS = (1, 3, 7, 14, 30)
"""What may be chosen; the settings may allow less."""
_CALLING = (Alert.State.UNACKNOWLEDGED,)


def handling(alert: Alert, site: Site, installation: Installation, user: Any, now: datetime) -> dict[str, Any]:
    """Return what the page's part on handling shows and offers."""
    settings, zone = installation.settings, site.zone
    rows = Holds([alert.asset_id]).on(alert, now)
    is_open = alert.state != Alert.State.CLOSED
    supports = is_support(user)
    return {
        "recurrence": recurrence_text(recurrences([alert], settings.alerts.recurrence_days)[alert.pk], installation),
        "tier": _tier(alert, site, installation),
        "wont_fix": _wont_fix(alert, zone),
        "holds": [_hold(row, zone) for row in rows],
        "group": {"id": alert.group.pk, "n": alert.group.alerts.count()} if alert.group is not None else None,
        "destination": str(DESTINATION[alert.destination]),
        "verified": _verified(alert, zone),
        "handovers": [
            {
                "what": gettext("case confirmed") if step.confirms else str(DESTINATION[step.destination]),
                "at": local(step.at, zone),
                "by": step.by_name,
                "note": step.note,
            }
            for step in alert.handovers.all()
        ],
        "can_shelve": is_open and not any(row.kind == Hold.Kind.SHELVED for row in rows),
        "can_take_out": not any(row.kind == Hold.Kind.OUT_OF_SERVICE for row in rows),
        "shelf_days": [days for days in SHELF_DAYS if days <= settings.alerts.longest_shelf_days],
        "can_call_support": is_open and alert.destination == Alert.Destination.DEPOT,
        "can_verify": supports and alert.destination == Alert.Destination.SUPPORT and alert.verified_at is None,
        "can_go_to_factory": supports
        and alert.destination == Alert.Destination.SUPPORT
        and alert.verified_at is not None,
        "can_send_back": supports and alert.destination != Alert.Destination.DEPOT,
    }


def recurrence_text(times: int, installation: Installation) -> str:
    """Return how often an alert came back, in words; empty where it never did."""
    if not times:
        return ""
    days = installation.settings.alerts.recurrence_days
    text = gettext("came back %(times)s × in %(days)s days") % {"times": times, "days": days}
    return f"{text} ({gettext('chattering')})" if times >= CHATTERING else text


def withheld_text(alert: Alert, holds: Holds, now: datetime, zone: ZoneInfo) -> str:
    """Return that a person left the alert alone, and until when; empty where nobody did."""
    rows = {row.kind: row for row in holds.on(alert, now)}
    row = rows.get(Hold.Kind.OUT_OF_SERVICE) or rows.get(Hold.Kind.SHELVED)
    return f"{WITHHELD[row.kind]} {_until(row, zone)}".strip() if row is not None else ""


def _until(row: Hold, zone: ZoneInfo) -> str:
    return gettext("until %(at)s") % {"at": local(row.until, zone)} if row.until is not None else ""


def _hold(row: Hold, zone: ZoneInfo) -> Mapping[str, object]:
    whole = row.kind == Hold.Kind.OUT_OF_SERVICE and not row.failure_mode
    return {
        "id": row.pk,
        "title": gettext("The whole asset is out of service") if whole else str(WITHHELD[row.kind]),
        "until": _until(row, zone),
        "since": local(row.since, zone),
        "by": row.by_name,
        "why": row.why,
        "end": gettext("End the shelf") if row.kind == Hold.Kind.SHELVED else gettext("Put back into service"),
    }


def _wont_fix(alert: Alert, zone: ZoneInfo) -> Mapping[str, object] | None:
    """Return what people's *won't fix* does to this alert: whose it is, who ended it, and whether that may be done."""
    ticket: Ticket | None = getattr(alert, "case", None)
    if ticket is None:
        return None
    holder = held_back_by(ticket)
    standing = holder or ticket
    if standing.wont_fix_since is None:
        return None
    ended = ""
    if standing.wont_fix_ended_at is not None:
        at = local(standing.wont_fix_ended_at, zone)
        ended = f"{at}, {standing.wont_fix_ended_by}: {standing.wont_fix_ended_why}"
    return {
        "ticket": standing.external_key or standing.key,
        "since": local(standing.wont_fix_since, zone),
        "ended": ended,
        "can_end": holder is not None and not ended and alert.state != Alert.State.CLOSED,
    }


def _tier(alert: Alert, site: Site, installation: Installation) -> Mapping[str, str] | None:
    if alert.tier is None or alert.tier_since is None:
        return None
    desk = desk_of(site, installation.settings.support)
    due = next_call(Called(alert.tier, alert.tier_since), desk) if alert.state in _CALLING else None
    return {
        "name": desk.tiers[alert.tier].name if alert.tier < len(desk.tiers) else str(alert.tier + 1),
        "since": local(alert.tier_since, site.zone),
        "next": desk.tiers[alert.tier + 1].name if due is not None else "",
        "next_at": local(due, site.zone) if due is not None else "",
    }


def _verified(alert: Alert, zone: ZoneInfo) -> str:
    if alert.verified_at is None:
        return ""
    return f"{local(alert.verified_at, zone)}, {alert.verified_by or ''}: {alert.verified_note}"
