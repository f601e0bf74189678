"""The operating day: the calendar day in the time zone of the asset's site.

A day is 23, 24 or 25 hours long where clocks change; its bounds are the instants of two local midnights.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NS = 1_000_000_000


def operating_day(zone: ZoneInfo, at: int) -> date:
    """Return the operating day that holds the instant ``at`` (ns since the epoch, UTC)."""
    return datetime.fromtimestamp(at // NS, zone).date()


def day_bounds(zone: ZoneInfo, day: date) -> tuple[int, int]:
    """Return the first instant of ``day`` and of the day after it, in ns since the epoch (UTC)."""
    return _midnight(zone, day), _midnight(zone, day + timedelta(days=1))


def _midnight(zone: ZoneInfo, day: date) -> int:
    # Where a zone skips midnight itself, fold=0 reads the wall clock by the offset before the change: the
    # instant of the change, the first that belongs to the day.
    return int(datetime.combine(day, time.min, zone).astimezone(UTC).timestamp()) * NS
