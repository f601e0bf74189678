"""Calibration of probabilities: how far "30 %" comes true in three of ten cases."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.grid import Floats

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Asset-days whose probability lay in [low, high): how many, their mean probability, and the share that failed."""

    low: float
    high: float
    asset_days: int
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Brier's score (0: perfect), that of the constant base rate, and the bins of the diagram that hold a day."""

    brier: float
    brier_of_base_rate: float
    bins: tuple[Bin, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as numbers and plain mappings."""
        return asdict(self)


def reliability(probability: Floats, truth: NDArray[np.bool_]) -> Reliability | None:
    """Return how well probabilities (0 to 1, NaN: none was given) fit what happened; ``None`` where none was given.

    Brier's score is the mean squared difference (Brier, Mon. Weather Rev. 78, 1950).
    """
    known = np.isfinite(probability)
    said, came = probability[known], truth[known].astype(np.float64)
    if not len(said):
        return None
    number = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    count = np.bincount(number, minlength=BINS)
    predicted, observed = (np.bincount(number, weights=values, minlength=BINS) for values in (said, came))
    bins = tuple(
        Bin(i / BINS, (i + 1) / BINS, int(count[i]), float(predicted[i] / count[i]), float(observed[i] / count[i]))
        for i in np.flatnonzero(count)
    )
    return Reliability(float(np.mean((said - came) ** 2)), float(came.mean() * (1 - came.mean())), bins)
