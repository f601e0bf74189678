"""The threshold: not a guess of how many days are anomalous, but how many false tickets one is ready to look at."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.grid import Grid
from models.persistence import Persistence, opened


def anomalous(level: pd.Series, threshold: float, persistence: Persistence) -> pd.Series:
    """Return whether each row of a panel's level column is anomalous, persistently (``boolean``, NA: unknown)."""
    return persistence.apply(above(level, threshold))


def above(level: pd.Series, threshold: float) -> pd.Series:
    """Return whether each level is above the threshold (``boolean``, NA where the level is NaN)."""
    values = level.to_numpy(dtype=np.float64)
    return pd.Series(pd.arrays.BooleanArray(values > threshold, np.isnan(values)), index=level.index, name=level.name)


def budget_threshold(
    level: pd.Series, healthy: pd.Series, persistence: Persistence, per_100_asset_days: float
) -> float:
    """Return the lowest threshold under which healthy days open no more tickets than the budget.

    ``level`` and ``healthy`` are columns of one training panel; a day that is not healthy counts as unknown. A ticket
    is an episode: it opens where the level is above the threshold persistently, and goes on until that is known to
    be over. The budget is in tickets per 100 healthy asset-days with a level. Where even one ticket is too many, the
    threshold is the highest level seen. Raises ``ValueError`` where no healthy day has a level.
    """
    if not isinstance(level.index, pd.MultiIndex):
        raise ValueError("not a column of a panel: its index must be (asset_id, day)")
    known = np.where(healthy.to_numpy(dtype=bool), level.to_numpy(dtype=np.float64), np.nan)
    candidates = np.unique(known[~np.isnan(known)])[::-1]
    if not len(candidates):
        raise ValueError("no healthy day has a level")
    allowed = per_100_asset_days / 100 * int((~np.isnan(known)).sum())
    grid = Grid.of(level.index)
    levels, panel_has = grid.spread(known), ~np.isnan(grid.spread(np.zeros(len(known))))

    def within_budget(number: int) -> bool:
        held = np.where(np.isnan(levels), np.nan, levels > candidates[number])
        return int(opened(np.where(panel_has, persistence.over(held), np.nan)).sum()) <= allowed

    # Tickets grow as the threshold falls (until episodes run together, far below any useful threshold): step down
    # in doubling strides to the first that is over the budget, then halve the gap.
    good, bad = 0, 1
    while bad < len(candidates) and within_budget(bad):
        good, bad = bad, bad * 2
    bad = min(bad, len(candidates))
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if within_budget(middle) else (good, middle)
    return float(candidates[good])
