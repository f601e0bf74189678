"""Working time: how many minutes people were there between two instants, and when so many will have passed. Pure.

Hours are local to a site. A night in which the clocks change is as much longer or shorter as it really is.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from config.support import WEEKDAYS, WorkingHours

_DAY = timedelta(days=1)


def after(start: datetime, working: timedelta, hours: WorkingHours, zone: ZoneInfo) -> datetime:
    """Return the first instant (UTC) at which ``working`` time has passed since ``start`` (aware)."""
    left, at = working, start.astimezone(UTC)
    if left <= timedelta(0):
        return at
    for begin, end in _shifts(at, hours, zone):
        if left <= end - begin:
            return begin + left
        left -= end - begin
    raise AssertionError("a week has at least one working day, so the shifts never end")


def between(start: datetime, end: datetime, hours: WorkingHours, zone: ZoneInfo) -> timedelta:
    """Return the working time from ``start`` to ``end`` (aware); nothing where ``end`` is not after it."""
    passed, at = timedelta(0), start.astimezone(UTC)
    for begin, finish in _shifts(at, hours, zone):
        if begin >= end:
            break
        passed += min(finish, end) - begin
    return passed


def _shifts(at: datetime, hours: WorkingHours, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield what is left of each shift (UTC) from ``at`` on, in order and without overlap; they never end."""
    day, last = at.astimezone(zone).date() - 2 * _DAY, at
    begins, ends = hours.span
    while True:
        if WEEKDAYS[day.weekday()] in hours.days:
            begin, end = (_instant(day, offset, zone) for offset in (begins, ends))
            begin = max(begin, last)
            if begin < end:
                yield begin, end
                last = end
        day += _DAY


def _instant(day: date, offset: timedelta, zone: ZoneInfo) -> datetime:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - wall clock of the zone, which follows
    return (midnight + offset).replace(tzinfo=zone).astimezone(UTC)
