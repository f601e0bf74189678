"""What people, and the repairs that they report, do to an alert; each is done once, however often it is asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from alerts.lifecycle import states
from alerts.lifecycle.rows import life_of, put
from alerts.lifecycle.shelving import Holds
from alerts.lifecycle.ticket_request import want_ticket
from alerts.models import Alert


@transaction.atomic
def acknowledge(alert_id: int, user: Any, now: datetime | None = None) -> None:
    """Note that a person has seen the alert."""
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    life = states.acknowledged(life_of(alert))
    if life.state == alert.state:
        return
    at = now or timezone.now()
    alert.acknowledged_at, alert.acknowledged_by = at, user
    if not life.open:
        alert.closed_at, alert.closed_reason = at, "returned to normal"
    put(alert, life)
    alert.save()


@transaction.atomic
def confirm(alert_id: int, user: Any, now: datetime | None = None) -> None:
    """Let a person turn an alert under review into a ticket; one that is left alone gets it when that ends."""
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    if alert.state == Alert.State.CLOSED:
        return
    at = now or timezone.now()
    if alert.confirmed_at is None:
        alert.confirmed_at, alert.confirmed_by = at, user
        alert.save(update_fields=["confirmed_at", "confirmed_by"])
    if not Holds([alert.asset_id]).by_people(alert, at):  # else the ticket comes when that ends
        want_ticket(alert, at)


def close_repaired(asset_id: str, at: datetime, reason: str) -> int:
    """Close the alerts of an asset that were known before it was repaired, unless they are held; return how many."""
    closed = 0
    for alert in Alert.objects.exclude(state=Alert.State.CLOSED).filter(asset_id=asset_id, known_at__lte=at):
        life = states.repaired(life_of(alert))
        if life.open:
            continue
        put(alert, life)
        alert.closed_at, alert.closed_reason = at, reason[:200]
        alert.save()
        closed += 1
    return closed
