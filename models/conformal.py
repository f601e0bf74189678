"""A conformal interval for units that are measured many times.

The rows of one unit are alike, so it is units that count: the bound is a quantile over units of which each weighs the
same however many rows it has, and one more unit with an error without bound stands for the one to come. That holds the
promised share for a new unit at a moment drawn as those given are (Lee, Barber & Willett, arXiv:2306.06342; with one
row a unit it is the usual ceil((n + 1) coverage)-th smallest of n errors); nearly so where the errors come from models
that learned from other units each, as by cross-validation. An error is taken in means of the absolute errors of like
predictions (Lei et al., JASA 113, 2018), so that the interval is as wide as it must be where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.grid import Floats

_BANDS = 6


@dataclass(frozen=True)
class ConformalInterval:
    """How far the truth lies from a prediction, either way, by bands of the prediction."""

    edges: Floats
    """Bounds of the bands, ascending."""
    reach: Floats
    """How far, in each band; infinite where too few units were seen for the promise."""

    @classmethod
    def fit(cls, predicted: Floats, true: Floats, units: NDArray[np.generic], coverage: float = 0.9) -> Self:
        """Learn from predictions by models that had not seen the unit; each array has one value a row."""
        errors = np.abs(true - predicted)
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BANDS + 1)[1:-1]))
        band = np.searchsorted(edges, predicted)
        rows = np.bincount(band, minlength=len(edges) + 1)
        usual = np.bincount(band, errors, len(rows)) / np.maximum(rows, 1)
        usual = np.maximum(np.where(rows > 0, usual, errors.mean()), 1e-9)
        _, unit, size = np.unique(units, return_inverse=True, return_counts=True)
        factors = errors / usual[band]
        order = np.argsort(factors)
        share = np.cumsum(1 / size[unit[order]]) / (len(size) + 1)
        place = np.searchsorted(share, coverage - 1e-9)
        return cls(edges, usual * (factors[order[place]] if place < len(order) else np.inf))

    @property
    def promises(self) -> bool:
        """Whether enough units were seen for a bound."""
        return bool(np.isfinite(self.reach).all())

    def around(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Return the lower and the upper bound for each prediction."""
        reach = self.reach[np.searchsorted(self.edges, predicted)]
        return predicted - reach, predicted + reach
