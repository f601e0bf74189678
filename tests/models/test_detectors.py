"""Every detector in models/detectors passes this suite; a new one is found by itself."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from models.detector import Detector
from models.detectors import detector_class, detector_names
from models.detectors.fault_rate import FaultRate
from models.detectors.isolation_forest import IsolationForest
from models.panel import panel_index

NAMES = detector_names()
WIDTH = 8


class Bench:
    """A detector under test, and days of the kind that it reads."""

    def __init__(self, name: str) -> None:
        self.kind = detector_class(name)
        ending = next(iter(self.kind.reads), "")
        self.counts = ending == ".excess"
        self.features = [f"faults.F{i}{ending}" if self.counts else f"signal{i}.mean{ending}" for i in range(WIDTH)]
        self.fitted = self.new(3).fit(self.healthy())
        self._saved: dict[str, bytes] = {}

    def new(self, seed: int = 0) -> Detector:
        return self.kind(seed=seed)

    def save(self, folder: Path) -> None:
        """Write the fitted detector; what it writes is asked for once, since some take a second for it."""
        if not self._saved:
            self.fitted.save(folder)
            self._saved = {path.name: path.read_bytes() for path in folder.iterdir()}
        for name, content in self._saved.items():
            (folder / name).write_bytes(content)

    def healthy(self, rows: int = 600, seed: int = 1) -> pd.DataFrame:
        """Days of normal data: three hidden causes move eight features, which carry noise and gaps of their own.

        What counts surprises reads them as the negative log of a probability.
        """
        rng = np.random.default_rng(seed)
        mixing = np.random.default_rng(7).normal(size=(3, WIDTH))
        mixing /= np.linalg.norm(mixing, axis=0)
        values = rng.normal(size=(rows, 3)) @ mixing + 0.5 * rng.normal(size=(rows, WIDTH))
        if self.counts:
            values = -norm.logsf(values)
        values[rng.random(values.shape) < 0.02] = np.nan
        days = np.datetime64("2026-01-01") + np.arange(rows)
        return pd.DataFrame(values, index=panel_index(["A"] * rows, list(days)), columns=self.features)


@pytest.fixture(scope="module", params=NAMES)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


@pytest.fixture
def detector(bench: Bench) -> Detector:
    return bench.fitted


def test_exactly_these_detectors_are_found() -> None:
    assert NAMES == ("drift", "fault_rate", "isolation_forest", "pca", "peers", "robust_z", "windowed")
    with pytest.raises(ValueError, match="unknown detector 'nope'; there are drift, fault_rate, isolation_forest"):
        detector_class("nope")


def test_a_detector_without_training_says_nothing(bench: Bench, tmp_path: Path) -> None:
    for use in ("score", "contributions"):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(bench.new(), use)(bench.healthy(5))
    with pytest.raises(ValueError, match="not fitted"):
        bench.new().save(tmp_path)


def test_what_was_learned_matters(bench: Bench) -> None:
    """A detector that ignores its training would score alike after another one."""
    other = bench.new(3).fit(bench.healthy() * 5)
    days = bench.healthy(300, 2) * 5
    assert other.score(days).median() < 0.8 * bench.fitted.score(days).median()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_training(bench: Bench, tmp_path: Path) -> None:
    """What is kept of four times the days is no larger, and scoring holds a small multiple of its input."""
    sizes = []
    for rows in (600, 2400):
        folder = tmp_path / str(rows)
        folder.mkdir()
        bench.new().fit(bench.healthy(rows)).save(folder)
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
    assert sizes[1] < 1.2 * sizes[0]
    days = bench.healthy(20_000, 2)
    tracemalloc.start()
    bench.fitted.score(days)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * days.to_numpy().nbytes


def test_the_input_is_left_as_it_was(bench: Bench, detector: Detector) -> None:
    matrix = bench.healthy()
    before = matrix.copy(deep=True)
    bench.new().fit(matrix)
    detector.score(matrix)
    detector.contributions(matrix.head(20))
    pd.testing.assert_frame_equal(matrix, before)


def test_the_same_training_gives_the_same_scores(bench: Bench, detector: Detector) -> None:
    again = bench.new(3).fit(bench.healthy())
    pd.testing.assert_series_equal(
        detector.score(bench.healthy(50, 2)), again.score(bench.healthy(50, 2)), check_exact=True
    )


def test_saved_and_loaded_scores_are_equal_bit_for_bit(bench: Bench, detector: Detector, tmp_path: Path) -> None:
    bench.save(tmp_path)
    loaded = type(detector).load(tmp_path)
    days = bench.healthy(100, 2)
    pd.testing.assert_series_equal(detector.score(days), loaded.score(days), check_exact=True)
    parts, loaded_parts = detector.contributions(days.head(9)), loaded.contributions(days.head(9))
    pd.testing.assert_frame_equal(parts, loaded_parts, check_exact=True)


def test_what_is_saved_is_no_pickle(bench: Bench, tmp_path: Path) -> None:
    bench.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".npz", ".skops", ".json"}


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "removed"])
def test_a_damaged_file_is_refused_by_name(bench: Bench, tmp_path: Path, damage: str) -> None:
    bench.save(tmp_path)
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
            bench.kind.load(tmp_path)
        path.write_bytes(whole)


def test_columns_may_come_in_any_order(bench: Bench, detector: Detector) -> None:
    days = bench.healthy(50, 2)
    turned = days[bench.features[::-1]]
    pd.testing.assert_series_equal(detector.score(days), detector.score(turned), check_exact=True)
    assert list(detector.contributions(turned).columns) == bench.features[::-1]


def test_a_missing_column_is_unknown_and_a_further_one_is_ignored(bench: Bench, detector: Detector) -> None:
    days = bench.healthy(50, 2)
    unknown = days.assign(**{bench.features[2]: np.nan})
    missing = days.drop(columns=bench.features[2]).assign(stranger=99.0)
    pd.testing.assert_series_equal(detector.score(unknown), detector.score(missing), check_exact=True)
    assert (detector.contributions(missing)["stranger"] == 0).all()


def test_a_day_of_which_nothing_is_known_has_no_score(bench: Bench, detector: Detector) -> None:
    days = bench.healthy(3, 2)
    days.iloc[1] = np.nan
    assert list(detector.score(days).isna()) == [False, True, False]
    assert (detector.contributions(days).iloc[1] == 0).all()
    assert detector.score(days.head(0)).empty


def test_what_is_unknown_neither_raises_nor_lowers(bench: Bench, detector: Detector) -> None:
    """With a random quarter of the features unknown, healthy days stay, in the middle, where they were."""
    days = bench.healthy(2000, 5)
    gaps = np.random.default_rng(6).random(days.shape) < 0.25
    before, after = detector.score(days), detector.score(days.mask(gaps))
    spread = before.quantile(0.84) - before.quantile(0.16)
    assert abs(after.median() - before.median()) < 0.25 * spread


def test_contributions_are_shares(bench: Bench, detector: Detector) -> None:
    parts = detector.contributions(bench.healthy(60, 2))
    assert parts.shape == (60, WIDTH)
    assert (parts >= 0).all(axis=None)
    np.testing.assert_allclose(parts.sum(axis=1), 1.0)


@pytest.mark.parametrize("number", range(WIDTH))
def test_an_injected_fault_raises_the_score_and_is_pointed_at(bench: Bench, detector: Detector, number: int) -> None:
    feature = bench.features[number]
    days = bench.healthy(40, 2).fillna(0.0)
    strange = days.assign(**{feature: 12.0})
    assert (detector.score(strange) > detector.score(days)).mean() >= 0.95
    assert (detector.contributions(strange).idxmax(axis=1) == feature).mean() >= 0.9


def test_outliers_score_higher_than_healthy_days(bench: Bench, detector: Detector) -> None:
    days = bench.healthy(300, 2)
    two_each = np.random.default_rng(4).random(days.shape).argsort(axis=1) < 2
    strange = days + 12.0 * two_each
    higher = detector.score(strange).to_numpy()[:, None] > detector.score(days).to_numpy()[None, :]
    assert higher.mean() > 0.95


def test_constant_and_unknown_columns_say_nothing(bench: Bench, detector: Detector) -> None:
    extra = {"still.mean.own": 4.0, "never.mean.own": np.nan}
    fitted = bench.new(3).fit(bench.healthy().assign(**extra))
    days = bench.healthy(50, 2)
    pd.testing.assert_series_equal(
        fitted.score(days.assign(**extra)), detector.score(days), check_exact=False, rtol=1e-9
    )
    moved = days.assign(**{"still.mean.own": 1e6})
    pd.testing.assert_series_equal(fitted.score(moved), fitted.score(days), check_exact=True)


def test_too_little_to_learn_from_is_said(bench: Bench, detector: Detector) -> None:
    with pytest.raises(ValueError, match="too few"):
        bench.new().fit(bench.healthy(5))
    with pytest.raises(ValueError, match="no feature varies"):
        bench.new().fit(bench.healthy()[[]].assign(a=1.0))
    with pytest.raises(ValueError, match="not fitted"):
        bench.new().score(bench.healthy(5))


def test_a_forest_that_leads_out_of_itself_is_refused(tmp_path: Path) -> None:
    detector = Bench("isolation_forest").fitted
    assert isinstance(detector, IsolationForest)
    assert detector._forest is not None
    tree = detector._forest.estimators_[7].tree_
    tree.children_left[0] = tree.node_count + 5
    detector.save(tmp_path)
    with pytest.raises(ValueError, match="leads out of itself"):
        IsolationForest.load(tmp_path)


def test_bursts_that_are_usual_for_a_code_are_worth_less() -> None:
    """A code whose healthy days often surprise is scaled down, one that keeps to the law is not raised."""
    bench = Bench("fault_rate")
    days = bench.healthy()
    bursting = days.assign(**{bench.features[0]: days[bench.features[0]] * 6})
    fitted = FaultRate().fit(bursting)
    burst = pd.DataFrame({name: [0.0] for name in bench.features})
    usual, rare = (burst.assign(**{name: [12.0]}) for name in bench.features[:2])
    assert fitted.score(rare).item() > 1.5 * fitted.score(usual).item()
    quiet = FaultRate().fit(days * 0.1)
    assert quiet.score(rare).item() == pytest.approx(12.0)


def test_a_new_code_is_worth_how_rare_new_codes_are() -> None:
    bench = Bench("fault_rate")
    for rows, worth in ((6, np.log(100)), (60, np.log(10))):
        novel = np.zeros(600)
        novel[:rows] = 1.0
        fitted = FaultRate().fit(bench.healthy().assign(**{"faults.novel": novel}))
        none = pd.DataFrame({name: [0.0] for name in (*bench.features, "faults.novel")})
        new = none.assign(**{"faults.novel": [1.0]})
        assert fitted.score(new).item() - fitted.score(none).item() == pytest.approx(worth)
        assert fitted.contributions(new)["faults.novel"].item() == 1.0


def test_statistics_of_one_signal_count_once() -> None:
    """Two signals that deviate say more than two statistics of one."""
    names = ["a.mean.peers", "a.max.peers", "b.mean.peers", "b.max.peers"]
    days = pd.DataFrame(np.random.default_rng(1).normal(size=(300, 4)), columns=names)
    peers = detector_class("peers")(seed=0).fit(days)
    one, two = (pd.DataFrame([row], columns=names) for row in ([4.0, 4.0, 0.0, 0.0], [4.0, 0.0, 4.0, 0.0]))
    lone = pd.DataFrame([[8.0, 0.0, 0.0, 0.0]], columns=names)
    assert peers.score(one).item() > peers.score(two).item()
    assert peers.score(lone).item() == pytest.approx(peers.score(one).item(), rel=0.05)
