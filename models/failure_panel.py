"""The columns that failures are learned from: an asset-day with its last days and its service record."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.derive import is_look_back
from models.grid import Floats, Grid
from models.panel import index_of

RECENT_DAYS = 3


def failure_panel(base: pd.DataFrame, derived: pd.DataFrame, service: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that failures are learned from, for the rows of ``derived``.

    The day's own, and how its means deviate from the asset's past; sums of each fault code and means of each daily mean
    over the last ``RECENT_DAYS``, read from ``base``, which holds the days before; and the service record.
    """
    grid, wanted = Grid.of(index_of(base)), index_of(derived)
    places = base.index.get_indexer(wanted)
    counts = [name for name in base.columns if name.startswith("faults.") and name.endswith("count")]
    means = [name for name in base.columns if name.endswith(".mean")]
    columns: dict[str, Floats] = {}
    for names, average in ((counts, False), (means, True)):
        for name in names:
            recent = _rolling(grid.spread(base[name]), RECENT_DAYS, average=average)
            columns[f"{name}.{RECENT_DAYS}d"] = grid.gather(recent)[places]
    kept = [name for name in derived.columns if not is_look_back(name) or name.endswith(".mean.own")]
    return pd.concat([derived[kept], pd.DataFrame(columns, index=wanted), service.reindex(wanted)], axis=1)


def _rolling(spread: Floats, days: int, *, average: bool) -> Floats:
    """Return the sum, or the mean, of what is known of the last ``days`` days, today included.

    Day by day, so that it does not depend on where the panel begins, as a difference of running sums would.
    """
    total, number = np.zeros(spread.shape), np.zeros(spread.shape)
    for back in range(min(days, spread.shape[1])):
        then = spread[:, : spread.shape[1] - back]
        known = np.isfinite(then)
        total[:, back:] += np.where(known, then, 0.0)
        number[:, back:] += known
    with np.errstate(invalid="ignore", divide="ignore"):
        result = total / number if average else total
    return np.where(number > 0, result, np.nan)
