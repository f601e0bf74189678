"""The threshold: not a guess of how many days are anomalous, but how many false tickets one is ready to look at."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation import USUAL_COSTS, Costs
from models.grid import Floats, Grid
from models.persistence import Persistence, opened

_CANDIDATES = 40
_QUIET_DAYS = 3  # without an alarm, as an alert returns to normal after; the next one is a new ticket


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


def cheapest_threshold(
    risk: Floats, left: Floats, index: pd.MultiIndex, lowest: float, horizon_days: float, costs: Costs = USUAL_COSTS
) -> float:
    """Return the threshold, ``lowest`` or above it, whose tickets would have cost least on the days of a panel.

    ``risk`` (NaN: not judged) and ``left``, the days to the next failure, are columns of it. A ticket opens on the
    first day above the threshold, and is judged as ``models.evaluation.judge`` does. Where risk grows slowly, a low
    threshold is first crossed by chance, too early for the ticket to be of use; a higher one then catches more.
    """
    rows = np.flatnonzero(risk > lowest)
    risk, left, asset, day = risk[rows], left[rows], *_asset_and_day(index, rows)
    failure = np.stack([asset, np.round(day + left, 6)])

    def cost(threshold: float) -> float:
        above = np.flatnonzero(risk > threshold)
        opens = above[_begins(asset[above], day[above])]
        after = left[opens]
        true, early = after <= horizon_days, (after > horizon_days) & (after <= 2 * horizon_days)
        caught = np.unique(failure[:, opens][:, true], axis=1).shape[1]
        wrong = len(after) - caught - early.sum()
        return float(costs.false_ticket * wrong + costs.early_replacement * early.sum() - costs.missed_failure * caught)

    levels = np.unique(risk)
    places = (
        np.linspace(0, len(levels), _CANDIDATES, endpoint=False).astype(np.intp)
        if len(levels)
        else np.zeros(0, np.intp)
    )
    found: float = min(
        [lowest, *np.unique(levels[places]).tolist()], key=lambda threshold: (cost(threshold), threshold)
    )
    return found


def opening_days(alarmed: NDArray[np.bool_], index: pd.MultiIndex) -> NDArray[np.bool_]:
    """Return the rows of a sorted panel on which a ticket opens: the first of an alarm after days without one."""
    rows = np.flatnonzero(alarmed)
    opens = np.zeros(len(alarmed), dtype=bool)
    opens[rows[_begins(*_asset_and_day(index, rows))]] = True
    return opens


def _asset_and_day(index: pd.MultiIndex, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    chosen = index[rows]
    day = chosen.get_level_values(1).to_numpy().astype("datetime64[D]").astype(np.float64)
    return np.asarray(chosen.codes[0], dtype=np.intp), day


def _begins(asset: NDArray[np.intp], day: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.append(True, (np.diff(asset) != 0) | (np.diff(day) > _QUIET_DAYS))[: len(asset)]
