"""The panel: one row per asset and operating day, the one table that models and rules are evaluated on.

A panel is a ``DataFrame`` with a ``MultiIndex`` (``asset_id``: str, ``day``: ``datetime64[s]``, midnight without a
zone, the operating day's date), sorted, unique, and one float64 column per feature. NaN is "not known": a
signal that did not report, a day without data. Every step that looks back (trend, novelty, rates, rules'
``for``) is a rolling function over such a table that sees only this row's day and earlier ones, so the same
code scores one day in service and walks through years in a back-test, and neither can look ahead.

Columns are named by where they come from:

=========================  ====================================================================================
``<signal>.<stat>``        statistic of one signal over the day, in its unit (``oil_temp.p95``)
``<signal>.<stat>.own``    robust z of it against the asset's own past days (sigmas)
``<signal>.<stat>.peers``  robust z of it against the same type at the same site on the same day (sigmas)
``<signal>.<stat>.drift``  how far its mean of the last two weeks has moved from the asset's days before, against what
                           the others did (standard errors; derived only where a detector reads it)
``faults.<code>.count``    times the code was set that day
``faults.<code>.first``    when it was first set that day, and ``.last``: hours after local midnight
``faults.<code>.rate``     log of the sets of the last days over what exposure and the asset's own past let expect
``faults.<code>.excess``   -ln of the probability of so many sets or more (derived only where a detector reads it)
``faults.count``           sets of all codes, and ``faults.rate`` of them; ``faults.novel``: codes set that day and on
                           none of the asset's days in the look-back
``exposure.hours``         hours in operation; ``exposure.distance``: distance covered, counter's unit
``completeness``           share of the expected samples that arrived, 0 to 1
``score.<detector>``       calibrated score, 0 to 1: share of healthy training days that scored lower
=========================  ====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

INDEX_NAMES = ["asset_id", "day"]


def panel_index(asset_ids: Sequence[str], days: Sequence[np.datetime64]) -> pd.MultiIndex:
    """Return a panel's index from two aligned lists."""
    return pd.MultiIndex.from_arrays(
        [pd.Index(list(asset_ids), dtype="str"), pd.DatetimeIndex(np.array(days, dtype="datetime64[s]"))],
        names=INDEX_NAMES,
    )


def index_of(panel: pd.DataFrame | pd.Series[float]) -> pd.MultiIndex:
    """Return the index of a panel, or of a column of one. Raises ``ValueError`` where it has another."""
    if not isinstance(panel.index, pd.MultiIndex):
        raise ValueError("not a panel: its index must be (asset_id, day)")
    return panel.index


class PanelRow(Mapping[str, float]):
    """What is known of one row of a panel, by column; a view, made in no time whatever the number of columns."""

    __slots__ = ("_columns", "_row", "_values")

    def __init__(self, columns: Mapping[str, int], values: NDArray[np.float64], row: int) -> None:
        self._columns, self._values, self._row = columns, values, row

    def __getitem__(self, name: str) -> float:
        value = float(self._values[self._row, self._columns[name]])
        if not math.isfinite(value):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        known = np.isfinite(self._values[self._row])
        return (name for name, place in self._columns.items() if known[place])

    def __len__(self) -> int:
        return int(np.isfinite(self._values[self._row]).sum())

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items(self) -> ItemsView[str, float]:
        """Return names and values, as of a dictionary."""
        row = self._values[self._row].tolist()
        return {name: row[place] for name, place in self._columns.items() if math.isfinite(row[place])}.items()


def rows_matrix(rows: Sequence[PanelRow]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the columns and the values of rows of one panel, without a copy where they stand there in this order."""
    first = rows[0]
    if any(row._values is not first._values for row in rows):
        raise ValueError("the rows are of several panels")
    places = [row._row for row in rows]
    values = first._values
    return tuple(first._columns), values if places == list(range(len(values))) else values[places]


def panel_rows(panel: pd.DataFrame) -> Iterator[tuple[str, PanelRow]]:
    """Yield the asset and the row of each asset-day."""
    columns = {str(name): place for place, name in enumerate(panel.columns)}
    values = panel.to_numpy(dtype=np.float64)
    for row, asset_id in enumerate(panel.index.get_level_values(0).tolist()):
        yield asset_id, PanelRow(columns, values, row)


def complete_calendar(panel: pd.DataFrame) -> pd.DataFrame:
    """Insert a row of NaN for each day that an asset misses between its first and its last day.

    After it, "n rows back" is "n days back" within an asset.
    """
    if panel.empty:
        return panel
    asset = panel.index.get_level_values(0)
    day = panel.index.get_level_values(1)
    bounds = pd.DataFrame({"asset": asset, "day": day}).groupby("asset", sort=True)["day"].agg(["min", "max"])
    one_day = np.timedelta64(1, "D")
    first = bounds["min"].to_numpy(dtype="datetime64[D]")
    last = bounds["max"].to_numpy(dtype="datetime64[D]")
    lengths = (last - first) // one_day + 1
    if lengths.sum() == len(panel) and panel.index.is_monotonic_increasing:
        return panel
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    days = np.repeat(first, lengths) + offsets * one_day
    index = panel_index(list(np.repeat(bounds.index.to_numpy(), lengths)), list(days))
    return panel.reindex(index)
