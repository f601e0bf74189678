"""What the workshop found, recorded; and what follows for the alert, and for whoever raised it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from alerts.lifecycle import states
from alerts.lifecycle.rows import life_of, put
from alerts.models import Alert, AlertDay, Outcome
from alerts.outcomes.finding import Finding
from alerts.outcomes.probation import judge
from alerts.outcomes.shared_finding import shared
from config.settings import Settings

_FIELDS = (
    "verdict", "at", "by", "cause", "root_cause", "failure_mode", "action", "downtime_hours", "cost", "currency",
    "whole_group",
)  # fmt: skip


def current() -> QuerySet[Outcome]:
    """Return the outcomes that stand: one of each alert that has any."""
    return Outcome.objects.filter(superseded_at=None)


def record(
    alert_id: int, finding: Finding, source: Outcome.Source, settings: Settings, now: datetime, user: Any = None
) -> bool:
    """Let a finding be the current outcome of an alert; return whether it says anything new. See ``record_all``."""
    return bool(record_all([(alert_id, finding)], source, settings, now, user))


@transaction.atomic
def record_all(
    findings: Iterable[tuple[int, Finding]],
    source: Outcome.Source,
    settings: Settings,
    now: datetime,
    user: Any = None,
) -> list[int]:
    """Let findings be the current outcomes of alerts; return the alerts of which one says anything new.

    An earlier one is kept as superseded. The same again changes nothing. What was found of a whole group is recorded on
    the other alerts too that it can be of. The versions that raised them are judged.
    """
    new = []
    for alert_id, finding in findings:
        if _record(alert_id, finding, source, now, user):
            new.append(alert_id)
        if finding.whole_group:
            alert = Alert.objects.select_related("case__carrier").get(pk=alert_id)
            for other, the_same in shared(alert, finding):
                if _record(other, the_same, source, now, user, told_on=alert):
                    new.append(other)
    if new:
        days = AlertDay.objects.filter(alert__in=new, condition=True)
        judge(set(days.values_list("source", flat=True)), settings.outcomes, settings.models.horizon_days, now)
    return new


def _record(
    alert_id: int,
    finding: Finding,
    source: Outcome.Source,
    now: datetime,
    user: Any,
    told_on: Alert | None = None,
) -> bool:
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    earlier = current().filter(alert=alert).first()
    if earlier is not None and says(earlier) == says_of(finding):
        return False
    current().filter(alert=alert).update(superseded_at=now)
    Outcome.objects.create(
        alert=alert,
        source=source,
        recorded_at=now,
        told_on=told_on,
        parts=list(finding.parts),
        **{name: getattr(finding, name) for name in _FIELDS},
    )
    _conclude(alert, finding, now, user)
    return True


def says(outcome: Outcome) -> dict[str, Any]:
    """Return what an outcome says, whoever recorded it when."""
    return {name: getattr(outcome, name) for name in _FIELDS} | {"parts": list(outcome.parts)}


def says_of(finding: Finding) -> dict[str, Any]:
    """Return what an outcome of this finding would say."""
    return {name: getattr(finding, name) for name in _FIELDS} | {"parts": list(finding.parts)}


def _conclude(alert: Alert, finding: Finding, now: datetime, user: Any) -> None:
    """Carry the alert on: a repair of what was confirmed closes it, every other finding is somebody's taking note.

    Where nothing was found the condition may hold on: the alert then stays, acknowledged and with the ticket that it
    has, until it returns to normal, instead of coming back tomorrow as the next one.
    """
    before = life = life_of(alert)
    if not life.open:
        return
    if finding.root_cause:
        life = states.explained(life)
    repaired = finding.verdict == "confirmed" and bool(finding.action)
    if life.open:
        life = states.repaired(life) if repaired else states.acknowledged(life)
    if before.state in ("unacknowledged", "returned") and alert.acknowledged_at is None:
        alert.acknowledged_at, alert.acknowledged_by = now, user
    if not life.open:
        alert.closed_at, alert.closed_reason = now, f"outcome: {finding.verdict}"
    put(alert, life)
    alert.save()
