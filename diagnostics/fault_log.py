"""The daily fault log: what stood in one asset's fault memory on one operating day."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from config.operating_day import NS, day_bounds, operating_day
from config.register import SEVERITIES, AssetType, Severity
from diagnostics.records import DailyFaultLog, FaultLogEntry

LOOK_BACK_DAYS = 30
"""Days before in which a code makes it known (not new), and on two of which it makes it recurring."""
RECURRING_DAYS = 2


class _Event(NamedTuple):
    time: int
    set: bool
    severity: str
    context: str


def daily_fault_log(
    asset_type: AssetType,
    asset_id: str,
    zone: ZoneInfo,
    day: date,
    faults: pd.DataFrame,
    features: Mapping[str, float],
) -> DailyFaultLog:
    """Return the log of one asset-day.

    ``faults`` are this asset's events as ``TelemetryStore.read_faults`` returns them, of the look-back and the day;
    ``features`` are the day's base features. A clear without a set, a set sent twice and events out of order are
    taken as they come: a fault stands from its first set to the next clear.
    """
    entries = _entries(asset_type, zone, day, faults) if len(faults) else ()
    return DailyFaultLog(
        asset_id=asset_id,
        day=day,
        entries=entries,
        exposure_hours=_known(features.get("exposure.hours")),
        exposure_distance=_known(features.get("exposure.distance")),
        completeness=features.get("completeness", 0.0),
    )


def _entries(asset_type: AssetType, zone: ZoneInfo, day: date, faults: pd.DataFrame) -> tuple[FaultLogEntry, ...]:
    start, end = day_bounds(zone, day)
    events: defaultdict[str, list[_Event]] = defaultdict(list)
    names = ("code", "time", "state", "severity", "context")
    for code, time, state, severity, context in zip(*(faults[name].tolist() for name in names), strict=True):
        if time < end:
            events[code].append(_Event(int(time), state == "set", severity, context))
    for of_one_code in events.values():
        of_one_code.sort(key=lambda event: event.time)  # stable: the set and the clear of one instant keep their order
    return tuple(
        entry
        for code in sorted(events)
        if (entry := _entry(asset_type, code, events[code], zone, start, end)) is not None
    )


def _entry(
    asset_type: AssetType, code: str, events: list[_Event], zone: ZoneInfo, start: int, end: int
) -> FaultLogEntry | None:
    sets = [event for event in events if event.set and event.time >= start]
    stood, ever_cleared = _standing(events, start, end)
    if not sets and stood == 0:
        return None
    days_before = {operating_day(zone, event.time) for event in events if event.set and event.time < start}
    known = asset_type.fault.get(code)
    told = [event.severity for event in sets if event.severity in SEVERITIES]
    severity: Severity = known.severity if known is not None else "minor"
    if told:
        severity = max(told, key=SEVERITIES.index)
    frames = [frame for event in sets if (frame := _frame(event.context))]
    return FaultLogEntry(
        code=code,
        severity=severity,
        count=len(sets),
        first=sets[0].time if sets else start,
        last=sets[-1].time if sets else start,
        duration=stood / NS if ever_cleared or not sets else None,
        new=not days_before,
        recurring=len(days_before) >= RECURRING_DAYS,
        context=frames[-1] if frames else {},
    )


def _standing(events: list[_Event], start: int, end: int) -> tuple[int, bool]:
    """Return how long (ns) the fault stood within [start, end), and whether this code ever says that it cleared.

    A code that never clears is an event, not a state: then it stands for no time at all.
    """
    if not any(not event.set for event in events):
        return 0, False
    total, since = 0, None
    for event in events:
        if event.set and since is None:
            since = event.time
        elif not event.set and since is not None:
            total += max(0, min(event.time, end) - max(since, start))
            since = None
    if since is not None:
        total += max(0, end - max(since, start))
    return total, True


def _frame(context: str) -> dict[str, float]:
    values = json.loads(context) if context else {}
    return {str(name): float(value) for name, value in values.items()}


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
