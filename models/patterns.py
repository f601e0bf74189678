"""Weighted patterns: how much more often a symptom, or two together, show before a failure than on other days.

What shows on a day is *covered* by patterns, each symptom by one: the most telling pairs first, then what is left. So a
code that means something only together with another is not believed when it comes alone. A pattern's weight is
``w = f + log((k + a) / (E + a))``: ``f`` is what it falls back on, ``k`` how often it covered days before failures,
``E`` how often it would have by ``f`` and by its share of other days, and ``a`` is ``SMOOTHING`` (a gamma-Poisson
shrinkage of the relative risk, by which DuMouchel, Am. Stat. 53, 1999, screens rare combinations). A symptom falls back
on what is expected beforehand, or on nothing; two together on the sum of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.grid import Floats
from models.symptoms import WINDOW_DAYS, Bools

MAX_PATTERNS = 600
PAIRED_SYMPTOMS = 48
"""Symptoms that pairs are made of: those seen most often before failures."""
MIN_DAYS = 6.0
"""Asset-days on which a pattern must have shown, all in all."""
SMOOTHING = 1.0
PRIOR_DAYS = 30.0
"""Asset-days that an expected share of other days weighs as much as."""

Expected = Mapping[str, tuple[float, float]]
"""For a symptom, the share of days before a failure that it shows on, and that of other days (0 to 1)."""

_LEAST = 1e-4


class Pattern(NamedTuple):
    """One pattern that shows, and what it adds to the log odds.

    ``share_before`` is the share of the days within a horizon before such failures, ``share_else`` that of other days.
    """

    symptoms: tuple[str, ...]
    weight: float
    share_before: float
    share_else: float


@dataclass(frozen=True)
class Counts:
    """How many asset-days each pattern covered: of all that were counted, and of those before a failure of each mode.

    ``patterns`` are pairs of places in the symptoms, in the order in which they cover; behind them each symptom alone,
    as the same place twice.
    """

    patterns: NDArray[np.intp]
    shown: Floats
    shown_before: Floats
    asset_days: float
    asset_days_before: Floats


@dataclass(frozen=True)
class Distinct:
    """The different sets of symptoms of a panel's rows: most days look alike, so that each is judged once."""

    sets: Bools
    of_row: NDArray[np.intp]
    """Which set a row shows; -1 where the row is not usable."""

    @classmethod
    def of(cls, seen: Bools, usable: Bools) -> Self:
        """Find the different rows of ``seen`` (rows, symptoms)."""
        packed = np.packbits(seen, axis=1) if seen.shape[1] else np.zeros((len(seen), 1), dtype=np.uint8)
        codes = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
        _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return cls(seen[first], np.where(usable, inverse, -1))

    def tally(self, rows: Bools) -> Floats:
        """Return how many of some rows show each set."""
        chosen = self.of_row[rows]
        return np.bincount(chosen[chosen >= 0], minlength=len(self.sets)).astype(np.float64)


def chosen_patterns(distinct: Distinct, truth: Bools, usable: Bools) -> NDArray[np.intp]:
    """Return the most telling pairs, then every symptom alone, at most ``MAX_PATTERNS`` in all.

    ``truth`` (modes, rows) says which days are before a failure. A pair tells as much as it shows more often before one
    of the modes than on any day: ``k log((k + a) / (E + a))``.
    """
    count = distinct.sets.shape[1]
    singles = np.repeat(np.arange(count, dtype=np.intp)[:, None], 2, axis=1)
    days, before = distinct.tally(usable), distinct.tally(usable & truth.any(axis=0))
    sets = distinct.sets.astype(np.float64)
    paired = np.sort(np.lexsort((np.arange(count), -(days @ sets), -(before @ sets)))[:PAIRED_SYMPTOMS])
    narrow = sets[:, paired]
    together = (narrow * days[:, None]).T @ narrow
    telling = np.zeros_like(together)
    for of_mode in truth:
        tally = distinct.tally(usable & of_mode)
        seen = (narrow * tally[:, None]).T @ narrow
        expected = together * (tally.sum() / max(days.sum(), 1.0))
        least = SMOOTHING * WINDOW_DAYS
        telling = np.maximum(telling, seen * np.log((seen + least) / (expected + least)))
    pairs = [
        (-float(telling[a, b]), int(paired[a]), int(paired[b]))
        for a in range(len(paired))
        for b in range(a + 1, len(paired))
        if together[a, b] >= MIN_DAYS and telling[a, b] > 0
    ]
    kept = sorted(pairs)[: max(MAX_PATTERNS - count, 0)]
    return np.concatenate([np.array([pair[1:] for pair in kept], dtype=np.intp).reshape(-1, 2), singles])


def cover(seen: Bools, patterns: NDArray[np.intp]) -> Bools:
    """Return (rows, patterns): which patterns cover what each row of ``seen`` (rows, symptoms) shows."""
    free, covered = seen.copy(), np.zeros((len(seen), len(patterns)), dtype=bool)
    for number, (one, other) in enumerate(patterns):
        showing = free[:, one] & free[:, other]
        if showing.any():
            covered[:, number] = showing
            free[showing, one] = False
            free[showing, other] = False
    return covered


def counted(distinct: Distinct, truth: Bools, rows: Bools, patterns: NDArray[np.intp]) -> Counts:
    """Count, over some rows, the days that patterns cover; ``truth`` (modes, rows): which are before a failure."""
    covered = cover(distinct.sets, patterns).astype(np.float64)
    tallies = [distinct.tally(rows & of_mode) for of_mode in truth]
    before = np.array([tally @ covered for tally in tallies], dtype=np.float64).reshape(len(truth), len(patterns))
    days = np.array([tally.sum() for tally in tallies], dtype=np.float64)
    return Counts(patterns, distinct.tally(rows) @ covered, before, float(rows.sum()), days)


def weights(names: Sequence[str], counts: Counts, mode: int | None, expected: Expected) -> Judge:
    """Return the weights of a failure mode, the ``mode``-th of the counts (``None``: it has not come yet).

    ``names`` are the symptoms of the counts. Expected symptoms that were never counted stand behind them.
    """
    extra = sorted(set(expected).difference(names))
    everything = (*names, *extra)
    before = counts.shown_before[mode] if mode is not None else np.zeros(len(counts.shown))
    days_before = float(counts.asset_days_before[mode]) if mode is not None else 0.0
    otherwise, days_else = counts.shown - before, counts.asset_days - days_before
    pairs, more = len(counts.patterns) - len(names), np.zeros(len(extra))
    prior = np.array([expected.get(name, (np.nan, np.nan)) for name in everything], dtype=np.float64).reshape(-1, 2)
    given = np.isfinite(prior[:, 0])

    def weighed(back: Floats, shown: Floats, share_else: Floats) -> Floats:
        expected_before = days_before * np.minimum(share_else * np.exp(back), 1.0)
        return back + np.log((shown + SMOOTHING * WINDOW_DAYS) / (expected_before + SMOOTHING * WINDOW_DAYS))

    alone_before, alone_else = (np.concatenate([shown[pairs:], more]) for shown in (before, otherwise))
    usual = (alone_before + alone_else + 0.5) / (counts.asset_days + 1.0)
    share_else = (alone_else + PRIOR_DAYS * np.where(given, prior[:, 1], usual)) / (days_else + PRIOR_DAYS)
    back = np.log(np.where(given, np.maximum(prior[:, 0], _LEAST) / np.maximum(prior[:, 1], _LEAST), 1.0))
    alone = weighed(back, alone_before, share_else)
    pair_else = (otherwise[:pairs] + 0.5) / (days_else + 1.0)
    together = weighed(alone[counts.patterns[:pairs]].sum(axis=1), before[:pairs], pair_else)
    singles = np.repeat(np.arange(len(everything), dtype=np.intp)[:, None], 2, axis=1)
    return Judge(
        names=everything,
        patterns=np.concatenate([counts.patterns[:pairs], singles]),
        weights=np.concatenate([together, alone]),
        share_before=np.concatenate([before[:pairs], alone_before]) / max(days_before, 1.0),
        share_else=np.concatenate([pair_else, share_else]),
    )


@dataclass(frozen=True)
class Judge:
    """One mode's weights, ready to add up; ``names`` are the symptoms that ``patterns`` point at."""

    names: tuple[str, ...]
    patterns: NDArray[np.intp]
    weights: Floats
    share_before: Floats
    share_else: Floats
    slope: float = 1.0
    offset: float = 0.0

    def calibrated(self, slope: float, offset: float) -> Judge:
        """Return the same weights with a line over their sum: the log odds are ``slope * total + offset``."""
        return replace(self, slope=slope, offset=offset)

    def total(self, seen: Bools) -> Floats:
        """Return the sum of the weights that cover each row (rows, names)."""
        return cover(seen, self.patterns) @ self.weights

    def patterns_of(self, row: Bools) -> tuple[Pattern, ...]:
        """Return the patterns of one row that speak for the mode, the strongest first."""
        found = []
        for number in np.flatnonzero(cover(row[None], self.patterns)[0]):
            names = tuple(self.names[place] for place in dict.fromkeys(self.patterns[number].tolist()))
            weight = self.slope * float(self.weights[number])
            if weight > 0:
                found.append(Pattern(names, weight, float(self.share_before[number]), float(self.share_else[number])))
        return tuple(sorted(found, key=lambda pattern: (-pattern.weight, pattern.symptoms)))
