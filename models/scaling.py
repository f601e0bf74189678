"""Puts features on one scale: how many of its own usual deviations a value is away from its usual value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import Arrays
from models.grid import Floats

MIN_ROWS = 20

_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Scaling:
    """Median and spread of each feature that varied in training; the others are left out.

    The spread is the larger of the scaled median absolute deviation and the standard deviation: a feature that is
    mostly still and sometimes jumps (a fault rate) is measured by its jumps, not by its stillness.
    """

    features: NDArray[np.str_]
    centre: Floats
    spread: Floats

    @classmethod
    def fit(cls, matrix: pd.DataFrame) -> Self:
        """Learn from rows of healthy days. Raises ``ValueError`` on fewer than ``MIN_ROWS`` or where none varies."""
        if len(matrix) < MIN_ROWS:
            raise ValueError(f"{len(matrix)} rows are too few to learn from; {MIN_ROWS} are needed")
        features, centres, spreads = [], [], []
        for name in sorted(matrix.columns):
            values = matrix[name].to_numpy(dtype=np.float64)
            values = values[np.isfinite(values)]
            if len(values) < MIN_ROWS or values.min() == values.max():
                continue
            centre = np.median(values)
            features.append(name)
            centres.append(centre)
            spreads.append(max(_MAD_TO_SIGMA * np.median(np.abs(values - centre)), values.std()))
        if not features:
            raise ValueError("no feature varies in the training rows")
        return cls(np.array(features, dtype=np.str_), np.array(centres), np.array(spreads))

    def apply(self, matrix: pd.DataFrame) -> Floats:
        """Return rows of scaled features in the order of ``features``; a missing column is unknown (NaN)."""
        values = np.empty((len(matrix), len(self.features)), order="F")
        for place, name in enumerate(self.features.tolist()):
            column = matrix[name].to_numpy(dtype=np.float64) if name in matrix else np.nan
            values[:, place] = (np.where(np.isfinite(column), column, np.nan) - self.centre[place]) / self.spread[place]
        return values

    def shares(self, parts: Floats, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return not negative parts of a score, one column per feature, as shares of it in the matrix's shape."""
        parts = np.nan_to_num(parts)
        total = parts.sum(axis=1, keepdims=True)
        shares = np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
        frame = pd.DataFrame(shares, index=matrix.index, columns=list(self.features))
        return frame.reindex(columns=matrix.columns, fill_value=0.0)

    def arrays(self) -> Arrays:
        """Return what ``from_arrays`` takes."""
        return {"features": self.features, "centre": self.centre, "spread": self.spread}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build it from arrays that were read back. Raises ``ValueError`` where they don't fit together."""
        features, centre, spread = arrays["features"], arrays["centre"], arrays["spread"]
        if not features.ndim == 1 or not features.shape == centre.shape == spread.shape or features.dtype.kind != "U":
            raise ValueError("features, centre and spread do not fit together")
        return cls(features, centre, spread)


SCALING_ARRAYS = ("features", "centre", "spread")
