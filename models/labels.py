"""Which asset-days are healthy: the only ones that models learn normal from."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from models.grid import Grid


def healthy_days(
    index: pd.MultiIndex,
    failures: pd.DataFrame,
    maintenance: pd.DataFrame,
    *,
    before_days: int = 14,
    after_days: int = 1,
    zones: Mapping[str, ZoneInfo] | None = None,
    sound: pd.DataFrame | None = None,
    certain_days: int = 7,
) -> pd.Series:
    """Return, for each row of a panel's index, whether nothing is known against that asset-day (bool).

    Not healthy are the ``before_days`` days before a failure (it may be growing already), its own day, and
    the ``after_days`` days after it and after a maintenance action, in which the repaired asset settles.
    ``failures`` and ``maintenance`` hold ``asset_id`` and ``time`` (int64 ns, UTC); ``zones`` gives each asset's
    time zone, in which its operating days are counted (UTC where it says nothing).

    ``sound`` (``asset_id``, ``day``) are days that somebody looked into and found sound: they are healthy, but for
    the last ``certain_days`` before a failure, which has the last word there.
    """
    grid = Grid.of(index)
    healthy = np.ones(grid.shape, dtype=bool)
    certain = np.zeros(grid.shape, dtype=bool)
    for events, before in ((failures, before_days), (maintenance, 0)):
        if events.empty:
            continue
        asset, place = grid.places(events["asset_id"], local_days(events, zones))
        for offset in range(-before, after_days + 1):
            at = place + offset
            inside = (asset >= 0) & (at >= 0) & (at < grid.days)
            healthy[asset[inside], at[inside]] = False
            if offset >= -certain_days:
                certain[asset[inside], at[inside]] = True
    if sound is not None and not sound.empty:
        asset, at = grid.places(sound["asset_id"], sound["day"])
        inside = (asset >= 0) & (at >= 0) & (at < grid.days)
        healthy[asset[inside], at[inside]] |= ~certain[asset[inside], at[inside]]
    return pd.Series(grid.gather(healthy.astype(np.float64)) == 1, index=index, name="healthy")


def local_days(events: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None) -> pd.Series:
    """Return the operating day (``datetime64``, midnight without a zone) of each event's ``time`` (ns, UTC)."""
    instants = pd.to_datetime(events["time"].astype("int64"), unit="ns", utc=True)
    days = instants.dt.tz_localize(None).dt.normalize().astype("datetime64[s]")
    if zones:
        zone_of = events["asset_id"].map(lambda asset_id: zones.get(asset_id))
        for zone in {zone for zone in zone_of if isinstance(zone, ZoneInfo)}:
            there = (zone_of == zone).to_numpy()
            local = instants[there].dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
            days.loc[there] = local.astype("datetime64[s]")
    return days
