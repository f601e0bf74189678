"""A candidate's scores beside the active model's: recorded, raising nothing, and compared before it may speak."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import numpy as np
import pandas as pd

from config.settings import Models
from diagnostics.records import AnomalyScore
from models.ensemble import ENSEMBLE, Ensemble

SHADOW = "shadow"
"""The detector's name under which a candidate's combined score stands in the ledger."""
MIN_SHARED_DAYS = 20
LOUDER = 2.0
"""A candidate may find this many times as many asset-days anomalous as the active one, and its budget on top."""


class Scorer(Protocol):
    """A version with its anomaly models."""

    @property
    def ensemble(self) -> Ensemble:
        """The anomaly models."""


def shadow_scores(ensemble: Ensemble, version: str, today: pd.DataFrame, day: date) -> dict[str, AnomalyScore]:
    """Return the candidate's combined score of each asset of ``today`` (derived rows of ``day``) that it can score."""
    raw = ensemble.raw(today)
    levels = ensemble.levels(raw)[f"score.{ENSEMBLE}"].to_numpy()
    threshold = float(ensemble.thresholds[ENSEMBLE])
    return {
        str(asset_id): AnomalyScore(asset_id, day, SHADOW, version, float(score), threshold, float(level))
        for asset_id, score, level in zip(today.index.get_level_values(0), raw[ENSEMBLE], levels, strict=True)
        if np.isfinite(level)
    }


def shadow_objection(history: pd.DataFrame, active: Scorer, candidate: Scorer, settings: Models) -> str:
    """Return why the candidate should not take the active one's place; empty where nothing speaks against it.

    ``history`` holds the recorded levels ``score.ensemble`` and ``score.shadow`` of the days in shadow.
    """
    names = [f"score.{ENSEMBLE}", f"score.{SHADOW}"]
    both = history[names].dropna() if set(names) <= set(history.columns) else history.iloc[:0]
    if len(both) < MIN_SHARED_DAYS:
        return f"only {len(both)} asset-days were scored by both"
    loud = [
        100 * float((both[name] > scorer.ensemble.threshold_levels[ENSEMBLE]).mean())
        for name, scorer in zip(names, (active, candidate), strict=True)
    ]
    bound = LOUDER * loud[0] + settings.false_tickets_per_100_asset_days
    if loud[1] > bound:
        return f"it finds {loud[1]:.1f} of 100 asset-days anomalous where the active one finds {loud[0]:.1f}"
    return ""
