"""The times of a history's tables: ISO 8601, a count since the epoch, or a date alone."""

from __future__ import annotations

from typing import Literal

import pandas as pd

NO_TIME = "is no ISO 8601 time; write 2026-06-30T14:05:00Z, 2026-06-30 14:05, 2026-06-30 or seconds since 1970"
NOON = pd.Timedelta(hours=12)

_COUNT = r"(?:[1-9][0-9]{8,17}|[1-4][0-9]{18})(?:\.[0-9]*)?"
_DATE = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
_UNITS: tuple[tuple[Literal["s", "ms", "us", "ns"], int, int], ...] = (
    ("s", 0, 10**10),
    ("ms", 10**10, 10**13),
    ("us", 10**13, 10**16),
    ("ns", 10**16, 5 * 10**18),
)
"""Of a count: its unit, the least that is counted in it, and the first that is not."""


def instants(texts: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Return each text as an instant (UTC where it names no zone, to the microsecond), NaT where it is none.

    A number of nine digits or more counts seconds since 1970 up to ten digits, milliseconds up to 13,
    microseconds up to 16, else nanoseconds: from 1973 to 2286 the number of digits tells which; what stands
    behind its point is dropped. A date alone is taken as noon: midway through what it may mean, and on the same day
    in nearly every time zone.
    """
    found = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce").dt.as_unit("us")
    dates = texts.str.fullmatch(_DATE)
    if dates.any():
        found = found.mask(dates, found + NOON)
    counts = texts.str.fullmatch(_COUNT)
    if counts.any():
        numbers = texts[counts].str.partition(".")[0].astype("int64")
        for unit, least, end in _UNITS:
            chosen = numbers[(numbers >= least) & (numbers < end)]
            if len(chosen):
                found[chosen.index] = pd.to_datetime(chosen, unit=unit, utc=True).dt.as_unit("us")
    return found


def without_hours(times: pd.Series[int]) -> bool:
    """Return whether times (ns) all stand at midnight (UTC): then only their dates were known."""
    return len(times) > 0 and bool((times % (86_400 * 10**9) == 0).all())
