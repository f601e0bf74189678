"""The ledger of asset-days: which are done, and what they left behind. The protocol; tables are in ``alerts``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Protocol

import pandas as pd

from diagnostics.records import AssetDay, DayOutcome


class Ledger(Protocol):
    """Remembers each asset-day's outcome under the key (asset, day): recording one again is a revision."""

    def done(self, asset_ids: Collection[str], first: date, last: date) -> Mapping[AssetDay, int]:
        """Return the arrivals revision that each recorded asset-day was scored at."""

    def history(self, asset_ids: Collection[str], first: date, last: date) -> pd.DataFrame:
        """Return the recorded base features as a panel (see ``models.panel``), both days inclusive, with the
        recorded ``score.<detector>`` levels beside them.
        """

    def record(self, outcomes: Sequence[DayOutcome]) -> None:
        """Write the outcomes, and the alerts and tickets that follow from them, in one transaction."""

    def field_records(self, asset_ids: Collection[str], until: int) -> Mapping[str, pd.DataFrame]:
        """Return ``failures`` and ``maintenance`` up to an instant (ns): ``asset_id``, ``time`` (ns), ``what``.

        What the workshop confirmed is among the failures. A ledger that keeps what it found of these returns that as
        ``outcomes`` too, with the columns ``OUTCOME_COLUMNS`` of ``models.cases``.
        """

    def sound_days(self, asset_ids: Collection[str], until: int) -> pd.DataFrame:
        """Return the asset-days of which the workshop said up to an instant (ns) that nothing was wrong with them:
        ``asset_id``, ``day`` (``datetime64``), ``what``, the failure mode that was looked for.
        """

    def close_repaired(self, asset_ids: Collection[str], after: int, until: int) -> int:
        """Close alerts by the repairs and failures recorded in (after, until] (ns); return how many were closed."""
