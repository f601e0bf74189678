"""Ages and phases from service records, against hand-written days."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from models.panel import panel_index
from models.service import component_of_mode, components_of, service_columns, usual_interval

DAY = 86_400 * 10**9


def _records(*rows: tuple[str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["asset_id", "time", "what"])
    return frame.assign(time=pd.to_datetime(frame["time"], utc=True).dt.as_unit("ns").astype("int64"))


def _index(asset_id: str, first: str, days: int) -> pd.MultiIndex:
    return panel_index([asset_id] * days, list(np.datetime64(first, "D") + np.arange(days)))


def test_an_age_counts_from_the_last_renewal_and_knows_nothing_before_the_first() -> None:
    records = _records(("A", "2026-01-03T06:00Z", "pump: replaced"), ("A", "2026-01-06T23:00Z", "pump: replaced"))
    age = service_columns(_index("A", "2026-01-01", 8), records, ["pump"], None)["service.pump.age"]
    np.testing.assert_array_equal(age, [np.nan, np.nan, 0, 1, 2, 0, 1, 2])


def test_a_renewal_before_the_panel_counts_and_one_of_another_asset_or_component_does_not() -> None:
    records = _records(
        ("A", "2025-12-01T06:00Z", "pump: replaced"),
        ("B", "2026-01-02T06:00Z", "pump: replaced"),
        ("A", "2026-01-02T06:00Z", "belt: adjusted"),
    )
    columns = service_columns(_index("A", "2026-01-01", 3), records, ["belt", "pump"], None)
    np.testing.assert_array_equal(columns["service.pump.age"], [31, 32, 33])
    np.testing.assert_array_equal(columns["service.belt.age"], [np.nan, 0, 1])


def test_days_are_those_of_the_site() -> None:
    records = _records(("A", "2026-01-01T17:00Z", "pump: replaced"))  # 2 January in Shanghai
    zones = {"A": ZoneInfo("Asia/Shanghai")}
    age = service_columns(_index("A", "2026-01-01", 3), records, ["pump"], None, zones)["service.pump.age"]
    np.testing.assert_array_equal(age, [np.nan, 0, 1])


def test_a_usual_interval_gives_the_phase_and_the_age_at_the_next_visit() -> None:
    visits = [
        (f"A{asset}", str(np.datetime64("2026-01-01") + 15 * visit) + "T06:00Z", "pump: replaced")
        for asset in range(5)
        for visit in range(8)
    ]
    records = _records(*visits, ("A0", "2026-01-05T06:00Z", "belt: adjusted"))
    interval = usual_interval(records)
    assert interval == 15
    columns = service_columns(_index("A1", "2026-01-14", 3), records, ["pump"], interval)
    np.testing.assert_array_equal(columns["service.phase"], [13, 14, 0])
    np.testing.assert_array_equal(columns["service.pump.due"], [15, 15, 15])


def test_irregular_visits_have_no_usual_interval() -> None:
    rng = np.random.default_rng(0)
    days = np.datetime64("2026-01-01") + np.cumsum(rng.integers(5, 60, 80))
    assert (
        usual_interval(_records(*((f"A{n % 2}", f"{day}T06:00Z", "pump: done") for n, day in enumerate(days)))) is None
    )


def test_the_component_of_a_mode_is_what_is_renewed_after_it() -> None:
    failures = _records(*(("A", f"2026-{month:02}-10T06:00Z", "LEAK") for month in (1, 2, 3)))
    maintenance = _records(
        ("A", "2026-01-11T06:00Z", "hose: replaced"),
        ("A", "2026-02-10T09:00Z", "hose: replaced"),
        ("A", "2026-03-12T09:00Z", "valve: replaced"),
        *(("A", f"2026-0{month}-25T06:00Z", "valve: replaced") for month in (1, 2, 3)),
    )
    assert components_of(maintenance) == ["hose", "valve"]
    assert component_of_mode("LEAK", maintenance, failures) == "hose"
    assert component_of_mode("OTHER", maintenance, failures) is None


def test_without_records_nothing_is_known() -> None:
    nothing = _records()
    index = _index("A", "2026-01-01", 3)
    assert components_of(nothing) == []
    assert usual_interval(nothing) is None
    assert component_of_mode("LEAK", nothing, nothing) is None
    assert service_columns(index, nothing, [], None).shape == (3, 0)
    assert service_columns(index, nothing, ["pump"], 15).isna().all().all()
