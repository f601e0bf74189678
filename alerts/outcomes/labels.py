"""What models learn from outcomes: read from those that stand, so nothing is kept twice and a correction corrects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.db.models.functions import TruncDate

from alerts.models import AlertDay, FieldRecord, Outcome
from alerts.outcomes.verdicts import reported_failures

_DAY = timedelta(days=1)


def confirmed_records(until: datetime) -> Iterator[tuple[str, str, datetime, str]]:
    """Yield (kind, asset, instant, what), as ``FieldRecord`` has them, of what was confirmed up to an instant.

    A confirmed alert is a failure of its mode, or of the mode that was found instead; unless the field reported that
    failure itself. What was done about it is a maintenance of the component that the mode names.
    """
    standing = Outcome.objects.filter(superseded_at=None, verdict=Outcome.Verdict.CONFIRMED, at__lte=until)
    confirmed = list(standing.select_related("alert").order_by("at", "pk"))
    reported = reported_failures() if confirmed else {}
    for outcome in confirmed:
        alert = outcome.alert
        mode = outcome.failure_mode or alert.failure_mode
        near = (
            at for at in reported.get((alert.asset_id, mode), ()) if alert.known_at - _DAY <= at <= outcome.at + _DAY
        )
        if next(near, None) is None:
            yield FieldRecord.Kind.FAILURE.value, alert.asset_id, outcome.at, mode
        if outcome.action:
            yield FieldRecord.Kind.MAINTENANCE.value, alert.asset_id, outcome.at, f"{mode}: {outcome.action}"[:120]


def confirmed_findings(until: datetime) -> Iterator[tuple[str, datetime, str, str, str, str]]:
    """Yield (asset, instant, failure mode, cause, action, parts) of what was confirmed up to an instant.

    The cause is the root cause where one was found; parts are separated by ``;``.
    """
    confirmed = Outcome.objects.filter(superseded_at=None, verdict=Outcome.Verdict.CONFIRMED, at__lte=until)
    for outcome in confirmed.select_related("alert").order_by("at", "pk"):
        mode = outcome.failure_mode or outcome.alert.failure_mode
        parts = ";".join(map(str, outcome.parts))
        yield outcome.alert.asset_id, outcome.at, mode, outcome.root_cause or outcome.cause, outcome.action, parts


def sound_days(until: datetime) -> list[tuple[str, date, str]]:
    """Return (asset, day, failure mode) of the days on which an alert spoke before it was found, by an instant, that
    nothing was wrong.
    """
    wrong = Outcome.objects.filter(superseded_at=None, at__lte=until).exclude(verdict=Outcome.Verdict.CONFIRMED)
    found_on = TruncDate("alert__outcomes__at", tzinfo=UTC)
    days = AlertDay.objects.filter(condition=True, alert__outcomes__in=wrong, day__lte=found_on).order_by("day", "pk")
    return list(days.values_list("alert__asset_id", "day", "alert__failure_mode"))
