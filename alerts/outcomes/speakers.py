"""Which versions of rules and models speak of which failure mode, and since when: also those that raise nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from alerts.models import Speaker
from diagnostics.records import DayOutcome

_Key = tuple[str, str, str]


def note_speakers(outcomes: Iterable[DayOutcome], asset_types: Mapping[str, str]) -> None:
    """Note who spoke on these days; ``asset_types`` gives each asset's type. Doing it twice changes nothing."""
    days: dict[_Key, tuple[date, date]] = {}
    for outcome in outcomes:
        day, asset_type = outcome.log.day, asset_types.get(outcome.log.asset_id, "")
        for diagnosis in outcome.diagnoses:
            key = (diagnosis.source, diagnosis.failure_mode, asset_type)
            first, last = days.get(key, (day, day))
            days[key] = (min(first, day), max(last, day))
    known = {
        (row.source, row.failure_mode, row.asset_type): row
        for row in Speaker.objects.filter(source__in={source for source, _, _ in days})
    }
    new, changed = [], []
    for key, (first, last) in days.items():
        row = known.get(key)
        if row is None:
            source, mode, asset_type = key
            new.append(Speaker(source=source, failure_mode=mode, asset_type=asset_type, first_day=first, last_day=last))
        elif first < row.first_day or last > row.last_day:
            row.first_day, row.last_day = min(first, row.first_day), max(last, row.last_day)
            changed.append(row)
    Speaker.objects.bulk_create(new, ignore_conflicts=True)
    Speaker.objects.bulk_update(changed, ["first_day", "last_day"], batch_size=100)
