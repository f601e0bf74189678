"""What the failure model's risks become: of every asset, or where nobody reads, of those it matters of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import cast

import numpy as np
import pandas as pd
import pytest

from config.knowledge import Knowledge
from config.settings import Models
from diagnostics.forecast import Forecast, forecasts
from diagnostics.records import Expected
from models.failure import FAILURE, FailureModel
from models.panel import panel_index
from models.remaining_days import Remaining

DAY = date(2026, 1, 5)
HOLDS, QUIET, OPEN, UNKNOWN = "A1", "A2", "A3", "A4"


@dataclass
class _Told:
    """A model whose risks are given."""

    left: Remaining | None = None
    horizon_days: int = 7

    def thresholds(self) -> dict[str, float]:
        return {"LEAK": 0.5}

    def risks(self, inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"LEAK": [0.9, 0.1, 0.2, np.nan]}, index=inputs.index).assign(
            **{FAILURE: lambda risks: risks["LEAK"]}
        )

    def remaining(self, inputs: pd.DataFrame, mode: str) -> list[Remaining | None]:
        return [self.left] * len(inputs)


def _forecasts(heeded: Collection[tuple[str, str]] | None, left: Remaining | None = None) -> dict[str, Forecast]:
    inputs = pd.DataFrame(index=panel_index([HOLDS, QUIET, OPEN, UNKNOWN], [np.datetime64(DAY, "D")] * 4))
    return forecasts(
        cast(FailureModel, _Told(left)), "v1", inputs, DAY, 0, {}, Models(), Knowledge(), explained=False, heeded=heeded
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


def test_the_time_of_a_failure_is_said_of_what_holds_and_brings_the_deadline_forward() -> None:
    forecast = _forecasts(None, Remaining(0.5, 1.25, 2.5))
    held, quiet = forecast[HOLDS].diagnoses[0], forecast[QUIET].diagnoses[0]
    assert held.expected == Expected(0.5, 1.25, 2.5)
    assert held.act_within_hours == 30.0
    assert quiet.expected is None
    assert quiet.act_within_hours == Models().act_within / timedelta(hours=1)


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (Remaining(2.0, 5.0, 7.0), True),
        (Remaining(0.2, 2.0, 6.5), False),  # at any time within the horizon
        (Remaining(0.0, 0.2, 3.0), True),
        (None, False),
    ],
)
def test_an_interval_that_says_nothing_is_not_told(left: Remaining | None, says: bool) -> None:
    held = _forecasts(None, left)[HOLDS].diagnoses[0]
    assert (held.expected is not None) is says
    allowed = Models().act_within / timedelta(hours=1)
    assert held.act_within_hours == (min(allowed, max(6, 24 * left.expected)) if says and left is not None else allowed)
