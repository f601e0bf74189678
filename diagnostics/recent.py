"""The last weeks of each group of assets, kept between days: what today is seen against.

A walk through weeks that nobody reads is spared statistics that say in all of those weeks what the mean says, as of
days with one sample they all do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from diagnostics.ledger import Ledger
from models.features import copies
from models.grid import Floats


class Weeks(NamedTuple):
    """A group's panel of the days from ``first`` to ``last``, ``without`` some statistics that are copies in it."""

    first: date
    last: date
    panel: pd.DataFrame
    without: frozenset[str]


class RecentWeeks:
    """Puts new days behind those that it keeps, or that the ledger has where it keeps too few."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: dict[tuple[str, str], Weeks] = {}

    def with_new(
        self,
        group: tuple[str, str],
        asset_ids: Collection[str],
        first: date,
        days: Sequence[date],
        base: pd.DataFrame,
        named: frozenset[str] | None,
    ) -> Weeks:
        """Return a group's weeks from ``first`` on with the new rows ``base`` of some ``days``.

        ``named`` are the columns that are read by name; ``None``: any may be.
        """
        last, kept = days[-1], self._kept.get(group)
        needless = frozenset() if named is None else frozenset(copies(base)) - named
        past: list[pd.DataFrame] = []
        without: frozenset[str] = frozenset()
        if kept is not None and kept.first <= first and kept.last == days[0] - timedelta(days=1):
            # The others' rows of these days, where they were recorded before and are done again for some.
            done = base.index.get_level_values(0).value_counts()
            others = sorted(set(asset_ids).difference(done.index[done == len(days)]))
            beside = self._ledger.history(others, days[0], last) if others else base.iloc[:0]
            if kept.without <= needless.difference(_told(beside)):
                without = kept.without
                past = [kept.panel[kept.panel.index.get_level_values(1) >= np.datetime64(first, "D")], beside]
        if not past:
            past = [self._ledger.history(asset_ids, first, last)]
            without = needless.difference(_told(past[0]))
        parts = [part.drop(columns=list(without), errors="ignore") for part in (*past, base) if len(part)]
        panel = pd.concat(parts) if parts else base
        panel = panel[~panel.index.duplicated(keep="last")] if panel.index.has_duplicates else panel
        return Weeks(first, last, panel.sort_index(), without)

    def keep(self, group: tuple[str, str], weeks: Weeks, levels: Mapping[str, Floats]) -> None:
        """Keep weeks that were scored, with the levels of their scores, a column each."""
        scores = pd.DataFrame(levels, index=weeks.panel.index)
        panel = pd.concat([weeks.panel.drop(columns=list(scores.columns), errors="ignore"), scores], axis=1)
        self._kept[group] = weeks._replace(panel=panel)

    def forget(self) -> None:
        """Read the past from the ledger again."""
        self._kept.clear()


def _told(panel: pd.DataFrame) -> set[str]:
    """Return the columns that say something of their own."""
    return set(panel.columns).difference(copies(panel))
