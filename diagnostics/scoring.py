"""What days of one group of assets mean: look-back columns, scores and what explains them.

A function of its arguments alone: it reads no store and no ledger, so it may be called in another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diagnostics.records import Contribution
from models.derive import derived_panel
from models.ensemble import ENSEMBLE, Ensemble
from models.features import STATISTICS
from models.grid import Floats, Grid
from models.health import health
from models.renewals import Renewals
from models.threshold import anomalous

_EXPLAINED_LEVEL = 0.9


@dataclass(frozen=True, slots=True)
class ToScore:
    """Days of one group, and what they are scored with.

    ``panel`` holds the base features with the days that they look back on, and the ``score.*`` of those. ``rows`` are
    the asset-days to score, ``idle`` says of each whether the asset was out of operation, which is not scored.
    ``since`` is the first day that anybody reads the columns of. Without an ``ensemble`` there are the columns alone.
    ``detectors`` are those whose own scores are wanted, and ``explained`` is whether a person will read what made a day
    stand out.
    """

    panel: pd.DataFrame
    group: str
    since: np.datetime64
    rows: pd.MultiIndex
    idle: NDArray[np.bool_]
    min_completeness: float
    renewals: Renewals | None
    ensemble: Ensemble | None
    detectors: tuple[str, ...]
    explained: bool


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model says of asset-days: each detector's raw scores and levels, whether the days are anomalous
    persistently (``None``: not known), the health by it, and the parts of the scores that stand out, by row.
    """

    panel: pd.DataFrame
    numbers: Mapping[str, tuple[Floats, Floats]]
    held: Sequence[bool | None]
    standing: Floats
    parts: Mapping[int, tuple[Contribution, ...]]


def score(task: ToScore) -> tuple[pd.DataFrame, Scores | None]:
    """Return the derived panel from day ``since`` on, with its ``score.*``, and what the model says of the rows."""
    panel = task.panel
    derived = derived_panel(
        without_incomplete(panel, task.min_completeness),
        pd.Series(task.group, index=panel.index.get_level_values(0).unique()),
        since=task.since,
        further=task.ensemble.further if task.ensemble is not None else (),
        renewals=task.renewals,
    )
    derived = _without_silent_zeros(derived, task.min_completeness)
    if task.ensemble is None:
        return derived, None
    return _scored(task, task.ensemble, panel, derived)


def _scored(
    task: ToScore, ensemble: Ensemble, panel: pd.DataFrame, derived: pd.DataFrame
) -> tuple[pd.DataFrame, Scores]:
    at = derived.index.get_indexer(task.rows)
    today = derived.iloc[at]
    raw = ensemble.raw(today)
    raw.loc[task.idle] = np.nan
    levels = ensemble.levels(raw)
    scored = derived.copy()
    for name in levels.columns:
        before = panel[name].reindex(derived.index) if name in panel else pd.Series(np.nan, index=derived.index)
        column = before.to_numpy(copy=True)
        told = levels[name].to_numpy()
        column[at] = np.where(np.isnan(told), column[at], told)
        scored[name] = column
    combined = scored[f"score.{ENSEMBLE}"]
    persistent = anomalous(combined, ensemble.threshold_levels[ENSEMBLE], ensemble.persistence).array
    parts: dict[int, tuple[Contribution, ...]] = {}
    if task.explained:
        # A person looks at days that stand out; explaining a day costs much more than scoring it.
        least = min(ensemble.threshold_levels[ENSEMBLE], _EXPLAINED_LEVEL)
        strange = np.flatnonzero(levels[f"score.{ENSEMBLE}"].to_numpy() >= least)
        for row, found in zip(strange.tolist(), ensemble.explain(today.iloc[strange]), strict=True):
            parts[row] = tuple(Contribution(*part) for part in found)
    numbers = {
        name: (raw[name].to_numpy(), levels[f"score.{name}"].to_numpy()) for name in task.detectors if name in raw
    }
    held = [None if answer is pd.NA else bool(answer) for answer in persistent[at]]
    return scored, Scores(today, numbers, held, _standing(combined, ensemble)[at], parts)


def _standing(combined: pd.Series, ensemble: Ensemble) -> Floats:
    """Return the health by the anomaly models on each day of a panel, NaN where it is frozen."""
    assert isinstance(combined.index, pd.MultiIndex)
    grid = Grid.of(combined.index)
    level = grid.gather(ensemble.persistence.standing(grid.spread(combined)))
    return health(level, ensemble.threshold)


def without_incomplete(panel: pd.DataFrame, min_completeness: float) -> pd.DataFrame:
    """Make unknown what was measured on days too incomplete to say what the day was like."""
    measured = [c for c in panel.columns if c.rpartition(".")[2] in STATISTICS or c.startswith("exposure.")]
    return _unknown(panel, measured, panel["completeness"].to_numpy() < min_completeness)


def _without_silent_zeros(panel: pd.DataFrame, min_completeness: float) -> pd.DataFrame:
    """Make unknown, on days too incomplete, the faults that were not seen: nobody was there to see them."""
    unseen = [c for c in panel.columns if c == "faults.novel" or (c.startswith("faults.") and c.endswith("count"))]
    return _unknown(panel, unseen, panel["completeness"].to_numpy() < min_completeness, when=0.0)


def _unknown(panel: pd.DataFrame, names: list[str], rows: NDArray[np.bool_], when: float | None = None) -> pd.DataFrame:
    """Return the panel with NaN in some rows of some columns, or in those of them that hold ``when``."""
    if not rows.any() or not names:
        return panel
    some = np.flatnonzero(rows)
    values = panel.iloc[some][names].to_numpy(dtype=np.float64)
    changed = panel.copy()
    changed.iloc[some, panel.columns.get_indexer(pd.Index(names))] = (
        np.nan if when is None else np.where(values == when, np.nan, values)
    )
    return changed
