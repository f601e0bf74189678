"""The naive ways of ``models.baselines`` on the days of a back-test: the tickets that they would have opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from config.operating_day import NS, day_bounds, operating_day
from config.register import AssetType, Site
from diagnostics.sweep import allowance
from fleetdx.backtest import Backtest
from models import baselines
from models.evaluation import fails_within
from models.labels import learnable_days

_DAYS_AT_ONCE = 14
_LONG_AGO = date(1970, 1, 2)


class Baseline(NamedTuple):
    """A naive way's tickets (``asset_id``, ``opened`` in ns) and, on the walk's asset-days, its score.

    The score is the share of the learned asset-days with the same flag that a failure followed within the horizon: a
    probability, and the best one that a flag can give.
    """

    tickets: pd.DataFrame
    score: pd.Series[float]


def baseline_tickets(
    program: Backtest, failures: pd.DataFrame, train_until: date, last: date, horizon_days: int
) -> dict[str, Baseline]:
    """Return each naive way by name; ``failures`` are all of the history's."""
    register = program.installation.register
    names = ("any_fault", "last_value_limits")
    opened: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    flags: dict[str, list[pd.Series[bool]]] = {name: [] for name in names}
    before: list[pd.Series[bool]] = []
    for asset_type in register.asset_types.values():
        for site in register.sites.values():
            assets = [a.id for a in register.assets.values() if (a.asset_type, a.site) == (asset_type.id, site.id)]
            panel = program.ledger.columns(assets, _LONG_AGO, last, ["faults.count"])
            if panel.empty:
                continue
            assert isinstance(panel.index, pd.MultiIndex)
            records = program.ledger.field_records(assets, 2**62)
            zones = dict.fromkeys(assets, site.zone)
            sound = learnable_days(panel.index, records["failures"], records["maintenance"], zones=zones)
            learning = panel.index.get_level_values(1) <= np.datetime64(train_until, "D")
            last_values = _last_values(program, asset_type, site, assets, panel.index)
            flagged = {
                "any_fault": baselines.any_fault(panel),
                "last_value_limits": baselines.outside_limits(last_values, np.asarray(sound) & learning),
            }
            repaired = _days_of((records["failures"], records["maintenance"]), site)
            wait = int(allowance(site, program.installation.settings.daily).total_seconds()) * NS
            for name, flag in flagged.items():
                flags[name].append(flag)
                for asset_id, day in baselines.tickets(flag & ~learning, repaired):
                    opened[name].append((asset_id, day_bounds(site.zone, day.astype(object))[1] + wait))
            before.append(pd.Series(fails_within(panel.index, failures, horizon_days, zones), index=panel.index))
    return {name: _baseline(opened[name], flags[name], before, train_until, horizon_days) for name in names}


def _baseline(
    opened: list[tuple[str, int]],
    flags: list[pd.Series[bool]],
    before: list[pd.Series[bool]],
    train_until: date,
    horizon_days: int,
) -> Baseline:
    tickets = pd.DataFrame(opened, columns=["asset_id", "opened"]).astype({"asset_id": "str", "opened": "int64"})
    if not flags:
        return Baseline(tickets, pd.Series(dtype="float64"))
    flag, truth = pd.concat(flags), pd.concat(before).to_numpy()
    day = flag.index.get_level_values(1)
    # Of the last days before the walk nobody knew yet what would follow within the horizon.
    known = np.asarray(day <= np.datetime64(train_until, "D") - np.timedelta64(horizon_days, "D"))
    flagged = flag.to_numpy(dtype=bool)
    base_rate = float(truth[known].mean()) if known.any() else 0.0
    share = [
        float(truth[known & (flagged == value)].mean()) if (known & (flagged == value)).any() else base_rate
        for value in (False, True)
    ]
    walked = np.asarray(day > np.datetime64(train_until, "D"))
    return Baseline(tickets, pd.Series(np.where(flagged, share[1], share[0]), index=flag.index)[walked])


def _days_of(frames: Iterable[pd.DataFrame], site: Site) -> Mapping[str, list[np.datetime64]]:
    days: defaultdict[str, list[np.datetime64]] = defaultdict(list)
    for frame in frames:
        for asset_id, at in zip(frame["asset_id"], frame["time"], strict=True):
            days[asset_id].append(np.datetime64(operating_day(site.zone, int(at)), "D"))
    return days


def _last_values(
    program: Backtest, asset_type: AssetType, site: Site, assets: list[str], index: pd.MultiIndex
) -> pd.DataFrame:
    """Return each signal's last known value of each asset-day, as a panel with the rows of ``index``."""
    signals = [signal.name for signal in asset_type.signals]
    values = np.full((len(signals), len(index)), np.nan)
    names, known = pd.Index(sorted(assets), dtype="str"), pd.DatetimeIndex(index.get_level_values(1).unique())
    days = known.sort_values()
    row = np.full((len(names) + 1, len(days) + 1), -1, dtype=np.intp)
    row[names.get_indexer(index.get_level_values(0)), days.get_indexer(index.get_level_values(1))] = range(len(index))
    for first in range(0, len(days), _DAYS_AT_ONCE):
        some = [at.date() for at in days[first : first + _DAYS_AT_ONCE]]
        bounds = np.array([day_bounds(site.zone, day)[0] for day in some], dtype=np.int64)
        end = day_bounds(site.zone, some[-1])[1]
        for frame in program.store.read_measurements(assets, signals, int(bounds[0]), end):
            place = first + np.searchsorted(bounds, frame["time"].to_numpy(), side="right") - 1
            at = row[names.get_indexer(pd.Index(frame["asset_id"])), place]
            for number, signal in enumerate(signals):
                told = frame[signal].to_numpy(dtype=np.float64)
                there = np.isfinite(told) & (at >= 0)
                values[number, at[there]] = told[there]  # in the order of time: the last one stays
    return pd.DataFrame(values.T, index=index, columns=signals, copy=False)
