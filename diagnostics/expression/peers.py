"""A number against the same number of an asset's peers on the same day."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.derive import MIN_PEERS
from models.grid import Floats


def above_peers(values: Floats, groups: Iterable[NDArray[np.intp]]) -> Floats:
    """Return by how much each (asset, day) lies above its group's median that day.

    Of five or more the median is robust against the one that deviates, so that the asset itself may stay in. Unknown
    where fewer are known.
    """
    result = np.full(values.shape, np.nan)
    for members in groups:
        if len(members) > MIN_PEERS:
            of_group = values[members]
            ordered = np.sort(of_group, axis=0)  # NaN sorts last
            known = np.isfinite(ordered).sum(axis=0)
            column = np.arange(values.shape[1])
            low, high = (
                ordered[np.maximum(known - 1, 0) // 2, column],
                ordered[np.minimum(known // 2, len(members) - 1), column],
            )
            result[members] = np.where(known > MIN_PEERS, of_group - (low + high) / 2, np.nan)
    return result
