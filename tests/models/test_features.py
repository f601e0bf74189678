"""Base features against the same said slowly, one asset-day after the other."""

from __future__ import annotations

import json
import tracemalloc
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from config.operating_day import day_bounds
from config.register import AssetType, FaultCode, Operating, Signal, Text
from models.features import STATISTICS, base_panel
from models.panel import panel_index

TEXT = Text(en="x", zh="x")
HOUR = 3_600_000_000_000
MADRID = ZoneInfo("Europe/Madrid")


def kind(**more: object) -> AssetType:
    fields: dict[str, object] = {
        "id": "car",
        "title": TEXT,
        "signals": (
            Signal(name="speed", unit="km/h", period=600),
            Signal(name="temp", unit="degC", period=600),
            Signal(name="odometer", unit="km", period=600),
        ),
        "faults": (FaultCode(code="F1", title=TEXT), FaultCode(code="F2", title=TEXT)),
        "operating": Operating(signal="speed", above=1),
        "distance": "odometer",
        "reporting_hours": 18.0,
    }
    return AssetType.model_validate(fields | more)


def no_faults() -> pd.DataFrame:
    return pd.DataFrame(
        {"asset_id": [], "code": [], "time": np.array([], dtype=np.int64), "state": []}, dtype="str"
    ).astype({"time": "int64"})


def fleet(zone: ZoneInfo, first: date, days: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    start, _ = day_bounds(zone, first)
    frames = []
    for asset in ("A", "B", "C"):
        instants = np.unique(start + rng.integers(-6, 24 * 6 * days, size=60 * days) * 600_000_000_000)
        frame = pd.DataFrame({"asset_id": asset, "time": instants})
        frame["speed"] = np.where(rng.random(len(frame)) < 0.4, 0.0, rng.uniform(2, 90, len(frame)))
        frame["temp"] = rng.normal(60, 5, len(frame))
        frame["odometer"] = 1000 + np.cumsum(frame["speed"]) / 6
        for name in ("speed", "temp", "odometer"):
            frame.loc[rng.random(len(frame)) < 0.15, name] = np.nan
        frames.append(frame)
    faults = pd.DataFrame(
        {
            "asset_id": rng.choice(["A", "B", "C"], 80),
            "code": rng.choice(["F1", "F2", "Z9"], 80),
            "time": start + rng.integers(0, days * 24, 80) * HOUR,
            "state": rng.choice(["set", "clear"], 80),
        }
    )
    return pd.concat(frames, ignore_index=True), faults.sort_values(["asset_id", "time"], ignore_index=True)


def slow_row(
    asset_type: AssetType, zone: ZoneInfo, measurements: pd.DataFrame, faults: pd.DataFrame, asset: str, day: date
):
    start, end = day_bounds(zone, day)
    samples = [s for s in measurements.to_dict("records") if s["asset_id"] == asset and start <= s["time"] < end]
    row: dict[str, float] = {}
    operating: list[bool] = []
    hours = 0.0
    known = [s for s in samples if np.isfinite(s["speed"])]
    for s in samples:
        before = [k for k in known if k["time"] <= s["time"]]
        operating.append(bool(before) and s["time"] - before[-1]["time"] <= HOUR / 3 and before[-1]["speed"] > 1)
    for i, s in enumerate(known):
        gap = known[i + 1]["time"] - s["time"] if i + 1 < len(known) else 10**18
        if s["speed"] > 1:
            hours += (gap if gap <= HOUR / 3 else HOUR / 6) / HOUR
    today = list(zip(samples, operating, strict=True))
    has_data = any(np.isfinite(s[n]) for s, _ in today for n in ("speed", "temp", "odometer"))
    for name in ("speed", "temp"):
        values = np.array([s[name] for s, on in today if on and np.isfinite(s[name])])
        row[f"{name}.mean"] = values.mean() if len(values) else np.nan
        row[f"{name}.std"] = values.std(ddof=1) if len(values) > 1 else np.nan
        row[f"{name}.min"] = values.min() if len(values) else np.nan
        row[f"{name}.max"] = values.max() if len(values) else np.nan
        row[f"{name}.p05"] = np.quantile(values, 0.05) if len(values) else np.nan
        row[f"{name}.p95"] = np.quantile(values, 0.95) if len(values) else np.nan
    events = [
        f
        for f in faults.to_dict("records")
        if f["asset_id"] == asset and f["state"] == "set" and start <= f["time"] < end
    ]
    for code in ("F1", "F2"):
        count = sum(f["code"] == code for f in events)
        row[f"faults.{code}.count"] = count if has_data or events else np.nan
        hours_of_day = [(f["time"] - start) / HOUR for f in events if f["code"] == code]
        row[f"faults.{code}.first"] = min(hours_of_day, default=np.nan)
        row[f"faults.{code}.last"] = max(hours_of_day, default=np.nan)
    row["faults.count"] = len(events) if has_data or events else np.nan
    row["exposure.hours"] = min(hours, (end - start) / HOUR) if has_data else np.nan
    counter = [s["odometer"] for s, _ in today if np.isfinite(s["odometer"])]
    row["exposure.distance"] = float(np.maximum(np.diff(counter), 0).sum()) if len(counter) > 1 else np.nan
    expected = np.floor(min(18.0, (end - start) / HOUR) * 6)
    arrived = [sum(np.isfinite(s[n]) for s, _ in today) for n in ("speed", "temp", "odometer")]
    row["completeness"] = float(np.mean([min(a / expected, 1.0) for a in arrived]))
    return row


@pytest.mark.parametrize(
    ("zone", "first"),
    [(ZoneInfo("UTC"), date(2026, 5, 1)), (MADRID, date(2026, 3, 27)), (ZoneInfo("Asia/Shanghai"), date(2026, 1, 1))],
)
def test_base_panel_agrees_with_a_loop(zone: ZoneInfo, first: date) -> None:
    measurements, faults = fleet(zone, first, 4, seed=len(zone.key))
    days = [np.datetime64(first) + d for d in range(-1, 5)]
    asset_days = panel_index([a for a in "ABD" for _ in days], days * 3)
    panel = base_panel(kind(), zone, measurements, faults, asset_days)
    assert panel.index.equals(asset_days)
    assert (panel.dtypes == np.float64).all()
    for asset, day in asset_days:
        slow = slow_row(kind(), zone, measurements, faults, asset, day.date())
        assert set(slow) == set(panel.columns)
        for name, value in slow.items():
            np.testing.assert_allclose(panel.loc[(asset, day), name], value, rtol=1e-9, err_msg=f"{asset} {day} {name}")


def test_rows_in_any_order_give_the_same() -> None:
    measurements, faults = fleet(MADRID, date(2026, 3, 27), 4, seed=1)
    asset_days = panel_index(["A"] * 4 + ["B"] * 4, [np.datetime64("2026-03-27") + d for d in range(4)] * 2)
    expected = base_panel(kind(), MADRID, measurements, faults, asset_days)
    shuffled = base_panel(
        kind(),
        MADRID,
        measurements.sample(frac=1, random_state=1),
        faults.sample(frac=1, random_state=1),
        asset_days[::-1],
    )
    pd.testing.assert_frame_equal(shuffled[::-1], expected, rtol=1e-12)


def test_a_day_is_the_same_whichever_days_are_read_with_it() -> None:
    """Samples around midnight, more often than their period, and the operating signal in messages of its own."""
    first, count = date(2026, 3, 27), 4
    measurements, faults = fleet(MADRID, first, count, seed=5)
    between = measurements["time"] + np.random.default_rng(6).integers(0, 300, len(measurements)) * 1_000_000_000
    measurements["time"] = between
    days = [np.datetime64(first, "D") + n for n in range(count)]
    assets = ["A", "B", "C"]
    index = panel_index([a for a in assets for _ in days], days * len(assets))
    together = base_panel(kind(), MADRID, measurements, faults, index)
    for day in days:
        begin, end = day_bounds(MADRID, day.astype(object))
        of_day = panel_index(assets, [day] * len(assets))
        its, its_faults = (f[(f["time"] >= begin) & (f["time"] < end)] for f in (measurements, faults))
        alone = base_panel(kind(), MADRID, its.reset_index(drop=True), its_faults.reset_index(drop=True), of_day)
        assert np.isfinite(alone["exposure.hours"]).all()
        pd.testing.assert_frame_equal(together.loc[of_day, alone.columns], alone, rtol=1e-12)


def test_codes_that_are_not_declared_are_columns_only_in_an_open_vocabulary() -> None:
    measurements, faults = fleet(MADRID, date(2026, 3, 27), 4, seed=1)
    asset_days = panel_index(["A"] * 4, [np.datetime64("2026-03-27") + d for d in range(4)])
    closed = base_panel(kind(), MADRID, measurements, faults, asset_days)
    opened = base_panel(kind(open_vocabulary=True), MADRID, measurements, faults, asset_days)
    assert "faults.Z9.count" not in closed
    codes = ["faults.F1.count", "faults.F2.count", "faults.Z9.count"]
    np.testing.assert_array_equal(opened[codes].sum(axis=1), opened["faults.count"])
    np.testing.assert_array_equal(opened["faults.count"], closed["faults.count"])


def test_a_day_without_data_knows_nothing_unless_a_fault_came() -> None:
    asset_days = panel_index(["A", "A"], [np.datetime64("2026-03-27"), np.datetime64("2026-03-28")])
    at, _ = day_bounds(MADRID, date(2026, 3, 28))
    fault = pd.DataFrame({"asset_id": ["A"], "code": ["F1"], "time": [at], "state": ["set"]})
    measurements = fleet(MADRID, date(2026, 3, 27), 1, seed=1)[0].head(0)
    panel = base_panel(kind(), MADRID, measurements, fault, asset_days)
    assert panel.iloc[0].drop("completeness").isna().all()
    assert list(panel["completeness"]) == [0, 0]
    assert panel.iloc[1][["faults.F1.count", "faults.F2.count", "faults.count"]].tolist() == [1, 0, 1]
    assert np.isnan(panel.iloc[1]["exposure.hours"])


def test_one_sample_a_day_has_a_mean_and_no_spread() -> None:
    daily = kind(
        signals=(Signal(name="temp", unit="degC", period=86400),), operating=None, distance=None, reporting_hours=24.0
    )
    days = [np.datetime64("2026-01-01") + d for d in range(3)]
    start, _ = day_bounds(ZoneInfo("UTC"), date(2026, 1, 1))
    frame = pd.DataFrame({"asset_id": "A", "time": [start + d * 24 * HOUR for d in range(3)], "temp": [1.0, 2.0, 3.0]})
    panel = base_panel(daily, ZoneInfo("UTC"), frame, no_faults(), panel_index(["A"] * 3, days))
    assert panel["temp.mean"].tolist() == panel["temp.p95"].tolist() == [1, 2, 3]
    assert panel["temp.std"].isna().all()
    assert panel["exposure.hours"].tolist() == [24, 24, 24]
    assert panel["completeness"].tolist() == [1, 1, 1]
    assert panel["faults.count"].tolist() == [0, 0, 0]


def test_a_type_without_signals_is_complete_and_knows_its_faults() -> None:
    bare = kind(signals=(), operating=None, distance=None)
    asset_days = panel_index(["A"], [np.datetime64("2026-01-01")])
    nothing = pd.DataFrame({"asset_id": pd.Series([], dtype="str"), "time": pd.Series([], dtype="int64")})
    panel = base_panel(bare, MADRID, nothing, no_faults(), asset_days)
    assert panel["faults.count"].tolist() == [0]
    assert panel["completeness"].tolist() == [1]


def test_one_asset_that_reports_a_thousand_times_as_often_costs_no_more_than_its_samples() -> None:
    often = kind(signals=(Signal(name="temp", unit="degC"),), operating=None, distance=None)
    start, end = day_bounds(ZoneInfo("UTC"), date(2026, 1, 1))
    assets = [f"A{i:04}" for i in range(2000)]
    dense = np.linspace(start, end - 10**9, 40_000).astype(np.int64)
    frame = pd.DataFrame({"asset_id": assets + ["B"] * len(dense), "time": np.append(np.full(2000, start), dense)})
    frame["temp"] = np.random.default_rng(0).normal(size=len(frame))
    tracemalloc.start()
    panel = base_panel(
        often,
        ZoneInfo("UTC"),
        frame,
        no_faults(),
        panel_index([*assets, "B"], [np.datetime64(date(2026, 1, 1))] * 2001),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    expected = np.quantile(frame["temp"].tail(len(dense)), 0.95)
    assert panel.loc["B", "temp.p95"].item() == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(panel["temp.max"].head(2000), frame["temp"].head(2000))


def test_empty_in_empty_out() -> None:
    measurements, faults = fleet(MADRID, date(2026, 3, 27), 1, seed=1)
    panel = base_panel(kind(), MADRID, measurements, faults, panel_index([], []))
    assert panel.empty
    assert {f"temp.{s}" for s in STATISTICS} < set(panel.columns)


def test_faults_as_a_store_returns_them() -> None:
    _, faults = fleet(MADRID, date(2026, 3, 27), 2, seed=1)
    stored = faults.assign(occurrence=0, severity="", context=json.dumps({}))
    asset_days = panel_index(["A"], [np.datetime64("2026-03-27")])
    empty = fleet(MADRID, date(2026, 3, 27), 1, seed=1)[0].head(0)
    pd.testing.assert_frame_equal(
        base_panel(kind(), MADRID, empty, stored, asset_days), base_panel(kind(), MADRID, empty, faults, asset_days)
    )
