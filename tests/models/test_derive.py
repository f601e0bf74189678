"""Look-back columns against the same said slowly, and that nothing looks ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom

from models.derive import CLIP, FURTHER, LOOK_BACK_DAYS, MAX_EXCESS, derived_panel, is_look_back
from models.panel import panel_index
from models.renewals import Renewals

FIRST = np.datetime64("2026-01-01")
GROUPS = pd.Series({f"A{i}": "north" if i < 6 else "south" for i in range(9)})


def base(days: int = 75, assets: int = 9, seed: int = 0, gaps: float = 0.1) -> pd.DataFrame:
    """A fleet with faults, days of nothing, a signal that stands still and one that almost does."""
    rng = np.random.default_rng(seed)
    rows = [(f"A{a}", FIRST + d) for a in range(assets) for d in range(days) if rng.random() > gaps / 2]
    index = panel_index([r[0] for r in rows], [r[1] for r in rows])
    n = len(index)
    frame = pd.DataFrame(
        {
            "temp.mean": rng.normal(60, 4, n),
            "still.max": np.full(n, 7.1),
            "rare.p95": np.where(rng.random(n) < 0.05, 1.0, 0.0),
            "faults.F1.count": rng.poisson(0.3, n).astype(float),
            "faults.F2.count": rng.poisson(0.02, n).astype(float),
            "exposure.hours": rng.integers(0, 320, n) / 16,
            "completeness": 1.0,
        },
        index=index,
    )
    frame["faults.count"] = frame["faults.F1.count"] + frame["faults.F2.count"]
    frame.loc[rng.random(n) < gaps, ["temp.mean", "exposure.hours"]] = np.nan
    frame.loc[rng.random(n) < gaps, ["faults.F1.count", "faults.F2.count", "faults.count"]] = np.nan
    return frame


def mad(values: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def usual(spreads: list[float]) -> float:
    return float(np.median(spreads)) or float(np.mean(spreads))


def z(value: float, centre: float, own: float, n: int, fleet: float) -> float:
    if abs(value - centre) <= 1e-9 * abs(centre):
        return 0.0
    scale = np.sqrt((n * own**2 + 10 * fleet**2) / (n + 10))
    return float(np.clip((value - centre) / scale, -CLIP, CLIP)) if scale > 1e-9 * abs(centre) else np.nan


class Slow:
    """The columns of one (asset, day), by dictionaries and lists."""

    def __init__(self, frame: pd.DataFrame, renewed: Mapping[str, Sequence[pd.Timestamp]] | None = None) -> None:
        self.renewed = renewed or {}
        self.rows = {(asset, day): row for (asset, day), row in zip(frame.index, frame.to_dict("records"), strict=True)}
        self.assets = sorted({asset for asset, _ in self.rows})
        self.known, self.hours = cache(self._known), cache(self._hours)

    def _known(self, asset: str, day: pd.Timestamp, name: str, start: int, end: int) -> np.ndarray:
        days = [day - pd.Timedelta(days=d) for d in range(start, end)]
        values = [self.rows[asset, d][name] for d in days if (asset, d) in self.rows]
        return np.array([v for v in values if not np.isnan(v)])

    def age(self, asset: str, day: pd.Timestamp, name: str) -> int:
        """How many days ago what ``temp`` speaks of was renewed."""
        since = [(day - at).days for at in self.renewed.get(asset, ()) if at <= day and name == "temp.mean"]
        return min(since, default=1000)

    def own(self, asset: str, day: pd.Timestamp, name: str) -> float:
        pasts = {a: self.known(a, day, name, 1, min(LOOK_BACK_DAYS + 1, self.age(a, day, name))) for a in self.assets}
        value = self.rows[asset, day][name]
        if len(pasts[asset]) < 7 or np.isnan(value):
            return np.nan
        fleet = usual([mad(p) for p in pasts.values() if len(p) >= 7])
        return z(value, float(np.median(pasts[asset])), mad(pasts[asset]), len(pasts[asset]), fleet)

    def group(self, asset: str, day: pd.Timestamp, name: str) -> np.ndarray:
        members = [a for a in self.assets if GROUPS[a] == GROUPS[asset]]
        return np.array([v for a in members for v in self.known(a, day, name, 0, 1)])

    def peers(self, asset: str, day: pd.Timestamp, name: str) -> float:
        today, value = self.group(asset, day, name), self.rows[asset, day][name]
        if len(today) < 5 or np.isnan(value):
            return np.nan
        past = [self.group(asset, day - pd.Timedelta(days=d), name) for d in range(1, LOOK_BACK_DAYS + 1)]
        spreads = [mad(p) for p in past if len(p) >= 5]
        return z(value, float(np.median(today)), mad(today), len(today), usual(spreads) if spreads else mad(today))

    def beside(self, asset: str, day: pd.Timestamp, name: str, start: int, end: int) -> list[tuple[int, float]]:
        """The known values less the group's median of their day, and how many days ago each is."""
        members = [a for a in self.assets if GROUPS[a] == GROUPS[asset]]
        found = []
        for ago in range(start, end):
            at = day - pd.Timedelta(days=ago)
            today = [v for a in members for v in self.known(a, at, name, 0, 1)]
            middle = np.median(today) if len(today) > 4 else np.nan
            if len(members) <= 4:
                middle = 0.0
            if ago < self.age(asset, day, name):
                found += [(ago, v - middle) for v in self.known(asset, at, name, 0, 1) if not np.isnan(middle)]
        return found

    def drift(self, asset: str, day: pd.Timestamp, name: str) -> float:
        pasts = {a: np.array([v for _, v in self.beside(a, day, name, 14, 61)]) for a in self.assets}
        recent = self.beside(asset, day, name, 0, 14)
        if len(recent) < 7 or recent[0][0] != 0 or len(pasts[asset]) < 7:
            return np.nan
        weights = np.array([0.8**ago for ago, _ in recent])
        mean = float((weights * [v for _, v in recent]).sum() / weights.sum())
        fleet = usual([mad(p) for p in pasts.values() if len(p) >= 7])
        past = pasts[asset]
        error = np.sqrt((weights**2).sum() / weights.sum() ** 2 + np.pi / 2 / len(past))
        spread = np.sqrt((len(past) * mad(past) ** 2 + 10 * fleet**2) / (len(past) + 10)) * error
        centre = float(np.median(past))
        if abs(mean - centre) <= 1e-9 * abs(centre):
            return 0.0
        return float(np.clip((mean - centre) / spread, -CLIP, CLIP)) if spread > 1e-9 * abs(centre) else np.nan

    def _hours(self, asset: str, day: pd.Timestamp) -> float:
        row = self.rows.get((asset, day))
        if row is None or np.isnan(row["faults.count"]):
            return 0.0
        if np.isnan(row["exposure.hours"]):
            others = [v for a in self.assets for v in self.known(a, day, "exposure.hours", 0, 1)]
            return max(float(np.median(others)), 1.0) if others else 24.0
        return max(row["exposure.hours"], 1.0)

    def total_hours(self, asset: str, day: pd.Timestamp, start: int, end: int) -> float:
        return sum(self.hours(asset, day - pd.Timedelta(days=d)) for d in range(start, end))

    def rate(self, asset: str, day: pd.Timestamp, name: str) -> tuple[float, float]:
        end = LOOK_BACK_DAYS + 1
        past_days = sum(len(self.known(a, day, "faults.count", 3, end)) for a in self.assets)
        if np.isnan(self.rows[asset, day][name]) or past_days < 7:
            return np.nan, np.nan
        fleet_hours = sum(self.total_hours(a, day, 3, end) for a in self.assets)
        fleet_rate = sum(self.known(a, day, name, 3, end).sum() for a in self.assets) / fleet_hours
        prior = 14 * fleet_hours / past_days
        own = (self.known(asset, day, name, 3, end).sum() + prior * fleet_rate) / (
            self.total_hours(asset, day, 3, end) + prior
        )
        recent, hours = self.known(asset, day, name, 0, 3).sum(), self.total_hours(asset, day, 0, 3)
        past_hours = self.total_hours(asset, day, 3, end) + prior
        shape = own * past_hours + 0.5
        tail = nbinom.sf(recent - 1, shape, past_hours / (past_hours + hours))
        rate = np.log((0.5 + recent) / (0.5 + own * hours))
        return float(rate), min(float(-np.log(tail)) if recent else 0.0, MAX_EXCESS)

    def novel(self, asset: str, day: pd.Timestamp) -> float:
        if np.isnan(self.rows[asset, day]["faults.count"]):
            return np.nan
        if len(self.known(asset, day, "faults.count", 1, LOOK_BACK_DAYS + 1)) < 7:
            return np.nan
        names = ["faults.F1.count", "faults.F2.count"]
        return float(
            sum(
                self.rows[asset, day][n] > 0 and not self.known(asset, day, n, 1, LOOK_BACK_DAYS + 1).any()
                for n in names
            )
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_derived_columns_agree_with_a_loop(seed: int) -> None:
    frame = base(seed=seed)
    derived = derived_panel(frame, GROUPS, further=FURTHER)
    pd.testing.assert_frame_equal(derived[frame.columns], frame, check_exact=True)
    slow = Slow(frame)
    rng = np.random.default_rng(seed)
    for number in rng.choice(len(frame), 60, replace=False):
        asset, day = frame.index[number]
        expected = {f"{n}.{kind}": call(asset, day, n) for n in ("temp.mean", "still.max", "rare.p95")
                    for kind, call in (("own", slow.own), ("peers", slow.peers), ("drift", slow.drift))}  # fmt: skip
        for name in ("faults.F1", "faults.F2", "faults"):
            expected[f"{name}.rate"], expected[f"{name}.excess"] = slow.rate(asset, day, f"{name}.count")
        expected["faults.novel"] = slow.novel(asset, day)
        assert set(expected) == {c for c in derived if is_look_back(c)} == set(derived.columns) - set(frame.columns)
        for name, value in expected.items():
            np.testing.assert_allclose(derived[name].iloc[number], value, rtol=1e-9, atol=1e-9, err_msg=f"{name} {day}")


def records(renewed: Mapping[str, Sequence[int]], component: str = "bearing") -> Renewals:
    """Renewals at noon of some days of each asset; ``temp`` alone speaks of the bearing."""
    start = FIRST.astype("datetime64[ns]").astype(int) + 12 * 3600 * 10**9
    rows = [(asset, start + d * 86_400 * 10**9, f"{component}: replaced") for asset, at in renewed.items() for d in at]
    maintenance = pd.DataFrame(rows, columns=["asset_id", "time", "what"]).astype({"time": "int64"})
    return Renewals({"temp": "bearing"}, maintenance, dict.fromkeys(GROUPS.index, ZoneInfo("UTC")))


@pytest.mark.slow
def test_the_own_past_of_a_renewed_component_agrees_with_a_loop() -> None:
    frame, renewed = base(), {"A0": [-9, 20], "A1": [30, 41], "A2": [74], "A5": [0], "A8": [80]}
    derived = derived_panel(frame, GROUPS, further=FURTHER, renewals=records(renewed))
    slow = Slow(frame, {asset: [pd.Timestamp(FIRST + d) for d in at] for asset, at in renewed.items()})
    told = 0
    for number, (asset, day) in enumerate(frame.index):
        if asset in renewed and day >= pd.Timestamp(FIRST + 15):
            for name, call in (("temp.mean.own", slow.own), ("temp.mean.drift", slow.drift)):
                expected, found = call(asset, day, "temp.mean"), derived[name].iloc[number]
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=f"{name} {asset} {day}")
                told += np.isfinite(expected)
    assert told > 300
    plain = derived_panel(frame, GROUPS, further=FURTHER)
    others = [name for name in plain if name not in ("temp.mean.own", "temp.mean.drift")]
    pd.testing.assert_frame_equal(derived[others], plain[others], check_exact=True)


def test_records_of_what_no_signal_speaks_of_change_nothing() -> None:
    frame = base()
    plain = derived_panel(frame, GROUPS, further=FURTHER)
    others = records({"A0": [20, 40], "A4": [60]}, component="seal")
    for renewals in (others, Renewals({}, records({"A0": [20]}).maintenance, {}), records({})):
        found = derived_panel(frame, GROUPS, further=FURTHER, renewals=renewals)
        pd.testing.assert_frame_equal(found, plain, check_exact=True)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(GROUPS.index)), st.integers(-5, 80)), max_size=8),
    st.sampled_from(list(GROUPS.index)),
    st.integers(1, 74),
)
def test_a_later_record_changes_no_earlier_day(before: list[tuple[str, int]], asset: str, day: int) -> None:
    frame = base()
    known: dict[str, list[int]] = {}
    for name, at in before:
        known.setdefault(name, []).append(at)
    later = {**known, asset: [*known.get(asset, []), day]}
    kept = frame.index.get_level_values(1) < pd.Timestamp(FIRST + day)
    first, second = (
        derived_panel(frame, GROUPS, further=FURTHER, renewals=records(renewed)) for renewed in (known, later)
    )
    pd.testing.assert_frame_equal(first[kept], second[kept], check_exact=True)


def test_equal_numbers_of_signals_with_and_without_a_component_are_told_apart() -> None:
    frame = base().assign(**{"copy.mean": lambda f: f["temp.mean"], "temp.max": lambda f: f["temp.mean"]})
    derived = derived_panel(frame, GROUPS, renewals=records({"A0": [40]}))
    after = (slice("A0", "A0"), slice(pd.Timestamp(FIRST + 41), pd.Timestamp(FIRST + 45)))
    assert derived.loc[after, "temp.mean.own"].isna().all()
    pd.testing.assert_series_equal(derived["temp.max.own"], derived["temp.mean.own"], check_names=False)
    assert derived.loc[after, "copy.mean.own"].notna().any()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 70), st.sampled_from([np.nan, 0.0, 1e6]))
def test_what_comes_later_changes_nothing(seed: int, day: int, later: float) -> None:
    frame = base(seed=seed)
    kept = frame.index.get_level_values(1) <= pd.Timestamp(FIRST + day)
    changed = frame.copy()
    changed.loc[~kept] = later
    whole = derived_panel(frame, GROUPS, further=FURTHER)[kept]
    pd.testing.assert_frame_equal(derived_panel(changed, GROUPS, further=FURTHER)[kept], whole, check_exact=True)
    if set(frame[kept].index.get_level_values(0)) == set(GROUPS.index):
        pd.testing.assert_frame_equal(derived_panel(frame[kept], GROUPS, further=FURTHER), whole, rtol=1e-12)


@pytest.mark.parametrize("renewals", [None, records({"A0": [60, 130], "A1": [110], "A2": [139]})])
def test_a_day_needs_no_more_past_than_the_look_back(renewals: Renewals | None) -> None:
    """What the service reads for one day gives what the walk through all of history gives."""
    frame = base(days=140)
    last = FIRST + 139
    in_reach = frame.index.get_level_values(1) >= pd.Timestamp(last - LOOK_BACK_DAYS)
    today = derived_panel(frame[in_reach], GROUPS, since=last, further=FURTHER, renewals=renewals)
    walked = derived_panel(frame, GROUPS, further=FURTHER, renewals=renewals)
    assert set(today.index.get_level_values(1)) == {pd.Timestamp(last)}
    pd.testing.assert_frame_equal(today, walked[walked.index.get_level_values(1) == pd.Timestamp(last)], rtol=1e-12)


def test_a_busy_day_is_no_anomaly_and_a_burst_of_faults_is() -> None:
    frame = base(days=60, gaps=0.0)
    frame["exposure.hours"] = 8.0
    for code in ("F1", "F2"):
        frame[f"faults.{code}.count"] = 1.0
    frame["faults.count"] = 2.0
    last = pd.Timestamp(FIRST + 59)
    busy, burst = ("A1", last), ("A2", last)
    frame.loc[busy, ["exposure.hours", "faults.F1.count"]] = [24.0, 3.0]
    frame.loc[burst, "faults.F1.count"] = 30.0
    derived = derived_panel(frame, GROUPS, further=["excess"])
    rate, excess = derived["faults.F1.rate"], derived["faults.F1.excess"]
    assert abs(rate[busy]) < 0.01
    assert rate[burst] > 2
    assert excess[busy] < 1.5  # so many sets or more: no rarer than one day in four
    assert excess[burst] > 20


def test_the_same_faults_surprise_on_an_idle_day_and_not_on_a_busy_one() -> None:
    frame = base(days=60, gaps=0.0)
    frame["exposure.hours"] = 8.0
    frame["faults.F1.count"] = frame["faults.count"] = 1.0
    last = pd.Timestamp(FIRST + 59)
    frame.loc[("A1", last), ["exposure.hours", "faults.F1.count"]] = [72.0, 9.0]
    frame.loc[("A2", last), "faults.F1.count"] = 9.0
    excess = derived_panel(frame, GROUPS, further=["excess"])["faults.F1.excess"]
    assert excess["A1", last] < 1.5 < 6 < excess["A2", last]


def test_a_slow_drift_is_seen_in_the_mean_of_days_and_a_season_is_none() -> None:
    """Each day lies within three sigmas of the asset's own past; two weeks of them do not."""
    frame = base(days=75, gaps=0.0)
    day = (frame.index.get_level_values(1).to_numpy() - FIRST) / np.timedelta64(1, "D")
    asset = frame.index.get_level_values(0)
    noise = np.random.default_rng(3).normal(0, 1, len(frame))
    frame["temp.mean"] = 60 + noise + 0.1 * np.maximum(day - 55, 0) * np.where(asset == "A3", 1.0, 0.0)
    frame["season.mean"] = 60 + noise + 0.3 * np.maximum(day - 55, 0)
    derived = derived_panel(frame, GROUPS, further=["drift"])
    last = derived.index.get_level_values(1) == pd.Timestamp(FIRST + 74)
    drift = derived["temp.mean.drift"][last].droplevel(1)
    assert abs(derived["temp.mean.own"][last].droplevel(1)["A3"]) < 3
    assert drift["A3"] > 3.5
    north = GROUPS.index[GROUPS == "north"].drop("A3")  # large enough to know what all did
    assert drift[north].abs().max() < 3
    assert derived["season.mean.drift"][last].droplevel(1)[north].abs().max() < 3


def test_further_columns_are_derived_only_when_asked_for() -> None:
    plain, all_kinds = derived_panel(base(), GROUPS), derived_panel(base(), GROUPS, further=FURTHER)
    assert not [name for name in plain if name.endswith((".drift", ".excess"))]
    assert [name for name in all_kinds if name not in plain] == [
        *(f"{name}.drift" for name in ("temp.mean", "still.max", "rare.p95")),
        "faults.F1.excess", "faults.F2.excess", "faults.excess",
    ]  # fmt: skip


def test_a_signal_that_never_moved_has_no_scale_and_one_that_barely_moved_does_not_explode() -> None:
    frame = base(days=40, gaps=0.0)
    frame["barely.mean"] = 100.0
    noisy = frame.index.get_level_values(0) != "A3"
    frame.loc[noisy, "barely.mean"] = 100 + np.random.default_rng(1).normal(0, 1, noisy.sum())
    last = pd.Timestamp(FIRST + 39)
    frame.loc[("A3", last), ["barely.mean", "still.max"]] = [101.0, 7.2]
    derived = derived_panel(frame, GROUPS)
    assert 1 < derived.loc[("A3", last), "barely.mean.own"] < 4
    assert np.isnan(derived.loc[("A3", last), "still.max.own"])
    assert derived.loc[("A2", last), "still.max.own"] == 0


def test_a_fleet_of_which_there_are_faults_alone_counts_each_day_alike() -> None:
    frame = base(gaps=0.0)[["faults.F1.count", "faults.F2.count", "faults.count", "completeness"]]
    derived = derived_panel(frame, GROUPS, further=FURTHER)
    whole_days = derived_panel(frame.assign(**{"exposure.hours": 24.0}), GROUPS, further=FURTHER)
    pd.testing.assert_series_equal(derived["faults.F1.excess"], whole_days["faults.F1.excess"])
    assert derived["faults.F1.rate"].notna().any()


def test_an_asset_without_a_group_is_named() -> None:
    with pytest.raises(KeyError, match="A8"):
        derived_panel(base(), GROUPS.drop("A8"))


def test_empty_in_empty_out() -> None:
    assert derived_panel(base().head(0), GROUPS).empty
    assert derived_panel(base()[["completeness"]], GROUPS).columns.tolist() == ["completeness"]


def test_statistics_that_are_the_same_numbers_are_derived_once_and_alike() -> None:
    rng = np.random.default_rng(5)
    days = [np.datetime64("2026-01-01") + n for n in range(20)]
    index = panel_index([f"A{a}" for a in range(6) for _ in days], [day for _ in range(6) for day in days])
    mean = rng.normal(size=len(index))
    alone = pd.DataFrame({"temp.mean": mean}, index=index)
    groups = pd.Series("site", index=[f"A{a}" for a in range(6)])
    wanted = derived_panel(alone, groups)
    found = derived_panel(alone.assign(**{"temp.max": mean}), groups)
    for kind in ("own", "peers"):
        assert found[f"temp.max.{kind}"].equals(found[f"temp.mean.{kind}"])
        assert found[f"temp.mean.{kind}"].equals(wanted[f"temp.mean.{kind}"])
    assert found["temp.mean.own"].notna().any()


def test_columns_are_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    index = panel_index(
        [f"A{a}" for a in range(8) for _ in range(80)], [FIRST + d for _ in range(8) for d in range(80)]
    )
    names = [f"{signal}.{statistic}" for signal in ("a", "b", "c") for statistic in ("mean", "max")]
    base = pd.DataFrame({name: rng.normal(size=len(index)) for name in names}, index=index)
    base["b.max"] = base["b.mean"]
    groups = pd.Series("all", index=index.get_level_values(0).unique())
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("models.side_by_side.usable_threads", lambda threads=threads: threads)
        found.append(derived_panel(base, groups, further=("drift",)))
    pd.testing.assert_frame_equal(*found, check_exact=True)
    assert list(found[0].columns[len(names) :]) == [
        f"{name}.{kind}" for kind in ("own", "peers", "drift") for name in names
    ]
    assert found[0]["b.max.own"].equals(found[0]["b.mean.own"].rename("b.max.own"))
