"""Learning from failures: how likely an asset fails, in which way, within the next days.

One classifier for each failure mode that has failed often enough: gradient-boosted trees over the asset-day, calibrated
by Platt's method on assets that the trees did not learn from, with a threshold from the same predictions. Beside the
anomaly models, which know no failure, it says what is coming and how sure that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.arrays import load_arrays, save_arrays
from models.attributes import PREFIX, AttributeCoding, Attributes
from models.boosted_trees import TREE_ARRAYS, BoostedTrees
from models.derive import is_look_back
from models.evaluation import fails_within
from models.features import STATISTICS
from models.grid import Floats, Grid
from models.panel import panel_index
from models.persistence import Persistence
from models.service import component_of_mode, components_of, service_columns, usual_interval
from models.side_by_side import side_by_side
from models.threshold import budget_threshold

FAILURE = "failure"
MIN_FAILURES = 15
"""Failures of a mode below which nothing is learned of it."""
FOLDS = 5
RECENT_DAYS = 3
TREES, LEAVES, ROWS_A_LEAF = 60, 7, 30
SOUND_ROWS = 25_000
"""Days without a failure ahead that trees learn from; of more, a share is drawn, and each day with one is kept."""

_FORMAT = 2
_NUMBERS = ("columns", "slope", "offset", "threshold")
_EVERY_DAY = Persistence(1, 1)


class Reason(NamedTuple):
    """A feature's part in a risk: its value, what is usual, and its share (0 to 1)."""

    feature: str
    value: float
    usual: float
    share: float


@dataclass(frozen=True)
class _Mode:
    """What was learned of one failure mode: trees, Platt's line over their log odds, and the risk worth a ticket.

    ``columns`` are the places of the features that the trees read, in their order.
    """

    columns: tuple[int, ...]
    trees: BoostedTrees
    slope: float
    offset: float
    threshold: float

    def risk(self, matrix: Floats) -> Floats:
        return _sigmoid(self.slope * self.log_odds(matrix) + self.offset)

    def log_odds(self, matrix: Floats) -> Floats:
        return self.trees.log_odds(matrix[:, self.columns])


@dataclass(frozen=True)
class FailureModel:
    """Risks of one asset type's failure modes. Build one with ``fit`` or ``load``."""

    horizon_days: int
    components: tuple[str, ...]
    interval: int | None
    attributes: AttributeCoding
    features: tuple[str, ...]
    usual: Floats
    """Median of each feature over the training days."""
    min_completeness: float
    modes: Mapping[str, _Mode]

    @classmethod
    def fit(
        cls,
        base: pd.DataFrame,
        derived: pd.DataFrame,
        maintenance: pd.DataFrame,
        failures: pd.DataFrame,
        *,
        horizon_days: int,
        false_tickets_per_100_asset_days: float,
        min_probability: float,
        min_completeness: float,
        zones: Mapping[str, ZoneInfo] | None = None,
        sound: pd.DataFrame | None = None,
        attributes: Attributes | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn from a base panel, its derived panel (same index), and the field's records up to the panel's last day.

        ``attributes`` are what the register says of each asset: models and makers wear out in different ways.
        ``failures`` has ``asset_id``, ``time`` (ns) and ``what``, the failure mode. Days whose horizon is not over are
        left out, but for those that somebody found ``sound`` (``asset_id``, ``day``, and the failure mode as ``what``).
        A ticket's threshold is the risk above which sound days stay within the budget (shared evenly by the modes), and
        at least ``min_probability``. Raises ``ValueError`` where no mode failed often enough.
        """
        counts = failures["what"].value_counts()
        names = sorted(str(name) for name in counts.index[counts >= MIN_FAILURES])
        if not names:
            raise ValueError(f"no failure mode has failed {MIN_FAILURES} times")
        index = _index(derived)
        components, interval = components_of(maintenance), usual_interval(maintenance, zones)
        service = service_columns(index, maintenance, components, interval, zones)
        attributes = attributes or {}
        coding = AttributeCoding.fit({asset: attributes.get(asset, {}) for asset in index.get_level_values(0).unique()})
        wide = failure_panel(base, derived, service).assign(**coding.columns(index.get_level_values(0), attributes))
        usable = _usable(wide, min_completeness)
        features = _informative(wide[usable])
        day = index.get_level_values(1).to_numpy()
        over = day <= day.max() - np.timedelta64(horizon_days, "D")
        matrix = wide[features].to_numpy(dtype=np.float64)
        del wide
        questions = []
        for name in names:
            truth = fails_within(index, failures[failures["what"] == name], horizon_days, zones)
            rows = usable & (over | truth | _among(index, sound, name))
            component = component_of_mode(name, maintenance, failures, zones)
            columns = [i for i, feature in enumerate(features) if _concerns(feature, component)]
            telling = rows & (truth | _drawn(rows & ~truth, seed))
            questions.append(_Question(np.array(columns, dtype=np.intp), truth, rows, telling))
        budget = false_tickets_per_100_asset_days / len(names)
        learned = _learned(questions, matrix, index, budget, min_probability, seed)
        modes = dict(zip(names, learned, strict=True))
        usual = np.array([np.nanmedian(matrix[usable, number]) for number in range(len(features))])
        return cls(horizon_days, tuple(components), interval, coding, tuple(features), usual, min_completeness, modes)

    def thresholds(self) -> dict[str, float]:
        """Return the risk of each failure mode above which a ticket is worth it."""
        return {name: mode.threshold for name, mode in self.modes.items()}

    def inputs(
        self,
        base: pd.DataFrame,
        derived: pd.DataFrame,
        maintenance: pd.DataFrame,
        zones: Mapping[str, ZoneInfo] | None = None,
        attributes: Attributes | None = None,
    ) -> pd.DataFrame:
        """Return what ``risks`` and ``explain`` take, for the rows of ``derived``; ``base`` holds their past too."""
        service = service_columns(_index(derived), maintenance, list(self.components), self.interval, zones)
        wide = failure_panel(base, derived, service)
        return wide.assign(**self.attributes.columns(wide.index.get_level_values(0), attributes or {}))

    def risks(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return the calibrated risk of each mode (a column each) and of any of them (``failure``), NaN: not known."""
        matrix = inputs.reindex(columns=list(self.features)).to_numpy(dtype=np.float64)
        known = _usable(inputs, self.min_completeness)
        risks = {name: np.where(known, mode.risk(matrix), np.nan) for name, mode in self.modes.items()}
        spared = np.prod([1 - risk for risk in risks.values()], axis=0)
        return pd.DataFrame(risks | {FAILURE: 1 - spared}, index=inputs.index)

    def explain(self, inputs: pd.DataFrame, mode: str, top: int = 5) -> list[tuple[Reason, ...]]:
        """Return for each row the features that raise a mode's risk most: how much it falls where each is as usual.

        An asset's attributes are no reason: they were the same on all its good days.
        """
        known = self.modes[mode]
        matrix = inputs.reindex(columns=list(self.features)).to_numpy(dtype=np.float64)
        log_odds = known.log_odds(matrix)
        falls = np.zeros(matrix.shape)
        for number in known.columns:
            if self.features[number].startswith(PREFIX):
                continue
            instead = matrix.copy()
            instead[:, number] = self.usual[number]
            falls[:, number] = np.maximum(log_odds - known.log_odds(instead), 0.0)
        total = falls.sum(axis=1, keepdims=True)
        shares = np.divide(falls, total, out=np.zeros_like(falls), where=total > 0)
        largest = np.argsort(-shares, axis=1, kind="stable")[:, :top]
        return [
            tuple(
                Reason(self.features[i], float(row[i]), float(self.usual[i]), float(share[i]))
                for i in order
                if share[i] > 0
            )
            for order, row, share in zip(largest, matrix, shares, strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder, without pickle."""
        description = {
            "format": _FORMAT,
            "horizon_days": self.horizon_days,
            "components": self.components,
            "interval": self.interval,
            "attributes": self.attributes.plain(),
            "features": self.features,
            "min_completeness": self.min_completeness,
            "modes": {
                name: {number: getattr(mode, number) for number in _NUMBERS} for name, mode in self.modes.items()
            },
        }
        (folder / "failure.json").write_text(json.dumps(description, indent=1, sort_keys=True), encoding="utf-8")
        save_arrays(folder / "usual.npz", {"usual": self.usual})
        for number, name in enumerate(sorted(self.modes)):
            save_arrays(folder / f"trees.{number}.npz", self.modes[name].trees.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote. Raises ``ValueError`` where a file can't be read or does not fit."""
        try:
            held = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
            if held["format"] != _FORMAT:
                raise ValueError(f"failure.json: format {held['format']!r} is not {_FORMAT}")
            features = tuple(str(name) for name in held["features"])
            modes = {
                name: _mode(held["modes"][name], folder / f"trees.{number}.npz", len(features))
                for number, name in enumerate(sorted(held["modes"]))
            }
            usual = load_arrays(folder / "usual.npz", ("usual",))["usual"]
            if usual.shape != (len(features),):
                raise ValueError("usual.npz: does not fit the features")
            interval = held["interval"]
            return cls(
                int(held["horizon_days"]),
                tuple(str(name) for name in held["components"]),
                None if interval is None else int(interval),
                AttributeCoding.from_plain(held["attributes"]),
                features,
                usual,
                float(held["min_completeness"]),
                modes,
            )
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"failure.json: not a failure model ({error!r})") from error


def failure_panel(base: pd.DataFrame, derived: pd.DataFrame, service: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that failures are learned from, for the rows of ``derived``.

    The day's own, and how its means deviate from the asset's past; sums of each fault code and means of each daily mean
    over the last ``RECENT_DAYS``, read from ``base``, which holds the days before; and the service record.
    """
    grid, wanted = Grid.of(_index(base)), _index(derived)
    places = base.index.get_indexer(wanted)
    counts = [name for name in base.columns if name.startswith("faults.") and name.endswith("count")]
    means = [name for name in base.columns if name.endswith(".mean")]
    columns: dict[str, Floats] = {}
    for names, average in ((counts, False), (means, True)):
        for name in names:
            recent = _rolling(grid.spread(base[name]), RECENT_DAYS, average=average)
            columns[f"{name}.{RECENT_DAYS}d"] = grid.gather(recent)[places]
    kept = [name for name in derived.columns if not is_look_back(name) or name.endswith(".mean.own")]
    return pd.concat([derived[kept], pd.DataFrame(columns, index=wanted), service.reindex(wanted)], axis=1)


def _among(index: pd.MultiIndex, sound: pd.DataFrame | None, mode: str) -> NDArray[np.bool_]:
    """Whether each row is a day that was found sound as to a failure mode."""
    if sound is None or sound.empty:
        return np.zeros(len(index), dtype=bool)
    chosen = sound[sound["what"] == mode]
    return np.asarray(index.isin(panel_index(chosen["asset_id"].tolist(), chosen["day"].tolist())))


def _rolling(spread: Floats, days: int, *, average: bool) -> Floats:
    """Return the sum, or the mean, of what is known of the last ``days`` days, today included.

    Day by day, so that it does not depend on where the panel begins, as a difference of running sums would.
    """
    total, number = np.zeros(spread.shape), np.zeros(spread.shape)
    for back in range(min(days, spread.shape[1])):
        then = spread[:, : spread.shape[1] - back]
        known = np.isfinite(then)
        total[:, back:] += np.where(known, then, 0.0)
        number[:, back:] += known
    with np.errstate(invalid="ignore", divide="ignore"):
        result = total / number if average else total
    return np.where(number > 0, result, np.nan)


def _concerns(feature: str, component: str | None) -> bool:
    """Whether a feature may tell of a failure that renewing ``component`` ends: all but other components' service."""
    whose = feature.removeprefix("service.").rpartition(".")[0] if feature.startswith("service.") else ""
    return whose in ("", component)


def _mode(held: Mapping[str, Any], trees: Path, features: int) -> _Mode:
    columns = tuple(int(column) for column in held["columns"])
    if not all(0 <= column < features for column in columns):
        raise ValueError("failure.json: a column that is no feature")
    arrays = load_arrays(trees, TREE_ARRAYS)
    return _Mode(
        columns,
        BoostedTrees.from_arrays(arrays, len(columns)),
        float(held["slope"]),
        float(held["offset"]),
        float(held["threshold"]),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What is to be learned of one failure mode from a matrix: the ``columns`` to read, of the ``rows`` that are known
    the ``truth``, and of those the ``telling`` ones, from which trees are grown.
    """

    columns: NDArray[np.intp]
    truth: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    telling: NDArray[np.bool_]

    def grown(self, matrix: Floats, which: NDArray[np.bool_], seed: int) -> BoostedTrees:
        return BoostedTrees.grown(
            self.read(matrix, which), self.truth[which], trees=TREES, leaves=LEAVES, rows_a_leaf=ROWS_A_LEAF, seed=seed
        )

    def read(self, matrix: Floats, which: NDArray[np.bool_]) -> Floats:
        chosen: Floats = matrix[np.flatnonzero(which)[:, None], self.columns]
        return chosen


def _learned(
    questions: Sequence[_Question],
    matrix: Floats,
    index: pd.MultiIndex,
    budget: float,
    min_probability: float,
    seed: int,
) -> list[_Mode]:
    """Return what is learned of each question, and a line and a threshold from rows that the trees did not see."""
    fold = pd.factorize(index.get_level_values(0), sort=True)[0] % FOLDS
    unseen = np.full((len(questions), len(matrix)), np.nan)

    def judge(piece: tuple[int, int]) -> None:
        asked, number = questions[piece[0]], piece[1]
        learning, judged = asked.telling & (fold != number), asked.rows & (fold == number)
        if judged.any() and asked.truth[learning].any() and not asked.truth[learning].all():
            unseen[piece[0], judged] = asked.grown(matrix, learning, seed).log_odds(asked.read(matrix, judged))

    def learn(place: int) -> _Mode:
        asked, odds = questions[place], unseen[place]
        judged = asked.rows & np.isfinite(odds)
        if not judged.any() or len(np.unique(asked.truth[judged])) < 2:
            raise ValueError("too few assets fail in this way to judge what was learned")
        line = LogisticRegression(C=1e6).fit(odds[judged, None], asked.truth[judged])
        slope, offset = max(float(line.coef_[0, 0]), 0.0), float(line.intercept_[0])
        risk = pd.Series(np.where(judged, _sigmoid(slope * odds + offset), np.nan), index=index)
        sound = pd.Series(judged & ~asked.truth, index=index)
        threshold = max(budget_threshold(risk, sound, _EVERY_DAY, budget), min_probability)
        trees = asked.grown(matrix, asked.telling, seed)
        return _Mode(tuple(asked.columns.tolist()), trees, slope, offset, threshold)

    side_by_side(judge, [(place, number) for place in range(len(questions)) for number in range(FOLDS)])
    return side_by_side(learn, range(len(questions)))


def _drawn(sound: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Return which of the sound rows are learned from: the same share in each fold, so that one line calibrates all.

    Failures are rare, so that sound days beyond some ten times their number teach little (the design of case-control
    studies: Prentice & Pyke, Biometrika 66, 1979); the line, which is fitted on all days, puts the odds right.
    """
    if sound.sum() <= SOUND_ROWS:
        return sound
    drawn: NDArray[np.bool_] = np.random.default_rng(seed).random(len(sound)) < SOUND_ROWS / sound.sum()
    return sound & drawn


def _informative(panel: pd.DataFrame) -> list[str]:
    """Return the columns that vary and are no copy of another; statistics of a day with one sample are copies."""
    order = sorted(panel.columns, key=lambda name: (name.rpartition(".")[2] in STATISTICS[1:], name))
    seen: set[bytes] = set()
    kept = []
    for name in order:
        values = panel[name].to_numpy(dtype=np.float64)
        known = values[np.isfinite(values)]
        copy = (values + 0.0).tobytes()
        if name != "completeness" and not name.startswith("score.") and len(known) and copy not in seen:
            if known.min() < known.max():
                kept.append(name)
            seen.add(copy)
    return kept


def _usable(panel: pd.DataFrame, min_completeness: float) -> NDArray[np.bool_]:
    if "completeness" not in panel:
        return np.ones(len(panel), dtype=bool)
    return np.asarray(panel["completeness"].to_numpy(dtype=np.float64) >= min_completeness)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0))))


def _index(panel: pd.DataFrame) -> pd.MultiIndex:
    if not isinstance(panel.index, pd.MultiIndex):
        raise ValueError("not a panel: its index must be (asset_id, day)")
    return panel.index
