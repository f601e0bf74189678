"""Learning one failure mode: trees, a line that calibrates them, the risk worth a ticket, and the days left then.

Everything that is promised is taken from asset-days of assets that the trees behind it did not learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.arrays import load_arrays, save_arrays
from models.boosted_trees import TREE_ARRAYS, BoostedTrees
from models.grid import Floats
from models.persistence import Persistence
from models.remaining_days import Remaining, RemainingDays
from models.side_by_side import side_by_side
from models.threshold import budget_threshold, cheapest_threshold, opening_days

FOLDS = 5
TREES, LEAVES, ROWS_A_LEAF = 60, 7, 30
SOUND_ROWS = 25_000
"""Days without a failure ahead that trees learn from; of more, a share is drawn, and each day with one is kept."""

_NUMBERS = ("columns", "slope", "offset", "threshold")
_EVERY_DAY = Persistence(1, 1)


@dataclass(frozen=True)
class LearnedMode:
    """What was learned of one failure mode: trees, Platt's line over their log odds, and the risk worth a ticket.

    ``columns`` are the places of the features that the trees read, in their order; ``days`` says how long an asset has
    left whose risk is above the threshold, where enough such days were seen.
    """

    columns: tuple[int, ...]
    trees: BoostedTrees
    slope: float
    offset: float
    threshold: float
    days: RemainingDays | None = None

    def risk(self, matrix: Floats) -> Floats:
        """Return the calibrated risk of each row."""
        return _sigmoid(self.slope * self.log_odds(matrix) + self.offset)

    def log_odds(self, matrix: Floats) -> Floats:
        """Return the log odds of each row, before they are calibrated."""
        return self.trees.raw(matrix[:, self.columns])

    def remaining(self, matrix: Floats) -> list[Remaining | None]:
        """Return how long the asset of each row has left, of rows whose risk is above the threshold."""
        return [*self.days.predict(matrix[:, self.columns])] if self.days is not None else [None] * len(matrix)

    def save(self, folder: Path, number: int) -> dict[str, Any]:
        """Write the arrays, as the mode with a ``number``; return the rest, as plain values."""
        save_arrays(folder / f"trees.{number}.npz", self.trees.arrays())
        if self.days is not None:
            self.days.save(folder / f"days.{number}.npz")
        return {name: getattr(self, name) for name in _NUMBERS} | {"days": self.days is not None}

    @classmethod
    def load(
        cls, held: Mapping[str, Any], folder: Path, number: int, *, features: int, horizon_days: int
    ) -> LearnedMode:
        """Read back what ``save`` wrote. Raises ``ValueError`` where a file can't be read or does not fit."""
        columns = tuple(int(column) for column in held["columns"])
        if not all(0 <= column < features for column in columns):
            raise ValueError("failure.json: a column that is no feature")
        trees = BoostedTrees.from_arrays(load_arrays(folder / f"trees.{number}.npz", TREE_ARRAYS), len(columns))
        days = None
        if held.get("days"):
            days = RemainingDays.load(folder / f"days.{number}.npz", horizon_days, len(columns))
        slope, offset, threshold = (float(held[name]) for name in _NUMBERS[1:])
        return cls(columns, trees, slope, offset, threshold, days)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be learned of one failure mode from a matrix: the ``columns`` to read, the days each row had ``left``,
    of the ``rows`` that are known the ``truth``, and of those the ``telling`` ones, from which trees are grown.
    """

    columns: NDArray[np.intp]
    left: Floats
    truth: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    telling: NDArray[np.bool_]

    def grown(self, matrix: Floats, which: NDArray[np.bool_], seed: int) -> BoostedTrees:
        """Return trees grown on some rows."""
        return BoostedTrees.grown(
            self.read(matrix, which), self.truth[which], trees=TREES, leaves=LEAVES, rows_a_leaf=ROWS_A_LEAF, seed=seed
        )

    def read(self, matrix: Floats, which: NDArray[np.bool_]) -> Floats:
        """Return the columns of some rows."""
        chosen: Floats = matrix[np.flatnonzero(which)[:, None], self.columns]
        return chosen


def can_be_judged(asked: Question, index: pd.MultiIndex, silent: NDArray[np.bool_]) -> bool:
    """Whether days before a failure lie in two folds of assets, and others too: one is judged by what others taught."""
    fold, spoken = _folds(index), asked.rows & ~silent
    return all(len(np.unique(fold[spoken & (asked.truth == truth)])) > 1 for truth in (True, False))


def learned(
    questions: Sequence[Question],
    matrix: Floats,
    index: pd.MultiIndex,
    *,
    silent: NDArray[np.bool_],
    horizon_days: int,
    budget: float,
    min_probability: float,
    seed: int,
) -> list[LearnedMode]:
    """Return what is learned of each question, each of which ``can_be_judged``.

    On ``silent`` rows, the days of repairs and failures, nothing is said in service, and so no ticket opens here.
    """
    assets, fold = index.get_level_values(0), _folds(index)
    unseen = np.full((len(questions), len(matrix)), np.nan)

    def judge(piece: tuple[int, int]) -> None:
        asked, number = questions[piece[0]], piece[1]
        learning, judged = asked.telling & (fold != number), asked.rows & (fold == number)
        if judged.any() and asked.truth[learning].any() and not asked.truth[learning].all():
            unseen[piece[0], judged] = asked.grown(matrix, learning, seed).raw(asked.read(matrix, judged))

    def learn(place: int) -> LearnedMode:
        asked, odds = questions[place], unseen[place]
        judged = asked.rows & np.isfinite(odds)
        line = LogisticRegression(C=1e6).fit(odds[judged, None], asked.truth[judged])
        slope, offset = max(float(line.coef_[0, 0]), 0.0), float(line.intercept_[0])
        risk = np.where(judged & ~silent, _sigmoid(slope * odds + offset), np.nan)
        sound = pd.Series(judged & ~silent & ~asked.truth, index=index)
        lowest = max(budget_threshold(pd.Series(risk, index=index), sound, _EVERY_DAY, budget), min_probability)
        threshold = cheapest_threshold(risk, asked.left, index, lowest, horizon_days)
        opens = opening_days(risk > threshold, index)
        told = asked.rows & asked.truth
        days = RemainingDays.fit(
            asked.read(matrix, told),
            asked.left[told],
            assets[told].to_numpy(),
            opens[told],
            horizon_days=horizon_days,
            seed=seed,
        )
        trees = asked.grown(matrix, asked.telling, seed)
        return LearnedMode(tuple(asked.columns.tolist()), trees, slope, offset, threshold, days)

    side_by_side(judge, [(place, number) for place in range(len(questions)) for number in range(FOLDS)])
    return side_by_side(learn, range(len(questions)))


def drawn(sound: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Return which of the sound rows are learned from: the same share in each fold, so that one line calibrates all.

    Failures are rare, so that sound days beyond some ten times their number teach little (the design of case-control
    studies: Prentice & Pyke, Biometrika 66, 1979); the line, which is fitted on all days, puts the odds right.
    """
    if sound.sum() <= SOUND_ROWS:
        return sound
    chosen: NDArray[np.bool_] = np.random.default_rng(seed).random(len(sound)) < SOUND_ROWS / sound.sum()
    return sound & chosen


def _folds(index: pd.MultiIndex) -> NDArray[np.intp]:
    """Return the fold of each row's asset."""
    return pd.factorize(index.get_level_values(0), sort=True)[0] % FOLDS


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0))))
