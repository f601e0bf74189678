"""Times as gateways write them: RFC 3339 text with a zone, or whole milliseconds since the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 4_102_444_800_000  # the year 2100; past it a count of microseconds would be read as one of milliseconds


class WrongTime(Exception):
    """This is no time; the message says why."""


def all_nanoseconds(values: Sequence[str | int]) -> list[int]:
    """Return ``nanoseconds`` of each, quickly where all are counts of milliseconds."""
    if set(map(type, values)) == {int}:
        counts = cast("Sequence[int]", values)
        if min(counts) > 0 and max(counts) < _LAST_MS:
            return [count * 1_000_000 for count in counts]
    return list(map(nanoseconds, values))


def nanoseconds(value: str | int) -> int:
    """Return ns since the epoch (UTC), exact to the microsecond, finer digits being cut off.

    Raises:
        WrongTime: it is no such time, names no zone, or is not between 1971 and 2100.
    """
    if isinstance(value, int):
        if not 0 < value < _LAST_MS:
            raise WrongTime(f"{str(value)[:40]} is no count of milliseconds since 1970 before 2100")
        return value * 1_000_000
    try:
        at = datetime.fromisoformat(value.upper())  # RFC 3339 allows t and z
    except ValueError:
        raise WrongTime(f"{value[:40]!r} is not an RFC 3339 time") from None
    if at.tzinfo is None:
        raise WrongTime(f"{value[:40]!r} names no time zone; end it with Z or an offset")
    if not 1970 < at.year < 2100:
        raise WrongTime(f"{value[:40]!r} is not between 1971 and 2100")
    since = at - _EPOCH  # exact, where timestamp() is a float too coarse by now
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
