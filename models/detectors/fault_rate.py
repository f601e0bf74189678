"""Fault log: codes that are set more often than exposure and the past let expect, and codes never seen before."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from models.arrays import load_arrays, save_arrays
from models.grid import Floats
from models.scaling import SCALING_ARRAYS, Scaling

_TAIL = 0.01


class FaultRate:
    """The sum over codes of the surprise -ln p at so many sets or more, p negative binomial (``models.derive``).

    Counted against the hours in operation and the asset's own past, so a busy day is no anomaly. Faults come in
    bursts, which that law does not know: a code's surprise is divided by what makes its healthy days' last hundredth
    begin where the law puts it, at -ln 0.01, but is never raised. ``faults.novel`` is read alike: its worth is learned
    from how rare new codes are. What is unknown is put at its healthy mean, as if nothing were known. A feature's
    part is its share of the sum.
    """

    name: ClassVar[str] = "fault_rate"
    reads: ClassVar[tuple[str, ...]] = (".excess", "faults.novel")

    def __init__(self, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._scaling: Scaling | None = None

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn mean and scale. Raises ``ValueError`` on too few rows, or where no feature varies."""
        varying = Scaling.fit(matrix).features
        values = matrix[list(varying)].to_numpy(dtype=np.float64)
        values = np.maximum(np.where(np.isfinite(values), values, np.nan), 0.0)
        scale = np.maximum(np.nanquantile(values, 1 - _TAIL, axis=0) / -np.log(_TAIL), 1.0)
        rare = varying == "faults.novel"
        if rare.any():  # one new code is worth the surprise at seeing any
            share = np.nanmean(values[:, rare] > 0)
            scale[rare] = 1 / -np.log(np.clip(share, 1e-6, 1 - 1e-6))
        self._scaling = Scaling(varying, np.nanmean(values, axis=0) / scale, scale)
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the sum of surprises of each row, NaN where no feature is known."""
        parts, known = self._parts(matrix)
        total = np.where(known, parts, self._fitted.centre).sum(axis=1)
        return pd.Series(np.where(known.any(axis=1), total, np.nan), index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's share of the sum of the known; on a day without faults, all alike."""
        parts, known = self._parts(matrix)
        return self._fitted.shares(np.where(parts.any(axis=1, keepdims=True), parts, known), matrix)

    def save(self, folder: Path) -> None:
        """Write ``fault_rate.npz``."""
        save_arrays(folder / "fault_rate.npz", self._fitted.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``fault_rate.npz``. Raises ``ValueError``."""
        detector = cls()
        detector._scaling = Scaling.from_arrays(load_arrays(folder / "fault_rate.npz", SCALING_ARRAYS))
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _parts(self, matrix: pd.DataFrame) -> tuple[Floats, np.ndarray]:
        values = matrix.reindex(columns=list(self._fitted.features)).to_numpy(dtype=np.float64)
        known = np.isfinite(values)
        return np.maximum(np.where(known, values, 0.0), 0.0) / self._fitted.spread, known
