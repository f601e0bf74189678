"""A new part is healthy though it is unlike the old one: the asset's own past begins anew with it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from config.register import AssetType, Signal, Text
from models.derive import MIN_DAYS, derived_panel
from models.ensemble import Ensemble
from models.panel import panel_index
from models.persistence import Persistence
from models.renewals import Renewals
from models.threshold import anomalous

FIRST = np.datetime64("2026-01-01")
ASSETS, DAYS, RENEWED = 12, 130, 90
NAMES = [f"A{n:02}" for n in range(ASSETS)]
STEP = 8.0
"""How much higher the new part's vibration is, in standard deviations of a day; assets differ by more than that."""


def asset_type(component: str | None) -> AssetType:
    title = Text(en="Pump", zh="泵")
    signals = (Signal(name="vibration", unit="mm/s", component=component), Signal(name="temp", unit="degC"))
    return AssetType(id="pump", title=title, signals=signals, components=("bearing", "seal"))


def fleet() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    index = panel_index(list(np.repeat(NAMES, DAYS)), list(np.tile(FIRST + np.arange(DAYS), ASSETS)))
    vibration = rng.normal(0, 1, (ASSETS, DAYS)) + rng.normal(0, 12, (ASSETS, 1))
    vibration[0, RENEWED:] += STEP
    temp = rng.normal(60, 1, (ASSETS, DAYS))
    columns = {"vibration.mean": vibration.ravel(), "temp.mean": temp.ravel(), "completeness": 1.0}
    return pd.DataFrame(columns, index=index)


def replaced(component: str = "bearing") -> pd.DataFrame:
    noon = (FIRST + RENEWED).astype("datetime64[ns]").astype(int) + 12 * 3600 * 10**9
    return pd.DataFrame({"asset_id": ["A00"], "time": [noon], "what": [f"{component}: replaced"]})


def anomalous_days(component: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Which days of the asset are anomalous and which are scored, from its repair on."""
    base, groups = fleet(), pd.Series("works", index=NAMES)
    zones = dict.fromkeys(NAMES, ZoneInfo("UTC"))
    renewals = Renewals.of(asset_type(component), replaced(), zones)
    derived = derived_panel(base, groups, renewals=renewals)
    learned = derived[derived.index.get_level_values(1) < pd.Timestamp(FIRST + RENEWED)]
    ensemble = Ensemble.fit(
        learned,
        pd.Series(True, index=learned.index),
        detectors=("robust_z",),
        false_tickets_per_100_asset_days=0.5,
        persistence=Persistence(2, 3),
    )
    levels = ensemble.score(derived)["score.ensemble"]
    strange = anomalous(levels, ensemble.threshold, ensemble.persistence)
    return (
        strange.loc["A00"].fillna(False).to_numpy(dtype=bool)[RENEWED:],
        levels.loc["A00"].notna().to_numpy()[RENEWED:],
    )


def test_a_new_part_that_runs_otherwise_is_no_anomaly_where_its_signal_names_it() -> None:
    strange, scored = anomalous_days("bearing")
    assert scored.all()  # by what does not speak of the bearing
    assert not strange.any()


@pytest.mark.parametrize("component", [None, "seal"])
def test_without_it_the_sound_new_part_is_anomalous_for_weeks(component: str | None) -> None:
    strange, _ = anomalous_days(component)
    assert strange[:21].sum() >= 10


def test_the_new_past_is_unknown_until_it_is_long_enough() -> None:
    base, zones = fleet(), dict.fromkeys(NAMES, ZoneInfo("UTC"))
    renewals = Renewals.of(asset_type("bearing"), replaced(), zones)
    own = derived_panel(base, pd.Series("works", index=NAMES), renewals=renewals)["vibration.mean.own"].loc["A00"]
    known = own.notna().to_numpy()
    assert known[RENEWED - 1]
    assert not known[RENEWED : RENEWED + MIN_DAYS + 1].any()
    assert known[RENEWED + MIN_DAYS + 1 :].all()


def test_a_day_is_the_assets_own() -> None:
    """The record of 01:30 in Shanghai is of the day before in UTC."""
    base, zones = fleet(), dict.fromkeys(NAMES, ZoneInfo("Asia/Shanghai"))
    record = replaced().assign(time=lambda frame: frame["time"] + 5 * 3600 * 10**9 + 1800 * 10**9)
    renewals = Renewals.of(asset_type("bearing"), record, zones)
    own = derived_panel(base, pd.Series("works", index=NAMES), renewals=renewals)["vibration.mean.own"].loc["A00"]
    assert own.notna().to_numpy()[RENEWED]
    assert not own.notna().to_numpy()[RENEWED + 1]
