"""Symptoms: what a technician would name of the last days, as yes or no, so that cases can be compared by counting.

==================  =======================================================================
``faults.<code>``   the code was set
``<signal>.high``   daily mean or 95th percentile far above the asset's own past
``<signal>.low``    daily mean or 5th percentile far below it
``<signal>.spread`` the signal's spread over the day far above it
==================  =======================================================================

*Far* is ``DEVIATION`` robust sigmas. A symptom of a day is one that showed on it or on the ``WINDOW_DAYS - 1`` days
before, since the asset was last repaired or failed: what a repair ended says nothing of the days after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.grid import Grid
from models.labels import local_days

WINDOW_DAYS = 3
DEVIATION = 3.0
MAX_NAMES = 9000
"""Symptoms that one asset type can have at most; more than its limits on signals and codes allow to matter."""

_FROM_STATISTICS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "high": (("mean", "p95"), 1.0),
    "low": (("mean", "p05"), -1.0),
    "spread": (("std",), 1.0),
}

Bools = NDArray[np.bool_]


def symptom_names(columns: Iterable[str]) -> list[str]:
    """Return the symptoms that a derived panel with these columns can show, by name."""
    return sorted(_sources(columns))[:MAX_NAMES]


def symptoms(
    derived: pd.DataFrame, names: Sequence[str], events: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None
) -> Bools:
    """Return (rows of ``derived``, names): whether each symptom showed within the window that ends with the row's day.

    ``events`` are repairs and failures (``asset_id``, ``time`` in ns); those after a row's day are not looked at. What
    is not known, and a name that the panel has no column for, counts as not seen.
    """
    sources = _sources(derived.columns)
    index = derived.index
    assert isinstance(index, pd.MultiIndex)
    grid = Grid.of(index)
    since = days_since_event(grid, events, zones)
    seen = np.zeros((len(derived), len(names)), dtype=bool)
    for number, name in enumerate(names):
        today = _shown(derived, sources.get(name, ()))
        if today.any():
            seen[:, number] = grid.gather(_within(grid.spread(today) == 1, since).astype(np.float64)) == 1
    return seen


def strongest(window: pd.DataFrame, name: str) -> tuple[str, float] | None:
    """Return the column and the value that show a symptom most in one asset's last days; ``None``: nothing does."""
    best: tuple[float, str, float] | None = None
    for column, sign, above in _sources(window.columns).get(name, ()):
        values = window[column].to_numpy(dtype=np.float64)[-WINDOW_DAYS:]
        signed = np.where(np.isnan(values), -np.inf, sign * values)
        if len(signed) and signed.max() > above and (best is None or signed.max() > best[0]):
            best = (float(signed.max()), column, float(values[int(signed.argmax())]))
    return None if best is None else best[1:]


def days_since_event(grid: Grid, events: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None) -> NDArray[np.float64]:
    """Return (assets, days): days since the asset's last event of that day or before, infinite where there is none."""
    since = np.full(grid.shape, np.inf)
    if events.empty or not since.size:
        return since
    asset, place = grid.places(events["asset_id"], local_days(events, zones))
    # An event from before the grid is as long ago as it is; one after its end is not known yet.
    inside = (asset >= 0) & (place < grid.days)
    last = np.full(grid.shape, -np.inf)
    np.maximum.at(last, (asset[inside], np.maximum(place[inside], 0)), place[inside])
    last = np.maximum.accumulate(last, axis=1)
    return np.asarray(np.arange(grid.days) - last, dtype=np.float64)


def _within(shown: Bools, since: NDArray[np.float64]) -> Bools:
    found = np.zeros_like(shown)
    for back in range(min(WINDOW_DAYS, shown.shape[1])):
        before = np.zeros_like(shown)
        before[:, back:] = shown[:, : shown.shape[1] - back]
        found |= before & (since > back)
    return found


def _shown(derived: pd.DataFrame, sources: Sequence[tuple[str, float, float]]) -> Bools:
    shown = np.zeros(len(derived), dtype=bool)
    for column, sign, above in sources:
        # A comparison with NaN, what is not known, is false.
        shown |= sign * derived[column].to_numpy(dtype=np.float64) > above
    return shown


def _sources(columns: Iterable[str]) -> dict[str, list[tuple[str, float, float]]]:
    """Return, for each symptom, the columns that show it, each with its sign and the bound that it exceeds."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for column in columns:
        if column.startswith("faults.") and column.endswith(".count") and column != "faults.count":
            found.setdefault(column.removesuffix(".count"), []).append((column, 1.0, 0.0))
        elif column.endswith(".own"):
            signal, _, statistic = column.removesuffix(".own").rpartition(".")
            for direction, (statistics, sign) in _FROM_STATISTICS.items():
                if statistic in statistics:
                    found.setdefault(f"{signal}.{direction}", []).append((column, sign, DEVIATION))
    return found
