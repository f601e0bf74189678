"""Whether what is new to learn from is still the same kind of data: before a refit may become active by itself.

The population stability index of a feature is sum over bins of (new - old) * ln(new / old), the shares of its values
that fall into the deciles of the old data; above 0.25 the two are taken to differ (Siddiqi, Credit Risk Scorecards,
2006, section 9). A fleet changes with its seasons, so one feature that moved is no reason to wait; most of them, or a
signal that fell silent, is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.grid import Floats

BINS = 10
MOVED = 0.25
MIN_DAYS = 50
"""Known asset-days on either side below which nothing is said of a feature."""
MOST = 0.5
"""Share of the features that moved above which a person looks first."""
SILENT = 0.1
"""A feature known on half of the old days and on less than this share of the new ones fell silent."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed between old and new days. ``moved`` gives each moved feature's index, the largest first."""

    compared: int
    moved: tuple[tuple[str, float], ...]
    silent: tuple[str, ...]

    def objection(self) -> str:
        """Return why a person should look before a model of this data is trusted; empty where nobody has to."""
        if self.silent:
            return f"{len(self.silent)} features fell silent: {_some(self.silent)}"
        if self.compared and len(self.moved) > MOST * self.compared:
            names = [name for name, _ in self.moved]
            return f"{len(names)} of {self.compared} features have moved: {_some(names)}"
        return ""


def drift(old: pd.DataFrame, new: pd.DataFrame) -> Drift:
    """Compare the base features of old and new asset-days (rows), over the columns of ``old``."""
    compared, moved, silent = 0, [], []
    for name in old.columns:
        before = old[name].to_numpy(dtype=np.float64)
        after = new[name].to_numpy(dtype=np.float64) if name in new else np.full(len(new), np.nan)
        known, known_after = before[np.isfinite(before)], after[np.isfinite(after)]
        if (
            len(new) >= MIN_DAYS
            and len(known) >= max(MIN_DAYS, len(before) / 2)
            and (len(known_after) < SILENT * len(after))
        ):
            silent.append(str(name))
        elif min(len(known), len(known_after)) >= MIN_DAYS:
            compared += 1
            index = stability_index(known, known_after)
            if index > MOVED:
                moved.append((str(name), index))
    moved.sort(key=lambda item: -item[1])
    return Drift(compared, tuple(moved), tuple(silent))


def stability_index(old: Floats, new: Floats) -> float:
    """Return the population stability index of new values against old ones; both finite, neither empty."""
    edges = np.unique(np.quantile(old, np.linspace(0, 1, BINS + 1)[1:-1]))
    shares = []
    for values in (old, new):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * (len(edges) + 1)))  # an empty bin has no logarithm
    before, after = shares
    return float(np.sum((after - before) * np.log(after / before)))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
