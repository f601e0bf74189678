"""What the anomaly models say of a day's assets, out of the scores of a whole stretch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from diagnostics.active_model import ActiveModel
from diagnostics.day_rows import day_rows
from diagnostics.diagnose import AnomalyVerdict
from diagnostics.records import AnomalyScore
from diagnostics.scoring import Scores
from models.ensemble import ENSEMBLE


def anomaly_verdicts(
    model: ActiveModel,
    scored: Scores,
    asset_ids: Sequence[str],
    day: date,
    settling: Mapping[str, int],
    *,
    explained: bool,
) -> dict[str, AnomalyVerdict]:
    """Return what the model says of the assets on a day; what stands beside a finding only where it is ``explained``.

    ``settling`` gives how many days ago an asset was repaired: until its persistence is over, the model says nothing.
    """
    thresholds, lasting = model.ensemble.thresholds, model.ensemble.persistence.n
    verdicts = {}
    for asset_id, row in zip(asset_ids, day_rows(scored.panel.index, asset_ids, day).tolist(), strict=True):
        scores = tuple(
            AnomalyScore(
                asset_id=asset_id,
                day=day,
                detector=name,
                version=model.version,
                score=float(raw[row]),
                threshold=float(thresholds[name]),
                level=float(level[row]),
                contributions=scored.parts.get(row, ()) if name == ENSEMBLE else (),
            )
            for name, (raw, level) in scored.numbers.items()
            if np.isfinite(level[row])
        )
        known = bool(np.isfinite(scored.numbers[ENSEMBLE][1][row]))
        settled = settling.get(asset_id, lasting) >= lasting
        condition = scored.held[row] if known and settled else None
        beside = _deviations(scored.panel.iloc[row]) if condition and explained else {}
        standing = float(scored.standing[row]) if settled else np.nan
        verdicts[asset_id] = AnomalyVerdict(scores, condition, standing, beside)
    return verdicts


def _deviations(row: pd.Series) -> dict[str, float]:
    """Return a day's known deviations by column."""
    known = row[[name for name in row.index if str(name).endswith((".own", ".peers"))]].dropna()
    return {str(name): float(value) for name, value in known.items()}
