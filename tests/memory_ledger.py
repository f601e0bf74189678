"""A ledger in dictionaries, to look at what the daily cycle writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from diagnostics.records import AssetDay, DayOutcome
from models.panel import panel_index


class MemoryLedger:
    """``diagnostics.ledger.Ledger``; ``recorded`` holds every call in its order, ``outcomes`` what stands now."""

    def __init__(self) -> None:
        self.outcomes: dict[AssetDay, DayOutcome] = {}
        self.recorded: list[tuple[DayOutcome, ...]] = []
        self.repairs: list[tuple[str, int, str]] = []
        """Asset, time (ns), ``maintenance`` or ``failures``."""
        self.sound: list[tuple[str, date]] = []
        """Days that the workshop found sound."""
        self.closing: list[tuple[int, int]] = []

    def done(self, asset_ids: Collection[str], first: date, last: date) -> Mapping[AssetDay, int]:
        return {
            key: outcome.arrivals_revision
            for key, outcome in self.outcomes.items()
            if key.asset_id in asset_ids and first <= key.day <= last
        }

    def history(self, asset_ids: Collection[str], first: date, last: date) -> pd.DataFrame:
        keys = sorted(key for key in self.outcomes if key.asset_id in asset_ids and first <= key.day <= last)
        rows = [
            dict(self.outcomes[key].features) | {f"score.{s.detector}": s.level for s in self.outcomes[key].scores}
            for key in keys
        ]
        frame = pd.DataFrame.from_records(rows).astype("float64")
        frame.index = panel_index([key.asset_id for key in keys], [np.datetime64(key.day, "D") for key in keys])
        return frame

    def record(self, outcomes: Sequence[DayOutcome]) -> None:
        self.recorded.append(tuple(outcomes))
        for outcome in outcomes:
            self.outcomes[AssetDay(outcome.log.asset_id, outcome.log.day)] = outcome

    def field_records(self, asset_ids: Collection[str], until: int) -> Mapping[str, pd.DataFrame]:
        found = {}
        for kind in ("failures", "maintenance"):
            rows = [(a, at, "x") for a, at, k in self.repairs if k == kind and a in asset_ids and at <= until]
            found[kind] = pd.DataFrame(rows, columns=["asset_id", "time", "what"]).astype({"time": "int64"})
        return found

    def sound_days(self, asset_ids: Collection[str], until: int) -> pd.DataFrame:
        rows = [(asset_id, day, "x") for asset_id, day in self.sound if asset_id in asset_ids]
        return pd.DataFrame(rows, columns=["asset_id", "day", "what"]).astype({"day": "datetime64[s]"})

    def close_repaired(self, asset_ids: Collection[str], after: int, until: int) -> int:
        self.closing.append((after, until))
        return 0
