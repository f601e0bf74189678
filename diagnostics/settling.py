"""How many days ago assets were last repaired or failed: what repeats from before that says nothing of them now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from config.operating_day import day_bounds
from config.register import Site
from diagnostics.ledger import Ledger
from models.labels import local_days


class Settling:
    """What the field recorded of one site's assets by the end of some days, read once for all of them."""

    def __init__(self, ledger: Ledger, site: Site, asset_ids: Collection[str], days: Sequence[date]) -> None:
        """``days`` are in order. Of days after one that are done with, what was recorded until then counts as well."""
        self._done: dict[str, list[date]] = {}
        for asset_id, done in sorted(ledger.done(asset_ids, days[0] + timedelta(days=1), date.max)):
            self._done.setdefault(asset_id, []).append(done)
        last = max([days[-1], *(done[-1] for done in self._done.values())])
        kept = ledger.field_records(asset_ids, day_bounds(site.zone, last)[1] - 1)
        frames = [kept[kind][["asset_id", "time"]] for kind in ("failures", "maintenance")]
        records = pd.concat(frames, ignore_index=True)
        self._names = pd.Index(sorted(asset_ids), dtype="str")
        self._asset = self._names.get_indexer(pd.Index(records["asset_id"], dtype="str"))
        self._day = local_days(records, dict.fromkeys(asset_ids, site.zone)).to_numpy().astype("datetime64[D]")

    def days_ago(self, day: date) -> Mapping[str, int]:
        """Return how many days before ``day`` each asset was last repaired or failed, of those that did; 0 is today.

        It is 0 as well where that was after this day and is done with: what comes late of the days before a repair
        raises nothing any more.
        """
        limit = np.full(len(self._names), np.datetime64(day, "D"))
        for asset_id, done in self._done.items():
            limit[self._names.get_loc(asset_id)] = np.datetime64(max(done[-1], day), "D")
        inside = self._day <= limit[self._asset]
        ago = np.full(len(self._names), -1)
        back = (np.datetime64(day, "D") - self._day[inside]).astype(np.int64)
        order = np.argsort(-back, kind="stable")  # the latest is written last, and stays
        ago[self._asset[inside][order]] = np.maximum(back[order], 0)
        found = np.flatnonzero(ago >= 0)
        ago = ago[found]
        return dict(zip(self._names[found].tolist(), ago.tolist(), strict=True))
