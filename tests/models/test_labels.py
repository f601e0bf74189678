"""Which days are healthy, by hand."""

from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from models.evaluation import fails_within
from models.labels import days_left, healthy_days, learnable_days, local_days
from models.panel import panel_index


def events(*rows: tuple[str, str]) -> pd.DataFrame:
    times = [pd.Timestamp(time).value for _, time in rows]
    return pd.DataFrame({"asset_id": [asset for asset, _ in rows], "time": np.array(times, dtype=np.int64)})


DAYS = [np.datetime64("2026-01-01") + d for d in range(10)]


def unhealthy(failures: pd.DataFrame, maintenance: pd.DataFrame, **more: object) -> list[tuple[str, int]]:
    index = panel_index(["A"] * 10 + ["B"] * 10, DAYS * 2)
    found = healthy_days(index, failures, maintenance, **more)  # type: ignore[arg-type]
    return [(asset, day.day) for asset, day in found[~found].index]


def test_days_before_a_failure_and_after_a_repair_are_not_healthy() -> None:
    failures, maintenance = events(("A", "2026-01-05T06:00Z"), ("Z", "2026-01-05T06:00Z")), events(("B", "2026-01-02"))
    assert unhealthy(failures, maintenance, before_days=2, after_days=1) == [
        ("A", 3), ("A", 4), ("A", 5), ("A", 6), ("B", 2), ("B", 3)
    ]  # fmt: skip


def test_what_lies_outside_the_panel_reaches_into_it() -> None:
    failures = events(("A", "2026-01-12T00:00Z"), ("B", "2025-12-31T12:00Z"))
    assert unhealthy(failures, events(), before_days=3, after_days=2) == [("A", 9), ("A", 10), ("B", 1), ("B", 2)]


def test_days_are_the_assets_own() -> None:
    at = events(("A", "2026-01-04T20:00Z"), ("B", "2026-01-04T20:00Z"))
    zones = {"A": ZoneInfo("Asia/Shanghai")}
    assert local_days(at, zones).astype(str).tolist() == ["2026-01-05", "2026-01-04"]
    assert unhealthy(at, events(), before_days=0, after_days=0, zones=zones) == [("A", 5), ("B", 4)]


def test_without_events_all_is_healthy() -> None:
    assert unhealthy(events(), events()) == []


def test_days_that_were_found_sound_are_healthy_but_for_the_last_before_a_failure() -> None:
    failures = events(("A", "2026-01-10T06:00Z"))
    sound = pd.DataFrame({"asset_id": ["A", "A", "A", "Z"], "day": [DAYS[2], DAYS[3], DAYS[7], DAYS[2]]})
    sound["day"] = sound["day"].astype("datetime64[s]")
    found = unhealthy(failures, events(), before_days=8, after_days=0, sound=sound, certain_days=3)
    assert found == [("A", 2), ("A", 5), ("A", 6), ("A", 7), ("A", 8), ("A", 9), ("A", 10)]


def test_days_left_are_counted_from_the_days_end_to_the_next_failure() -> None:
    failures = events(
        ("A", "2026-01-05T06:00Z"), ("A", "2026-01-05T18:00Z"), ("A", "2026-01-12T00:00Z"), ("Z", "2026-01-02")
    )
    index = panel_index(["A"] * 10 + ["B"] * 10, DAYS * 2)
    left = days_left(index, failures)
    np.testing.assert_allclose(left[:10], [3.25, 2.25, 1.25, 0.25, 6, 5, 4, 3, 2, 1])
    assert np.isinf(left[10:]).all()
    assert np.isinf(days_left(index, events())).all()


def test_days_left_are_of_the_assets_own_days_and_agree_with_what_fails_within() -> None:
    index = panel_index(["A"] * 10 + ["B"] * 10, DAYS * 2)
    failures = events(("A", "2026-01-04T20:00Z"), ("B", "2026-01-04T20:00Z"), ("B", "2025-12-30T20:00Z"))
    zones = {"A": ZoneInfo("Asia/Shanghai")}
    left = days_left(index, failures, zones)
    np.testing.assert_allclose(left[:4], [3 + 4 / 24, 2 + 4 / 24, 1 + 4 / 24, 4 / 24])
    np.testing.assert_allclose(left[10:13], [2 + 20 / 24, 1 + 20 / 24, 20 / 24])
    for days in (1, 2, 3, 7):
        np.testing.assert_array_equal(left <= days, fails_within(index, failures, days, zones))


def test_a_fleet_that_fails_all_the_time_is_learned_from_on_its_quietest_days() -> None:
    index = panel_index(["A"] * 60, [np.datetime64("2026-01-01") + d for d in range(60)])
    often = events(*(("A", f"2026-{month:02}-{day:02}T12:00Z") for month in (1, 2) for day in (5, 15, 25)))
    assert not healthy_days(index, often, events()).head(50).any()
    learned = learnable_days(index, often, events())
    assert [day.day for _, day in learned[learned].index if day.month == 1] == [
        7,
        17,
        27,
        28,
    ]  # more than a week before
    seldom = events(("A", "2026-02-05T12:00Z"))
    pd.testing.assert_series_equal(
        learnable_days(index, seldom, events()), healthy_days(index, seldom, events()), check_exact=True
    )
