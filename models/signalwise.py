"""Deviations read signal by signal: what the detectors of peers and of drift share."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import load_arrays, save_arrays
from models.grid import Floats
from models.scaling import SCALING_ARRAYS, Scaling

ORDER = 4


class Signalwise:
    """The power mean of order four, over signals, of the mean |z| of each signal's statistics. In sigmas.

    A signal's statistics move together: its mean of |z| wants several of them to agree, where the day's maximum alone
    may be one bad sample. Across signals order four lets one that is far away be seen among many (``robust_z``). A
    feature's part is its share of its signal's, by |z|. ``name`` and ``reads`` are the detector's.
    """

    name: ClassVar[str]

    def __init__(self, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._scaling: Scaling | None = None

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn median and spread. Raises ``ValueError`` on too few rows, or where no feature varies."""
        self._scaling = Scaling.fit(matrix)
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the power mean of each row, NaN where no feature is known."""
        _, of_signal, _ = self._deviations(matrix)
        known = np.isfinite(of_signal).sum(axis=1)
        mean = np.nansum(of_signal**ORDER, axis=1) / np.where(known > 0, known, np.nan)
        return pd.Series(mean ** (1 / ORDER), index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's share of the sum of its signal's fourth powers."""
        away, of_signal, signal = self._deviations(matrix)
        sums = _summed(np.nan_to_num(away), signal)
        within = np.divide(np.nan_to_num(away), sums[:, signal], out=np.zeros_like(away), where=sums[:, signal] > 0)
        return self._fitted.shares(within * np.nan_to_num(of_signal)[:, signal] ** ORDER, matrix)

    def save(self, folder: Path) -> None:
        """Write ``<name>.npz``."""
        save_arrays(folder / f"{self.name}.npz", self._fitted.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``<name>.npz``. Raises ``ValueError``."""
        detector = cls()
        detector._scaling = Scaling.from_arrays(load_arrays(folder / f"{cls.name}.npz", SCALING_ARRAYS))
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _deviations(self, matrix: pd.DataFrame) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Return |z| of each feature, its mean over each signal's known features, and the signal of each feature."""
        away = np.abs(self._fitted.apply(matrix))
        signal = pd.factorize(np.array([name.partition(".")[0] for name in self._fitted.features]))[0]
        known = _summed(np.isfinite(away).astype(np.float64), signal)
        sums = _summed(np.nan_to_num(away), signal)
        return away, np.divide(sums, known, out=np.full_like(sums, np.nan), where=known > 0), signal


def _summed(values: Floats, signal: NDArray[np.intp]) -> Floats:
    """Sum the columns of each signal."""
    return values @ np.eye(signal.max() + 1)[signal]
