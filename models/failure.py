"""Learning from failures: how likely an asset fails, in which way, within the next days, and when.

One classifier for each failure mode that has failed often enough (see ``models.failure_mode``): gradient-boosted trees
over the asset-day, calibrated by Platt's method on assets that the trees did not learn from, with a threshold from the
same predictions. Beside the anomaly models, which know no failure, it says what is coming and how sure that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import load_arrays, save_arrays
from models.attributes import PREFIX, AttributeCoding, Attributes
from models.failure_mode import LearnedMode, Question, can_be_judged, drawn, learned
from models.failure_panel import failure_panel
from models.features import STATISTICS
from models.grid import Floats
from models.labels import days_left, healthy_days
from models.panel import index_of, panel_index
from models.remaining_days import Remaining
from models.service import component_of_mode, components_of, service_columns, usual_interval

FAILURE = "failure"
MIN_FAILURES = 15
"""Failures of a mode below which nothing is learned of it."""

_FORMAT = 3
_READ_FORMATS = (2, 3)  # the second had no days left


class Reason(NamedTuple):
    """A feature's part in a risk: its value, what is usual, and its share (0 to 1)."""

    feature: str
    value: float
    usual: float
    share: float


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
    modes: Mapping[str, LearnedMode]

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
        at least ``min_probability``. Raises ``ValueError`` where no mode failed often enough, and on assets enough.
        """
        counts = failures["what"].value_counts()
        names = sorted(str(name) for name in counts.index[counts >= MIN_FAILURES])
        if not names:
            raise ValueError(f"no failure mode has failed {MIN_FAILURES} times")
        index = index_of(derived)
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
        undisturbed = healthy_days(index, failures, maintenance, before_days=0, after_days=0, zones=zones)
        silent = ~undisturbed.to_numpy(dtype=bool)
        questions: dict[str, Question] = {}
        for name in names:
            left = days_left(index, failures[failures["what"] == name], zones)
            truth = left <= horizon_days
            rows = usable & (over | truth | _among(index, sound, name))
            component = component_of_mode(name, maintenance, failures, zones)
            columns = [i for i, feature in enumerate(features) if _concerns(feature, component)]
            telling = rows & (truth | drawn(rows & ~truth, seed))
            asked = Question(np.array(columns, dtype=np.intp), left, truth, rows, telling)
            if can_be_judged(asked, index, silent):
                questions[name] = asked
        if not questions:
            raise ValueError("too few assets fail in the same way to judge what was learned")
        found = learned(
            list(questions.values()),
            matrix,
            index,
            silent=silent,
            horizon_days=horizon_days,
            budget=false_tickets_per_100_asset_days / len(questions),
            min_probability=min_probability,
            seed=seed,
        )
        modes = dict(zip(questions, found, strict=True))
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
        service = service_columns(index_of(derived), maintenance, list(self.components), self.interval, zones)
        wide = failure_panel(base, derived, service)
        return wide.assign(**self.attributes.columns(wide.index.get_level_values(0), attributes or {}))

    def risks(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """Return the calibrated risk of each mode (a column each) and of any of them (``failure``), NaN: not known."""
        matrix = inputs.reindex(columns=list(self.features)).to_numpy(dtype=np.float64)
        known = _usable(inputs, self.min_completeness)
        risks = {name: np.where(known, mode.risk(matrix), np.nan) for name, mode in self.modes.items()}
        spared = np.prod([1 - risk for risk in risks.values()], axis=0)
        return pd.DataFrame(risks | {FAILURE: 1 - spared}, index=inputs.index)

    def remaining(self, inputs: pd.DataFrame, mode: str) -> list[Remaining | None]:
        """Return how long the asset of each row has left, of rows whose risk of the mode is above its threshold.

        ``None`` where too few failures of the mode were foreseen in training to say so.
        """
        return self.modes[mode].remaining(inputs.reindex(columns=list(self.features)).to_numpy(dtype=np.float64))

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
            "modes": {name: self.modes[name].save(folder, number) for number, name in enumerate(sorted(self.modes))},
        }
        (folder / "failure.json").write_text(json.dumps(description, indent=1, sort_keys=True), encoding="utf-8")
        save_arrays(folder / "usual.npz", {"usual": self.usual})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote. Raises ``ValueError`` where a file can't be read or does not fit."""
        try:
            held = json.loads((folder / "failure.json").read_text(encoding="utf-8"))
            if held["format"] not in _READ_FORMATS:
                raise ValueError(f"failure.json: format {held['format']!r} is none of {_READ_FORMATS}")
            features = tuple(str(name) for name in held["features"])
            modes = {
                name: LearnedMode.load(
                    held["modes"][name], folder, number, features=len(features), horizon_days=int(held["horizon_days"])
                )
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


def _among(index: pd.MultiIndex, sound: pd.DataFrame | None, mode: str) -> NDArray[np.bool_]:
    """Whether each row is a day that was found sound as to a failure mode."""
    if sound is None or sound.empty:
        return np.zeros(len(index), dtype=bool)
    chosen = sound[sound["what"] == mode]
    return np.asarray(index.isin(panel_index(chosen["asset_id"].tolist(), chosen["day"].tolist())))


def _concerns(feature: str, component: str | None) -> bool:
    """Whether a feature may tell of a failure that renewing ``component`` ends: all but other components' service."""
    whose = feature.removeprefix("service.").rpartition(".")[0] if feature.startswith("service.") else ""
    return whose in ("", component)


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
