"""Trees kept as arrays give what scikit-learn gives, and broken ones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from models.arrays import load_arrays, save_arrays
from models.boosted_trees import TREE_ARRAYS, BoostedTrees


def _data(rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(rows, 4))
    truth = matrix[:, 0] + 0.5 * matrix[:, 1] + rng.normal(scale=0.5, size=rows) > 1
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix, truth


def _grown() -> BoostedTrees:
    matrix, truth = _data()
    return BoostedTrees.grown(matrix, truth, trees=20, leaves=7, rows_a_leaf=10, seed=3)


def test_the_walk_gives_what_the_library_gives_also_for_unknown_values() -> None:
    matrix, truth = _data()
    library = HistGradientBoostingClassifier(
        max_iter=20, learning_rate=0.05, max_leaf_nodes=7, min_samples_leaf=10, l2_regularization=1.0,
        early_stopping=False, random_state=3,
    ).fit(matrix, truth)  # fmt: skip
    fresh = np.random.default_rng(1).normal(size=(300, 4))
    fresh[::3, 0] = np.nan
    fresh[5] = np.nan
    np.testing.assert_allclose(_grown().raw(fresh), library.decision_function(fresh), rtol=1e-9)


def test_a_feature_that_is_known_nowhere_is_not_asked_for() -> None:
    matrix, truth = _data()
    matrix[:, 2] = np.nan
    grown = BoostedTrees.grown(matrix, truth, trees=20, leaves=7, rows_a_leaf=10, seed=3)
    assert 2 not in grown.feature
    apart = matrix.copy()
    apart[:, 2] = 5.0
    np.testing.assert_array_equal(grown.raw(apart), grown.raw(matrix))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    trees, matrix = _grown(), _data()[0]
    save_arrays(tmp_path / "trees.npz", trees.arrays())
    again = BoostedTrees.from_arrays(load_arrays(tmp_path / "trees.npz", TREE_ARRAYS), 4)
    np.testing.assert_array_equal(again.raw(matrix), trees.raw(matrix))


def test_no_row_gives_no_answer() -> None:
    assert _grown().raw(np.empty((0, 4))).shape == (0,)


@pytest.mark.parametrize("truth", [True, False])
def test_rows_of_one_kind_teach_nothing(truth: bool) -> None:
    matrix, _ = _data()
    with pytest.raises(ValueError, match="same truth"):
        BoostedTrees.grown(matrix, np.full(len(matrix), truth), trees=5, leaves=7, rows_a_leaf=10, seed=0)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("left", lambda array: np.zeros_like(array)),  # back to the root: a walk without end
        ("right", lambda array: array + 10_000),
        ("feature", lambda array: array + 4),
        ("feature", lambda array: array - 2),
        ("first", lambda array: array + 1_000_000),
        ("first", lambda array: array - 1),
        ("first", lambda array: array[:0]),
        ("value", lambda array: array[:-1]),
        ("left", lambda array: array.astype(float)),
        ("base", lambda array: np.array([1.0, 2.0])),
    ],
)
def test_trees_that_lead_out_of_themselves_are_refused(name: str, change: object) -> None:
    assert callable(change)
    arrays = dict(_grown().arrays())
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match="tree"):
        BoostedTrees.from_arrays(arrays, 4)
