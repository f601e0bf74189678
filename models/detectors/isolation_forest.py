"""Isolation forest: how few random cuts part a day from healthy ones."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pandas as pd
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest as Forest
from sklearn.tree._tree import Tree
from skops.io.exceptions import UntrustedTypesFoundException

from models.arrays import load_arrays, save_arrays
from models.grid import Floats
from models.scaling import SCALING_ARRAYS, Scaling

TREES = 200
ROWS_PER_TREE = 256
_EXPLAINED_AT_ONCE = 100
_ROWS_AT_ONCE = 10_000
TRUSTED = ["sklearn.tree._tree.Tree"]
"""skops asks whether to trust it, since scikit-learn walks its node numbers unchecked: they are checked below."""


class IsolationForest:
    """The anomaly score of Liu, Ting & Zhou (ICDM 2008): 0 to 1, about 0.4 to 0.5 on a typical day.

    What is unknown is put at the training median, where it isolates nothing. A feature's part is how much the
    score falls when the feature is put at its median, the others left as they are; where it falls for none, all
    features that are off their median share alike.
    """

    name: ClassVar[str] = "isolation_forest"
    reads: ClassVar[tuple[str, ...]] = (".own", ".peers", ".rate", "faults.novel")

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._scaling: Scaling | None = None
        self._forest: Forest | None = None

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Grow the forest. Raises ``ValueError`` on too few rows, or where no feature varies."""
        self._scaling = Scaling.fit(matrix)
        forest = Forest(n_estimators=TREES, max_samples=min(ROWS_PER_TREE, len(matrix)), random_state=self._seed)
        self._forest = forest.fit(self._filled(matrix))
        return self

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return the anomaly score of each row, NaN where no feature is known."""
        known = np.isfinite(self._fitted.apply(matrix)).any(axis=1)
        scores = np.full(len(matrix), np.nan)
        if known.any():
            scores[known] = self._isolation(self._filled(matrix)[known])
        return pd.Series(scores, index=matrix.index, name=self.name)

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's share of the falls of the score; costs one scoring per feature."""
        known = np.isfinite(self._fitted.apply(matrix))
        scaled = self._filled(matrix)
        parts = np.zeros(scaled.shape)
        off = scaled != 0
        for first in range(0, len(scaled), _EXPLAINED_AT_ONCE):
            rows, features = np.nonzero(off[first : first + _EXPLAINED_AT_ONCE])
            if len(rows):
                block = scaled[first : first + _EXPLAINED_AT_ONCE]
                without = block[rows]
                without[np.arange(len(rows)), features] = 0.0
                fall = self._isolation(block)[rows] - self._isolation(without)
                parts[first + rows, features] = np.maximum(fall, 0.0)
        # Where no feature alone makes the score: those off their median alike, or all that are known.
        alike = np.where(off.any(axis=1, keepdims=True), off, known)
        parts = np.where(parts.any(axis=1, keepdims=True), parts, alike)
        return self._fitted.shares(parts, matrix)

    def save(self, folder: Path) -> None:
        """Write ``isolation_forest.npz`` (the scale) and ``isolation_forest.skops`` (the trees)."""
        save_arrays(folder / "isolation_forest.npz", self._fitted.arrays())
        skops.io.dump(self._forest, folder / "isolation_forest.skops")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read both files; the second may hold scikit-learn's types alone, and sound trees. Raises ``ValueError``."""
        detector = cls()
        detector._scaling = Scaling.from_arrays(load_arrays(folder / "isolation_forest.npz", SCALING_ARRAYS))
        path = folder / "isolation_forest.skops"
        try:
            forest = skops.io.load(path, trusted=TRUSTED)
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile, UntrustedTypesFoundException) as error:
            raise ValueError(f"{path.name}: not an isolation forest ({error})") from error
        if not isinstance(forest, Forest) or forest.n_features_in_ != len(detector._scaling.features):
            raise ValueError(f"{path.name}: not an isolation forest of these features")
        if not all(_is_sound(tree.tree_, len(detector._scaling.features)) for tree in forest.estimators_):
            raise ValueError(f"{path.name}: a tree leads out of itself")
        detector._forest = forest
        return detector

    @property
    def _fitted(self) -> Scaling:
        if self._scaling is None:
            raise ValueError("the detector was not fitted")
        return self._scaling

    def _filled(self, matrix: pd.DataFrame) -> NDArray[np.float32]:
        """Return the scaled rows as trees read them: in single precision, what is not known at zero, the median."""
        filled = np.empty((len(matrix), len(self._fitted.features)), dtype=np.float32)
        for first in range(0, len(matrix), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            filled[some] = np.nan_to_num(self._fitted.apply(matrix.iloc[some]))
        return filled

    def _isolation(self, scaled: NDArray[np.float32]) -> Floats:
        if self._forest is None:
            raise ValueError("the detector was not fitted")
        return -np.asarray(self._forest.score_samples(scaled), dtype=np.float64)


def _is_sound(tree: Tree, features: int) -> bool:
    """Whether each node is a leaf, or splits a feature that exists into two nodes that come after it."""
    number = np.arange(tree.node_count)
    left, right = tree.children_left, tree.children_right
    leaf = (left == -1) & (right == -1)
    onward = (left > number) & (left < tree.node_count) & (right > number) & (right < tree.node_count)
    splits = (tree.feature >= 0) & (tree.feature < features)
    return bool(tree.node_count > 0 and (leaf | (onward & splits)).all())
