"""Numbers over the last days: arrays (assets, days) in, the same shape out; no day sees a later one.

Windows are laid out a block of assets at a time, so that sixty days of a large fleet take no more memory than one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.grid import Floats

_WINDOW_VALUES = 500_000
Reduce = Callable[[Floats], Floats]


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
    result = np.full(values.shape, np.nan)
    step = max(1, _WINDOW_VALUES // max(1, days * values.shape[1]))
    for first in range(0, len(values), step):
        some = values[first : first + step]
        window = _last_days(some, days)
        known = np.isfinite(window).sum(axis=2)
        enough = np.isfinite(some) & (known * 2 >= days)
        if enough.any():
            result[first : first + step][enough] = reduce(window[enough])
    return result


def _last_days(values: Floats, days: int) -> Floats:
    """Return (assets, days of the panel, ``days``): each day with the days before it, oldest first."""
    padded = np.pad(values, ((0, 0), (days - 1, 0)), constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, days, axis=1)


def mean(window: Floats) -> Floats:
    """Mean over the known days."""
    return np.asarray(np.nanmean(window, axis=1))


def highest(window: Floats) -> Floats:
    """Largest of the known days."""
    return np.asarray(np.nanmax(window, axis=1))


def lowest(window: Floats) -> Floats:
    """Smallest of the known days."""
    return np.asarray(np.nanmin(window, axis=1))


def slope(window: Floats) -> Floats:
    """Least squares slope per day over the known days; unknown of one day."""
    known = np.isfinite(window)
    day = np.where(known, np.arange(window.shape[1], dtype=np.float64), np.nan)
    day = day - np.nanmean(day, axis=1, keepdims=True)
    value = window - np.nanmean(window, axis=1, keepdims=True)
    spread = np.nansum(day**2, axis=1)
    return np.asarray(np.where(spread > 0, np.nansum(day * value, axis=1) / spread, np.nan))


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
