"""A panel as an expression sees it: columns as arrays (assets, days), NaN where nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.grid import Floats, Grid


class _Number(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def evaluate(self) -> Callable[[Frame], Floats]: ...


class Frame:
    """``sites`` gives each asset's site, which is who its peers are; without it no asset has peers."""

    def __init__(self, panel: pd.DataFrame, sites: Mapping[str, str] | None = None) -> None:
        assert isinstance(panel.index, pd.MultiIndex)
        self._panel, self._sites = panel, sites
        self.index = panel.index
        self.grid = Grid.of(panel.index)
        self._columns: dict[str, Floats] = {}
        self._numbers: dict[str, Floats] = {}
        self._peers: list[NDArray[np.intp]] | None = None

    def column(self, name: str) -> Floats:
        """Return a column; one that the panel does not have is unknown throughout."""
        if name not in self._columns:
            found = self._panel[name] if name in self._panel else np.full(len(self._panel), np.nan)
            self._columns[name] = self.grid.spread(found)
        return self._columns[name]

    def number(self, term: _Number) -> Floats:
        """Return what a term is worth everywhere; it is computed once."""
        if term.text not in self._numbers:
            with np.errstate(all="ignore"):
                self._numbers[term.text] = term.evaluate(self)
        return self._numbers[term.text]

    def peers(self) -> list[NDArray[np.intp]]:
        """Return the groups of peers, each as the numbers of its assets."""
        if self._peers is None:
            sites = [(self._sites or {}).get(asset_id) for asset_id in self.grid.asset_ids]
            number, names = pd.factorize(pd.Index(sites, dtype=object))
            self._peers = [np.flatnonzero(number == n) for n in range(len(names))]
        return self._peers

    def place(self, row: tuple[str, pd.Timestamp]) -> tuple[int, int]:
        """Return where an asset-day stands in the arrays."""
        asset = self.grid.asset_ids.get_indexer(pd.Index([row[0]]))[0]
        return int(asset), int((np.datetime64(row[1], "D") - self.grid.first_day).astype(int))

    def gather_condition(self, values: Floats) -> pd.Series:
        """Return an array of 1, 0 and NaN as a nullable boolean column of the panel."""
        flat = self.grid.gather(values)
        return pd.Series(pd.arrays.BooleanArray(flat == 1, np.isnan(flat)), index=self.index)
