"""What is learned from is taken out of the panel once, and each asset's days are scored by one that never saw it."""

from __future__ import annotations

import tracemalloc
from typing import Self

import numpy as np
import pandas as pd
import pytest

from models import learning as of_learning
from models.detectors import detector_class
from models.learning import FOLDS, Learning, cross_scored, informative
from models.panel import panel_index

ASSETS, DAYS, FEATURES = 30, 200, 60
FIRST = np.datetime64("2026-01-01")


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    index = panel_index(
        [f"A{a:02}" for a in range(ASSETS) for _ in range(DAYS)],
        [FIRST + d for _ in range(ASSETS) for d in range(DAYS)],
    )
    values = np.random.default_rng(0).normal(size=(len(index), FEATURES))
    values[::50] = np.nan
    return pd.DataFrame(values, index=index, columns=[f"s{n}.mean.own" for n in range(FEATURES)])


def _learning(panel: pd.DataFrame) -> Learning:
    return Learning.of(panel, panel.notna().all(axis=1).to_numpy(), list(panel.columns))


class _Knows:
    """Scores 1 where it learned from the asset whose number stands in the first feature, and 0 elsewhere."""

    name = "knows"
    reads = (".own",)

    def __init__(self, *, seed: int = 0) -> None:
        self._known: set[float] = set()

    def fit(self, matrix: pd.DataFrame) -> Self:
        self._known = set(matrix.iloc[:, 0])
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        return matrix.iloc[:, 0].isin(self._known).astype(float)


def test_no_asset_is_scored_by_a_detector_that_learned_from_it(
    panel: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_learning, "_SCORED_AT_ONCE", 333)
    numbered = panel.assign(**{"s0.mean.own": panel.index.get_level_values(0).str[1:].astype(float)})
    learning = Learning.of(numbered, np.ones(len(panel), dtype=bool), list(panel.columns))
    (scores,) = cross_scored(learning, [(_Knows, np.arange(FEATURES))], 0)  # type: ignore[list-item]
    assert len(scores) == len(panel)
    assert (scores == 0).all()
    two = numbered.loc[["A00", "A01"]]  # too few for folds: all are learned from
    (scores,) = cross_scored(
        Learning.of(two, np.ones(len(two), dtype=bool), list(two.columns)),
        [(_Knows, np.arange(FEATURES))],  # type: ignore[list-item]
        0,
    )
    assert FOLDS > 2
    assert (scores == 1).all()


@pytest.mark.parametrize("name", ["robust_z", "pca", pytest.param("isolation_forest", marks=pytest.mark.slow), "peers"])
def test_scores_in_parts_are_those_of_all_at_once(
    panel: pd.DataFrame, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = detector_class(name)
    its = panel.rename(columns=lambda column: column.replace(".own", kind.reads[0]))
    learning, columns = _learning(its), np.arange(FEATURES)
    (whole,) = cross_scored(learning, [(kind, columns)], 0)
    monkeypatch.setattr(of_learning, "_SCORED_AT_ONCE", 500)
    for module in ("pca", "isolation_forest"):
        monkeypatch.setattr(f"models.detectors.{module}._ROWS_AT_ONCE", 700)
    (parts,) = cross_scored(learning, [(kind, columns)], 0)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_one_fold_of_one_detector_takes_little_more_than_its_rows(
    panel: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of two folds are copied, two thirds of all; what a detector computes is of a part of them at a time."""
    monkeypatch.setattr("models.learning.usable_threads", lambda: 4)
    monkeypatch.setattr(of_learning, "_MOST_COPIED", 1)  # a large fleet's folds: one at a time
    for module in ("pca", "isolation_forest"):
        monkeypatch.setattr(f"models.detectors.{module}._ROWS_AT_ONCE", 400)
    monkeypatch.setattr(of_learning, "_SCORED_AT_ONCE", 400)
    learning = _learning(panel)
    rows = learning.values.nbytes
    for name in ("robust_z", "pca"):
        tracemalloc.start()
        try:
            list(cross_scored(learning, [(detector_class(name), np.arange(FEATURES))], 0))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1.25 * rows, name


def test_what_says_nothing_or_the_same_is_left_out(panel: pd.DataFrame) -> None:
    said = panel.iloc[:, :1].copy()
    said["still.own"] = 1.0
    said["copy.own"] = said["s0.mean.own"]
    said["rare.own"] = said["s0.mean.own"].where(np.arange(len(said)) % 20 == 0)
    said["s0.mean"] = said["s0.mean.own"]
    every = np.ones(len(said), dtype=bool)
    assert informative(said, every, (".own",)) == ["s0.mean.own"]
    with pytest.raises(ValueError, match="no look-back column"):
        informative(said, every, (".drift",))
