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

from alerts.lifecycle import states
from alerts.lifecycle.plain import plain_diagnosis
from alerts.lifecycle.rows import life_of, put
from alerts.lifecycle.shelving import Holds
from alerts.lifecycle.ticket_request import explained_by, want_ticket
from alerts.models import Alert, AlertDay
from config.knowledge import ANOMALY
from config.register import SEVERITIES
from diagnostics.records import DayOutcome, Diagnosis


def raise_alerts(outcomes: Sequence[DayOutcome], *, keep_days: bool = True) -> None:
    """Bring the alerts of these asset-days up to date. Doing it twice changes nothing.

    What was said on each day of an alert is kept for people, and for what the workshop finds, where ``keep_days``.
    """
    assets = {outcome.log.asset_id for outcome in outcomes}
    open_alerts = {
        (alert.asset_id, alert.failure_mode): alert
        for alert in Alert.objects.exclude(state=Alert.State.CLOSED).filter(asset_id__in=assets)
    }
    holds = Holds(assets)
    for outcome in sorted(outcomes, key=lambda o: (o.log.asset_id, o.log.day)):
        # Specific failure modes first: they decide whether an unexplained anomaly is explained by them.
        for diagnosis in sorted(outcome.diagnoses, key=lambda d: d.failure_mode == ANOMALY.code):
            key = (diagnosis.asset_id, diagnosis.failure_mode)
            alert = open_alerts.get(key)
            if alert is None and diagnosis.condition:
                alert = _opened(diagnosis)
                if alert is None:
                    continue
                open_alerts[key] = alert
            elif alert is not None:
                _observe(alert, diagnosis)
            else:
                continue
            if keep_days:
                _note_day(alert, diagnosis)
            if alert.state == Alert.State.CLOSED:
                del open_alerts[key]  # a later day of these may open the next episode
            else:
                _suppress_or_ticket(alert, diagnosis, outcome.diagnoses, open_alerts.values(), holds)


def _opened(diagnosis: Diagnosis) -> Alert | None:
    """Open the next episode; ``None`` where this day belongs to an earlier one, which a revision does not reopen."""
    earlier = Alert.objects.filter(asset_id=diagnosis.asset_id, failure_mode=diagnosis.failure_mode)
    if earlier.filter(last_day__gte=diagnosis.day).exists():
        return None
    life = states.raised(diagnosis.day)
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
    put(alert, life)
    try:
        with transaction.atomic():
            alert.save()
    except IntegrityError:  # another scorer was first; its alert is the one
        alert = earlier.exclude(state=Alert.State.CLOSED).get()
    return alert


def _observe(alert: Alert, diagnosis: Diagnosis) -> None:
    if diagnosis.day < alert.first_day:
        return
    before = life_of(alert)
    after = states.observed(before, diagnosis.day, diagnosis.condition)
    if states.came_back(before, after):
        alert.came_back_on = [*alert.came_back_on, diagnosis.day.isoformat()]
        alert.tier = alert.tier_since = None  # support is called anew
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
    put(alert, after)
    alert.save()


def _note_day(alert: Alert, diagnosis: Diagnosis) -> None:
    if diagnosis.day < alert.first_day:
        return
    if not diagnosis.condition and alert.days.filter(day=diagnosis.day, condition=True).exists():
        return  # late data thinks otherwise; what somebody acts upon stays what it was
    AlertDay.objects.update_or_create(
        alert=alert,
        day=diagnosis.day,
        defaults={
            "condition": diagnosis.condition,
            "source": diagnosis.source,
            "diagnosis": plain_diagnosis(diagnosis),
        },
    )


def _suppress_or_ticket(
    alert: Alert,
    diagnosis: Diagnosis,
    diagnoses: Iterable[Diagnosis],
    open_alerts: Iterable[Alert],
    holds: Holds,
) -> None:
    """Give the alert its ticket, unless a person left it alone, or another failure mode explains it; then say which."""
    reason = explained_by(alert, diagnoses, open_alerts)
    if reason != alert.suppressed_by:
        alert.suppressed_by = reason
        alert.save(update_fields=["suppressed_by"])
    if not reason and alert.ticket == "auto" and diagnosis.condition and not holds.by_people(alert, diagnosis.known_at):
        want_ticket(alert, diagnosis.known_at)


def _severity(alert: Alert) -> Any:
    return alert.severity


def _act_by(diagnosis: Diagnosis) -> datetime:
    return diagnosis.known_at + timedelta(hours=diagnosis.act_within_hours)
