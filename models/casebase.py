"""The case base: which failure is coming, judged by the cases that looked like this one, and by the quiet days.

The weights of the patterns that cover what shows (``models.patterns``) are added up. The idea is that of case-based
fault diagnosis of locomotives (Varma and Roddy, Eng. Appl. Artif. Intell. 12, 1999: combinations of faults, weighted by
the cases in which they led to a repair); the arithmetic is naive Bayes over a cover.

The sum becomes a probability by Platt's method on assets whose cases were not counted, from ``MIN_CASES`` cases of the
mode on. With fewer, by Bayes' rule alone, from how often the mode comes and from what the knowledge base expects
(``Prior``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.arrays import load_arrays, save_arrays
from models.cases import OUTCOME_COLUMNS, CaseRecord, case_records
from models.evaluation import fails_within
from models.grid import Floats, Grid
from models.labels import local_days
from models.patterns import MIN_DAYS, Counts, Distinct, Expected, Judge, Pattern, chosen_patterns, counted, weights
from models.persistence import Persistence
from models.side_by_side import side_by_side
from models.symptoms import Bools, days_since_event, symptom_names, symptoms
from models.threshold import budget_threshold

CASEBASE = "casebase"
MIN_CASES = 15
"""Cases of a mode from which its probability is calibrated on cases, and worth a ticket by itself."""
MAX_MODES = 50
MAX_SYMPTOMS = 256
MAX_DISTINCT = 50_000
"""Different sets of symptoms on which a probability is calibrated."""
FOLDS = 5

_FORMAT = 1
_ARRAYS = ("patterns", "shown", "shown_before", "asset_days_before")
_EVERY_DAY = Persistence(1, 1)


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of a failure mode before there are cases.

    ``mtbf_days``: mean days between two failures of one asset; ``symptoms``: how often each is expected to show.
    """

    mtbf_days: float | None = None
    symptoms: Expected = field(default_factory=dict)


@dataclass(frozen=True)
class _Line:
    """Platt's line over the weights' sum, and the probability worth a ticket."""

    slope: float
    offset: float
    threshold: float


@dataclass(frozen=True)
class CaseBase:
    """What was counted of one asset type. Build one with ``fit`` or ``load``."""

    horizon_days: int
    min_completeness: float
    names: tuple[str, ...]
    """The symptoms that patterns are made of."""
    modes: tuple[str, ...]
    counts: Counts
    failures: Mapping[str, int]
    """Cases of each mode that are counted; of modes that are not in ``modes`` there is none."""
    lines: Mapping[str, _Line]
    """Of the modes with ``MIN_CASES`` cases or more that can be calibrated."""
    cases: Mapping[str, tuple[CaseRecord, ...]]

    @classmethod
    def fit(
        cls,
        derived: pd.DataFrame,
        maintenance: pd.DataFrame,
        failures: pd.DataFrame,
        outcomes: pd.DataFrame | None = None,
        *,
        horizon_days: int,
        false_tickets_per_100_asset_days: float,
        min_probability: float,
        min_completeness: float,
        zones: Mapping[str, ZoneInfo] | None = None,
    ) -> Self:
        """Learn from a derived panel, and what the field recorded up to its last day; later records are not read.

        ``maintenance`` and ``failures`` have ``asset_id``, ``time`` (ns), ``what``; ``outcomes`` as ``models.cases``
        says. Days whose horizon is not over count only where a failure came within it; the day of a repair or failure
        does not count. No failure at all is no error: then the base knows what is quiet. Raises ``ValueError`` where
        the panel holds no usable day.
        """
        index = derived.index
        assert isinstance(index, pd.MultiIndex)
        if not len(index):
            raise ValueError("no asset-day to learn from")
        last = index.get_level_values(1).max()
        maintenance = _until(maintenance, last, zones)
        failures = _until(failures, last, zones).sort_values("time", kind="stable")
        outcomes = _until(_outcomes(outcomes), last, zones)
        repairs = pd.concat([maintenance[["asset_id", "time"]], failures[["asset_id", "time"]]])
        modes = tuple(sorted(map(str, failures["what"].value_counts().index[:MAX_MODES])))
        events = {mode: failures[failures["what"] == mode] for mode in modes}
        truth = np.array([fails_within(index, events[mode], horizon_days, zones) for mode in modes], dtype=bool)
        truth = truth.reshape(len(modes), len(index))
        grid = Grid.of(index)
        usable = _usable(derived, min_completeness) & (grid.gather(days_since_event(grid, repairs, zones)) > 0)
        day = index.get_level_values(1)
        usable &= np.asarray(day <= last - pd.Timedelta(days=horizon_days)) | truth.any(axis=0)
        if not usable.any():
            raise ValueError("no usable asset-day to learn from")
        names = _telling(derived, truth, usable, repairs, zones)
        seen = symptoms(derived, names, repairs, zones)
        distinct = Distinct.of(seen, usable)
        fold = np.asarray(pd.factorize(index.get_level_values(0), sort=True)[0] % FOLDS)
        whole = counted(distinct, truth, usable, chosen_patterns(distinct, truth, usable))
        numbers = {mode: len(events[mode]) for mode in modes}
        calibrated = [number for number, mode in enumerate(modes) if numbers[mode] >= MIN_CASES]

        def line(number: int) -> _Line | None:
            return _line(
                names, distinct, truth, usable, fold, whole, number, index,
                false_tickets_per_100_asset_days, min_probability,
            )  # fmt: skip

        learned = zip(calibrated, side_by_side(line, calibrated), strict=True)
        lines = {modes[number]: line for number, line in learned if line is not None}
        cases = {
            mode: case_records(
                mode, events[mode], _before(events[mode], index, names, seen, zones), maintenance, outcomes, zones
            )
            for mode in modes
        }
        return cls(horizon_days, min_completeness, tuple(names), modes, whole, numbers, lines, cases)

    def cases_of(self, mode: str) -> int:
        """Return how many cases of a mode were counted."""
        return self.failures.get(mode, 0)

    def thresholds(self) -> dict[str, float]:
        """Return the probability worth a ticket of each mode that is calibrated on cases."""
        return {mode: line.threshold for mode, line in self.lines.items()}

    def inputs(
        self,
        derived: pd.DataFrame,
        events: pd.DataFrame,
        priors: Mapping[str, Prior] | None = None,
        zones: Mapping[str, ZoneInfo] | None = None,
    ) -> pd.DataFrame:
        """Return what ``rank`` and ``explain`` take, for the rows of ``derived``: a column (bool) for each symptom.

        ``events`` are repairs and failures (``asset_id``, ``time`` in ns). ``derived`` holds the days of the window
        too. A row without enough data has all of them false, and ``known`` false.
        """
        wanted = {name for prior in (priors or {}).values() for name in prior.symptoms}
        names = [*self.names, *sorted(wanted.difference(self.names))]
        known = _usable(derived, self.min_completeness)
        seen = symptoms(derived, names, events, zones) & known[:, None]
        return pd.DataFrame(seen, index=derived.index, columns=names).assign(known=known)

    def rank(self, inputs: pd.DataFrame, priors: Mapping[str, Prior] | None = None) -> pd.DataFrame:
        """Return the probability of each mode within the horizon, a column each; NaN where the day is not known.

        Modes are those with cases and those with a prior that says how often they come.
        """
        known = inputs["known"].to_numpy(dtype=bool)
        judged = {mode: self._judge(mode, (priors or {}).get(mode)) for mode in self._rankable(priors)}
        columns = {}
        for mode, judge in judged.items():
            total = judge.total(inputs[list(judge.names)].to_numpy(dtype=bool))
            columns[mode] = np.where(known, _sigmoid(judge.slope * total + judge.offset), np.nan)
        return pd.DataFrame(columns, index=inputs.index)

    def explain(
        self, inputs: pd.DataFrame, mode: str, priors: Mapping[str, Prior] | None = None, top: int = 5
    ) -> list[tuple[Pattern, ...]]:
        """Return, for each row, the patterns that speak for a mode most, the strongest first."""
        judge = self._judge(mode, (priors or {}).get(mode))
        return [judge.patterns_of(row)[:top] for row in inputs[list(judge.names)].to_numpy(dtype=bool)]

    def shown(self, inputs: pd.DataFrame) -> list[tuple[str, ...]]:
        """Return the symptoms of each row by name."""
        names = [name for name in inputs.columns if name != "known"]
        return [
            tuple(name for name, is_seen in zip(names, row, strict=True) if is_seen) for row in inputs[names].to_numpy()
        ]

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder, without pickle."""
        description = {
            "format": _FORMAT,
            "horizon_days": self.horizon_days,
            "min_completeness": self.min_completeness,
            "names": self.names,
            "modes": self.modes,
            "asset_days": self.counts.asset_days,
            "failures": self.failures,
            "lines": {mode: [line.slope, line.offset, line.threshold] for mode, line in self.lines.items()},
            "cases": {mode: [case.plain() for case in cases] for mode, cases in self.cases.items()},
        }
        (folder / "casebase.json").write_text(json.dumps(description, indent=1, sort_keys=True), encoding="utf-8")
        save_arrays(folder / "counts.npz", {name: getattr(self.counts, name) for name in _ARRAYS})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote. Raises ``ValueError`` where a file can't be read or does not fit."""
        try:
            held = json.loads((folder / "casebase.json").read_text(encoding="utf-8"))
            if held["format"] != _FORMAT:
                raise ValueError(f"casebase.json: format {held['format']!r} is not {_FORMAT}")
            names, modes = tuple(map(str, held["names"])), tuple(map(str, held["modes"]))
            lines = {str(mode): _Line(*map(float, line)) for mode, line in held["lines"].items()}
            cases = {
                str(mode): tuple(CaseRecord.from_plain(case) for case in some) for mode, some in held["cases"].items()
            }
            failures = {str(mode): int(number) for mode, number in held["failures"].items()}
            if not {*lines, *cases, *failures} <= set(modes):
                raise ValueError("casebase.json: speaks of a mode that it does not list")
            counts = _checked(
                load_arrays(folder / "counts.npz", _ARRAYS), float(held["asset_days"]), len(names), len(modes)
            )
            return cls(
                int(held["horizon_days"]), float(held["min_completeness"]), names, modes, counts, failures, lines, cases
            )
        except (OSError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"casebase.json: not a case base ({error!r})") from error

    def _rankable(self, priors: Mapping[str, Prior] | None) -> list[str]:
        expected = {mode for mode, prior in (priors or {}).items() if prior.mtbf_days is not None}
        return sorted({*self.modes, *expected})

    def _judge(self, mode: str, prior: Prior | None) -> Judge:
        """Return the weights of a mode. Raises ``KeyError`` where nothing is known of it."""
        line = self.lines.get(mode)
        number = self.modes.index(mode) if mode in self.modes else None
        if number is None and (prior is None or prior.mtbf_days is None):
            raise KeyError(mode)
        # A line was learned over what cases alone say, so they alone are asked there.
        expected = prior.symptoms if prior is not None and line is None else {}
        judge = weights(self.names, self.counts, number, expected)
        if line is not None:
            return judge.calibrated(line.slope, line.offset)
        return judge.calibrated(1.0, _logit(self._base_rate(mode, prior)))

    def _base_rate(self, mode: str, prior: Prior | None) -> float:
        """Return the probability of a failure within the horizon on any day, by a gamma prior of one in its MTBF."""
        failures, asset_days = float(self.cases_of(mode)), self.counts.asset_days
        if prior is not None and prior.mtbf_days is not None:
            rate = (failures + 1.0) / (asset_days + prior.mtbf_days)
        else:
            rate = (failures + 0.5) / (asset_days + self.horizon_days)
        return -math.expm1(-rate * self.horizon_days)


def _telling(
    derived: pd.DataFrame,
    truth: Bools,
    usable: Bools,
    repairs: pd.DataFrame,
    zones: Mapping[str, ZoneInfo] | None,
) -> list[str]:
    """Return the symptoms worth counting: those that show often, most before failures first, ``MAX_SYMPTOMS``."""
    names = symptom_names(derived.columns)
    before = truth.any(axis=0)
    support: dict[str, tuple[float, float]] = {}
    for first in range(0, len(names), 32):
        some = names[first : first + 32]
        seen = symptoms(derived, some, repairs, zones) & usable[:, None]
        for name, all_days, with_failure in zip(some, seen.sum(axis=0), seen[before].sum(axis=0), strict=True):
            if all_days >= MIN_DAYS:
                support[name] = (-float(with_failure), -float(all_days))
    return sorted(sorted(support, key=lambda name: (*support[name], name))[:MAX_SYMPTOMS])


def _line(
    names: Sequence[str],
    distinct: Distinct,
    truth: Bools,
    usable: Bools,
    fold: NDArray[np.intp],
    whole: Counts,
    number: int,
    index: pd.MultiIndex,
    budget: float,
    min_probability: float,
) -> _Line | None:
    """Return Platt's line of one mode over sums from other assets' counts; ``None`` where that can't be learned."""
    if len(distinct.sets) > MAX_DISTINCT:
        return None
    mine = truth[number]
    total = np.full(len(usable), np.nan)
    for one in np.unique(fold[usable]):
        learning, judged = usable & (fold != one), usable & (fold == one)
        if not mine[learning].any():
            continue
        counts = counted(distinct, mine[None], learning, whole.patterns)
        sums = weights(names, counts, 0, {}).total(distinct.sets)
        total[judged] = sums[distinct.of_row[judged]]
    judged = usable & np.isfinite(total)
    if len(np.unique(mine[judged])) < 2:
        return None
    fitted = LogisticRegression(C=1e6).fit(total[judged, None], mine[judged])
    slope, offset = max(float(fitted.coef_[0, 0]), 0.0), float(fitted.intercept_[0])
    risk = pd.Series(np.where(judged, _sigmoid(slope * total + offset), np.nan), index=index)
    sound = pd.Series(judged & ~truth.any(axis=0), index=index)
    if not sound.any():
        return None
    share = budget / max(len(truth), 1)
    return _Line(slope, offset, max(budget_threshold(risk, sound, _EVERY_DAY, share), min_probability))


def _before(
    events: pd.DataFrame,
    index: pd.MultiIndex,
    names: Sequence[str],
    seen: Bools,
    zones: Mapping[str, ZoneInfo] | None,
) -> list[tuple[str, ...]]:
    """Return what showed at the end of the day before each event; nothing where that day is not in the panel."""
    days = local_days(events, zones) - pd.Timedelta(days=1)
    wanted = pd.MultiIndex.from_arrays([events["asset_id"].astype("str"), days.astype("datetime64[s]")])
    return [
        tuple(name for name, is_seen in zip(names, seen[row], strict=True) if is_seen) if row >= 0 else ()
        for row in index.get_indexer(wanted)
    ]


def _until(events: pd.DataFrame, last: pd.Timestamp, zones: Mapping[str, ZoneInfo] | None) -> pd.DataFrame:
    """Return the events of the operating days up to ``last``."""
    return events[(local_days(events, zones) <= last).to_numpy()] if len(events) else events


def _outcomes(outcomes: pd.DataFrame | None) -> pd.DataFrame:
    if outcomes is None or outcomes.empty:
        return pd.DataFrame({name: pd.Series(dtype="int64" if name == "time" else "str") for name in OUTCOME_COLUMNS})
    return outcomes


def _checked(arrays: Mapping[str, NDArray[Any]], asset_days: float, names: int, modes: int) -> Counts:
    patterns = arrays["patterns"]
    shapes = {"patterns": (len(patterns), 2), "shown": (len(patterns),)}
    shapes |= {"shown_before": (modes, len(patterns)), "asset_days_before": (modes,)}
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"counts.npz: {name} does not fit")
    alone = np.repeat(np.arange(names)[:, None], 2, axis=1)
    if (
        patterns.dtype.kind != "i"
        or not np.array_equal(patterns[len(patterns) - names :], alone)
        or (patterns.size and not (patterns.min() >= 0 and patterns.max() < names))
        or (patterns[: len(patterns) - names, 0] == patterns[: len(patterns) - names, 1]).any()
    ):
        raise ValueError("counts.npz: patterns do not fit the symptoms")
    numbers = {name: arrays[name].astype(np.float64) for name in _ARRAYS[1:]}
    return Counts(patterns.astype(np.intp), asset_days=asset_days, **numbers)


def _usable(panel: pd.DataFrame, min_completeness: float) -> Bools:
    if "completeness" not in panel:
        return np.ones(len(panel), dtype=bool)
    return np.asarray(panel["completeness"].to_numpy(dtype=np.float64) >= min_completeness)


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -700.0, 700.0))))
