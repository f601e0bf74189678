"""The ledger of a walk through years of a large fleet: asset-days as columns in memory, alerts in the tables.

What the service writes down of each asset-day, so that people can read it and a restart goes on from there, takes most
of the time of a walk in which nobody reads and nothing is restarted.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diagnostics.records import AssetDay, DayOutcome
from fleetdx.backtest_ledger import BacktestLedger
from models.grid import Floats
from models.panel import PanelRow, panel_index, rows_matrix


@dataclass(frozen=True, slots=True)
class _Day:
    """The assets recorded together on a day: their numbers, their revisions, and the columns that hold anything.

    Columns that are equal, as all statistics of a day with one sample are, are one array.
    """

    asset: NDArray[np.intp]
    revision: NDArray[np.int64]
    columns: Mapping[str, Floats]


class ColumnLedger(BacktestLedger):
    """A ``Ledger`` for one process and one walk: each asset-day is recorded once, and nothing of it is written."""

    keeps_days = False

    def __init__(self) -> None:
        super().__init__()
        self._asset_ids: list[str] = []
        self._numbers: dict[str, int] = {}
        self._days: defaultdict[date, list[_Day]] = defaultdict(list)
        self._in_order: list[date] = []
        self._records: dict[str, pd.DataFrame] | None = None

    def done(self, asset_ids: Collection[str], first: date, last: date) -> Mapping[AssetDay, int]:
        """Return the arrivals revision at which each recorded asset-day was scored."""
        wanted, found = set(asset_ids), {}
        for day in self._between(first, last):
            for held in self._days[day]:
                for number, revision in zip(held.asset.tolist(), held.revision.tolist(), strict=True):
                    asset_id = self._asset_ids[number]
                    if asset_id in wanted:
                        found[AssetDay(asset_id, day)] = revision
        return found

    def history(self, asset_ids: Collection[str], first: date, last: date) -> pd.DataFrame:
        """Return the recorded base features as a panel, with the levels of their scores."""
        return self.columns(asset_ids, first, last, None)

    def columns(self, asset_ids: Collection[str], first: date, last: date, names: Sequence[str] | None) -> pd.DataFrame:
        """Return some columns (``None``: all) of ``history``, NaN where there is none of that name."""
        wanted = np.zeros(len(self._asset_ids) + 1, dtype=bool)
        wanted[[self._numbers[name] for name in asset_ids if name in self._numbers]] = True
        chosen = [
            (day, held, rows)
            for day in self._between(first, last)
            for held in self._days[day]
            if len(rows := np.flatnonzero(wanted[held.asset]))
        ]
        if names is None:
            names = list(dict.fromkeys(name for _, held, _ in chosen for name in held.columns))
        total = sum(len(rows) for _, _, rows in chosen)
        asset = np.concatenate([held.asset[rows] for _, held, rows in chosen] or [np.zeros(0, np.intp)])
        day = np.repeat(
            np.array([day for day, _, _ in chosen], dtype="datetime64[D]"), [len(rows) for _, _, rows in chosen]
        )
        by_name = np.argsort(np.array(self._asset_ids, dtype=object)) if self._asset_ids else np.zeros(0, np.intp)
        place = np.empty(len(by_name), dtype=np.intp)
        place[by_name] = np.arange(len(by_name))
        order = np.lexsort((day, place[asset]))
        values = np.full((len(names), total), np.nan)
        for column, name in enumerate(names):
            parts = [
                held.columns[name][rows] if name in held.columns else np.full(len(rows), np.nan)
                for _, held, rows in chosen
            ]
            if parts:
                values[column] = np.concatenate(parts)[order]
        ids = pd.Index(self._asset_ids, dtype="str").take(asset[order])
        return pd.DataFrame(values.T, columns=list(names), index=panel_index(list(ids), list(day[order])), copy=False)

    def field_records(self, asset_ids: Collection[str], until: int) -> dict[str, pd.DataFrame]:
        """Return ``failures`` and ``maintenance`` up to an instant (ns): ``asset_id``, ``time`` (ns), ``what``."""
        if self._records is None:
            from alerts.models import FieldRecord

            everybody = list(FieldRecord.objects.values_list("asset_id", flat=True).distinct())
            self._records = super().field_records(everybody, 2**62)
        wanted = set(asset_ids)
        found = {}
        for kind, frame in self._records.items():
            before = frame.iloc[: int(np.searchsorted(frame["time"].to_numpy(), until, side="right"))]
            found[kind] = before[before["asset_id"].isin(wanted)].reset_index(drop=True)
        return found

    def note_field_records(self, records: Collection[tuple[str, int, str, str]]) -> int:
        """Keep what the field reported."""
        self._records = None
        return super().note_field_records(records)

    def _keep(self, outcomes: Sequence[DayOutcome]) -> None:
        if not outcomes:
            return
        names, values = rows_matrix([cast(PanelRow, outcome.features) for outcome in outcomes])
        columns: dict[str, Floats] = {}
        for place, name in enumerate(names):
            column = np.ascontiguousarray(values[:, place])
            first = columns.get(f"{name.rpartition('.')[0]}.mean")
            if first is not None and np.array_equal(first, column, equal_nan=True):
                columns[name] = first
            elif not np.isnan(column).all():
                columns[name] = column
        for row, outcome in enumerate(outcomes):
            for score in outcome.scores:
                level = columns.setdefault(f"score.{score.detector}", np.full(len(outcomes), np.nan))
                level[row] = score.level
        for outcome in outcomes:
            if outcome.log.asset_id not in self._numbers:
                self._numbers[outcome.log.asset_id] = len(self._asset_ids)
                self._asset_ids.append(outcome.log.asset_id)
        day = outcomes[0].log.day
        if day not in self._days:
            self._in_order.insert(bisect_left(self._in_order, day), day)
        self._days[day].append(
            _Day(
                np.array([self._numbers[outcome.log.asset_id] for outcome in outcomes], dtype=np.intp),
                np.array([outcome.arrivals_revision for outcome in outcomes], dtype=np.int64),
                columns,
            )
        )

    def _between(self, first: date, last: date) -> list[date]:
        days = self._in_order
        return days[bisect_left(days, first) : bisect_right(days, last)]
