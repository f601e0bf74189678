"""What detectors learn from: the rows and features of a panel, taken out once, and scores by folds of assets.

Column by column and in parts: a further copy of a large fleet's days, or of all features of one fold, is as large as
what the models are fitted within.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.detector import Detector
from models.grid import Floats
from models.side_by_side import side_by_side, usable_threads

MIN_KNOWN_SHARE = 0.1
"""Share of the healthy days on which a feature must be known to be learned from."""
FOLDS = 3
"""Levels and thresholds come from days of assets that the detectors they are read from did not learn from."""

_SCORED_AT_ONCE = 20_000
_MOST_COPIED = 1_000_000_000  # bytes of folds at one time: of a fleet whose folds are larger, one at a time is fitted


def column(panel: pd.DataFrame, name: str) -> Floats:
    """Return what detectors see of a feature: fewer faults than usual is no anomaly, a rate below it counts as it."""
    values = panel[name].to_numpy(dtype=np.float64)
    return np.where(values < 0, 0.0, values) if name.endswith(".rate") else values


def informative(panel: pd.DataFrame, rows: NDArray[np.bool_], endings: tuple[str, ...]) -> list[str]:
    """Return the columns with these endings that in some rows are known often enough, vary, and are no copy of another.

    Raises ``ValueError`` where there is none.
    """
    seen: set[bytes] = set()
    kept = []
    for name in panel.columns:
        if not name.endswith(endings):
            continue
        values = column(panel, name)[rows]
        known = values[np.isfinite(values)]
        if len(known) <= MIN_KNOWN_SHARE * len(values) or known.min() == known.max():
            continue
        copy = sha256((values + 0.0).data).digest()  # -0.0 becomes 0.0
        if copy not in seen:
            seen.add(copy)
            kept.append(name)
    if not kept:
        raise ValueError("no look-back column is known on enough healthy days and varies")
    return kept


def known_share(panel: pd.DataFrame, features: Sequence[str]) -> Floats:
    """Return of each row the share of some features that is known."""
    known = np.zeros(len(panel))
    for name in features:
        known += panel[name].notna().to_numpy()
    return known / len(features)


@dataclass(frozen=True, slots=True)
class Learning:
    """The rows to learn from: one array (features, rows), of which each detector is given the part that it reads."""

    index: pd.Index
    features: Sequence[str]
    values: Floats
    fold: NDArray[np.intp]

    @classmethod
    def of(cls, panel: pd.DataFrame, usable: NDArray[np.bool_], features: Sequence[str]) -> Self:
        """Take the usable rows of some features out of a panel."""
        values = np.empty((len(features), int(usable.sum())))
        for place, name in enumerate(features):
            values[place] = column(panel, name)[usable]
        index = panel.index[usable]
        asset = pd.factorize(index.get_level_values(0), sort=True)[0]
        return cls(index, features, values, asset % FOLDS)

    def read_by(self, kind: type[Detector]) -> NDArray[np.intp]:
        """Return the places of the features that a detector reads."""
        return np.array([i for i, name in enumerate(self.features) if name.endswith(kind.reads)], dtype=np.intp)

    def rows(self, columns: NDArray[np.intp], which: NDArray[np.intp] | None = None) -> pd.DataFrame:
        """Return the rows at some places (``None``: all) of some columns."""
        names = [self.features[place] for place in columns]
        if which is None:
            values = self.values if len(columns) == len(self.features) else self.values[columns]
            return pd.DataFrame(values.T, index=self.index, columns=names, copy=False)
        chosen = self.values[columns[:, None], which]
        return pd.DataFrame(chosen.T, index=self.index[which], columns=names, copy=False)


def cross_scored(
    learning: Learning, kinds: Sequence[tuple[type[Detector], NDArray[np.intp]]], seed: int
) -> Iterator[Floats]:
    """Yield of each detector raw scores of the learning rows, each by one that did not learn from that asset."""
    fold = learning.fold
    folds = range(FOLDS) if len(np.unique(fold)) == FOLDS else [None]

    def score(piece: tuple[int, int | None]) -> Floats:
        (kind, columns), number = kinds[piece[0]], piece[1]
        detector = kind(seed=seed).fit(
            learning.rows(columns, None if number is None else np.flatnonzero(fold != number))
        )
        judged = np.arange(len(fold)) if number is None else np.flatnonzero(fold == number)
        parts = [judged[first : first + _SCORED_AT_ONCE] for first in range(0, len(judged), _SCORED_AT_ONCE)]
        return np.concatenate([detector.score(learning.rows(columns, part)).to_numpy() for part in parts])

    # Fold by fold, so that threads are seldom at work on one detector at once, which may be the one that needs most.
    pieces = [(place, number) for number in folds for place in range(len(kinds))]
    threads = max(1, min(usable_threads(), _MOST_COPIED * FOLDS // ((FOLDS - 1) * max(learning.values.nbytes, 1))))
    found = dict(zip(pieces, side_by_side(score, pieces, threads), strict=True))
    for place in range(len(kinds)):
        scores = np.empty(len(fold))
        for number in folds:
            scores[slice(None) if number is None else fold == number] = found[place, number]
        yield scores
