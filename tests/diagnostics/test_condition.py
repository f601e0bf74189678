"""The health of an asset: what models and rules make of it, and when it is frozen."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Literal

import numpy as np
import pandas as pd

from config.register import AssetType, Operating, Signal, Text
from diagnostics.condition import healths, of_asset
from diagnostics.raw_days import idle_days
from diagnostics.records import Diagnosis
from models.panel import panel_index


def diagnosis(mode: str, source: str, condition: bool | None, severity: Literal["minor", "major"]) -> Diagnosis:
    return Diagnosis(
        asset_id="A1", day=date(2026, 1, 1), failure_mode=mode, source=source, condition=condition, severity=severity,
        act_within_hours=1, known_at=datetime(2026, 1, 2, tzinfo=UTC), text=Text(en="x", zh="x"),
    )  # fmt: skip


def test_a_rule_that_holds_bounds_the_health_and_one_that_does_not_says_nothing() -> None:
    rules = [
        diagnosis("LEAK", "rule:leak@1", True, "major"),
        diagnosis("WORN", "rule:worn@1", False, "major"),
        diagnosis("HOT", "rule:hot@1", None, "major"),
        diagnosis("DOOR", "rule:door@1", True, "minor"),
        diagnosis("ANOMALY", "model:ensemble@1", True, "major"),
    ]
    found = healths({"LEAK": 90.0, "DOOR": 12.0, "WORN": float("nan")}, rules)
    assert found == {"LEAK": 25.0, "DOOR": 12.0}
    assert of_asset(found) == 12.0
    assert of_asset({}) is None


def test_a_day_out_of_operation_is_idle_only_where_the_type_says_what_operation_is() -> None:
    days = [np.datetime64("2026-01-01") + n for n in range(3)]
    panel = pd.DataFrame({"exposure.hours": [0.0, 8.0, np.nan]}, index=panel_index(["A"] * 3, days))
    title = Text(en="x", zh="x")
    always = AssetType(id="pump", title=title, signals=(Signal(name="rpm", unit="rpm", period=60),))
    running = always.model_copy(update={"operating": Operating(signal="rpm", above=100.0)})
    assert list(idle_days(panel, always)) == [False, False, False]
    assert list(idle_days(panel, running)) == [True, False, False]
