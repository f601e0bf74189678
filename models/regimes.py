"""Operating regimes: the few points about which a unit is operated, and what its sensors read at each.

A turbofan at cruise and at take-off reads differently, far more than wear ever changes it. Each sensor is therefore
taken as standard deviations from its mean in the regime of that moment (Peel, PHM 2008), so that what is left is wear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from models.grid import Floats

MOST = 10
"""Regimes that are looked for."""
APART = 0.9
"""Silhouette (Rousseeuw, J. Comput. Appl. Math. 20, 1987) from which points are apart: conditions that wander have
about 0.5 however they are cut.
"""
_SAMPLE = 2000


@dataclass(frozen=True)
class Regimes:
    """Where each regime lies, an array (regimes, conditions), and mean and spread there, arrays (regimes, sensors)."""

    conditions: tuple[str, ...]
    sensors: tuple[str, ...]
    scale: Floats
    centres: Floats
    means: Floats
    spreads: Floats

    @classmethod
    def find(
        cls, runs: pd.DataFrame, conditions: Sequence[str], sensors: Sequence[str], *, seed: int = 0
    ) -> Self | None:
        """Return the regimes of some runs, or ``None`` where their conditions do not gather about a few points.

        Rows without all conditions are left out.
        """
        runs = runs.loc[np.isfinite(runs[list(conditions)].to_numpy(dtype=np.float64)).all(axis=1)]
        scale = (runs[list(conditions)].max() - runs[list(conditions)].min()).to_numpy(dtype=np.float64)
        moved = tuple(name for name, width in zip(conditions, scale, strict=True) if width > 0)
        if not moved:
            return None
        scale = scale[scale > 0]
        points = runs[list(moved)].to_numpy(dtype=np.float64) / scale
        centres = _centres(points, np.random.default_rng(seed), seed)
        if centres is None:
            return None
        by_regime = runs[list(sensors)].groupby(_nearest(points, centres))
        means, spreads = (f.reindex(range(len(centres))).to_numpy() for f in (by_regime.mean(), by_regime.std(ddof=0)))
        # What stands still in a regime up to the rounding of its own float says nothing there.
        still = spreads <= 1e-9 * np.maximum(np.abs(means), 1.0)
        return cls(moved, tuple(sensors), scale, centres, means, np.where(still, np.inf, spreads))

    def normalised(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Return the runs with each sensor in standard deviations from its mean in the row's regime.

        NaN where a condition is missing.
        """
        points = runs[list(self.conditions)].to_numpy(dtype=np.float64) / self.scale
        regime = _nearest(points, self.centres)
        values = (runs[list(self.sensors)].to_numpy(dtype=np.float64) - self.means[regime]) / self.spreads[regime]
        values[~np.isfinite(points).all(axis=1)] = np.nan
        return runs.assign(**dict(zip(self.sensors, values.T, strict=True)))


def _centres(points: Floats, rng: np.random.Generator, seed: int) -> Floats | None:
    """Return the number of centres that sets the points best apart, or ``None`` where none does."""
    some = points[rng.choice(len(points), min(_SAMPLE, len(points)), replace=False)]
    distinct = len(np.unique(some, axis=0))
    best, chosen = APART, None
    for number in range(2, min(MOST, distinct - 1) + 1):
        fitted = KMeans(number, n_init=10, random_state=seed).fit(some)
        apart = float(silhouette_score(some, fitted.labels_))
        if apart > best:
            best, chosen = apart, fitted.cluster_centers_
    return chosen


def _nearest(points: Floats, centres: Floats) -> NDArray[np.intp]:
    """Return the number of the nearest centre of each point."""
    distance: Floats = ((points[:, None, :] - centres[None]) ** 2).sum(axis=-1)
    nearest: NDArray[np.intp] = distance.argmin(axis=1)
    return nearest
