"""Gradient-boosted trees as plain arrays: grown by scikit-learn, kept and walked here.

So a stored model is numbers that can be checked before they are followed, and no pickle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from models.arrays import Arrays
from models.grid import Floats

TREE_ARRAYS = ("base", "first", "feature", "threshold", "missing_left", "left", "right", "value")
_ROWS_AT_ONCE = 4_000  # so that what is walked stays in cache
_ROWS_WORTH_THREADS = 200_000


@dataclass(frozen=True)
class BoostedTrees:
    """What they say (log odds, or a value) is ``base`` plus one leaf's value per tree.

    Nodes of all trees stand one after another; ``first`` is each tree's root; ``left`` and ``right`` lead to a later
    node, or stay at a leaf, where ``feature`` is -1. A value goes left where it is at most the threshold, or where it
    is not known and ``missing_left``.
    """

    features: int
    base: float
    first: NDArray[np.intp]
    feature: NDArray[np.intp]
    threshold: Floats
    missing_left: NDArray[np.bool_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: Floats

    @classmethod
    def grown(
        cls, matrix: Floats, truth: NDArray[np.bool_], *, trees: int, leaves: int, rows_a_leaf: int, seed: int
    ) -> Self:
        """Grow trees on rows of features (NaN: not known) whose truth is known.

        A feature that is known in none of the rows is never asked for. Raises ``ValueError`` where all rows have the
        same truth.
        """
        if truth.all() or not truth.any():
            raise ValueError("there is nothing to tell apart: all rows have the same truth")
        matrix = _without_unknown(matrix)
        options = _options(trees, leaves, rows_a_leaf, seed)
        return cls._kept(HistGradientBoostingClassifier(**options), matrix, truth)

    @classmethod
    def regressed(cls, matrix: Floats, values: Floats, *, trees: int, leaves: int, rows_a_leaf: int, seed: int) -> Self:
        """Grow trees whose sum is the value expected of a row (least squares); ``matrix`` as for ``grown``."""
        options = _options(trees, leaves, rows_a_leaf, seed)
        return cls._kept(HistGradientBoostingRegressor(**options), _without_unknown(matrix), values)

    @classmethod
    def _kept(cls, grower: Any, matrix: Floats, wanted: NDArray[np.generic]) -> Self:
        """Let scikit-learn grow trees and keep them as arrays."""
        # Threads that wait for each other cost more than they bring on few rows, most of all on a busy machine.
        with threadpool_limits(1 if len(matrix) < _ROWS_WORTH_THREADS else None, user_api="openmp"):
            grower.fit(matrix, wanted)
            sample = matrix[:: max(1, len(matrix) // 200)]
            expected = grower._raw_predict(sample).ravel()
        nodes = [stage[0].nodes for stage in grower._predictors]
        first = np.cumsum([0, *(len(tree) for tree in nodes)])[:-1]
        flat = np.concatenate(nodes)
        offset = np.repeat(first, [len(tree) for tree in nodes])
        here, leaf = np.arange(len(flat)), flat["is_leaf"].astype(bool)
        kept = cls(
            features=matrix.shape[1],
            base=float(np.ravel(grower._baseline_prediction)[0]),
            first=first.astype(np.intp),
            feature=np.where(leaf, -1, flat["feature_idx"]).astype(np.intp),
            threshold=np.where(leaf, 0.0, flat["num_threshold"]),
            missing_left=flat["missing_go_to_left"].astype(bool),
            left=np.where(leaf, here, flat["left"] + offset).astype(np.intp),
            right=np.where(leaf, here, flat["right"] + offset).astype(np.intp),
            value=np.where(leaf, flat["value"], 0.0),
        )
        if not np.allclose(kept.raw(sample), expected, rtol=1e-6, atol=1e-9):
            raise RuntimeError("this version of scikit-learn keeps its trees in another way")
        return kept

    def raw(self, matrix: Floats) -> Floats:
        """Return of each row what the trees add up to: log odds, or of ``regressed`` ones the value."""
        found = np.empty(len(matrix))
        for begin in range(0, len(matrix), _ROWS_AT_ONCE):
            found[begin : begin + _ROWS_AT_ONCE] = self._raw(matrix[begin : begin + _ROWS_AT_ONCE])
        return found

    def _raw(self, matrix: Floats) -> Floats:
        # From the leaves up, as each node leads to later ones: a node's answer is that of the side a value goes to.
        # A comparison with NaN is false, so the one that is asked sends what is not known the other way.
        answer: list[Floats | float] = self.value.tolist()
        columns = np.ascontiguousarray(matrix.T)
        for node in np.flatnonzero(self.feature >= 0)[::-1].tolist():
            values, threshold = columns[self.feature[node]], self.threshold[node]
            left, right = answer[self.left[node]], answer[self.right[node]]
            if self.missing_left[node]:
                answer[node] = np.where(values > threshold, right, left)
            else:
                answer[node] = np.where(values <= threshold, left, right)
        found = np.empty((len(matrix), len(self.first)))
        for tree, root in enumerate(self.first.tolist()):
            found[:, tree] = answer[root]
        return np.asarray(self.base + found.sum(axis=1))

    def arrays(self) -> Arrays:
        """Return what ``from_arrays`` takes."""
        return {name: np.asarray(getattr(self, name)) for name in TREE_ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Arrays, features: int) -> Self:
        """Build it from arrays that were read back. Raises ``ValueError`` where a walk could leave them or not end."""
        count = len(arrays["feature"])
        here = np.arange(count)
        feature, left, right, first = (arrays[name] for name in ("feature", "left", "right", "first"))
        same = all(arrays[name].shape == (count,) for name in TREE_ARRAYS[2:])
        whole = all(np.issubdtype(array.dtype, np.integer) for array in (feature, left, right, first))
        if not (same and whole and count and arrays["base"].shape == () and first.ndim == 1 and len(first)):
            raise ValueError("the trees' arrays do not fit together")
        leaf = feature == -1
        onward = (left > here) & (left < count) & (right > here) & (right < count)
        inner = (feature >= 0) & (feature < features) & onward
        if not (leaf | inner).all() or first.min() < 0 or first.max() >= count:
            raise ValueError("a tree leads out of itself")
        return cls(
            features,
            float(arrays["base"]),
            first.astype(np.intp),
            feature.astype(np.intp),
            arrays["threshold"].astype(np.float64),
            arrays["missing_left"].astype(bool),
            left.astype(np.intp),
            right.astype(np.intp),
            arrays["value"].astype(np.float64),
        )


def _options(trees: int, leaves: int, rows_a_leaf: int, seed: int) -> dict[str, Any]:
    return {
        "max_iter": trees,
        "learning_rate": 0.05,
        "max_leaf_nodes": leaves,
        "min_samples_leaf": rows_a_leaf,
        "l2_regularization": 1.0,
        "early_stopping": False,
        "random_state": seed,
    }


def _without_unknown(matrix: Floats) -> Floats:
    """Return the matrix with 0 in the columns of which nothing is known, which scikit-learn cannot sort into bins."""
    unknown = np.isnan(matrix).all(axis=0)
    return np.where(unknown, 0.0, matrix) if unknown.any() else matrix
