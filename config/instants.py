"""The times of a history's tables: ISO 8601, a count since the epoch, or a date alone."""

from __future__ import annotations

import time

import pandas as pd

NO_TIME = "is no ISO 8601 time; write 2026-06-30T14:05:00Z, 2026-06-30 14:05, 2026-06-30 or seconds since 1970"
NOON = pd.Timedelta(hours=12)

_COUNT = r"(?:[1-9][0-9]{8,9}|[1-9][0-9]{12}|[1-9][0-9]{15}|[1-8][0-9]{18})(?:\.[0-9]*)?"
_DATE = r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
_TOO_SHORT = r"[0-9]{4}(?:-[0-9]{2})?"
_MICROSECONDS = {9: 1_000_000, 10: 1_000_000, 13: 1_000, 16: 1}
"""In one unit of a count, by its number of digits; 19 are nanoseconds."""
_AHEAD = 366 * 86_400 * 1_000_000  # what is later than that is no count: 2024063014 is an hour, written together


def instants(texts: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Return each text as an instant (UTC where it names no zone, to the microsecond), NaT where it is none.

    A number of nine or ten digits counts seconds since 1970, one of 13 milliseconds, of 16 microseconds, of 19
    nanoseconds, with what stands behind its point; other numbers, and counts of more than a year from now, are no time.
    A date alone is taken as noon: midway through what it may mean, and on the same day in nearly every time zone. A
    year or a month alone is no time.
    """
    found = pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce").dt.as_unit("us")
    dates = texts.str.fullmatch(_DATE)
    if dates.any():
        found = found.mask(dates, found + NOON)
    found = found.mask(texts.str.fullmatch(_TOO_SHORT))
    counts = texts.str.fullmatch(_COUNT)
    if counts.any():
        parts = texts[counts].str.partition(".")
        whole, digits = parts[0].astype("int64"), parts[0].str.len()
        latest = time.time_ns() // 1000 + _AHEAD
        for length in digits.unique():
            chosen = digits.index[digits == length]
            unit = _MICROSECONDS.get(length)
            if unit is None:
                count = whole[chosen] // 1000
            else:
                behind = parts.loc[chosen, 2].str.slice(0, 6).str.pad(6, side="right", fillchar="0").astype("int64")
                count = whole[chosen] * unit + behind * unit // 1_000_000
            found[chosen] = pd.to_datetime(count.where(count <= latest), unit="us", utc=True).dt.as_unit("us")
    return found


def without_hours(times: pd.Series[int]) -> bool:
    """Return whether times (ns) all stand at midnight (UTC): then only their dates were known."""
    return len(times) > 0 and bool((times % (86_400 * 10**9) == 0).all())
