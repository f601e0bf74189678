"""What the failure model's risks become: of every asset, or where nobody reads, of those it matters of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import cast

import numpy as np
import pandas as pd

from config.knowledge import Knowledge
from config.settings import Models
from diagnostics.forecast import Forecast, forecasts
from models.failure import FAILURE, FailureModel
from models.panel import panel_index

DAY = date(2026, 1, 5)
HOLDS, QUIET, OPEN, UNKNOWN = "A1", "A2", "A3", "A4"


@dataclass
class _Told:
    """A model whose risks are given."""

    horizon_days: int = 7

    def thresholds(self) -> dict[str, float]:
        return {"LEAK": 0.5}

    def risks(self, inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"LEAK": [0.9, 0.1, 0.2, np.nan]}, index=inputs.index).assign(
            **{FAILURE: lambda risks: risks["LEAK"]}
        )


def _forecasts(heeded: Collection[tuple[str, str]] | None) -> dict[str, Forecast]:
    inputs = pd.DataFrame(index=panel_index([HOLDS, QUIET, OPEN, UNKNOWN], [np.datetime64(DAY, "D")] * 4))
    return forecasts(
        cast(FailureModel, _Told()), "v1", inputs, DAY, 0, {}, Models(), Knowledge(), explained=False, heeded=heeded
    )


def test_what_does_not_hold_is_diagnosed_of_all_or_of_those_it_matters_of() -> None:
    everything, some = _forecasts(None), _forecasts({(OPEN, "LEAK"), (HOLDS, "BURST"), (QUIET, "BURST")})
    assert {a: [d.condition for d in f.diagnoses] for a, f in everything.items()} == {
        HOLDS: [True], QUIET: [False], OPEN: [False], UNKNOWN: [None],
    }  # fmt: skip
    assert some[HOLDS] == everything[HOLDS]
    assert some[OPEN] == everything[OPEN]
    for asset_id in (QUIET, UNKNOWN):
        assert some[asset_id].diagnoses == ()
        assert some[asset_id].scores == everything[asset_id].scores
    assert some[QUIET].health == everything[QUIET].health
