"""Base features of asset-days: statistics of the signals, counts of the faults, exposure and completeness."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.operating_day import day_bounds
from config.register import AssetType, Signal
from models.grid import Floats

STATISTICS = ("mean", "std", "min", "max", "p05", "p95")
UNKNOWN_PERIOD_GAP_S = 3600.0
"""Where a type gives no period, samples further apart than this are not taken as one stretch of operation."""

_SORTED_AT_ONCE = 500_000
_NS_PER_HOUR = 3_600_000_000_000
_Rows = NDArray[np.intp]


def base_panel(
    asset_type: AssetType,
    zone: ZoneInfo,
    measurements: pd.DataFrame,
    faults: pd.DataFrame,
    asset_days: pd.MultiIndex,
) -> pd.DataFrame:
    """Return the base features (see ``models.panel``) of assets of one type in one time zone.

    ``measurements`` and ``faults`` are as a ``TelemetryStore`` reads them and may span more than is asked for.
    The result's index is ``asset_days``; columns, in the unit of their signal:

    - ``<signal>.mean|std|min|max|p05|p95`` over the samples taken in operation (all samples where the type says
      nothing of operation). Standard deviation with n - 1, so unknown of a single sample; percentiles
      interpolate linearly. Of a distance counter there are none: they would grow for ever.
    - ``faults.<code>.count``: times set; for each declared code, and for each seen one where the type's
      vocabulary is open. ``faults.count``: all of them. A day without data knows no faults, unless some came.
      ``faults.<code>.first|last``: when it was first and last set, in hours after the day's local midnight; only of
      codes that were set.
    - ``exposure.hours``: how long the asset was in operation. A sample holds until the next one of its day, if that
      is at most two periods away, else for one period. ``exposure.distance``: growth of the counter within the day.
    - ``completeness``: share of the expected samples that arrived, over the signals that have a period (0 to
      1); a type without any expects one sample a day, and a type without signals nothing, which is complete.
    """
    rows = _RowFinder(zone, asset_days)
    frame = _in_time_order(measurements)
    time = frame["time"].to_numpy(dtype=np.int64)
    row = rows.find(frame["asset_id"], time)
    signals = {s.name: _signal(frame, s.name) for s in asset_type.signals}
    reported = np.zeros(len(frame), dtype=np.bool_)
    for values in signals.values():
        reported |= np.isfinite(values)

    in_operation, hours = _operation(asset_type, signals, reported, time, row, len(asset_days))
    columns: dict[str, Floats] = {}
    for name in (name for name in signals if name != asset_type.distance):
        values = signals[name]
        used = in_operation & np.isfinite(values) & (row >= 0)
        for statistic, result in _statistics(values[used], row[used], len(asset_days)).items():
            columns[f"{name}.{statistic}"] = result

    has_data = np.bincount(row[reported & (row >= 0)], minlength=len(asset_days)) > 0
    columns |= _fault_counts(asset_type, faults, rows, has_data)
    columns["exposure.hours"] = np.where(has_data, np.minimum(hours, rows.hours), np.nan)
    if asset_type.distance is not None:
        columns["exposure.distance"] = _growth(signals[asset_type.distance], row, len(asset_days))
    columns["completeness"] = _completeness(asset_type, signals, row, rows.hours, has_data)
    return pd.DataFrame(columns, index=asset_days)


def copies(base: pd.DataFrame) -> list[str]:
    """Return the statistics that say what the mean says, or nothing, as of days with one sample."""
    found = []
    for name in base.columns:
        signal, _, statistic = name.rpartition(".")
        mean = f"{signal}.mean"
        if statistic in STATISTICS and name != mean and mean in base:
            values = base[name].to_numpy()
            if np.isnan(values).all() or np.array_equal(values, base[mean].to_numpy(), equal_nan=True):
                found.append(name)
    return found


class _RowFinder:
    """Finds the row of an asset-day from an asset and an instant."""

    def __init__(self, zone: ZoneInfo, asset_days: pd.MultiIndex) -> None:
        self._assets = pd.Index(asset_days.get_level_values(0).unique())
        day = asset_days.get_level_values(1).to_numpy().astype("datetime64[D]")
        days, place = np.unique(day, return_inverse=True)
        bounds = [day_bounds(zone, date.fromisoformat(str(d))) for d in days]
        self._starts = np.array([start for start, _ in bounds], dtype=np.int64)
        self._ends = np.array([end for _, end in bounds], dtype=np.int64)
        self._row = np.full((len(self._assets) + 1, len(days) + 1), -1, dtype=np.intp)
        self._row[self._assets.get_indexer(asset_days.get_level_values(0)), place] = np.arange(len(asset_days))
        self.hours = ((self._ends - self._starts) / _NS_PER_HOUR)[place]
        """Length of each row's day in hours: 23, 24 or 25."""
        self.start = self._starts[place]
        """When each row's day begins, in ns."""

    def find(self, asset_ids: pd.Series, time: NDArray[np.int64]) -> _Rows:
        """Return the row (-1: none) of each sample."""
        asset = self._assets.get_indexer(pd.Index(asset_ids))
        if not len(self._starts):
            return np.full(len(time), -1, dtype=np.intp)
        place = np.searchsorted(self._starts, time, side="right") - 1
        place[(place >= 0) & (time >= self._ends[np.maximum(place, 0)])] = -1
        found: _Rows = self._row[asset, place]
        return found


def _in_time_order(frame: pd.DataFrame) -> pd.DataFrame:
    time = frame["time"].to_numpy(dtype=np.int64)
    asset = frame["asset_id"].to_numpy()
    if len(frame) < 2 or bool(((asset[1:] != asset[:-1]) | (time[1:] >= time[:-1])).all()):
        runs = int((asset[1:] != asset[:-1]).sum()) + 1 if len(frame) else 0
        if runs == frame["asset_id"].nunique():
            return frame
    return frame.sort_values(["asset_id", "time"], kind="stable")


def _signal(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64)


def _longest_hold(signals: tuple[Signal, ...]) -> tuple[float, float]:
    """Return for how many ns a sample holds at most, and for how many where the next is further away."""
    periods = [s.period for s in signals if s.period is not None]
    if not periods:
        return UNKNOWN_PERIOD_GAP_S * 1e9, 0.0
    return 2 * min(periods) * 1e9, min(periods) * 1e9


def _operation(
    asset_type: AssetType,
    signals: dict[str, Floats],
    reported: NDArray[np.bool_],
    time: NDArray[np.int64],
    row: _Rows,
    rows: int,
) -> tuple[NDArray[np.bool_], Floats]:
    """Return which samples were taken in operation, and each row's hours in operation.

    A row depends on its own day's samples alone: it is the same whichever days are read with it.
    """
    operating = asset_type.operating
    if operating is None:
        known, in_operation, clock = reported, reported, asset_type.signals
    else:
        speed = signals[operating.signal]
        known, in_operation = np.isfinite(speed), speed > operating.above
        clock = (asset_type.signal[operating.signal],)
    longest, otherwise = _longest_hold(clock)

    at = np.flatnonzero(known)
    gap = np.diff(time[at], append=np.iinfo(np.int64).max).astype(np.float64)
    same = np.append(row[at][1:] == row[at][:-1], False) if len(at) else np.zeros(0, dtype=bool)
    hold = np.where(same & (gap <= longest), gap, otherwise)
    counted = in_operation[at] & (row[at] >= 0)
    hours = np.bincount(row[at][counted], weights=hold[counted], minlength=rows) / _NS_PER_HOUR
    if operating is None:
        return in_operation, hours

    # Signals may come in messages of their own: between two samples of the operating signal the last one holds.
    latest = np.maximum.accumulate(np.where(known, np.arange(len(time)), -1)) if len(time) else np.zeros(0, np.intp)
    carried = np.maximum(latest, 0)
    fresh = (latest >= 0) & (row[carried] == row) & (time - time[carried] <= longest)
    return fresh & in_operation[carried], hours


def _statistics(values: Floats, row: _Rows, rows: int) -> dict[str, Floats]:
    result = {statistic: np.full(rows, np.nan) for statistic in STATISTICS}
    if not len(values):
        return result
    if (row[1:] < row[:-1]).any():
        order = np.argsort(row, kind="stable")
        values, row = values[order], row[order]
    starts = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    counts = np.diff(starts, append=len(row))
    at = row[starts]
    values = _sorted_within(values, starts, counts)
    mean = np.add.reduceat(values, starts) / counts
    squares = np.add.reduceat((values - np.repeat(mean, counts)) ** 2, starts)
    result["mean"][at] = mean
    result["std"][at] = np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan))
    for statistic, share in (("min", 0.0), ("p05", 0.05), ("p95", 0.95), ("max", 1.0)):
        position = share * (counts - 1)
        below = np.floor(position).astype(np.intp)
        low, high = values[starts + below], values[starts + np.minimum(below + 1, counts - 1)]
        result[statistic][at] = low + (position - below) * (high - low)
    return result


def _sorted_within(values: Floats, starts: _Rows, counts: _Rows) -> Floats:
    """Return the values with each run of ``counts`` from ``starts`` in rising order.

    Runs of like length (within a factor of two) are laid side by side and sorted at once: much faster than by two keys.
    """
    ordered = np.empty_like(values)
    by_length = np.argsort(counts, kind="stable")
    lengths = counts[by_length]
    first = 0
    while first < len(counts):
        widest = 2 * int(lengths[first])
        end = min(first + max(1, _SORTED_AT_ONCE // widest), int(np.searchsorted(lengths, widest, side="right")))
        runs = by_length[first:end]
        places = np.arange(lengths[end - 1])
        inside = places < counts[runs, None]
        flat = (starts[runs, None] + places)[inside]
        block = np.full(inside.shape, np.inf)
        block[inside] = values[flat]
        block.sort(axis=1)
        ordered[flat] = block[inside]
        first = end
    return ordered


def _fault_counts(
    asset_type: AssetType, faults: pd.DataFrame, rows: _RowFinder, has_data: NDArray[np.bool_]
) -> dict[str, Floats]:
    if "state" in faults:
        faults = faults[faults["state"] == "set"]
    row = rows.find(faults["asset_id"], faults["time"].to_numpy(dtype=np.int64))
    faults, row = faults[row >= 0], row[row >= 0]
    codes = [f.code for f in asset_type.faults]
    if asset_type.open_vocabulary:
        codes += sorted(set(faults["code"]) - set(codes))
    total = np.bincount(row, minlength=len(has_data))
    known = has_data | (total > 0) | (not asset_type.signals)
    columns = {}
    number = pd.Index(codes, dtype=object).get_indexer(pd.Index(faults["code"].astype(object)))
    for i, code in enumerate(codes):
        count = np.bincount(row[number == i], minlength=len(has_data))
        columns[f"faults.{code}.count"] = np.where(known, count, np.nan)
    columns["faults.count"] = np.where(known, total, np.nan)
    hour = (faults["time"].to_numpy(dtype=np.int64) - rows.start[row]) / _NS_PER_HOUR
    for i in np.unique(number[number >= 0]):
        mine = number == i
        first, last = np.full(len(has_data), np.inf), np.full(len(has_data), -np.inf)
        np.minimum.at(first, row[mine], hour[mine])
        np.maximum.at(last, row[mine], hour[mine])
        columns[f"faults.{codes[i]}.first"] = np.where(np.isfinite(first), first, np.nan)
        columns[f"faults.{codes[i]}.last"] = np.where(np.isfinite(last), last, np.nan)
    return columns


def _growth(counter: Floats, row: _Rows, rows: int) -> Floats:
    """Return how far a counter grew within each row's day; where it fell (a reset, a new one) nothing is added."""
    known = np.isfinite(counter) & (row >= 0)
    value, at = counter[known], row[known]
    same = at[1:] == at[:-1]
    step = np.maximum(np.diff(value), 0.0)[same]
    growth = np.bincount(at[1:][same], weights=step, minlength=rows)
    return np.where(np.bincount(at, minlength=rows) > 1, growth, np.nan)


def _completeness(
    asset_type: AssetType, signals: dict[str, Floats], row: _Rows, hours: Floats, has_data: NDArray[np.bool_]
) -> Floats:
    if not asset_type.signals:
        return np.ones(len(hours))
    shares = []
    for signal in asset_type.signals:
        if signal.period is not None:
            expected = np.minimum(asset_type.reporting_hours, hours) * 3600 / signal.period
            arrived = np.bincount(row[np.isfinite(signals[signal.name]) & (row >= 0)], minlength=len(hours))
            shares.append(np.minimum(arrived / np.maximum(np.floor(expected), 1), 1.0))
    return np.mean(shares, axis=0) if shares else has_data.astype(np.float64)
