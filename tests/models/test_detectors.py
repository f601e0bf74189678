"""Every detector in models/detectors passes this suite; a new one is found by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.detector import Detector
from models.detectors import detector_class, detector_names
from models.detectors.isolation_forest import IsolationForest
from models.panel import panel_index

NAMES = detector_names()
FEATURES = [f"signal{i}.mean.own" for i in range(8)]


def healthy(rows: int = 600, seed: int = 1) -> pd.DataFrame:
    """Days of normal data: three hidden causes move eight features, which carry noise and gaps of their own."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(3, len(FEATURES)))
    mixing /= np.linalg.norm(mixing, axis=0)
    values = rng.normal(size=(rows, 3)) @ mixing + 0.5 * rng.normal(size=(rows, len(FEATURES)))
    values[rng.random(values.shape) < 0.02] = np.nan
    days = np.datetime64("2026-01-01") + np.arange(rows)
    return pd.DataFrame(values, index=panel_index(["A"] * rows, list(days)), columns=FEATURES)


@pytest.fixture(scope="module", params=NAMES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return detector_class(request.param)(seed=3).fit(healthy())


def test_exactly_these_detectors_are_found() -> None:
    assert NAMES == ("isolation_forest", "pca", "robust_z")
    with pytest.raises(ValueError, match="unknown detector 'nope'; there are isolation_forest, pca, robust_z"):
        detector_class("nope")


def test_the_input_is_left_as_it_was(detector: Detector) -> None:
    matrix = healthy()
    before = matrix.copy(deep=True)
    type(detector)(seed=0).fit(matrix)
    detector.score(matrix)
    detector.contributions(matrix.head(20))
    pd.testing.assert_frame_equal(matrix, before)


def test_the_same_training_gives_the_same_scores(detector: Detector) -> None:
    again = type(detector)(seed=3).fit(healthy())
    pd.testing.assert_series_equal(detector.score(healthy(50, 2)), again.score(healthy(50, 2)), check_exact=True)


def test_saved_and_loaded_scores_are_equal_bit_for_bit(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    loaded = type(detector).load(tmp_path)
    days = healthy(100, 2)
    pd.testing.assert_series_equal(detector.score(days), loaded.score(days), check_exact=True)
    parts, loaded_parts = detector.contributions(days.head(9)), loaded.contributions(days.head(9))
    pd.testing.assert_frame_equal(parts, loaded_parts, check_exact=True)


def test_what_is_saved_is_no_pickle(detector: Detector, tmp_path: Path) -> None:
    detector.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".npz", ".skops", ".json"}


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "removed"])
def test_a_damaged_file_is_refused_by_name(detector: Detector, tmp_path: Path, damage: str) -> None:
    detector.save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        if damage == "cut":
            path.write_bytes(whole[: len(whole) // 2])
        elif damage == "emptied":
            path.write_bytes(b"")
        elif damage == "flipped":
            middle = len(whole) // 2
            path.write_bytes(
                whole[:middle] + bytes(255 - b for b in whole[middle : middle + 64]) + whole[middle + 64 :]
            )
        else:
            path.unlink()
        with pytest.raises(ValueError, match=path.name.replace(".", r"\.")):
            type(detector).load(tmp_path)
        path.write_bytes(whole)


def test_columns_may_come_in_any_order(detector: Detector) -> None:
    days = healthy(50, 2)
    turned = days[FEATURES[::-1]]
    pd.testing.assert_series_equal(detector.score(days), detector.score(turned), check_exact=True)
    assert list(detector.contributions(turned).columns) == FEATURES[::-1]


def test_a_missing_column_is_unknown_and_a_further_one_is_ignored(detector: Detector) -> None:
    days = healthy(50, 2)
    unknown = days.assign(**{FEATURES[2]: np.nan})
    missing = days.drop(columns=FEATURES[2]).assign(stranger=99.0)
    pd.testing.assert_series_equal(detector.score(unknown), detector.score(missing), check_exact=True)
    assert (detector.contributions(missing)["stranger"] == 0).all()


def test_a_day_of_which_nothing_is_known_has_no_score(detector: Detector) -> None:
    days = healthy(3, 2)
    days.iloc[1] = np.nan
    assert list(detector.score(days).isna()) == [False, True, False]
    assert (detector.contributions(days).iloc[1] == 0).all()
    assert detector.score(days.head(0)).empty


def test_what_is_unknown_neither_raises_nor_lowers(detector: Detector) -> None:
    """With a random quarter of the features unknown, healthy days stay, in the middle, where they were."""
    days = healthy(2000, 5)
    gaps = np.random.default_rng(6).random(days.shape) < 0.25
    before, after = detector.score(days), detector.score(days.mask(gaps))
    spread = before.quantile(0.84) - before.quantile(0.16)
    assert abs(after.median() - before.median()) < 0.25 * spread


def test_contributions_are_shares(detector: Detector) -> None:
    parts = detector.contributions(healthy(60, 2))
    assert parts.shape == (60, len(FEATURES))
    assert (parts >= 0).all(axis=None)
    np.testing.assert_allclose(parts.sum(axis=1), 1.0)


@pytest.mark.parametrize("feature", FEATURES)
def test_an_injected_fault_raises_the_score_and_is_pointed_at(detector: Detector, feature: str) -> None:
    days = healthy(40, 2).fillna(0.0)
    strange = days.assign(**{feature: 12.0})
    assert (detector.score(strange) > detector.score(days)).mean() >= 0.95
    assert (detector.contributions(strange).idxmax(axis=1) == feature).mean() >= 0.9


def test_outliers_score_higher_than_healthy_days(detector: Detector) -> None:
    days = healthy(300, 2)
    two_each = np.random.default_rng(4).random(days.shape).argsort(axis=1) < 2
    strange = days + 12.0 * two_each
    higher = detector.score(strange).to_numpy()[:, None] > detector.score(days).to_numpy()[None, :]
    assert higher.mean() > 0.95


def test_constant_and_unknown_columns_say_nothing(detector: Detector) -> None:
    extra = {"still.mean.own": 4.0, "never.mean.own": np.nan}
    fitted = type(detector)(seed=3).fit(healthy().assign(**extra))
    days = healthy(50, 2)
    pd.testing.assert_series_equal(
        fitted.score(days.assign(**extra)), detector.score(days), check_exact=False, rtol=1e-9
    )
    moved = days.assign(**{"still.mean.own": 1e6})
    pd.testing.assert_series_equal(fitted.score(moved), fitted.score(days), check_exact=True)


def test_too_little_to_learn_from_is_said(detector: Detector) -> None:
    with pytest.raises(ValueError, match="too few"):
        type(detector)(seed=0).fit(healthy(5))
    with pytest.raises(ValueError, match="no feature varies"):
        type(detector)(seed=0).fit(healthy()[[]].assign(a=1.0))
    with pytest.raises(ValueError, match="not fitted"):
        type(detector)(seed=0).score(healthy(5))


def test_a_forest_that_leads_out_of_itself_is_refused(tmp_path: Path) -> None:
    detector = IsolationForest(seed=0).fit(healthy())
    assert detector._forest is not None
    tree = detector._forest.estimators_[7].tree_
    tree.children_left[0] = tree.node_count + 5
    detector.save(tmp_path)
    with pytest.raises(ValueError, match="leads out of itself"):
        IsolationForest.load(tmp_path)
