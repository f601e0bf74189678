"""Which version of a rule or model said what of which alert, and what the workshop found of it.

A version has said of an alert that its failure mode is there if it was the speaker on any day on which the condition
held. The verdict is the current outcome's; where nobody recorded one, a failure of that mode which the field reported
within the horizon confirms it too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Min

from alerts.models import Alert, AlertDay, FieldRecord, Outcome


@dataclass(frozen=True, slots=True)
class Said:
    """One version's word on one alert. ``said_at`` is the end of the first day on which it said so (UTC).

    ``verdict`` is empty where nothing is known of it; ``found_at`` is when it was found or failed, ``known_at`` when
    that was recorded here.
    """

    source: str
    failure_mode: str
    said_at: datetime
    open: bool
    verdict: str = ""
    found_at: datetime | None = None
    known_at: datetime | None = None


Failures = Mapping[tuple[str, str], list[datetime]]
"""Asset and failure mode to the instants of failures that the field reported, ascending."""


def reported_failures() -> Failures:
    """Return the failures that the field reported."""
    found: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    rows = FieldRecord.objects.filter(kind=FieldRecord.Kind.FAILURE).order_by("at")
    for asset_id, mode, at in rows.values_list("asset_id", "what", "at"):
        found[asset_id, mode].append(at)
    return found


def said(horizon_days: int, sources: Collection[str] | None = None) -> list[Said]:
    """Return all that the versions (or these ones) have said, in order of time."""
    days = AlertDay.objects.filter(condition=True)
    if sources is not None:
        days = days.filter(source__in=list(sources))
    first_days = days.order_by().values_list("alert_id", "source").annotate(first=Min("day"))
    claims = [(alert_id, source, first) for alert_id, source, first in first_days if source]
    chosen = Alert.objects.all() if sources is None else Alert.objects.filter(pk__in=days.values("alert_id"))
    alerts = {alert.pk: alert for alert in chosen}
    outcomes = {o.alert_id: o for o in Outcome.objects.filter(superseded_at=None) if o.alert_id in alerts}
    failures, horizon = reported_failures(), timedelta(days=horizon_days)
    found = []
    for alert_id, source, first in claims:
        alert = alerts[alert_id]
        said_at = alert.known_at + (first - alert.first_day)
        verdict, found_at, known_at = "", None, None
        outcome = outcomes.get(alert_id)
        if outcome is not None:
            verdict, found_at, known_at = outcome.verdict, outcome.at, outcome.recorded_at
        else:
            until = alert.known_at + (alert.last_true_day - alert.first_day) + horizon
            reported = failures.get((alert.asset_id, alert.failure_mode), [])
            failed = next((at for at in reported if said_at <= at <= until), None)
            if failed is not None:
                verdict, found_at, known_at = Outcome.Verdict.CONFIRMED.value, failed, failed
        is_open = alert.state != Alert.State.CLOSED
        found.append(Said(source, alert.failure_mode, said_at, is_open, verdict, found_at, known_at))
    return sorted(found, key=lambda one: (one.said_at, one.source))
