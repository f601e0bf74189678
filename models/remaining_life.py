"""Remaining useful life from run-to-failure data: how many cycles are left, with an interval.

Gradient-boosted trees over what each sensor did lately: its mean over several windows and its slope. Far from the end
nothing has begun to wear and all lives look alike, so the life learned is capped, as Heimes (PHM 2008) does.
Where units are operated about a few points, sensors are read against their regime (see ``models.regimes``).
The interval is conformal: quantiles of the errors on units that the trees did not learn from (Papadopoulos et al.,
ECML 2002), taken among predictions of like size. Not part of the daily cycle yet.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

from models.grid import Floats
from models.regimes import Regimes

CAP = 125.0
MEAN_WINDOWS = (5, 15, 30, 60)
SLOPE_WINDOWS = (30, 60)
FOLDS = 5
_BANDS = 6
_MIN_VALUES = 6  # a column of fewer is a switch or a constant, not a measurement


@dataclass(frozen=True)
class RemainingLife:
    """A fitted model. Build one with ``fit``."""

    sensors: tuple[str, ...]
    cap: float
    trees: tuple[HistGradientBoostingRegressor, ...]
    edges: Floats
    """Bounds of the bands of predicted life, ascending."""
    errors: Floats
    """Low and high quantile of truth less prediction in each band, an array (bands, 2)."""
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
        left = runs.groupby("unit")["cycle"].transform("max") - runs["cycle"]
        life = np.minimum(left.to_numpy(dtype=np.float64), cap)
        unseen = np.empty(len(life))
        for learning, judged in GroupKFold(FOLDS).split(features, life, units):
            unseen[judged] = _grower(seed).fit(features[learning], life[learning]).predict(features[judged])
        unseen = np.clip(unseen, 0.0, cap)
        edges = np.quantile(unseen, np.linspace(0, 1, _BANDS + 1)[1:-1])
        band = np.searchsorted(edges, unseen)
        tail = (1 - coverage) / 2
        errors = np.array([np.quantile((life - unseen)[band == b], [tail, 1 - tail]) for b in range(_BANDS)])
        trees = tuple(_grower(seed + n).fit(features, life) for n in range(seeds))
        return cls(sensors, cap, trees, edges, errors, regimes)

    def predict(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return, for the last cycle of each unit, ``life``, ``low`` and ``high`` in cycles, by unit."""
        if self.regimes is not None:
            runs = self.regimes.normalised(runs)
        features = run_features(runs, self.sensors)
        last = ~runs["unit"].duplicated(keep="last").to_numpy()
        life = np.mean([tree.predict(features[last]) for tree in self.trees], axis=0)
        life = np.clip(life, 0.0, self.cap)
        low, high = (life[:, None] + self.errors[np.searchsorted(self.edges, life)]).T
        index = pd.Index(runs["unit"].to_numpy()[last], name="unit")
        return pd.DataFrame({"life": life, "low": np.maximum(low, 0.0), "high": np.maximum(high, life)}, index=index)


def run_features(runs: pd.DataFrame, sensors: tuple[str, ...]) -> Floats:
    """Return the features of every row, which must be sorted by unit and cycle: cycle, means and slopes per sensor."""
    columns = [runs["cycle"].to_numpy(dtype=np.float64)[:, None]]
    for rows in runs.groupby("unit", sort=False).indices.values():
        values = runs.iloc[rows][list(sensors)].to_numpy(dtype=np.float64)
        columns.append(_windows(values))
    return np.hstack([columns[0], np.vstack(columns[1:])])


def _windows(values: Floats) -> Floats:
    """Return means and slopes over the last windows of one run, an array (cycles, features)."""
    number = np.arange(1, len(values) + 1)
    place = np.arange(len(values), dtype=np.float64)[:, None]
    sums, moments = (np.vstack([np.zeros(values.shape[1]), np.cumsum(v, axis=0)]) for v in (values, values * place))
    found: list[Floats] = []
    for window in (*MEAN_WINDOWS, *SLOPE_WINDOWS):
        first = np.maximum(number - window, 0)
        length = (number - first)[:, None].astype(np.float64)
        total, moment = sums[number] - sums[first], moments[number] - moments[first]
        if len(found) < len(MEAN_WINDOWS):
            found.append(total / length)
        else:
            middle = (first[:, None] + number[:, None] - 1) / 2
            spread = length * (length**2 - 1) / 12
            found.append(np.where(length > 2, (moment - middle * total) / np.maximum(spread, 1e-9), 0.0))
    return np.hstack(found)


def _grower(seed: int) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.03, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=5.0,
        max_features=0.3, early_stopping=False, random_state=seed,
    )  # fmt: skip
