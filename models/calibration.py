"""Calibration: a raw score becomes a level, the share of healthy training days that scored lower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from models.arrays import Arrays
from models.grid import Floats

TAIL = 0.02
"""Share of the training days above which the tail's law takes over."""
MIN_TAIL_DAYS = 20
STORED_SCORES = 4000

_SHAPE = (0.1, 0.5)


@dataclass(frozen=True)
class Calibration:
    """Levels below the tail by the training scores themselves, within it by a generalised Pareto law.

    So a score above all of training still has a level below one, and higher scores have higher levels. Peaks over a
    threshold follow that law (Pickands, Ann. Stat. 3, 1975); it is fitted by probability-weighted moments (Hosking &
    Wallis, Technometrics 29, 1987) with its shape held in 0.1 to 0.5, so that the tail has no end.
    """

    scores: Floats
    levels: Floats
    start: float
    share: float
    scale: float
    shape: float

    @classmethod
    def fit(cls, scores: Floats) -> Self:
        """Learn from the raw scores of healthy days; unknown ones are passed over. ``ValueError`` if none is left."""
        ordered = np.sort(scores[np.isfinite(scores)])
        if not len(ordered):
            raise ValueError("no score to calibrate on")
        wanted = min(max(TAIL, MIN_TAIL_DAYS / len(ordered)), 0.5)
        start = float(np.quantile(ordered, 1 - wanted, method="lower"))
        excess = ordered[ordered > start] - start
        values, first = np.unique(ordered[ordered <= start], return_index=True)
        levels = first / len(ordered)
        if len(values) > STORED_SCORES:
            kept = np.unique(np.linspace(0, len(values) - 1, STORED_SCORES).round().astype(np.intp))
            values, levels = values[kept], levels[kept]
        levels[-1] = 1 - len(excess) / len(ordered)  # where the tail takes over, ties included
        scale, shape = _pareto(excess)
        share = max(len(excess), 0.5) / len(ordered)
        levels[-1] = min(levels[-1], 1 - share)
        return cls(values, levels, start, share, max(scale, 1e-9 + 1e-6 * abs(start)), shape)

    def level(self, scores: Floats) -> Floats:
        """Return levels, 0 to 1, NaN for NaN."""
        body = np.interp(scores, self.scores, self.levels)
        beyond = np.maximum(np.where(np.isfinite(scores), scores, self.start) - self.start, 0.0) / self.scale
        tail = 1 - self.share * (1 + self.shape * beyond) ** (-1 / self.shape)
        return np.where(np.isnan(scores), np.nan, np.where(scores > self.start, tail, body))

    def score(self, level: float) -> float:
        """Return the raw score that has a level: the inverse of ``level``."""
        if level > 1 - self.share:
            rarer = max(1 - level, 1e-300) / self.share
            return self.start + self.scale * float(rarer**-self.shape - 1) / self.shape
        return float(np.interp(level, self.levels, self.scores))

    def arrays(self) -> Arrays:
        """Return what ``from_arrays`` takes."""
        tail = np.array([self.start, self.share, self.scale, self.shape])
        return {"scores": self.scores, "levels": self.levels, "tail": tail}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Build it from arrays that were read back. Raises ``ValueError`` where they don't fit together."""
        scores, levels, tail = arrays["scores"], arrays["levels"], arrays["tail"]
        if scores.shape != levels.shape or scores.ndim != 1 or not len(scores) or tail.shape != (4,):
            raise ValueError("scores, levels and tail do not fit together")
        return cls(scores, levels, *(float(value) for value in tail))


def _pareto(excess: Floats) -> tuple[float, float]:
    """Return scale and shape; ``excess`` is sorted."""
    if not len(excess):
        return 0.0, _SHAPE[0]
    mean = float(excess.mean())
    plotting = (np.arange(1, len(excess) + 1) - 0.35) / len(excess)
    weighted = float((excess * (1 - plotting)).mean())
    shape = 2 - mean / (mean - 2 * weighted) if mean > 2 * weighted else _SHAPE[1]
    shape = float(np.clip(shape, *_SHAPE))
    return mean * (1 - shape), shape
