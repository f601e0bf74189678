"""How long ago an asset was repaired, told for the days of a stretch from one reading of the records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import cast

import pandas as pd

from config.operating_day import day_bounds
from config.register import Site
from diagnostics.ledger import Ledger
from diagnostics.records import AssetDay
from diagnostics.settling import Settling

SITE = Site(id="depot", title="Depot", time_zone="Asia/Shanghai")
DAYS = [date(2026, 3, day) for day in (10, 11, 12)]


class _Records:
    """A ledger that knows repairs and failures, and days that are done with."""

    def __init__(
        self, maintenance: list[tuple[str, int]], failures: list[tuple[str, int]], done: Collection[AssetDay] = ()
    ) -> None:
        self._frames = {
            "maintenance": pd.DataFrame(maintenance, columns=["asset_id", "time"]),
            "failures": pd.DataFrame(failures, columns=["asset_id", "time"]),
        }
        self._done = done

    def done(self, asset_ids: Collection[str], first: date, last: date) -> Mapping[AssetDay, int]:
        return {key: 1 for key in self._done if key.asset_id in asset_ids and first <= key.day <= last}

    def field_records(self, asset_ids: Collection[str], until: int) -> Mapping[str, pd.DataFrame]:
        return {
            kind: frame[frame["asset_id"].isin(asset_ids) & (frame["time"] <= until)].astype(
                {"asset_id": "str", "time": "int64"}
            )
            for kind, frame in self._frames.items()
        }


def _late_on(day: date) -> int:
    return day_bounds(SITE.zone, day)[1] - 1


def _settling(records: _Records) -> Settling:
    return Settling(cast(Ledger, records), SITE, ["A1", "A2", "A3"], DAYS)


def test_each_day_knows_what_was_recorded_by_its_end() -> None:
    settling = _settling(
        _Records([("A1", _late_on(date(2026, 3, 8))), ("A1", _late_on(DAYS[1]))], [("A2", _late_on(DAYS[2]))])
    )
    assert [dict(settling.days_ago(day)) for day in DAYS] == [{"A1": 2}, {"A1": 0}, {"A1": 1, "A2": 0}]


def test_a_repair_after_the_day_that_is_done_with_counts_as_today() -> None:
    later = date(2026, 3, 20)
    records = _Records([("A1", _late_on(later)), ("A2", _late_on(later))], [], [AssetDay("A1", later)])
    assert dict(_settling(records).days_ago(DAYS[0])) == {"A1": 0}


def test_nothing_recorded_settles_nothing() -> None:
    assert dict(_settling(_Records([], [])).days_ago(DAYS[0])) == {}
