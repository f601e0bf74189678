"""Persistence: a condition speaks when it held on k of the last n days, and what was not known decides nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.grid import Floats, Grid
from models.panel import index_of

MAX_DAYS = 60


@dataclass(frozen=True, slots=True)
class Persistence:
    """``k`` of ``n`` days, today included; ``1 <= k <= n <= 60``.

    Three-valued: a day that is unknown, or that the panel does not hold, might have been either. So the
    result is True once ``k`` known days held, False once too few can have held, and unknown between: a gap
    in the data neither raises an alert nor clears one.
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n <= MAX_DAYS:
            raise ValueError(f"persistence {self.k} of {self.n} days: needs 1 <= k <= n <= {MAX_DAYS}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``2 of 3 days`` (``day`` or ``days`` may be left out). Raises ``ValueError``."""
        match = re.fullmatch(r"\s*(\d{1,3})\s+of\s+(\d{1,3})(?:\s+days?)?\s*", text)
        if match is None:
            raise ValueError(f"not a persistence: {text[:80]!r}; write it as '2 of 3 days'")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.k} of {self.n} days"

    def apply(self, condition: pd.Series) -> pd.Series:
        """Return, for a ``boolean`` column on a panel's index, whether it persists on each day (``boolean``)."""
        grid = Grid.of(index_of(condition))
        held = grid.spread(condition.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
        return _nullable(grid.gather(self.over(held)), condition)

    def over(self, held: Floats) -> Floats:
        """Return the same of an array (assets, days) of 1, 0 and NaN for what is not known."""
        true = self._last_n(held == 1)
        possible = self._last_n(held != 0, before=True)
        return np.where(true >= self.k, 1.0, np.where(possible < self.k, 0.0, np.nan))

    def standing(self, values: Floats) -> Floats:
        """Return the k-th highest known of the last n days' values (assets, days): above a threshold where it persists.

        NaN where today's is not known, or fewer than ``k`` are: what was said before stands.
        """
        padded = np.pad(values, ((0, 0), (self.n - 1, 0)), constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.n, axis=1)
        falling = -np.sort(-windows, axis=-1)  # NaN last
        return np.where(np.isnan(values), np.nan, falling[..., self.k - 1])

    def _last_n(self, flags: np.ndarray, *, before: bool = False) -> Floats:
        """Count the flags of the last n days; the days before the grid count as ``before``."""
        padded = np.pad(flags.astype(np.int64), ((0, 0), (self.n, 0)), constant_values=int(before))
        total = np.cumsum(padded, axis=1)
        return (total[:, self.n :] - total[:, : -self.n]).astype(np.float64)


def openings(firing: pd.Series) -> pd.Series:
    """Return, for a ``boolean`` column on a panel's index, where an episode opens (``bool``).

    An episode begins with True and ends with False; unknown days inside belong to it and do not end it.
    """
    grid = Grid.of(index_of(firing))
    opens = opened(grid.spread(firing.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)))
    return pd.Series(grid.gather(opens.astype(np.float64)) == 1, index=firing.index, name=firing.name)


def opened(state: Floats) -> NDArray[np.bool_]:
    """Return the same of an array (assets, days) of 1, 0 and NaN for what is not known."""
    places = np.arange(state.shape[1])
    last_known = np.maximum.accumulate(np.where(np.isnan(state), -1, places), axis=1)
    before = np.concatenate([np.full((len(state), 1), -1), last_known[:, :-1]], axis=1)
    was = np.take_along_axis(state, np.maximum(before, 0), axis=1)
    return np.asarray((state == 1) & ((before < 0) | (was != 1)))


def _nullable(values: Floats, like: pd.Series) -> pd.Series:
    unknown = np.isnan(values)
    return pd.Series(pd.arrays.BooleanArray(values == 1, unknown), index=like.index, name=like.name)
