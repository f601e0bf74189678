"""The case base learns which patterns precede which failure, never from what came later, and says how sure that is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.arrays import load_arrays, save_arrays
from models.casebase import MIN_CASES, CaseBase, Prior
from models.cases import OUTCOME_COLUMNS, CaseRecord, Remedy, remedies
from models.evaluation import fails_within
from models.panel import panel_index

DAY = 86_400 * 10**9
ASSETS, DAYS, HORIZON = 40, 120, 5
FIRST = np.datetime64("2026-01-01", "D")
COLUMNS = ["asset_id", "time", "what"]
Fleet = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def at(day: int, hour: int = 6) -> int:
    return int((FIRST + day).astype("datetime64[ns]").astype(np.int64)) + hour * DAY // 24


def fleet(seed: int, assets: int = ASSETS, days: int = DAYS) -> Fleet:
    """Derived panel, maintenance, failures.

    HOSE is announced by F1 on a day with low pressure, SEAL by F1 on a day with high duty, LUCK by nothing; F1, low
    pressure and high duty come alone on sound days too, F2 at any time.
    """
    rng = np.random.default_rng(seed)
    shape = (assets, days)
    f1, f2 = rng.random(shape) < 0.02, rng.random(shape) < 0.1
    low, high = rng.random(shape) < 0.02, rng.random(shape) < 0.02
    failures, maintenance = [], []
    for asset in range(assets):
        for number, mode in enumerate(("HOSE", "SEAL", "LUCK")):
            day = int(rng.integers(20 + 30 * number, 40 + 30 * number))
            if day >= days:
                continue
            failures.append((f"A{asset:02}", at(day), mode))
            work = {"HOSE": "hose: renewed", "SEAL": "seal: renewed"}.get(mode, "?")
            maintenance.append((f"A{asset:02}", at(day, 12), work))
            if mode != "LUCK":
                f1[asset, day - 1] = True
                (low if mode == "HOSE" else high)[asset, day - 1] = True
    index = panel_index(
        [f"A{asset:02}" for asset in range(assets) for _ in range(days)], list(np.tile(FIRST + np.arange(days), assets))
    )
    derived = pd.DataFrame(
        {
            "faults.F1.count": f1.ravel().astype(float),
            "faults.F2.count": f2.ravel().astype(float),
            "faults.count": (f1.astype(float) + f2).ravel(),
            "pressure.p05.own": np.where(low, -5.0, 0.0).ravel(),
            "duty.mean.own": np.where(high, 5.0, 0.0).ravel(),
            "completeness": 1.0,
        },
        index=index,
    )
    return derived, pd.DataFrame(maintenance, columns=COLUMNS), pd.DataFrame(failures, columns=COLUMNS)


def fitted(of: Fleet, outcomes: pd.DataFrame | None = None) -> CaseBase:
    return CaseBase.fit(
        *of,
        outcomes,
        horizon_days=HORIZON,
        false_tickets_per_100_asset_days=0.5,
        min_probability=0.5,
        min_completeness=0.5,
    )


def events(of: Fleet) -> pd.DataFrame:
    return pd.concat([of[1], of[2]])


@pytest.fixture(scope="module")
def base() -> CaseBase:
    return fitted(fleet(1))


def day_before(of: Fleet, mode: str) -> pd.MultiIndex:
    failed = of[2][of[2]["what"] == mode]
    days = failed["time"].to_numpy() // DAY * DAY
    return panel_index(list(failed["asset_id"]), list(days.astype("datetime64[ns]").astype("datetime64[D]") - 1))


def test_the_mode_that_comes_is_ranked_first_on_assets_never_seen(base: CaseBase) -> None:
    of = fleet(99)
    ranked = base.rank(base.inputs(of[0], events(of)))
    for mode in ("HOSE", "SEAL"):
        before = ranked.loc[day_before(of, mode)]
        assert (before.idxmax(axis=1) == mode).mean() > 0.9
        assert before[mode].mean() > 10 * ranked[mode].mean()
    usual = ranked["LUCK"].median()
    assert ranked["LUCK"].max() < 6 * usual  # nothing announces it


def test_the_probability_is_calibrated(base: CaseBase) -> None:
    fleets = [fleet(seed) for seed in (7, 8, 9)]
    ranked = [base.rank(base.inputs(of[0], events(of))) for of in fleets]
    for mode in ("HOSE", "SEAL"):
        pairs = zip(fleets, ranked, strict=True)
        truth = np.concatenate([fails_within(r.index, of[2][of[2]["what"] == mode], HORIZON) for of, r in pairs])
        said = np.concatenate([r[mode].to_numpy() for r in ranked])
        assert abs(said.mean() - truth.mean()) < 0.01
        sure = said > 0.4
        assert sure.sum() > 60
        assert abs(said[sure].mean() - truth[sure].mean()) < 0.15


def test_the_pattern_that_speaks_is_the_pair_with_its_shares(base: CaseBase) -> None:
    of = fleet(7)
    inputs = base.inputs(of[0], events(of)).loc[day_before(of, "HOSE")]
    # Where duty is high too by chance, the other pair covers the code.
    plain = inputs[~inputs["duty.high"]]
    assert len(plain) > 30
    for [first, *_] in base.explain(plain, "HOSE"):
        assert first.symptoms == ("faults.F1", "pressure.low")
        assert first.weight > 2
        assert first.share_before > 10 * first.share_else


def test_what_a_repair_ended_is_not_seen_after_it(base: CaseBase) -> None:
    derived = fleet(7)[0]
    derived.loc[:, :] = 0.0
    derived["completeness"] = 1.0
    row = ("A00", pd.Timestamp("2026-02-10"))
    derived.loc[row, ["faults.F1.count", "pressure.p05.own"]] = [1.0, -5.0]
    repair = pd.DataFrame([("A00", at(41, 3), "hose: renewed")], columns=COLUMNS)  # the day after
    one_day_on = [("A00", pd.Timestamp("2026-02-12"))]
    before, after = (base.inputs(derived, some).loc[one_day_on] for some in (repair.iloc[:0], repair))
    assert base.shown(before) == [("faults.F1", "pressure.low")]
    assert base.shown(after) == [()]


def test_a_day_of_too_little_data_has_no_probability(base: CaseBase) -> None:
    of = fleet(7)
    of[0].iloc[100:110, of[0].columns.get_loc("completeness")] = 0.3
    ranked = base.rank(base.inputs(of[0], events(of)))
    assert ranked.iloc[100:110].isna().all().all()
    assert ranked.drop(ranked.index[100:110]).notna().all().all()


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1000), last=st.integers(60, 100), later=st.integers(0, 2**32 - 1))
def test_nothing_that_comes_later_is_learned_or_read(seed: int, last: int, later: int) -> None:
    derived, maintenance, failures = fleet(seed, 20)
    until = derived[derived.index.get_level_values(1) <= pd.Timestamp(str(FIRST + last))]
    known = [frame[frame["time"] < at(last + 1, 0)] for frame in (maintenance, failures)]
    rng = np.random.default_rng(later)

    def with_later(frame: pd.DataFrame, what: str) -> pd.DataFrame:
        rows = [(f"A{n:02}", at(last + 1 + int(rng.integers(0, 30)), 0), what) for n in range(20)]
        return pd.concat([frame, pd.DataFrame(rows, columns=COLUMNS)])

    changed = [with_later(known[0], "hose: renewed"), with_later(known[1], "HOSE")]
    honest, tempted = fitted((until, *known)), fitted((until, *changed))
    assert honest.lines == tempted.lines
    assert honest.cases == tempted.cases
    np.testing.assert_array_equal(honest.counts.shown_before, tempted.counts.shown_before)
    # A day is judged by itself and the days before it, whatever the panel holds after it.
    day = pd.Timestamp(str(FIRST + last - 10))
    short = until[until.index.get_level_values(1) <= day]
    tail = until.copy()
    after = tail.index.get_level_values(1) > day
    tail.loc[after, :] = rng.normal(0, 9, (int(after.sum()), until.shape[1]))
    some = pd.concat(known)
    there = honest.rank(honest.inputs(tail, some)).loc[lambda frame: frame.index.get_level_values(1) == day]
    here = honest.rank(honest.inputs(short, some[some["time"] < at(last - 9, 0)])).loc[there.index]
    pd.testing.assert_frame_equal(there, here)


def test_few_cases_lean_on_what_is_expected_and_many_do_not() -> None:
    of = fleet(3)
    few = (of[0], of[1], of[2][of[2]["what"] != "HOSE"])
    base = fitted(few)
    shares = {"faults.F1": (0.8, 0.05), "pressure.low": (0.8, 0.05), "noise.high": (0.5, 0.1)}
    expected = {"HOSE": Prior(2000.0, shares)}
    assert base.cases_of("HOSE") == 0
    assert base.cases_of("SEAL") >= MIN_CASES
    inputs = base.inputs(of[0], events(few), expected)
    ranked = base.rank(inputs, expected)
    before = ranked.loc[day_before(of, "HOSE"), "HOSE"]
    usual = 1 - np.exp(-HORIZON / 2000)
    assert ranked["HOSE"].min() < usual < 0.1 < before.median()
    explained = base.explain(inputs.loc[before.index], "HOSE", expected)
    names = {name for patterns in explained for pattern in patterns for name in pattern.symptoms}
    assert {"faults.F1", "pressure.low"} <= names
    assert "noise.high" not in names  # it never showed
    assert "HOSE" not in base.rank(inputs, {"HOSE": Prior(None, {})})
    wrong = {"SEAL": Prior(1.0, {"faults.F2": (1.0, 0.001)})}  # cases know better
    pd.testing.assert_series_equal(base.rank(inputs, wrong)["SEAL"], ranked["SEAL"])


def test_expectations_fade_as_cases_come() -> None:
    derived, maintenance, failures = fleet(3)
    hoses = failures[failures["what"] == "HOSE"]
    wrong = {"HOSE": Prior(2000.0, {"faults.F2": (0.9, 0.01)})}
    seen = []
    for cases in (1, 5, MIN_CASES - 1):
        base = fitted((derived, maintenance, hoses.head(cases)))
        row = pd.DataFrame(False, index=panel_index(["A00"], [FIRST]), columns=list(base.names)).assign(known=True)
        seen.append(base.explain(row.assign(**{"faults.F2": True}), "HOSE", wrong)[0][0].weight)
    assert seen[0] > seen[1] > seen[2] > 0


def test_without_any_failure_it_knows_what_is_quiet() -> None:
    derived, maintenance, failures = fleet(3)
    base = fitted((derived, maintenance, failures.iloc[:0]))
    assert base.modes == ()
    expected = {"HOSE": Prior(500.0, {"faults.F1": (0.9, 0.05)})}
    ranked = base.rank(base.inputs(derived, maintenance, expected), expected)
    assert list(ranked) == ["HOSE"]
    assert ranked["HOSE"].max() > 5 * ranked["HOSE"].min()
    with pytest.raises(ValueError, match="no usable asset-day"):
        fitted((derived.assign(completeness=0.0), maintenance, failures))
    with pytest.raises(ValueError, match="no asset-day"):
        fitted((derived.iloc[:0], maintenance, failures))


def test_what_the_workshop_found_belongs_to_its_case() -> None:
    derived, maintenance, failures = fleet(3)
    hoses = failures[failures["what"] == "HOSE"]
    asset, at_failure, _ = hoses.sort_values("time").iloc[-1]
    found = [
        (asset, at_failure + DAY, "HOSE", "chafed", "Renew the hose", "H-1;S-2"),
        (asset, at_failure + 40 * DAY, "HOSE", "too late to be of it", "", ""),
        (asset, at_failure + DAY, "SEAL", "of another mode", "", ""),
    ]
    done = pd.DataFrame([(asset, at_failure + DAY, "HOSE: Renew the hose")], columns=COLUMNS)
    answers = pd.DataFrame(found, columns=list(OUTCOME_COLUMNS))
    base = fitted((derived, pd.concat([maintenance, done]), failures), answers)
    assert base.cases_of("HOSE") == len(base.cases["HOSE"]) == len(hoses)
    case = base.cases["HOSE"][-1]
    assert (case.causes, case.parts) == (("chafed",), ("H-1", "S-2"))
    assert case.actions == ("hose: renewed", "Renew the hose")
    assert {"faults.F1", "pressure.low"} <= set(case.symptoms)
    assert not any(other.causes for other in base.cases["HOSE"][:-1])


def test_what_is_probable_in_the_next_case_is_drawn_from_expectation_to_experience() -> None:
    def case(*actions: str, symptoms: tuple[str, ...] = ("faults.F1",)) -> CaseRecord:
        return CaseRecord(symptoms, actions, (), ())

    expected, names = {"hose": 0.5, "seal": 0.25}, {"hose renewed": "hose", "seal renewed": "seal"}
    none = remedies([], "actions", ["faults.F1"], expected, names)
    assert none == [Remedy("hose", 0.5, 0), Remedy("seal", 0.25, 0)]
    told = [case("Seal renewed", "test run") for _ in range(4)] + [case()]  # of the last nobody wrote anything
    found = {one.name: one for one in remedies(told, "actions", ["faults.F1"], expected, names)}
    assert found["seal"] == Remedy("seal", (4 + 4 * 0.25) / 8, 4)
    assert found["hose"] == Remedy("hose", 4 * 0.5 / 8, 0)
    assert found["test run"] == Remedy("test run", 0.5, 4)
    # A case that looked like this one counts more than one that did not.
    mixed = [case("Hose renewed"), case("Seal renewed", symptoms=("duty.high", "faults.F2"))]
    weighed = {one.name: one.probability for one in remedies(mixed, "actions", ["faults.F1"], {}, names)}
    assert weighed["hose"] > 2 * weighed["seal"] > 0


def test_what_is_saved_comes_back(base: CaseBase, tmp_path: Path) -> None:
    of = fleet(7)
    base.save(tmp_path)
    again = CaseBase.load(tmp_path)
    inputs = base.inputs(of[0], events(of))
    pd.testing.assert_frame_equal(again.rank(inputs), base.rank(inputs), check_exact=True)
    assert (again.cases, again.lines, again.failures) == (base.cases, base.lines, base.failures)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[]", '{"format": 1, "names": 3}'])
def test_a_broken_description_is_refused(base: CaseBase, tmp_path: Path, text: str) -> None:
    base.save(tmp_path)
    (tmp_path / "casebase.json").write_text(text)
    with pytest.raises(ValueError, match=r"casebase\.json"):
        CaseBase.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("patterns", lambda a: a + 1),
        ("patterns", lambda a: a.astype(float)),
        ("patterns", lambda a: a[::-1]),
        ("shown", lambda a: a[1:]),
        ("shown_before", lambda a: a * np.nan),
    ],
)
def test_counts_that_do_not_fit_are_refused(base: CaseBase, tmp_path: Path, name: str, change: object) -> None:
    base.save(tmp_path)
    names = ("patterns", "shown", "shown_before", "asset_days_before")
    arrays = dict(load_arrays(tmp_path / "counts.npz", names))
    changed = np.ascontiguousarray(change(arrays[name]))  # type: ignore[operator]
    save_arrays(tmp_path / "counts.npz", arrays | {name: changed})
    with pytest.raises(ValueError, match=r"counts\.npz"):
        CaseBase.load(tmp_path)


def test_a_mode_that_is_not_listed_is_refused(base: CaseBase, tmp_path: Path) -> None:
    base.save(tmp_path)
    held = json.loads((tmp_path / "casebase.json").read_text())
    (tmp_path / "casebase.json").write_text(json.dumps(held | {"lines": {"GHOST": [1.0, 0.0, 0.5]}}))
    with pytest.raises(ValueError, match="does not list"):
        CaseBase.load(tmp_path)


@pytest.mark.slow
def test_it_stays_small_whatever_it_learns_from() -> None:
    """300 codes, of which 60 come before failures."""
    rng = np.random.default_rng(0)
    index = fleet(0)[0].index
    codes = {f"faults.C{n:03}.count": (rng.random(len(index)) < 0.02).astype(float) for n in range(300)}
    derived = pd.DataFrame(codes | {"completeness": 1.0}, index=index)
    base = fitted((derived, *fleet(0)[1:]))
    assert len(base.names) <= 256
    assert len(base.counts.patterns) <= 600
