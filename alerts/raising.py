"""From diagnoses to alerts, and to the tickets they ask for; called within the ledger's transaction.

Safe under concurrent scorers: the database holds that one alert is open for a fingerprint, and the second to come
finds the first one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from alerts import lifecycle
from alerts.fingerprint import ticket_key
from alerts.lifecycle import Life
from alerts.models import Alert, AlertDay, Ticket
from alerts.plain import plain_diagnosis
from config.knowledge import ANOMALY
from config.register import SEVERITIES
from diagnostics.records import DayOutcome, Diagnosis


def raise_alerts(outcomes: Sequence[DayOutcome]) -> None:
    """Bring the alerts of these asset-days up to date. Doing it twice changes nothing."""
    assets = {outcome.log.asset_id for outcome in outcomes}
    open_alerts = {
        (alert.asset_id, alert.failure_mode): alert
        for alert in Alert.objects.exclude(state=Alert.State.CLOSED).filter(asset_id__in=assets)
    }
    for outcome in sorted(outcomes, key=lambda o: (o.log.asset_id, o.log.day)):
        # Specific failure modes first: they decide whether an unexplained anomaly is explained by them.
        for diagnosis in sorted(outcome.diagnoses, key=lambda d: d.failure_mode == ANOMALY.code):
            key = (diagnosis.asset_id, diagnosis.failure_mode)
            alert = open_alerts.get(key)
            if alert is None and diagnosis.condition:
                alert = _opened(diagnosis)
                if alert is not None:
                    open_alerts[key] = alert
            elif alert is not None:
                _observe(alert, diagnosis)
                if alert.state == Alert.State.CLOSED:
                    del open_alerts[key]  # a later day of these may open the next episode
                    continue
            if alert is not None:
                _suppress_or_ticket(alert, diagnosis, outcome.diagnoses, open_alerts.values())


def _opened(diagnosis: Diagnosis) -> Alert | None:
    """Open the next episode; ``None`` where this day belongs to an earlier one, which a revision does not reopen."""
    earlier = Alert.objects.filter(asset_id=diagnosis.asset_id, failure_mode=diagnosis.failure_mode)
    if earlier.filter(last_day__gte=diagnosis.day).exists():
        return None
    life = lifecycle.raised(diagnosis.day)
    alert = Alert(
        asset_id=diagnosis.asset_id,
        failure_mode=diagnosis.failure_mode,
        episode=(earlier.aggregate(last=Max("episode"))["last"] or 0) + 1,
        severity=diagnosis.severity,
        source=diagnosis.source,
        ticket=diagnosis.ticket,
        first_day=diagnosis.day,
        last_true_day=diagnosis.day,
        known_at=diagnosis.known_at,
        act_by=_act_by(diagnosis),
    )
    _put(alert, life)
    try:
        with transaction.atomic():
            alert.save()
    except IntegrityError:  # another scorer was first; its alert is the one
        alert = earlier.exclude(state=Alert.State.CLOSED).get()
    _note_day(alert, diagnosis)
    return alert


def _observe(alert: Alert, diagnosis: Diagnosis) -> None:
    if diagnosis.day < alert.first_day:
        return
    after = lifecycle.observed(_life(alert), diagnosis.day, diagnosis.condition)
    if diagnosis.condition and diagnosis.day >= alert.last_true_day:
        alert.last_true_day = diagnosis.day
        # Severity and urgency only rise while an alert is open, so that they do not flap.
        if SEVERITIES.index(diagnosis.severity) >= SEVERITIES.index(_severity(alert)):
            alert.severity, alert.source = diagnosis.severity, diagnosis.source
        alert.act_by = min(alert.act_by, _act_by(diagnosis))
        if diagnosis.ticket == "auto":
            alert.ticket = "auto"
    if not after.open and alert.state != Alert.State.CLOSED:
        alert.closed_at, alert.closed_reason = diagnosis.known_at, "returned to normal"
    _put(alert, after)
    alert.save()
    _note_day(alert, diagnosis)


def _note_day(alert: Alert, diagnosis: Diagnosis) -> None:
    if not diagnosis.condition and alert.days.filter(day=diagnosis.day, condition=True).exists():
        return  # late data thinks otherwise; what somebody acts upon stays what it was
    AlertDay.objects.update_or_create(
        alert=alert,
        day=diagnosis.day,
        defaults={"condition": diagnosis.condition, "diagnosis": plain_diagnosis(diagnosis)},
    )


def _suppress_or_ticket(
    alert: Alert, diagnosis: Diagnosis, diagnoses: Iterable[Diagnosis], open_alerts: Iterable[Alert]
) -> None:
    """Give the alert its ticket, unless another failure mode explains it; then say which."""
    reason = ""
    for other in diagnoses:
        if other.condition and other is not diagnosis and alert.failure_mode in other.suppresses:
            reason = f"explained by {other.failure_mode}"
    if not reason and alert.failure_mode == ANOMALY.code:
        for known in open_alerts:
            if known.failure_mode != ANOMALY.code and known.asset_id == alert.asset_id:
                reason = f"explained by {known.failure_mode}"
    if reason != alert.suppressed_by:
        alert.suppressed_by = reason
        alert.save(update_fields=["suppressed_by"])
    if not reason and alert.ticket == "auto" and diagnosis.condition:
        _want_ticket(alert, diagnosis.known_at)


def _want_ticket(alert: Alert, at: datetime) -> None:
    """Put the ticket into the outbox; the unique key makes the second wish the first one's."""
    Ticket.objects.get_or_create(
        alert=alert,
        defaults={"key": ticket_key(alert.asset_id, alert.failure_mode, alert.episode), "created_at": at},
    )


@transaction.atomic
def acknowledge(alert_id: int, user: Any, now: datetime | None = None) -> None:
    """Note that a person has seen the alert."""
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    life = lifecycle.acknowledged(_life(alert))
    if life.state == alert.state:
        return
    at = now or timezone.now()
    alert.acknowledged_at, alert.acknowledged_by = at, user
    if not life.open:
        alert.closed_at, alert.closed_reason = at, "returned to normal"
    _put(alert, life)
    alert.save()


@transaction.atomic
def confirm(alert_id: int, user: Any, now: datetime | None = None) -> None:
    """Let technical support turn an alert under review into a ticket."""
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    if alert.state == Alert.State.CLOSED:
        return
    at = now or timezone.now()
    if alert.confirmed_at is None:
        alert.confirmed_at, alert.confirmed_by = at, user
        alert.save(update_fields=["confirmed_at", "confirmed_by"])
    _want_ticket(alert, at)


def close_repaired(asset_id: str, at: datetime, reason: str) -> int:
    """Close the alerts of an asset that were known before it was repaired; return how many."""
    closed = 0
    for alert in Alert.objects.exclude(state=Alert.State.CLOSED).filter(asset_id=asset_id, known_at__lte=at):
        _put(alert, lifecycle.repaired(_life(alert)))
        alert.closed_at, alert.closed_reason = at, reason[:200]
        alert.save()
        closed += 1
    return closed


def _life(alert: Alert) -> Life:
    return Life(alert.state, alert.last_day, alert.days_seen, alert.days_clear)  # type: ignore[arg-type]


def _put(alert: Alert, life: Life) -> None:
    alert.state, alert.last_day = life.state, life.last_day
    alert.days_seen, alert.days_clear = life.days_seen, life.days_clear


def _severity(alert: Alert) -> Any:
    return alert.severity


def _act_by(diagnosis: Diagnosis) -> datetime:
    return diagnosis.known_at + timedelta(hours=diagnosis.act_within_hours)
