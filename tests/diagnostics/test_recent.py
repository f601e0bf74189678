"""What is kept of the last weeks is what the ledger would say, less statistics that are copies in all of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import cast

import numpy as np
import pandas as pd

from diagnostics.ledger import Ledger
from diagnostics.recent import RecentWeeks, Weeks
from models.panel import panel_index

GROUP = ("pump", "depot")
ASSETS = ["A1", "A2"]
BEGIN = date(2026, 3, 1)


def _panel(first: int, last: int, *, samples: int = 1) -> pd.DataFrame:
    days = [np.datetime64(BEGIN + timedelta(days=n), "D") for n in range(first, last + 1)]
    index = panel_index([asset for asset in ASSETS for _ in days], days * len(ASSETS))
    mean = np.arange(len(index), dtype=np.float64) + first
    return pd.DataFrame({"t.mean": mean, "t.std": np.nan, "t.p95": mean + (samples > 1)}, index=index)


class _Ledger:
    """Holds the days that were recorded, and counts how often it is asked."""

    def __init__(self, recorded: pd.DataFrame) -> None:
        self.recorded, self.asked = recorded, 0

    def history(self, asset_ids: Collection[str], first: date, last: date) -> pd.DataFrame:
        self.asked += 1
        day = self.recorded.index.get_level_values(1)
        return self.recorded[(day >= np.datetime64(first, "D")) & (day <= np.datetime64(last, "D"))]


def _weeks(recent: RecentWeeks, first: int, last: int, named: frozenset[str] | None, samples: int = 1) -> Weeks:
    days = [BEGIN + timedelta(days=n) for n in range(first, last + 1)]
    weeks = recent.with_new(
        GROUP, ASSETS, days[0] - timedelta(days=5), days, _panel(first, last, samples=samples), named
    )
    recent.keep(GROUP, weeks, {"score.x": np.zeros(len(weeks.panel))})
    return weeks


def test_copies_that_nobody_names_are_left_out_and_what_is_kept_is_not_read_again() -> None:
    ledger = _Ledger(_panel(0, 9))
    recent = RecentWeeks(cast(Ledger, ledger))
    assert list(_weeks(recent, 10, 12, frozenset()).panel) == ["t.mean"]
    second = _weeks(recent, 13, 14, frozenset())
    assert ledger.asked == 1
    assert list(second.panel) == ["t.mean", "score.x"]
    days = second.panel.index.get_level_values(1)
    assert (days.min(), days.max()) == (pd.Timestamp("2026-03-09"), pd.Timestamp("2026-03-15"))


def test_what_is_named_or_may_be_read_stays() -> None:
    for named, left in ((frozenset({"t.p95"}), ["t.mean", "t.p95"]), (None, ["t.mean", "t.std", "t.p95"])):
        recent = RecentWeeks(cast(Ledger, _Ledger(_panel(0, 9))))
        assert list(_weeks(recent, 10, 12, named).panel) == left


def test_a_statistic_that_begins_to_speak_is_read_again_with_its_past() -> None:
    ledger = _Ledger(_panel(0, 12))
    recent = RecentWeeks(cast(Ledger, ledger))
    _weeks(recent, 10, 12, frozenset())
    later = _weeks(recent, 13, 14, frozenset(), samples=2)
    assert ledger.asked == 2
    assert list(later.panel) == ["t.mean", "t.p95"]
    assert later.panel["t.p95"].notna().all()


def test_rows_that_are_done_again_are_the_new_ones() -> None:
    recent = RecentWeeks(cast(Ledger, _Ledger(_panel(0, 12))))
    again = _weeks(recent, 12, 12, None, samples=2)
    assert not again.panel.index.has_duplicates
    assert (again.panel["t.p95"] - again.panel["t.mean"]).groupby(level=1).max().iloc[-1] == 1
