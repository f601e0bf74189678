"""The detector protocol: features in, a raw anomaly score and its contributions out.

Score and decision are two parts: a detector knows no threshold (see ``models.threshold``). A detector is one
file in ``models/detectors`` with one class of this shape; the conformance suite finds it by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol, Self

import pandas as pd


class Detector(Protocol):
    """Scores rows of a feature matrix.

    A *matrix* is a float64 ``DataFrame`` whose index is a panel's and whose columns are feature names; NaN is
    "not known" and must neither raise nor lower a score. Fitting is deterministic (a seed is part of the
    detector) and never changes its input.
    """

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    """Endings of the columns that it reads of a derived panel (``models.derive``); none: it reads raw signals, whose
    rows are samples (``models.detectors.windowed``), and no ensemble of asset-days takes it.
    """

    def __init__(self, *, seed: int = 0) -> None:
        """Start no work; ``seed`` is of whatever the detector draws by chance."""

    def fit(self, matrix: pd.DataFrame) -> Self:
        """Learn what is normal from rows of healthy days. Raises ``ValueError`` on fewer rows than it needs."""

    def score(self, matrix: pd.DataFrame) -> pd.Series:
        """Return one float64 per row, higher is more anomalous; NaN where no feature is known.

        Columns may come in any order; one that was there in training and is missing is unknown.
        """

    def contributions(self, matrix: pd.DataFrame) -> pd.DataFrame:
        """Return how much each feature contributes to each row's score: same shape, not negative, rows sum
        to one where there is a score.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder, without pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote; scores are then equal bit for bit. Raises ``ValueError`` if it can't."""
