"""Two naive ways to open tickets, which every evaluation is read beside.

``any fault``: a day with any fault code opens a ticket. ``last-value limits``: a day whose last value of any signal
lies outside what 99.8 % of the sound training days ended with opens one. Neither knows the asset's own past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

QUIET_DAYS = 3
"""Unflagged days after which a baseline's ticket is closed, as a real alert returns to normal."""
LIMITS = (0.001, 0.999)


def any_fault(panel: pd.DataFrame) -> pd.Series[bool]:
    """Return, for each asset-day of a base panel, whether any fault code was set."""
    counts = [name for name in panel.columns if name.startswith("faults.") and name.endswith(".count")]
    return panel[counts].fillna(0.0).sum(axis=1) > 0


def outside_limits(last: pd.DataFrame, training: np.ndarray) -> pd.Series[bool]:
    """Return whether any signal's last value of the day is outside its limits over the ``training`` rows (bool)."""
    low, high = (last[training].quantile(share) for share in LIMITS)
    return ((last < low) | (last > high)).any(axis=1)


def tickets(
    flagged: pd.Series[bool], records: Mapping[str, Sequence[np.datetime64]]
) -> list[tuple[str, np.datetime64]]:
    """Return the asset-days whose flag opens a ticket: no more than one is open for an asset.

    It closes with the asset's next entry of ``records`` (days of repairs and failures) or after ``QUIET_DAYS``.
    """
    opened: list[tuple[str, np.datetime64]] = []
    hits = flagged[flagged].index
    days = hits.get_level_values(1).to_numpy().astype("datetime64[D]")
    last_asset, last_day = "", np.datetime64(0, "D")
    for asset_id, day in zip(hits.get_level_values(0), days, strict=True):
        still_open = (
            asset_id == last_asset
            and (day - last_day).astype(int) <= QUIET_DAYS
            and not any(last_day < record <= day for record in records.get(asset_id, ()))
        )
        if not still_open:
            opened.append((str(asset_id), day))
        last_asset, last_day = asset_id, day
    return opened
