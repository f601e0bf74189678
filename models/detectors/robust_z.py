"""Robust z: how far the features are from their usual values, each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from models.arrays import load_arrays, save_arrays
from models.scaling import SCALING_ARRAYS, Scaling

ORDER = 4


class RobustZ:
    """The power mean of |z| of order four over the known features, z by median and spread of healthy days.

    Order one would drown one bad sensor among a hundred good ones, the maximum would see no second witness; four
    lies between. In sigmas; about 1.3 on a typical day of normal data. A feature's part is z to the fourth.

    >>> from models.scaling import Scaling
    >>> rng = np.random.default_rng(0)
    >>> days = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a.own", "b.own", "c.own"])
    >>> detector = RobustZ().fit(days)
    >>> strange = pd.DataFrame({"a.own": [0.1], "b.own": [9.0], "c.own": [-0.2]})
    >>> detector.contributions(strange).idxmax(axis=1).item()
    'b.own'
    """

    name: ClassVar[str] = "robust_z"
    reads: ClassVar[tuple[str, ...]] = (".own", ".peers", ".rate", "faults.novel")

    def __init__(self, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._scaling: Scaling | None = None

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn median and spread. Raises ``ValueError`` on too few rows, or where no feature varies."""
        self._scaling = Scaling.fit(matrix)
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the power mean of |z| of each row, NaN where no feature is known."""
        powers = self._fitted.apply(matrix) ** ORDER
        known = np.isfinite(powers).sum(axis=1)
        mean = np.nansum(powers, axis=1) / np.where(known > 0, known, np.nan)
        return pd.Series(mean ** (1 / ORDER), index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's share of the sum of z to the fourth."""
        return self._fitted.shares(self._fitted.apply(matrix) ** ORDER, matrix)

    def save(self, folder: Path) -> None:
        """Write ``robust_z.npz``."""
        save_arrays(folder / "robust_z.npz", self._fitted.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``robust_z.npz``. Raises ``ValueError``."""
        detector = cls()
        detector._scaling = Scaling.from_arrays(load_arrays(folder / "robust_z.npz", SCALING_ARRAYS))
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling
