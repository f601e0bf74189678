"""The ensemble: several detectors, one level, one threshold; what the daily cycle scores with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from models.arrays import load_arrays, save_arrays
from models.calibration import Calibration
from models.derive import FURTHER
from models.detector import Detector
from models.detectors import columns_read, detector_class
from models.grid import Floats
from models.learning import Learning, column, cross_scored, informative, known_share
from models.persistence import Persistence
from models.side_by_side import side_by_side
from models.threshold import budget_threshold

ENSEMBLE = "ensemble"

_FORMAT = 1
_CANARIES = 16


class Part(NamedTuple):
    """A feature's part in a score: its value (sigmas for ``.own`` and ``.peers``) and its share (0 to 1)."""

    feature: str
    value: float
    share: float


class Ensemble:
    """Detectors of one asset type, calibrated together.

    A detector's level is the share of healthy training days that scored lower. The ensemble's raw score is the mean of
    -ln(1 - level) over the detectors that know the day (Fisher's way to combine tests: each is exponential with mean
    one on healthy days), and is calibrated the same way. Build one with ``fit`` or ``load``.
    """

    def __init__(
        self,
        features: Sequence[str],
        detectors: Mapping[str, Detector],
        calibrations: Mapping[str, Calibration],
        threshold_levels: Mapping[str, float],
        persistence: Persistence,
        min_completeness: float,
    ) -> None:
        self.features = tuple(features)
        self.persistence = persistence
        self.min_completeness = min_completeness
        self.threshold_levels = dict(threshold_levels)
        """Level above which a day is anomalous, for each detector and ``ensemble``, each within the whole budget."""
        self._detectors = dict(detectors)
        self._calibrations = dict(calibrations)

    @classmethod
    def fit(
        cls,
        panel: pd.DataFrame,
        healthy: pd.Series,
        *,
        detectors: Sequence[str],
        false_tickets_per_100_asset_days: float,
        persistence: Persistence,
        seed: int = 0,
        min_completeness: float = 0.5,
    ) -> Self:
        """Learn from the healthy rows of a derived panel (``models.derive``); the others are passed over.

        ``healthy`` has the panel's index. All columns are used that the detectors read, are known on enough days, vary,
        and are no copy of another; a detector that finds none is left out, as the fault log's is where there are no
        faults. Raises ``ValueError`` where too little is left to learn from, or a detector reads no panel at all.
        """
        if not healthy.index.equals(panel.index):
            raise ValueError("healthy does not have the panel's index")
        unfit = [name for name in detectors if not detector_class(name).reads]
        if unfit:
            raise ValueError(f"detector {unfit[0]!r} reads raw signals, not asset-days")
        usable = healthy.to_numpy(dtype=bool) & _complete(panel, min_completeness)
        features = informative(panel, usable, tuple(columns_read(detectors)))
        usable &= known_share(panel, features) >= 0.5
        learning = Learning.of(panel, usable, features)
        kinds = {name: detector_class(name) for name in detectors}
        reading = {name: learning.read_by(kind) for name, kind in kinds.items()}
        names = [name for name in detectors if len(reading[name])]

        def fit(name: str) -> Detector:
            return kinds[name](seed=seed).fit(learning.rows(reading[name]))

        fitted = dict(zip(names, side_by_side(fit, names), strict=True))
        calibrations: dict[str, Calibration] = {}
        levels = pd.DataFrame(index=panel.index[usable])
        for name, unseen in zip(
            names, cross_scored(learning, [(kinds[n], reading[n]) for n in names], seed), strict=True
        ):
            calibrations[name] = Calibration.fit(unseen)
            levels[name] = calibrations[name].level(unseen)
        combined = _combined(levels.to_numpy())
        calibrations[ENSEMBLE] = Calibration.fit(combined)
        levels[ENSEMBLE] = calibrations[ENSEMBLE].level(combined)
        levels = levels.reindex(panel.index)
        known = pd.Series(usable, index=panel.index)

        def threshold(name: str) -> float:
            return budget_threshold(levels[name], known, persistence, false_tickets_per_100_asset_days)

        thresholds = dict(zip(levels.columns, side_by_side(threshold, list(levels.columns)), strict=True))
        return cls(features, fitted, calibrations, thresholds, persistence, min_completeness)

    @property
    def threshold(self) -> float:
        """The ensemble's threshold, on its level."""
        return self.threshold_levels[ENSEMBLE]

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Threshold of each detector and of ``ensemble`` on its raw score."""
        return {name: self._calibrations[name].score(level) for name, level in self.threshold_levels.items()}

    @property
    def further(self) -> frozenset[str]:
        """Which of ``models.derive.FURTHER`` its features are of: the panel that it scores has to hold them."""
        return further_columns(self.detectors)

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of the detectors, in their order."""
        return tuple(self._detectors)

    def raw(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Return the raw score of each detector and ``ensemble``, a column each, NaN where not known.

        A day whose completeness is below ``min_completeness`` is not scored.
        """
        matrix = _inputs(panel, self.features)
        scored = _complete(panel, self.min_completeness)
        raw = {name: np.where(scored, d.score(matrix).to_numpy(), np.nan) for name, d in self._detectors.items()}
        frame = pd.DataFrame(raw, index=panel.index)
        frame[ENSEMBLE] = _combined(self._levels(frame)[list(self._detectors)].to_numpy())
        return frame

    def score(self, panel: pd.DataFrame) -> pd.DataFrame:
        """Return levels, 0 to 1: ``score.<detector>`` for each detector and ``score.ensemble``; NaN: not known."""
        return self.levels(self.raw(panel))

    def levels(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Return the levels of raw scores, as ``score`` does."""
        return self._levels(raw).add_prefix("score.")

    def explain(self, rows: pd.DataFrame, top: int = 5, detector: str = ENSEMBLE) -> list[tuple[Part, ...]]:
        """Return, for each row of a derived panel, the ``top`` largest parts of its score, largest first.

        The ensemble's parts are its detectors' parts, weighted by how strange each finds the day. A row without a
        score has none.
        """
        matrix = _inputs(rows, self.features)
        names = self.detectors if detector == ENSEMBLE else (detector,)
        surprise = _surprise(self._levels(self.raw(rows))[list(names)].to_numpy())
        shares = np.zeros(matrix.shape)
        for i, name in enumerate(names):
            shares += self._detectors[name].contributions(matrix).to_numpy() * np.nan_to_num(surprise[:, [i]])
        total = shares.sum(axis=1, keepdims=True)
        shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
        values = rows.reindex(columns=list(self.features)).to_numpy(dtype=np.float64)
        largest = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        return [
            tuple(Part(self.features[i], float(value[i]), float(share[i])) for i in order if share[i] > 0)
            for order, value, share in zip(largest, values, shares, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder, without pickle."""
        description = {
            "format": _FORMAT,
            "features": self.features,
            "detectors": self.detectors,
            "threshold_levels": self.threshold_levels,
            "persistence": str(self.persistence),
            "min_completeness": self.min_completeness,
        }
        (folder / "ensemble.json").write_text(json.dumps(description, indent=1), encoding="utf-8")
        for name, calibration in self._calibrations.items():
            save_arrays(folder / f"calibration.{name}.npz", calibration.arrays())
        for name, detector in self._detectors.items():
            (folder / name).mkdir()
            detector.save(folder / name)
        canaries = _canaries(len(self.features))
        save_arrays(folder / "canaries.npz", {"raw": self._of_matrix(canaries)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote.

        Raises ``ValueError`` where a file can't be read, or where this machine's libraries give other scores.
        """
        try:
            description = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))
            if description["format"] != _FORMAT:
                raise ValueError(f"ensemble.json: format {description['format']!r} is not {_FORMAT}")
            names = [str(name) for name in description["detectors"]]
            ensemble = cls(
                [str(name) for name in description["features"]],
                {name: detector_class(name).load(folder / name) for name in names},
                {name: _load_calibration(folder, name) for name in (*names, ENSEMBLE)},
                {name: float(description["threshold_levels"][name]) for name in (*names, ENSEMBLE)},
                Persistence.parse(description["persistence"]),
                float(description["min_completeness"]),
            )
        except (OSError, KeyError, TypeError) as error:
            raise ValueError(f"ensemble.json: not an ensemble ({error!r})") from error
        expected = load_arrays(folder / "canaries.npz", ("raw",))["raw"]
        found = ensemble._of_matrix(_canaries(len(ensemble.features)))
        if expected.shape != found.shape or not np.allclose(expected, found, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise ValueError("canaries.npz: the detectors give other scores than when they were saved")
        return ensemble

    def _levels(self, raw: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {n: self._calibrations[n].level(raw[n].to_numpy()) for n in raw.columns.astype(str)}, index=raw.index
        )

    def _of_matrix(self, values: Floats) -> Floats:
        matrix = pd.DataFrame(values, columns=list(self.features))
        return np.column_stack([detector.score(matrix).to_numpy() for detector in self._detectors.values()])


def further_columns(detectors: Sequence[str]) -> frozenset[str]:
    """Return which of ``models.derive.FURTHER`` detectors read, to be derived for them."""
    read = columns_read(detectors)
    return frozenset(kind for kind in FURTHER if f".{kind}" in read)


def _canaries(features: int) -> Floats:
    """Rows from typical to strange, some with a gap, the same for ever."""
    spread = np.geomspace(0.1, 10.0, _CANARIES)[:, None]
    values = spread * np.sin(np.outer(np.arange(1, _CANARIES + 1), np.arange(1, features + 1)))
    values[::4, ::3] = np.nan
    return np.asarray(values)


def _complete(panel: pd.DataFrame, min_completeness: float) -> np.ndarray:
    if "completeness" not in panel:
        return np.ones(len(panel), dtype=bool)
    return panel["completeness"].to_numpy(dtype=np.float64) >= min_completeness


def _inputs(panel: pd.DataFrame, features: Sequence[str]) -> pd.DataFrame:
    """Return what the detectors see."""
    matrix = panel.reindex(columns=list(features)).astype(np.float64)
    return matrix.assign(**{name: column(matrix, name) for name in features if name.endswith(".rate")})


def _surprise(levels: Floats) -> Floats:
    return -np.log(np.maximum(1 - levels, 1e-16))


def _combined(levels: Floats) -> Floats:
    surprise = _surprise(levels)
    known = np.isfinite(surprise).sum(axis=1)
    return np.asarray(np.nansum(surprise, axis=1) / np.where(known > 0, known, np.nan))


def _load_calibration(folder: Path, name: str) -> Calibration:
    return Calibration.from_arrays(load_arrays(folder / f"calibration.{name}.npz", ("scores", "levels", "tail")))
