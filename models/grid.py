"""The grid of a panel: one line per asset, one place per calendar day, so that "n places back" is "n days back".

Rolling functions over assets whose days have gaps are simple and fast on such an array; a day that the panel
does not hold is unknown there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Where each row of a panel stands: ``asset[i]`` and ``place[i]`` (days after ``first_day``).

    Assets are numbered in the panel's order; ``asset_ids`` names them.
    """

    asset_ids: pd.Index
    asset: NDArray[np.intp]
    place: NDArray[np.intp]
    first_day: np.datetime64
    days: int

    @classmethod
    def of(cls, index: pd.MultiIndex) -> Grid:
        """Return the grid of a panel's index. Raises ``ValueError`` where a row stands in it twice."""
        asset, asset_ids = pd.factorize(index.get_level_values(0))
        day = index.get_level_values(1).to_numpy().astype("datetime64[D]")
        first, last = (day.min(), day.max()) if len(day) else (np.datetime64("1970-01-01"), np.datetime64("1969-12-31"))
        place = (day - first).astype(np.intp)
        grid = cls(pd.Index(asset_ids), asset, place, first, int((last - first).astype(int)) + 1)
        if len(index) and np.bincount(grid._flat).max() > 1:
            raise ValueError("the panel holds an asset-day twice")
        return grid

    @property
    def shape(self) -> tuple[int, int]:
        """Assets, days."""
        return len(self.asset_ids), self.days

    @cached_property
    def _flat(self) -> NDArray[np.intp]:
        return self.asset * self.days + self.place

    def spread(self, values: ArrayLike) -> Floats:
        """Return one value per row as an array (assets, days), NaN where the panel has no row."""
        grid = np.full(self.shape[0] * self.shape[1], np.nan)
        grid[self._flat] = np.asarray(values, dtype=np.float64)
        return grid.reshape(self.shape)

    def gather(self, grid: Floats) -> Floats:
        """Return the values of an array (assets, days) in the order of the panel's rows."""
        return np.ascontiguousarray(grid).reshape(-1)[self._flat]

    def places(self, asset_ids: pd.Series, days: pd.Series) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return asset number (-1: not in the panel) and place (may lie outside) of things that happened."""
        day = days.to_numpy().astype("datetime64[D]")
        return self.asset_ids.get_indexer(pd.Index(asset_ids)), (day - self.first_day).astype(np.intp)
