"""Numbers over the last days: arrays (assets, days) in, the same shape out; no day sees a later one.

Days are added one after the other and no windows are laid out, so that sixty days take no more memory than one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from models.grid import Floats

Reduce = Callable[[Floats, int], Floats]


def total(values: Floats, days: int) -> Floats:
    """Sum of the known days; unknown where today is. A day that did not report counts as nothing."""
    if days == 1:
        return values
    # From the oldest day on, and not as a difference of running totals: the same wherever the panel begins.
    padded = np.pad(np.nan_to_num(values), ((0, 0), (days - 1, 0)))
    summed = padded[:, : values.shape[1]].copy()
    for later in range(1, days):
        summed += padded[:, later : later + values.shape[1]]
    return np.where(np.isnan(values), np.nan, summed)


def reduced(values: Floats, days: int, reduce: Reduce) -> Floats:
    """A statistic of the last days; unknown where today is, or less than half of them are known."""
    known = sum(np.isfinite(day).astype(np.float64) for day in _last_days(values, days))
    return np.where(np.isfinite(values) & (known * 2 >= days), reduce(values, days), np.nan)


def _last_days(values: Floats, days: int) -> Iterator[Floats]:
    """Yield what stood on each of the last days, the oldest first and today last; NaN before the first day."""
    padded = np.pad(values, ((0, 0), (days - 1, 0)), constant_values=np.nan)
    for later in range(days):
        yield padded[:, later : later + values.shape[1]]


def mean(values: Floats, days: int) -> Floats:
    """Mean over the known days."""
    summed, known = np.zeros(values.shape), np.zeros(values.shape)
    for day in _last_days(values, days):
        summed += np.nan_to_num(day)
        known += np.isfinite(day)
    return summed / known


def highest(values: Floats, days: int) -> Floats:
    """Largest of the known days."""
    return functools.reduce(np.fmax, _last_days(values, days))


def lowest(values: Floats, days: int) -> Floats:
    """Smallest of the known days."""
    return functools.reduce(np.fmin, _last_days(values, days))


def slope(values: Floats, days: int) -> Floats:
    """Least squares slope per day over the known days; unknown of one day.

    Values are taken from today's, so that large ones that differ little keep their digits.
    """
    known, sum_day, sum_value, sum_square, sum_product = (np.zeros(values.shape) for _ in range(5))
    for place, day in enumerate(_last_days(values, days)):
        ago, there = float(place - days + 1), np.isfinite(day)
        away = np.where(there, day - values, 0.0)
        known += there
        sum_day += ago * there
        sum_square += ago * ago * there
        sum_value += away
        sum_product += ago * away
    spread = known * sum_square - sum_day**2
    return np.where(spread > 0, (known * sum_product - sum_day * sum_value) / spread, np.nan)


def days_since(counts: Floats, days: int) -> Floats:
    """Days since it last happened, 0 if today; unknown where today is, or where it did not in the last ``days``."""
    place = np.arange(counts.shape[1])
    last = np.maximum.accumulate(np.where(counts > 0, place, -days), axis=1)
    ago = place - last
    return np.where(np.isnan(counts) | (ago >= days), np.nan, ago.astype(np.float64))


def per_exposure(counts: Floats, exposure: Floats, days: int) -> Floats:
    """Sum of the counts over the sum of the exposure, of the days that know both; unknown without exposure, or where
    today's count is.
    """
    both = np.isfinite(counts) & np.isfinite(exposure)
    counted, exposed = total(np.where(both, counts, 0.0), days), total(np.where(both, exposure, 0.0), days)
    return np.where(np.isnan(counts) | (exposed <= 0), np.nan, counted / np.where(exposed > 0, exposed, 1.0))
