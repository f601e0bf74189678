"""The ensemble on a simulated fleet: its budget, its sight, its explanations, its memory."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from models.derive import FURTHER, derived_panel
from models.detectors import detector_names
from models.ensemble import Ensemble, further_columns
from models.panel import panel_index
from models.persistence import Persistence, openings
from models.threshold import anomalous

FIRST = np.datetime64("2026-01-01")
DAYS = 90
ASSETS = 40
PERSISTENCE = Persistence(2, 3)
SEVERAL = ("robust_z", "pca", "isolation_forest")


def base_fleet(seed: int, drifting: int = 0) -> pd.DataFrame:
    """Assets whose signals share the weather and the day's work; the first ``drifting`` run hot in the last 15 days."""
    rng = np.random.default_rng(seed)
    weather = 8 * np.sin(np.arange(DAYS) / 20)[None, :] + rng.normal(0, 1.5, (1, DAYS))
    hours = rng.uniform(4, 18, (ASSETS, DAYS))
    own = rng.normal(0, 3, (ASSETS, 1))
    temp = 60 + weather + own + 0.4 * hours + rng.normal(0, 1, (ASSETS, DAYS))
    pressure = 8 + 0.02 * (temp - 60) + rng.normal(0, 0.1, (ASSETS, DAYS))
    current = 20 + 0.5 * hours + rng.normal(0, 1, (ASSETS, DAYS))
    growth = np.clip(np.arange(DAYS) - (DAYS - 15), 0, None) / 15
    temp[:drifting] += 20 * growth
    faults = rng.poisson(0.02 * hours)
    faults[:drifting] += rng.poisson(0.6 * growth * np.ones((drifting, 1)))
    columns = {"temp.mean": temp, "pressure.mean": pressure, "current.p95": current}
    frame = pd.DataFrame(
        {name: values.ravel() for name, values in columns.items()},
        index=panel_index(
            [f"A{a:02}" for a in range(ASSETS) for _ in range(DAYS)], [FIRST + d for d in range(DAYS)] * ASSETS
        ),
    )
    frame = frame.assign(**{"temp.max": frame["temp.mean"], "still.mean": 3.0, "dead.mean": np.nan})
    frame["faults.F1.count"] = frame["faults.count"] = faults.ravel().astype(float)
    frame["exposure.hours"] = hours.ravel()
    frame["completeness"] = 1.0
    silent = rng.random(len(frame)) < 0.03
    frame.loc[silent] = np.nan
    frame.loc[silent, "completeness"] = 0.0
    return frame


def fleet(seed: int, drifting: int = 0, further: Collection[str] = ()) -> pd.DataFrame:
    frame = base_fleet(seed, drifting)
    return derived_panel(frame, pd.Series("all", index=frame.index.get_level_values(0).unique()), further=further)


def fit(panel: pd.DataFrame, budget: float = 1.0, detectors: tuple[str, ...] = SEVERAL) -> Ensemble:
    return Ensemble.fit(
        panel,
        pd.Series(True, index=panel.index),
        detectors=detectors,
        false_tickets_per_100_asset_days=budget,
        persistence=PERSISTENCE,
        seed=0,
    )


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return fleet(seed=1)


@pytest.fixture(scope="module")
def ensemble(training: pd.DataFrame) -> Ensemble:
    return fit(training)


@pytest.fixture(scope="module")
def unseen() -> pd.DataFrame:
    return fleet(seed=2, drifting=6)


def test_features_are_the_look_back_columns_that_say_something(ensemble: Ensemble) -> None:
    assert ensemble.features == (
        "temp.mean.own", "pressure.mean.own", "current.p95.own", "temp.mean.peers", "pressure.mean.peers",
        "current.p95.peers", "faults.F1.rate", "faults.novel",
    )  # fmt: skip


def test_a_healthy_fleet_that_was_not_learned_from_keeps_the_budget(training: pd.DataFrame, ensemble: Ensemble) -> None:
    fleets = [fleet(seed) for seed in (11, 12, 13)]
    for budget, fitted in ((1.0, ensemble), (0.25, fit(training, 0.25))):
        tickets = days = 0
        for unseen in fleets:
            level = fitted.score(unseen)["score.ensemble"]
            tickets += int(openings(anomalous(level, fitted.threshold, PERSISTENCE)).sum())
            days += int(level.notna().sum())
        # Weather moves the whole fleet at once, so tickets come in bunches: the bound is wide, on both sides.
        assert 0.2 * budget < 100 * tickets / days < 1.5 * budget, budget


def test_a_drift_is_seen_by_each_detector_and_by_all(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    last_week = unseen.index.get_level_values(1) >= pd.Timestamp(FIRST + DAYS - 7)
    drifting = unseen.index.get_level_values(0) < "A06"
    levels = ensemble.score(unseen)[last_week]
    known = levels["score.ensemble"].notna()
    area = {name: roc_auc_score(drifting[last_week][known], levels[name][known]) for name in levels}
    assert min(area.values()) > 0.85
    assert area["score.ensemble"] > 0.95


def test_drifting_assets_get_tickets(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    level = ensemble.score(unseen)["score.ensemble"]
    opened = openings(anomalous(level, ensemble.threshold, PERSISTENCE))
    late = opened[opened & (opened.index.get_level_values(1) >= pd.Timestamp(FIRST + DAYS - 12))]
    assert {f"A{i:02}" for i in range(6)} <= set(late.index.get_level_values(0))


def test_levels_are_shares_unknown_on_silent_days(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    levels = ensemble.score(unseen)
    assert list(levels.columns) == ["score.robust_z", "score.pca", "score.isolation_forest", "score.ensemble"]
    silent = unseen["completeness"] == 0
    assert levels[silent].isna().all(axis=None)
    known = levels[~silent & unseen["temp.mean.own"].notna()]
    assert ((known >= 0) & (known <= 1)).all(axis=None)


def test_raw_thresholds_and_levels_say_the_same(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    raw, levels = ensemble.raw(unseen), ensemble.score(unseen)
    assert set(ensemble.thresholds) == set(raw.columns) == {*SEVERAL, "ensemble"}
    for name, threshold in ensemble.thresholds.items():
        by_raw, by_level = raw[name] > threshold, levels[f"score.{name}"] > ensemble.threshold_levels[name]
        assert (by_raw == by_level).mean() > 0.9995


def test_explanations_point_at_the_drift(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    rows = unseen.loc[[(f"A{i:02}", pd.Timestamp(FIRST + DAYS - 1)) for i in range(6)]]
    rows = rows[rows["completeness"] == 1]
    for detector in (*SEVERAL, "ensemble"):
        explained = ensemble.explain(rows, top=3, detector=detector)
        assert len(explained) == len(rows)
        for (_, row), parts in zip(rows.iterrows(), explained, strict=True):
            assert 1 <= len(parts) <= 3
            assert [p.share for p in parts] == sorted((p.share for p in parts), reverse=True)
            assert 0 < sum(p.share for p in parts) <= 1 + 1e-9
            assert all(p.value == row[p.feature] for p in parts)
    pointed = [parts[0].feature for parts in ensemble.explain(rows)]
    assert sum(name.startswith(("temp.", "pressure.", "faults.")) for name in pointed) == len(rows)
    assert any(name.startswith("temp.") for name in pointed)


def test_a_day_without_a_score_has_no_explanation(ensemble: Ensemble, unseen: pd.DataFrame) -> None:
    silent = unseen[unseen["completeness"] == 0].head(2)
    assert ensemble.explain(silent) == [(), ()]


def test_saved_and_loaded_it_says_the_same(ensemble: Ensemble, unseen: pd.DataFrame, tmp_path: Path) -> None:
    ensemble.save(tmp_path)
    loaded = Ensemble.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.score(unseen), ensemble.score(unseen), check_exact=True)
    assert loaded.explain(unseen.tail(3)) == ensemble.explain(unseen.tail(3))
    assert loaded.thresholds == ensemble.thresholds
    assert (loaded.persistence, loaded.threshold) == (PERSISTENCE, ensemble.threshold)


def test_libraries_that_score_otherwise_are_noticed(training: pd.DataFrame, tmp_path: Path) -> None:
    fit(training, detectors=("robust_z",)).save(tmp_path)
    moved = fit(training * 1.3, detectors=("robust_z",))
    (tmp_path / "robust_z" / "robust_z.npz").unlink()
    moved._detectors["robust_z"].save(tmp_path / "robust_z")
    with pytest.raises(ValueError, match="other scores"):
        Ensemble.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "format 2"),
        ("persistence", "always", "always"),
        ("features", None, "not an ensemble"),
        ("features", ["temp.mean.own"], "other scores"),
        ("detectors", ["nope"], "unknown detector 'nope'"),
        ("threshold_levels", {}, "robust_z"),
    ],
)
def test_a_description_that_is_none_is_refused(
    training: pd.DataFrame, tmp_path: Path, key: str, value: object, says: str
) -> None:
    fit(training, detectors=("robust_z",)).save(tmp_path)
    path = tmp_path / "ensemble.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=says):
        Ensemble.load(tmp_path)


def test_unhealthy_days_are_not_learned_from(training: pd.DataFrame) -> None:
    healthy = pd.Series(training.index.get_level_values(1) < pd.Timestamp(FIRST + 60), index=training.index)
    spoilt = training.mask(~healthy, 11.0)
    options = {"detectors": ("pca",), "false_tickets_per_100_asset_days": 1.0, "persistence": PERSISTENCE}
    clean = Ensemble.fit(training, healthy, **options)  # type: ignore[arg-type]
    other = Ensemble.fit(spoilt, healthy, **options)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(clean.score(training), other.score(training), check_exact=True)


def test_fitting_needs_something_to_learn_from(training: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="no look-back column"):
        fit(training[["temp.mean", "completeness"]])
    with pytest.raises(ValueError, match="unknown detector"):
        fit(training, detectors=("nope",))
    with pytest.raises(ValueError, match="index"):
        Ensemble.fit(
            training, pd.Series(True, index=training.index[1:]), detectors=SEVERAL,
            false_tickets_per_100_asset_days=1, persistence=PERSISTENCE,
        )  # fmt: skip


EVERY = tuple(name for name in detector_names() if name != "windowed")


def test_each_detector_reads_its_own_columns_and_sees_the_drift() -> None:
    ensemble = fit(fleet(seed=1, further=FURTHER), detectors=EVERY)
    assert ensemble.detectors == EVERY
    assert ensemble.further == further_columns(EVERY) == frozenset(FURTHER)
    panel = fleet(seed=2, drifting=6, further=FURTHER)
    last_week = panel.index.get_level_values(1) >= pd.Timestamp(FIRST + DAYS - 7)
    drifting = panel.index.get_level_values(0) < "A06"
    levels = ensemble.score(panel)[last_week]
    known = levels.notna().all(axis=1)
    area = {name: roc_auc_score(drifting[last_week][known], levels[name][known]) for name in levels}
    assert area.pop("score.fault_rate") > 0.75  # a few faults more are all that it can see of the drift
    assert min(area.values()) > 0.9
    for name, ending in (("drift", ".drift"), ("peers", ".peers")):
        parts = ensemble.explain(panel[last_week].head(20), detector=name)
        assert {part.feature[-6:] for row in parts for part in row} <= {ending}


def test_a_detector_that_finds_nothing_to_read_is_left_out(training: pd.DataFrame) -> None:
    without = training[[name for name in training if not name.startswith("faults.")]]
    assert fit(without, detectors=("robust_z", "fault_rate")).detectors == ("robust_z",)
    assert further_columns(SEVERAL) == frozenset()


def test_what_reads_raw_signals_is_no_detector_of_days(training: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="'windowed' reads raw signals"):
        fit(training, detectors=("robust_z", "windowed"))


@pytest.mark.slow
def test_a_fit_gives_the_same_numbers_on_any_number_of_threads(
    training: pd.DataFrame, unseen: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    for threads in (1, 2):
        for module in ("side_by_side", "learning"):
            monkeypatch.setattr(f"models.{module}.usable_threads", lambda threads=threads: threads)
        fitted.append(fit(training))
    one, two = fitted
    assert one.thresholds == two.thresholds
    assert one.threshold_levels == two.threshold_levels
    pd.testing.assert_frame_equal(one.raw(unseen), two.raw(unseen), check_exact=True)
