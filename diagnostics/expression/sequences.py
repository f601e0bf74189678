"""Whether faults were set one after the other within the last days, as far as their order is known.

A day keeps how often a code was set, and when first and last (hours after local midnight). So the order of two codes
is known, on different days and on one; of three and more on one day, and on days of which the times were not kept, it
may not be, and then the answer is *not known*. Each step carries bounds of when the sequence so far was complete at
the earliest: ``certain`` if all orders that agree with what is known make one, ``possible`` if any does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.grid import Floats

_DAY = 32.0  # hours from one day to the next, more than the longest day has: only the order counts
_LATEST = 25.0


class Sets(NamedTuple):
    """One code as arrays (assets, days): times set, and the hours of day at which it was first and last."""

    times: Floats
    first: Floats
    last: Floats


def in_order(codes: Sequence[Sets], days: int) -> Floats:
    """Return 1 where the codes were set in this order in the last ``days`` days, 0 where not, NaN where unknown.

    Days that did not report count as days without; where today is one and nothing is found, the answer is unknown.
    """
    today_unknown = np.any([np.isnan(code.times) for code in codes], axis=0)
    result = np.where(today_unknown, np.nan, 0.0)
    some = np.flatnonzero(np.all([(code.times > 0).any(axis=1) for code in codes], axis=0))
    if len(some):  # few assets ever set all of them
        found = _found([Sets(*(values[some] for values in code)) for code in codes], days)
        result[some] = np.where(found == 0, result[some], found)
    return result


def _found(codes: Sequence[Sets], days: int) -> Floats:
    shape = codes[0].times.shape
    certain, possible = (np.full((len(codes), *shape), np.inf) for _ in range(2))
    for ago in range(days - 1, -1, -1):
        midnight = (days - 1 - ago) * _DAY
        for number, code in enumerate(codes):
            times, first, last = (_shifted(values, ago) for values in code)
            happened, timed = times > 0, np.isfinite(first) & np.isfinite(last)
            first_soonest, first_latest = (
                midnight + np.where(timed, first, 0.0),
                midnight + np.where(timed, first, _LATEST),
            )
            last_soonest, last_latest = midnight + np.where(timed, last, 0.0), midnight + np.where(timed, last, _LATEST)
            if number == 0:
                surely, perhaps = happened, happened
                after_surely, after_perhaps = first_latest, first_soonest
            else:
                before, before_perhaps = certain[number - 1], possible[number - 1]
                surely = happened & (last_soonest > before)
                perhaps = happened & (last_latest > before_perhaps)
                after_surely = np.where(first_soonest > before, first_latest, last_latest)
                after_perhaps = np.maximum(first_soonest, before_perhaps)
            certain[number] = np.where(surely, np.minimum(certain[number], after_surely), certain[number])
            possible[number] = np.where(perhaps, np.minimum(possible[number], after_perhaps), possible[number])
    return np.where(np.isfinite(certain[-1]), 1.0, np.where(np.isfinite(possible[-1]), np.nan, 0.0))


def _shifted(values: Floats, days: int) -> Floats:
    """Return what stood ``days`` days ago; NaN before the first day."""
    moved = np.full(values.shape, np.nan)
    moved[:, days:] = values[:, : max(0, values.shape[1] - days)]
    return moved
