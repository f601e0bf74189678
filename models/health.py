"""Health: how far an asset is from a ticket, 0 to 100, whatever the scale of what watches it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from models.grid import Floats

AT_THRESHOLD = 50.0


def health(level: ArrayLike, threshold: float) -> Floats:
    """Return the health of levels or probabilities (0 to 1): 100 at nought, 50 at the threshold, below it beyond.

    100 * 2 ** -(s / s_threshold) with the surprise s = -ln(1 - level): a level that is as much rarer than the
    threshold as the threshold is than an everyday one halves it again. NaN where the level is not known.
    """
    ahead = -np.log(np.maximum(1 - np.asarray(level, dtype=np.float64), 1e-16))
    at_threshold = -np.log(max(1 - threshold, 1e-16))
    return np.asarray(100 * 2.0 ** -(ahead / max(at_threshold, 1e-9)))
