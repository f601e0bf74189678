"""Remaining useful life from run-to-failure data: how many cycles are left, with an interval.

Gradient-boosted trees over what each sensor did lately: its mean over several windows and its slope. Far from the end
nothing has begun to wear and all lives look alike, so the life learned is capped, as Heimes (PHM 2008) does.
Where units are operated about a few points, sensors are read against their regime (see ``models.regimes``).
The interval is conformal (see ``models.conformal``): from errors on whole units that the trees did not learn from, and
within the cap alone, as the many easy rows beyond it would pay for the others. It is for whole runs of
one kind of unit; of an asset in service ``models.remaining_days`` says when a foreseen failure is expected.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

from models.conformal import ConformalInterval
from models.grid import Floats
from models.regimes import Regimes

CAP = 125.0
MEAN_WINDOWS = (5, 15, 30, 60)
SLOPE_WINDOWS = (30, 60)
FOLDS = 5
_MIN_VALUES = 6  # a column of fewer is a switch or a constant, not a measurement


@dataclass(frozen=True)
class RemainingLife:
    """A fitted model. Build one with ``fit``."""

    sensors: tuple[str, ...]
    cap: float
    trees: tuple[HistGradientBoostingRegressor, ...]
    interval: ConformalInterval
    regimes: Regimes | None = None
    """The regimes in which the units are operated, if there are several."""

    @classmethod
    def fit(
        cls,
        runs: pd.DataFrame,
        conditions: Collection[str] = (),
        *,
        cap: float = CAP,
        coverage: float = 0.9,
        seeds: int = 3,
        seed: int = 0,
    ) -> Self:
        """Learn from whole runs: ``unit``, ``cycle`` (1, 2, ... to the failure) and one column per sensor.

        ``conditions`` names those that say how a unit is operated; where they wander they are read as sensors are.
        Raises ``ValueError`` where fewer units than folds ran to their failure, or no sensor varies.
        """
        readings = [c for c in runs.columns if c not in ("unit", "cycle", *conditions)]
        regimes = Regimes.find(runs, sorted(conditions), readings, seed=seed) if conditions else None
        if regimes is not None:
            runs = regimes.normalised(runs).drop(columns=list(conditions))
        sensors = tuple(c for c in runs.columns if c not in ("unit", "cycle") and runs[c].nunique() >= _MIN_VALUES)
        units = runs["unit"].to_numpy()
        if not sensors or len(np.unique(units)) < FOLDS:
            raise ValueError(f"needs a sensor that varies and {FOLDS} units that ran to their failure")
        features = run_features(runs, sensors)
        left = (runs.groupby("unit")["cycle"].transform("max") - runs["cycle"]).to_numpy(dtype=np.float64)
        life = np.minimum(left, cap)
        unseen = np.empty(len(life))
        for learning, judged in GroupKFold(FOLDS).split(features, life, units):
            unseen[judged] = _grower(seed).fit(features[learning], life[learning]).predict(features[judged])
        unseen = np.clip(unseen, 0.0, cap)
        within = left <= cap
        interval = ConformalInterval.fit(unseen[within], life[within], units[within], coverage)
        trees = tuple(_grower(seed + n).fit(features, life) for n in range(seeds))
        return cls(sensors, cap, trees, interval, regimes)

    def predict(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return, for the last cycle of each unit, ``life``, ``low`` and ``high`` in cycles, by unit.

        All lie from 0 to the cap, which stands for itself and anything above. Raises ``ValueError`` where a column
        that was learned from is missing.
        """
        needed = self.sensors if self.regimes is None else (*self.regimes.conditions, *self.regimes.sensors)
        if absent := sorted({*needed} - {*runs.columns}):
            raise ValueError(f"runs lack {', '.join(absent)}")
        if self.regimes is not None:
            runs = self.regimes.normalised(runs)
        features = run_features(runs, self.sensors)
        last = ~runs["unit"].duplicated(keep="last").to_numpy()
        life = np.mean([tree.predict(features[last]) for tree in self.trees], axis=0)
        life = np.clip(life, 0.0, self.cap)
        low, high = (np.clip(bound, 0.0, self.cap) for bound in self.interval.around(life))
        index = pd.Index(runs["unit"].to_numpy()[last], name="unit")
        return pd.DataFrame({"life": life, "low": low, "high": high}, index=index)


def run_features(runs: pd.DataFrame, sensors: tuple[str, ...]) -> Floats:
    """Return the features of every row, which must be sorted by unit and cycle: cycle, means and slopes per sensor."""
    columns = [runs["cycle"].to_numpy(dtype=np.float64)[:, None]]
    for rows in runs.groupby("unit", sort=False).indices.values():
        values = runs.iloc[rows][list(sensors)].to_numpy(dtype=np.float64)
        columns.append(_windows(values))
    return np.hstack([columns[0], np.vstack(columns[1:])])


def _windows(values: Floats) -> Floats:
    """Return means and slopes over the last windows of one run, an array (cycles, features).

    What is not finite is left out; where a window holds nothing the mean is NaN, which the trees read as missing.
    """
    known = np.isfinite(values)
    values = np.where(known, values, 0.0)
    place = np.where(known, np.arange(len(values), dtype=np.float64)[:, None], 0.0)
    moments = (known, values, place, place * values, place**2)
    sums = [np.vstack([np.zeros(values.shape[1]), np.cumsum(m, axis=0)]) for m in moments]
    number = np.arange(1, len(values) + 1)
    found: list[Floats] = []
    for window in (*MEAN_WINDOWS, *SLOPE_WINDOWS):
        count, y, x, xy, xx = (s[number] - s[np.maximum(number - window, 0)] for s in sums)
        several = np.maximum(count, 1)
        if len(found) < len(MEAN_WINDOWS):
            found.append(np.where(count > 0, y / several, np.nan))
        else:
            spread = np.maximum(xx - x * x / several, 1e-9)
            found.append(np.where(count > 2, (xy - x * y / several) / spread, 0.0))
    return np.hstack(found)


def _grower(seed: int) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.03, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0,
        max_features=0.3, early_stopping=False, random_state=seed,
    )  # fmt: skip
