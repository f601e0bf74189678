"""Which alerts ask for a ticket: those that are firm or confirmed, and that nothing explains or keeps back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from alerts.lifecycle.fingerprint import ticket_key
from alerts.models import Alert, Ticket
from config.knowledge import ANOMALY, NO_DATA
from diagnostics.records import Diagnosis


def explained_by(alert: Alert, diagnoses: Iterable[Diagnosis], open_alerts: Iterable[Alert]) -> str:
    """Return why another failure mode of the asset accounts for this alert; empty where none does."""
    reason = ""
    for other in diagnoses:
        if other.condition and alert.failure_mode in other.suppresses and other.failure_mode != alert.failure_mode:
            reason = f"explained by {other.failure_mode}"
    if not reason and alert.failure_mode == ANOMALY.code:
        for known in open_alerts:
            if known.failure_mode not in (ANOMALY.code, NO_DATA.code) and known.asset_id == alert.asset_id:
                reason = f"explained by {known.failure_mode}"
    return reason


def want_ticket(alert: Alert, at: datetime) -> None:
    """Put the ticket into the outbox; the unique key makes the second wish the first one's."""
    Ticket.objects.get_or_create(
        alert=alert,
        defaults={"key": ticket_key(alert.asset_id, alert.failure_mode, alert.episode), "created_at": at},
    )


def want_ticket_if_ready(alert: Alert, at: datetime) -> None:
    """Ask for the ticket of an alert that was kept back until now, if it is firm or confirmed and still holds."""
    firm = alert.ticket == "auto" and not alert.suppressed_by
    holds = alert.days_clear == 0 and alert.state in (Alert.State.UNACKNOWLEDGED, Alert.State.ACKNOWLEDGED)
    if holds and (firm or alert.confirmed_at is not None):
        want_ticket(alert, at)
