"""What the field's records say of asset-days: which are healthy, and how long it was until the next failure."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from models.grid import Floats, Grid

BEFORE_DAYS = (14, 7, 3, 1)
"""Days before a failure that are not learned from: the first, or the next where hardly any day would be left."""
LEAST_SHARE = 0.1
"""Share of the days that must be left to learn normal from."""


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


def learnable_days(
    index: pd.MultiIndex,
    failures: pd.DataFrame,
    maintenance: pd.DataFrame,
    *,
    zones: Mapping[str, ZoneInfo] | None = None,
    sound: pd.DataFrame | None = None,
) -> pd.Series:
    """Return ``healthy_days``, with fewer days before a failure left out where hardly any would remain.

    In a fleet that fails every ten days no day is two weeks from a failure; normal is learned from its quietest days.
    """
    for before in BEFORE_DAYS:
        healthy = healthy_days(index, failures, maintenance, before_days=before, zones=zones, sound=sound)
        if healthy.mean() >= LEAST_SHARE:
            break
    return healthy


def days_left(index: pd.MultiIndex, failures: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None) -> Floats:
    """Return, for each row of a panel's index, the days from its end to its asset's next failure, infinite without one.

    Arguments as for ``healthy_days``. A failure on the row's own day is not its next: that day was not over before it.
    """
    grid = Grid.of(index)
    if failures.empty:
        return np.full(len(index), np.inf)
    local = _local_times(failures, zones)
    asset, place = grid.places(failures["asset_id"], local)
    inside = (asset >= 0) & (place >= 0)
    at = place + (local - local.dt.normalize()).to_numpy() / np.timedelta64(1, "D")
    comes = np.full((grid.shape[0], max(grid.days, int(place.max()) + 1) + 1), np.inf)
    np.minimum.at(comes, (asset[inside], place[inside]), at[inside])
    following = np.minimum.accumulate(comes[:, ::-1], axis=1)[:, ::-1][:, 1 : grid.days + 1]
    return grid.gather(following - np.arange(1, grid.days + 1))


def local_days(events: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None) -> pd.Series:
    """Return the operating day (``datetime64``, midnight without a zone) of each event's ``time`` (ns, UTC)."""
    days: pd.Series = _local_times(events, zones).dt.normalize().astype("datetime64[s]")
    return days


def _local_times(events: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None) -> pd.Series:
    """Return what the clock on the wall showed at each event's ``time`` (``datetime64[ns]`` without a zone)."""
    instants = pd.to_datetime(events["time"].astype("int64"), unit="ns", utc=True)
    times = instants.dt.tz_localize(None)
    if zones:
        zone_of = events["asset_id"].map(lambda asset_id: zones.get(asset_id))
        for zone in {zone for zone in zone_of if isinstance(zone, ZoneInfo)}:
            there = (zone_of == zone).to_numpy()
            times.loc[there] = instants[there].dt.tz_convert(zone).dt.tz_localize(None)
    return times
