"""How many days an asset has left if a foreseen failure comes, with an interval that is meant to hold nine of ten.

Gradient-boosted trees over the same columns as the risk, learned from the days before the failures that came. The
interval is conformal (see ``models.conformal``), from the days on which a right ticket would have opened, each judged
by trees that did not learn from its asset. Whether the failure comes at all is said by the risk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import load_arrays, save_arrays
from models.boosted_trees import TREE_ARRAYS, BoostedTrees
from models.conformal import ConformalInterval
from models.grid import Floats

COVERAGE = 0.9
FOLDS = 5
TREES, LEAVES, ROWS_A_LEAF = 100, 7, 10
MOST_ROWS = 5_000
"""Days before a failure that trees learn from; of more, so many are drawn."""

_INTERVAL_ARRAYS = ("edges", "reach")


class Remaining(NamedTuple):
    """Days left from the end of an operating day: from ``low`` to ``high``, most likely ``expected``."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class RemainingDays:
    """A fitted model. Build one with ``fit`` or ``load``."""

    horizon_days: int
    trees: BoostedTrees
    interval: ConformalInterval

    @classmethod
    def fit(
        cls,
        matrix: Floats,
        left: Floats,
        assets: NDArray[np.generic],
        opens: NDArray[np.bool_],
        *,
        horizon_days: int,
        seed: int,
    ) -> Self | None:
        """Learn from asset-days (rows of ``matrix``) and how many days each had ``left``, ``horizon_days`` at most.

        Trees learn from all, the interval from those on which a ticket ``opens``. ``None`` where these are too few to
        promise anything.
        """
        learned = np.ones(len(left), dtype=bool)
        if len(left) > MOST_ROWS:
            learned = np.zeros(len(left), dtype=bool)
            learned[np.random.default_rng(seed).permutation(len(left))[:MOST_ROWS]] = True
        fold = pd.factorize(assets, sort=True)[0] % FOLDS
        unseen = np.full(len(left), np.nan)
        for number in range(FOLDS):
            learning, judged = learned & (fold != number), opens & (fold == number)
            if judged.any() and learning.any():
                unseen[judged] = _grown(matrix[learning], left[learning], seed).raw(matrix[judged])
        judged = np.isfinite(unseen)
        if not judged.any():
            return None
        predicted = np.clip(unseen[judged], 0.0, horizon_days)
        interval = ConformalInterval.fit(predicted, left[judged], assets[judged], COVERAGE)
        return cls(horizon_days, _grown(matrix[learned], left[learned], seed), interval) if interval.promises else None

    def predict(self, matrix: Floats) -> list[Remaining]:
        """Return how long each row's asset has left, if it fails within the horizon."""
        expected = np.clip(self.trees.raw(matrix), 0.0, self.horizon_days)
        low, high = (np.clip(bound, 0.0, self.horizon_days) for bound in self.interval.around(expected))
        return [Remaining(*row) for row in zip(low.tolist(), expected.tolist(), high.tolist(), strict=True)]

    def save(self, path: Path) -> None:
        """Write it as one file of arrays."""
        save_arrays(path, {**self.trees.arrays(), "edges": self.interval.edges, "reach": self.interval.reach})

    @classmethod
    def load(cls, path: Path, horizon_days: int, features: int) -> Self:
        """Read back what ``save`` wrote. Raises ``ValueError`` where the file can't be read or does not fit."""
        arrays = load_arrays(path, (*TREE_ARRAYS, *_INTERVAL_ARRAYS))
        edges, reach = (arrays[name].astype(np.float64) for name in _INTERVAL_ARRAYS)
        if edges.ndim != 1 or reach.shape != (len(edges) + 1,):
            raise ValueError(f"{path.name}: the interval's arrays do not fit together")
        trees = BoostedTrees.from_arrays({name: arrays[name] for name in TREE_ARRAYS}, features)
        return cls(horizon_days, trees, ConformalInterval(edges, reach))


def _grown(matrix: Floats, left: Floats, seed: int) -> BoostedTrees:
    return BoostedTrees.regressed(matrix, left, trees=TREES, leaves=LEAVES, rows_a_leaf=ROWS_A_LEAF, seed=seed)
