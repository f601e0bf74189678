"""The failure model learns what precedes a failure, says so honestly, and comes back from disk as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from models import failure_mode
from models.derive import derived_panel
from models.evaluation import average_precision, fails_within
from models.failure import FAILURE, MIN_FAILURES, FailureModel
from models.failure_panel import failure_panel
from models.labels import days_left, healthy_days
from models.panel import panel_index
from models.threshold import cheapest_threshold

DAY = 86_400 * 10**9
ASSETS, DAYS, HORIZON = 40, 120, 5
FIRST = np.datetime64("2026-01-01", "D")


def _fleet(seed: int, *, announced: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Base panel, maintenance, failures: LEAK is announced by a rising temperature, LUCK by nothing."""
    rng = np.random.default_rng(seed)
    temperature, current = rng.normal(50, 1, (ASSETS, DAYS)), rng.normal(10, 1, (ASSETS, DAYS))
    failures, maintenance = [], []
    for asset in range(ASSETS):
        for mode in ("LEAK", "LUCK"):
            for day in rng.choice(np.arange(20, DAYS - 1), size=2, replace=False):
                at = int((FIRST + int(day)).astype("datetime64[ns]").astype(np.int64)) + DAY // 4
                failures.append((f"A{asset:02}", at, mode))
                maintenance.append((f"A{asset:02}", at + DAY // 4, f"{mode.lower()}: repaired"))
                if mode == "LEAK" and announced:
                    temperature[asset, max(0, day - 3) : day] += 8
    index = panel_index(
        [f"A{asset:02}" for asset in range(ASSETS) for _ in range(DAYS)], list(np.tile(FIRST + np.arange(DAYS), ASSETS))
    )
    base = pd.DataFrame(
        {
            "temp.mean": temperature.ravel(),
            "current.mean": current.ravel(),
            "faults.F1.count": rng.poisson(0.05, ASSETS * DAYS).astype(float),
            "completeness": np.where(rng.random(ASSETS * DAYS) < 0.03, 0.2, 1.0),
        },
        index=index,
    )
    columns = ["asset_id", "time", "what"]
    return base, pd.DataFrame(maintenance, columns=columns), pd.DataFrame(failures, columns=columns)


def _derived(base: pd.DataFrame) -> pd.DataFrame:
    assets = base.index.get_level_values(0).unique()
    return derived_panel(base, pd.Series("depot", index=assets))


def _fit(seed: int = 0, *, announced: bool = True, **options: float) -> FailureModel:
    base, maintenance, failures = _fleet(seed, announced=announced)
    chosen = {"false_tickets_per_100_asset_days": 0.5, "min_probability": 0.5} | options
    return FailureModel.fit(
        base, _derived(base), maintenance, failures, horizon_days=HORIZON, min_completeness=0.5, **chosen
    )


def _on_threads(threads: int) -> FailureModel:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("models.side_by_side.usable_threads", lambda: threads)
        return _fit()


@pytest.fixture(scope="module")
def model() -> FailureModel:
    return _on_threads(1)


class Unseen(NamedTuple):
    """A fleet that the model did not learn from, and what it reads of it."""

    base: pd.DataFrame
    maintenance: pd.DataFrame
    failures: pd.DataFrame
    inputs: pd.DataFrame


@pytest.fixture(scope="module")
def unseen(model: FailureModel) -> Unseen:
    base, maintenance, failures = _fleet(7, announced=True)
    return Unseen(base, maintenance, failures, model.inputs(base, _derived(base), maintenance))


def test_an_announced_failure_is_foreseen_on_assets_never_seen_and_luck_is_not(model: FailureModel) -> None:
    base, maintenance, failures = _fleet(99, announced=True)
    inputs = model.inputs(base, _derived(base), maintenance)
    risks = model.risks(inputs)
    leaks, lucks = (failures[failures["what"] == mode] for mode in ("LEAK", "LUCK"))
    skill = average_precision(risks["LEAK"], leaks, HORIZON)
    luck = average_precision(risks["LUCK"], lucks, HORIZON)
    usual = fails_within(base.index, lucks, HORIZON).mean()
    assert skill > 0.55  # three of the five days before are announced
    assert luck < 2 * usual
    raised = risks["LEAK"] > model.thresholds()["LEAK"]
    assert fails_within(base.index, leaks, HORIZON)[raised.to_numpy()].mean() > 0.8
    assert (risks["LUCK"] > model.thresholds()["LUCK"]).mean() < 0.005


def test_risks_are_calibrated(model: FailureModel, unseen: Unseen) -> None:
    risk = model.risks(unseen.inputs)["LEAK"]
    truth = fails_within(unseen.base.index, unseen.failures[unseen.failures["what"] == "LEAK"], HORIZON)
    known = risk.notna().to_numpy()
    assert abs(risk[known].mean() - truth[known].mean()) < 0.03
    sure = known & (risk > 0.7).to_numpy()
    assert truth[sure].mean() > 0.65


def test_the_risk_of_any_failure_is_that_of_none_being_spared(model: FailureModel, unseen: Unseen) -> None:
    risks = model.risks(unseen.inputs).dropna()
    np.testing.assert_allclose(risks[FAILURE], 1 - (1 - risks["LEAK"]) * (1 - risks["LUCK"]))


def test_the_reason_is_the_feature_that_announces(model: FailureModel, unseen: Unseen) -> None:
    risks = model.risks(unseen.inputs)["LEAK"]
    reasons = model.explain(unseen.inputs.loc[risks.nlargest(5).index], "LEAK")
    for why in reasons:
        assert why[0].feature.startswith("temp.mean")
        assert why[0].value > why[0].usual
        assert sum(reason.share for reason in why) <= 1 + 1e-9


def test_a_day_of_too_little_data_has_no_risk(model: FailureModel, unseen: Unseen) -> None:
    risks = model.risks(unseen.inputs)
    incomplete = unseen.base["completeness"] < 0.5
    assert incomplete.any()
    assert risks[incomplete].isna().all().all()
    assert risks[~incomplete].notna().all().all()


def test_one_day_alone_gives_what_the_whole_history_gives(model: FailureModel, unseen: Unseen) -> None:
    base, maintenance, whole = unseen.base, unseen.maintenance, model.risks(unseen.inputs)
    day = pd.Timestamp(str(FIRST + 90))
    until = base[base.index.get_level_values(1) <= day]
    derived = _derived(until)
    today = derived[derived.index.get_level_values(1) == day]
    known = maintenance[maintenance["time"] < day.value + DAY]
    alone = model.risks(model.inputs(until, today, known))
    pd.testing.assert_frame_equal(alone, whole.loc[alone.index])


def test_how_long_is_left_is_said_and_held_on_assets_never_seen(model: FailureModel) -> None:
    base, maintenance, failures = _fleet(99, announced=True)
    inputs = model.inputs(base, _derived(base), maintenance)
    raised = (model.risks(inputs)["LEAK"] > model.thresholds()["LEAK"]).to_numpy()
    left = days_left(base.index, failures[failures["what"] == "LEAK"])[raised]
    said = [one for one in model.remaining(inputs[raised], "LEAK") if one is not None]
    assert len(said) == raised.sum() > 100
    comes = left <= HORIZON
    held = np.mean([one.low <= days <= one.high for one, days, came in zip(said, left, comes, strict=True) if came])
    assert held > 0.85
    expected = np.array([one.expected for one in said])
    assert np.abs(expected - left)[comes].mean() < np.abs(np.median(left[comes]) - left[comes]).mean()


def test_a_model_of_the_format_before_is_read_and_says_no_days(
    model: FailureModel, unseen: Unseen, tmp_path: Path
) -> None:
    model.save(tmp_path)
    held = json.loads((tmp_path / "failure.json").read_text())
    held["format"] = 2
    for mode in held["modes"].values():
        del mode["days"]
    (tmp_path / "failure.json").write_text(json.dumps(held))
    older = FailureModel.load(tmp_path)
    pd.testing.assert_frame_equal(older.risks(unseen.inputs), model.risks(unseen.inputs), check_exact=True)
    assert older.remaining(unseen.inputs.head(3), "LEAK") == [None] * 3


def test_a_smaller_budget_and_a_higher_probability_raise_the_threshold(model: FailureModel) -> None:
    strict, loose = _fit(false_tickets_per_100_asset_days=0.01, min_probability=0.01), _fit(min_probability=0.01)
    assert strict.thresholds()["LUCK"] > loose.thresholds()["LUCK"]
    assert model.thresholds()["LEAK"] >= 0.5 > loose.thresholds()["LEAK"]


def test_what_is_saved_comes_back(model: FailureModel, unseen: Unseen, tmp_path: Path) -> None:
    model.save(tmp_path)
    again, inputs = FailureModel.load(tmp_path), unseen.inputs
    pd.testing.assert_frame_equal(again.risks(inputs), model.risks(inputs), check_exact=True)
    assert again.thresholds() == model.thresholds()
    assert again.remaining(inputs.head(9), "LEAK") == model.remaining(inputs.head(9), "LEAK")


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[]", '{"format": 1, "features": 3}'])
def test_a_broken_description_is_refused(model: FailureModel, tmp_path: Path, text: str) -> None:
    model.save(tmp_path)
    (tmp_path / "failure.json").write_text(text)
    with pytest.raises(ValueError, match=r"failure\.json"):
        FailureModel.load(tmp_path)


def test_too_few_failures_teach_nothing() -> None:
    base, maintenance, failures = _fleet(0, announced=True)
    few = failures.groupby("what").head(MIN_FAILURES - 1)
    with pytest.raises(ValueError, match="has failed"):
        FailureModel.fit(
            base, _derived(base), maintenance, few, horizon_days=HORIZON, min_completeness=0.5,
            false_tickets_per_100_asset_days=0.5, min_probability=0.5,
        )  # fmt: skip


def test_without_a_service_record_the_rest_still_teaches() -> None:
    base, maintenance, failures = _fleet(0, announced=True)
    model = FailureModel.fit(
        base, _derived(base), maintenance.iloc[:0], failures, horizon_days=HORIZON, min_completeness=0.5,
        false_tickets_per_100_asset_days=0.5, min_probability=0.5,
    )  # fmt: skip
    assert not any(name.startswith("service.") for name in model.features)
    assert model.risks(model.inputs(base, _derived(base), maintenance.iloc[:0]))["LEAK"].max() > 0.5


def test_models_that_wear_out_differently_are_told_apart_by_the_register() -> None:
    base, maintenance, failures = _fleet(3, announced=True)
    attributes = {asset: {"model": "old" if int(asset[1:]) % 2 else "new"} for asset in base.index.get_level_values(0)}
    old = failures["asset_id"].map(lambda asset: attributes[asset]["model"] == "old")
    failures = failures[old | (failures["what"] != "LEAK")]  # the new ones show the same and do not fail
    derived = _derived(base)

    def skill(**register: object) -> float:
        model = FailureModel.fit(
            base, derived, maintenance, failures, horizon_days=HORIZON, min_completeness=0.5,
            false_tickets_per_100_asset_days=0.5, min_probability=0.5, **register,
        )  # fmt: skip
        risks = model.risks(model.inputs(base, derived, maintenance, **register))
        assert not any("asset." in why.feature for row in model.explain(
            model.inputs(base.tail(3), derived.tail(3), maintenance, **register), "LEAK") for why in row)  # fmt: skip
        return average_precision(risks["LEAK"], failures[failures["what"] == "LEAK"], HORIZON)

    assert skill(attributes=attributes) > skill() + 0.1


def test_a_share_of_the_sound_days_teaches_nearly_as_much_and_risks_stay_calibrated(
    model: FailureModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_mode, "SOUND_ROWS", 1200)  # of some 4,400
    fewer = _fit()
    base, maintenance, failures = _fleet(1, announced=True)
    truth = fails_within(base.index, failures[failures["what"] == "LEAK"], HORIZON)
    for known in (model, fewer):
        risk = known.risks(known.inputs(base, _derived(base), maintenance))["LEAK"]
        there = risk.notna().to_numpy()
        assert risk[there].mean() == pytest.approx(truth[there].mean(), rel=0.25)
    all_days, some = (
        average_precision(
            known.risks(known.inputs(base, _derived(base), maintenance))["LEAK"],
            failures[failures["what"] == "LEAK"],
            HORIZON,
        )
        for known in (model, fewer)
    )
    assert some > all_days - 0.05
    assert fewer.modes["LEAK"].trees.value.tolist() != model.modes["LEAK"].trees.value.tolist()


def test_recent_days_do_not_depend_on_where_the_panel_begins() -> None:
    base, _, _ = _fleet(0, announced=True)
    base["temp.mean"] *= np.pi * 1e6
    derived = _derived(base)
    nothing = pd.DataFrame(index=base.index)
    late = base.index.get_level_values(1) >= np.datetime64("2026-03-01")
    whole = failure_panel(base, derived, nothing)[base.index.get_level_values(1) >= np.datetime64("2026-03-03")]
    pd.testing.assert_frame_equal(failure_panel(base[late], derived.loc[whole.index], nothing), whole, check_exact=True)


def test_a_fit_gives_the_same_numbers_on_any_number_of_threads(model: FailureModel) -> None:
    one, two = model, _on_threads(2)
    base, _, maintenance = _fleet(5, announced=True)
    inputs = one.inputs(base, _derived(base), maintenance)
    assert one.thresholds() == two.thresholds()
    pd.testing.assert_frame_equal(one.risks(inputs), two.risks(inputs), check_exact=True)


def test_a_mode_of_one_asset_alone_keeps_no_other_from_being_learned() -> None:
    """What was learned of it could be judged on no other asset: one bus that is always back for the same."""
    base, maintenance, failures = _fleet(1, announced=True)
    often = [("A00", int((FIRST + 4 * n + 20).astype("datetime64[ns]").astype(np.int64)), "AGAIN") for n in range(20)]
    again = pd.DataFrame(often, columns=failures.columns)

    def fit(known: pd.DataFrame) -> FailureModel:
        return FailureModel.fit(
            base,
            _derived(base),
            maintenance,
            known,
            horizon_days=HORIZON,
            false_tickets_per_100_asset_days=0.5,
            min_probability=0.5,
            min_completeness=0.5,
        )

    found = fit(pd.concat([failures, again]))
    assert sorted(found.modes) == ["LEAK", "LUCK"]
    with pytest.raises(ValueError, match="too few assets fail in the same way"):
        fit(again)


@pytest.mark.parametrize("every", [HORIZON - 1, HORIZON + 1])  # with one more day only its own is not before it
def test_a_mode_that_comes_all_the_time_keeps_no_other_from_being_learned(unseen: Unseen, every: int) -> None:
    base, maintenance, failures, _ = unseen
    daily = [
        (f"A{asset:02}", int((FIRST + day).astype("datetime64[ns]").astype(np.int64)) + DAY // 2, "ALWAYS")
        for asset in range(ASSETS)
        for day in range(0, DAYS, every)
    ]
    often = pd.concat([failures, pd.DataFrame(daily, columns=failures.columns)])
    model = FailureModel.fit(
        base, _derived(base), maintenance, often, horizon_days=HORIZON, min_completeness=0.5,
        false_tickets_per_100_asset_days=0.5, min_probability=0.5,
    )  # fmt: skip
    assert set(model.modes) == {"LEAK", "LUCK"}


def test_no_ticket_opens_in_training_on_days_on_which_the_service_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    base, maintenance, failures = _fleet(0, announced=True)
    undisturbed = healthy_days(base.index, failures, maintenance, before_days=0, after_days=0)
    silent = ~undisturbed.to_numpy()
    known: list[np.ndarray] = []

    def noted(risk: np.ndarray, *rest: Any) -> float:
        known.append(np.isfinite(risk))
        return cheapest_threshold(risk, *rest)

    monkeypatch.setattr(failure_mode, "cheapest_threshold", noted)
    _fit()
    assert silent.sum() > 100
    for told in known:
        assert not told[silent].any()
        assert told[~silent].mean() > 0.8
