"""PCA: whether the features still go together as they do on healthy days (Hotelling's T2 and SPE in one)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import load_arrays, save_arrays
from models.grid import Floats
from models.scaling import SCALING_ARRAYS, Scaling

KEPT_VARIANCE = 0.9
"""Share of the variance that the principal components explain; the rest is taken as noise."""
MIN_NOISE = 1e-3
"""Least noise variance of a scaled feature: exact copies of one another must not make a tiny gap a huge score."""
_ROWS_AT_ONCE = 50_000  # further copies of all days of a large fleet would take more memory than the days do


class PCA:
    """Mean squared distance in the model of probabilistic PCA: D2 / number of features, one on a typical day.

    Scaled features x are taken to have the covariance C = P L P' + s (I - P P'): components P with variances L, and
    noise of variance s across them (Tipping & Bishop, J. R. Stat. Soc. B 61, 1999). Then

        D2 = x' C^-1 x = sum(t_i^2 / L_i) + SPE / s = T2 + SPE / s

    holds Hotelling's T2 within the components and the squared prediction error across them, each in its own variance
    (a combined index: Yue & Qin, Ind. Eng. Chem. Res. 40, 2001). Where features are unknown (m), D2 is its
    expectation given the known ones (o): x_o' C_oo^-1 x_o + number of unknown ones. So what is unknown neither raises
    nor lowers the score. A feature's part is how much D2 falls when that feature is reconstructed from the others,
    (C^-1 x)_i^2 / (C^-1)_ii (Alcala & Qin, Automatica 45, 2009).
    """

    name: ClassVar[str] = "pca"
    reads: ClassVar[tuple[str, ...]] = (".own", ".peers", ".rate", "faults.novel")

    def __init__(self, *, seed: int = 0) -> None:
        del seed  # nothing is drawn
        self._scaling: Scaling | None = None
        self._covariance: Floats = np.empty((0, 0))

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn scale and covariance. Raises ``ValueError`` on too few rows, or where no feature varies."""
        self._scaling = Scaling.fit(matrix)
        size = len(self._scaling.features)
        pairs, products = np.zeros((size, size)), np.zeros((size, size))
        for first in range(0, len(matrix), _ROWS_AT_ONCE):
            scaled = self._scaling.apply(matrix.iloc[first : first + _ROWS_AT_ONCE])
            known = np.isfinite(scaled).astype(np.float64)
            filled = np.nan_to_num(scaled)
            pairs += known.T @ known
            products += filled.T @ filled
        # Each pair of features by the rows that know both; a pair never seen together is taken as unrelated.
        covariance = np.divide(products, pairs, out=np.zeros_like(pairs), where=pairs > 0)
        variances, directions = np.linalg.eigh(covariance)
        variances, directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
        share = np.cumsum(variances) / variances.sum()
        components = min(int(np.searchsorted(share, KEPT_VARIANCE)) + 1, max(len(variances) - 1, 1))
        rest = variances[components:]
        noise = max(float(rest.mean()) if len(rest) else 0.0, MIN_NOISE)
        kept = directions[:, :components]
        within = np.maximum(variances[:components], noise) - noise
        self._covariance = (kept * within) @ kept.T + noise * np.eye(len(variances))
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return D2 / number of features of each row, NaN where no feature is known."""
        scaled = self._fitted.apply(matrix)
        distance = np.full(len(scaled), np.nan)
        for rows, known, precision in self._patterns(scaled):
            x = scaled[np.ix_(rows, known)]
            distance[rows] = ((x @ precision) * x).sum(axis=1) + (scaled.shape[1] - len(known))
        return pd.Series(distance / scaled.shape[1], index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's share of the sum of reconstruction-based contributions."""
        scaled = self._fitted.apply(matrix)
        parts = np.zeros_like(scaled)
        for rows, known, precision in self._patterns(scaled):
            x = scaled[np.ix_(rows, known)]
            parts[np.ix_(rows, known)] = (x @ precision) ** 2 / np.diag(precision)
        return self._fitted.shares(parts, matrix)

    def save(self, folder: Path) -> None:
        """Write ``pca.npz``."""
        save_arrays(folder / "pca.npz", {**self._fitted.arrays(), "covariance": self._covariance})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``pca.npz``. Raises ``ValueError``."""
        arrays = load_arrays(folder / "pca.npz", (*SCALING_ARRAYS, "covariance"))
        detector = cls()
        detector._scaling = Scaling.from_arrays(arrays)
        detector._covariance = arrays["covariance"]
        size = len(detector._scaling.features)
        if detector._covariance.shape != (size, size):
            raise ValueError("pca.npz: the covariance does not fit the features")
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _patterns(self, scaled: Floats) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], Floats]]:
        """Yield the rows that know the same features, those features, and the inverse of their covariance."""
        known = np.isfinite(scaled)
        packed = np.packbits(known, axis=1)
        _, pattern = np.unique(np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel(), return_inverse=True)
        order = np.argsort(pattern, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(pattern[order])) + 1):
            features = np.flatnonzero(known[rows[0]]) if len(rows) else np.empty(0, dtype=np.intp)
            if len(features):
                precision = np.linalg.inv(self._covariance[np.ix_(features, features)]).astype(np.float64)
                yield rows, features, precision
