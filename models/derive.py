"""Look-back columns: what a day means against the asset's own past and against its peers.

A row depends on its own day and on the ``LOOK_BACK_DAYS`` calendar days before it, of all assets in the panel,
and on nothing later. So one day in service and a walk through years give the same numbers, given the same days.

A robust z is (value - median) / spread. The spread is the median absolute deviation, scaled to a standard
deviation of normal data (factor 1.4826: Rousseeuw & Croux, J. Am. Stat. Assoc. 88, 1993), and shrunk towards
what is usual in the fleet as if that had been seen on ``SPREAD_PRIOR`` further days:

    spread^2 = (n * own^2 + SPREAD_PRIOR * fleet^2) / (n + SPREAD_PRIOR)

so that few days, or a signal that happens to stand still, make no large z out of nothing. Where nothing in the fleet
ever moved there is no scale, and z is unknown, or zero at the median itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betainc

from models.features import STATISTICS
from models.grid import Floats, Grid
from models.panel import index_of
from models.renewals import Renewals
from models.side_by_side import side_by_side

LOOK_BACK_DAYS = 60
RECENT_DAYS = 3
"""Days, today included, whose fault rate is compared with the look-back before them."""
MIN_DAYS = 7
"""Known days that an asset's past must hold before something is said against it."""
MIN_PEERS = 4
"""Other assets of the group that must be known that day."""
CLIP = 12.0
"""Sigmas beyond which more says nothing new."""
FURTHER = ("drift", "excess")
"""Kinds of columns that are derived only where a detector reads them."""
DRIFT_DAYS = 14
"""Days, today included, whose weighted mean is compared with the days of the look-back before them."""
DRIFT_MEMORY = 0.2
"""Weight of the newest day in that mean; of each day before it, four fifths of the next one's."""
MAX_EXCESS = CLIP**2 / 2
"""About what a deviation of ``CLIP`` sigmas is as the negative log of a probability."""
SPREAD_PRIOR = 10.0
RATE_PRIOR_SETS = 0.5
"""Shape of the gamma prior of a rate's ratio to what was expected: one set where none was expected is exp(1.1) = 3."""
RATE_PRIOR_DAYS = 14.0
"""Days of the fleet's exposure that its own rate counts for in an asset's expected rate."""

_MAD_TO_SIGMA = 1.4826
_ROUNDING = 1e-9
_WINDOW_VALUES = 250_000  # of a block of windows: it is sorted in cache


def derived_panel(
    base: pd.DataFrame,
    groups: pd.Series,
    *,
    since: np.datetime64 | None = None,
    further: Collection[str] = (),
    renewals: Renewals | None = None,
) -> pd.DataFrame:
    """Return the base columns and the look-back columns ``.own``, ``.peers``, ``.rate`` and ``faults.novel``.

    ``base`` is a panel of assets of one type (see ``models.features``), ``groups`` the peer group of each asset id;
    ``further`` names the kinds of ``FURTHER`` that are wanted too: ``.drift`` of statistics, ``.excess`` of faults.
    With ``renewals``, the own past (``.own``, ``.drift``) of a signal that speaks of a component is the days since that
    was last renewed, unknown until there are enough of them; the day itself, half of each part, belongs to neither.
    The result has the rows of ``base``, or those from day ``since`` on (the days before are then read only as past).
    Raises ``KeyError`` where an asset has no group.
    """
    grid = Grid.of(index_of(base))
    first = (
        0 if since is None else int(np.clip((since.astype("datetime64[D]") - grid.first_day).astype(int), 0, grid.days))
    )
    kept = grid.place >= first
    missing = grid.asset_ids.difference(pd.Index(groups.index))
    if len(missing):
        raise KeyError(f"no peer group for asset {missing[0]!r}")
    group = pd.factorize(groups.loc[grid.asset_ids])[0]

    statistics = [c for c in base.columns if _is_statistic(c)]
    kinds = ("own", "peers", "drift") if "drift" in further else ("own", "peers")
    component_of, ages = (renewals.component_of, renewals.days_since(grid)) if renewals is not None else ({}, {})
    # All statistics of days with one sample are the same numbers: they are derived once.
    first_of: dict[tuple[bytes, str | None], str] = {}
    same = {
        name: first_of.setdefault((_digest(base[name]), _component(name, component_of)), name) for name in statistics
    }

    names = [f"{name}.{kind}" for kind in kinds for name in statistics]
    place = {name: number for number, name in enumerate(names)}
    columns = np.empty((len(names), int(kept.sum())))

    def derive(name: str) -> None:
        values = grid.spread(base[name])
        component = _component(name, component_of)
        age = ages.get(component) if component is not None else None
        columns[place[f"{name}.own"]] = grid.gather(_against_own_past(values, age, first))[kept]
        columns[place[f"{name}.peers"]] = grid.gather(_against_peers(values, group, first))[kept]
        if "drift" in further:
            columns[place[f"{name}.drift"]] = grid.gather(_drift(values, group, age, first))[kept]

    side_by_side(derive, list(first_of.values()))
    for name, other in same.items():
        for kind in kinds if name != other else ():
            columns[place[f"{name}.{kind}"]] = columns[place[f"{other}.{kind}"]]
    rows = base if kept.all() else base[kept]
    derived = pd.DataFrame(columns.T, columns=names, index=rows.index, copy=False)
    faults = {name: values[kept] for name, values in _fault_columns(base, grid, excess="excess" in further)}
    return pd.concat([rows, derived, pd.DataFrame(faults, index=rows.index)], axis=1)


def is_look_back(column: str) -> bool:
    """Whether a column of a derived panel says what a day means, not what it was: these feed the detectors."""
    return column.endswith((".own", ".peers", ".rate", ".drift", ".excess")) or column == "faults.novel"


def _is_statistic(column: str) -> bool:
    signal, _, statistic = column.partition(".")
    return statistic in STATISTICS and signal not in ("faults", "exposure", "score")


def _component(column: str, component_of: Mapping[str, str]) -> str | None:
    """Return the component that a statistic's signal speaks of."""
    return component_of.get(column.partition(".")[0])


def _digest(column: pd.Series) -> bytes:
    return sha256(np.ascontiguousarray(column.to_numpy(dtype=np.float64)).data).digest()


def _against_own_past(values: Floats, age: Floats | None, first: int) -> Floats:
    """Robust z of each (asset, day) against the asset's days before, or since its part is ``age`` days old.

    NaN before place ``first``.
    """
    assets, days = values.shape
    centre, spread, known = (np.full(values.shape, np.nan) for _ in range(3))
    padded = np.concatenate([np.full((assets, LOOK_BACK_DAYS), np.nan), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, LOOK_BACK_DAYS, axis=1)[:, first:days]
    for block in _blocks(assets, windows.shape[1] * LOOK_BACK_DAYS):
        window = np.array(windows[block])
        if age is not None:
            _forget(window, age[block, first:], newest=1)
        centre[block, first:], spread[block, first:], known[block, first:] = _median_and_spread(window)
    fleet = _usual(np.where(known >= MIN_DAYS, spread, np.nan), axis=0)
    z = _z(values, centre, _shrunk(spread, known, fleet))
    return np.where(known >= MIN_DAYS, z, np.nan)


def _against_peers(values: Floats, group: NDArray[np.intp], first: int) -> Floats:
    """Robust z of each (asset, day) against its group that day.

    The median of five or more is robust against the one asset that deviates, so the asset itself may stay in.
    The spread is shrunk towards the group's usual one over the look-back.
    """
    z = np.full(values.shape, np.nan)
    for number in range(group.max(initial=-1) + 1):
        members = group == number
        if members.sum() <= MIN_PEERS:
            continue
        centre, spread, known = _median_and_spread(np.array(values[members].T))
        spread[known <= MIN_PEERS] = np.nan
        padded = np.concatenate([np.full(LOOK_BACK_DAYS, np.nan), spread])
        windows = np.lib.stride_tricks.sliding_window_view(padded, LOOK_BACK_DAYS)[: len(spread)]
        usual = _usual(np.array(windows), axis=1)
        deviation = _z(values[members], centre, _shrunk(spread, known, np.where(np.isnan(usual), spread, usual)))
        z[members] = np.where(known > MIN_PEERS, deviation, np.nan)
    z[:, :first] = np.nan
    return z


def _drift(values: Floats, group: NDArray[np.intp], age: Floats | None, first: int) -> Floats:
    """How far the recent days' weighted mean lies from the asset's own days before them, in its standard errors.

    An exponentially weighted moving average (Roberts, Technometrics 1, 1959) over ``DRIFT_DAYS``, against the median
    of the look-back before those days, so that a slow drift does not become its own reference. What the whole group
    does (the season, the day's work) is taken out first, where the group is large enough to say what that is.
    """
    values = _beside_group(values, group)
    assets, days = values.shape
    mean, centre, spread, known, share = (np.full(values.shape, np.nan) for _ in range(5))
    weights = DRIFT_MEMORY * (1 - DRIFT_MEMORY) ** np.arange(DRIFT_DAYS)[::-1]
    padded = np.concatenate([np.full((assets, LOOK_BACK_DAYS), np.nan), values], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, LOOK_BACK_DAYS + 1, axis=1)[:, first:days]
    for block in _blocks(assets, windows.shape[1] * LOOK_BACK_DAYS):
        window = windows[block]
        if age is not None:
            window = np.array(window)
            _forget(window, age[block, first:], newest=0)
        recent = window[..., -DRIFT_DAYS:]
        there = np.isfinite(recent)
        weight = np.where(there, weights, 0.0)
        total = np.where(there.sum(axis=-1) >= MIN_DAYS, weight.sum(axis=-1), np.nan)
        mean[block, first:] = (weight * np.nan_to_num(recent)).sum(axis=-1) / total
        share[block, first:] = (weight**2).sum(axis=-1) / total**2
        before = np.array(window[..., :-DRIFT_DAYS])
        centre[block, first:], spread[block, first:], known[block, first:] = _median_and_spread(before)
    fleet = _usual(np.where(known >= MIN_DAYS, spread, np.nan), axis=0)
    # The variance of the weighted mean, and of the median of n normal days, pi / 2n, both in the spread's.
    error = np.sqrt(share + np.pi / 2 / np.maximum(known, 1))
    z = _z(mean, centre, _shrunk(spread, known, fleet) * error)
    return np.where(np.isnan(values) | (known < MIN_DAYS), np.nan, z)


def _forget(window: Floats, age: Floats, newest: int) -> None:
    """Make unknown in windows (assets, days, places) what was not after the renewal, ``age`` (assets, days) days ago.

    The last place is ``newest`` days ago.
    """
    back = np.arange(window.shape[-1])[::-1] + newest
    asset, day = np.nonzero(age <= back[0])
    days = window[asset, day]
    days[back >= age[asset, day, None]] = np.nan
    window[asset, day] = days


def _beside_group(values: Floats, group: NDArray[np.intp]) -> Floats:
    """Return the values less the group's median that day, or as they are in a group too small to have one."""
    beside = values.copy()
    for number in range(group.max(initial=-1) + 1):
        members = group == number
        if members.sum() > MIN_PEERS:
            centre, _, known = _median_and_spread(np.array(values[members].T))
            beside[members] = values[members] - np.where(known > MIN_PEERS, centre, np.nan)
    return beside


def _blocks(length: int, values_each: int) -> Iterator[slice]:
    step = max(1, _WINDOW_VALUES // max(values_each, 1))
    for start in range(0, length, step):
        yield slice(start, start + step)


def _median_and_spread(window: Floats) -> tuple[Floats, Floats, Floats]:
    """Return median, scaled median absolute deviation and number of the known values along the last axis.

    ``window`` is used up.
    """
    window.sort(axis=-1)  # NaN sorts last
    known = np.isfinite(window).sum(axis=-1)
    centre = _middle(window, known)
    deviation = np.abs(window - centre[..., None])
    deviation.sort(axis=-1)
    return centre, _MAD_TO_SIGMA * _middle(deviation, known), known.astype(np.float64)


def _middle(ordered: Floats, known: NDArray[np.intp]) -> Floats:
    if not ordered.shape[-1]:
        return np.full(ordered.shape[:-1], np.nan)
    low = np.take_along_axis(ordered, np.maximum((known - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(ordered, np.minimum(known // 2, ordered.shape[-1] - 1)[..., None], axis=-1)[..., 0]
    return np.where(known > 0, np.where(known % 2 == 1, low, (low + high) / 2), np.nan)


def _usual(spread: Floats, axis: int) -> Floats:
    """Median of the spreads along an axis, or their mean where at least half of them are zero."""
    median, _, known = _median_and_spread(np.array(np.moveaxis(spread, axis, -1)))
    mean = np.nansum(spread, axis=axis) / np.maximum(known, 1)
    return np.where(median == 0, mean, median)


def _shrunk(spread: Floats, known: Floats, usual: Floats) -> Floats:
    return np.sqrt((known * spread**2 + SPREAD_PRIOR * usual**2) / (known + SPREAD_PRIOR))


def _z(values: Floats, centre: Floats, spread: Floats) -> Floats:
    """Clipped z; what is below the rounding of the median's own float is no deviation and no spread."""
    rounding = _ROUNDING * np.abs(centre)
    away = np.where(np.abs(values - centre) <= rounding, 0.0, values - centre)
    scale = np.where(spread > rounding, spread, np.nan)
    return np.clip(np.where(away == 0, 0.0, away / scale), -CLIP, CLIP)


def _fault_columns(base: pd.DataFrame, grid: Grid, *, excess: bool) -> Iterator[tuple[str, Floats]]:
    """Yield ``faults.<code>.rate`` of each code, ``faults.rate`` of all together, and ``faults.novel``.

    A rate is ln((a + sets) / (a + expected)), the log of the posterior mean of how many times more sets there were
    than expected, under a gamma prior of mean one and shape a (DuMouchel, Am. Stat. 53, 1999). Expected is
    exposure times the asset's past rate, itself shrunk towards the fleet's: a busy day is no anomaly.

    ``.excess`` is -ln of the probability of so many sets or more in those hours. The sets of the past, a gamma
    distribution of the rate, make those to come negative binomial (Gelman et al., Bayesian Data Analysis, 2.6), with
    the tail P(X >= k) = I(h / (h + b); k, a) for shape a, past hours b and hours to come h.
    """
    names = [c for c in base.columns if c.startswith("faults.") and c.endswith(".count")]
    if "faults.count" not in base:
        return
    known = ~np.isnan(grid.spread(base["faults.count"]))
    hours = _exposure(base, grid, known)
    recent_hours, past_hours = _recent(hours), _past(hours)
    fleet_hours = past_hours.sum(axis=0)
    past_days = _past(known.astype(np.float64))
    prior_hours = RATE_PRIOR_DAYS * fleet_hours / np.maximum(past_days.sum(axis=0), 1)
    sayable = known & (past_days.sum(axis=0) >= MIN_DAYS)

    novel = np.zeros(grid.shape)
    for name in names:
        sets = np.nan_to_num(grid.spread(base[name]))
        recent, past = _recent(sets), _past(sets)
        fleet_rate = past.sum(axis=0) / np.maximum(fleet_hours, 1)
        own_rate = (past + prior_hours * fleet_rate) / np.maximum(past_hours + prior_hours, 1)
        rate = np.log((RATE_PRIOR_SETS + recent) / (RATE_PRIOR_SETS + own_rate * recent_hours))
        yield name.removesuffix("count") + "rate", grid.gather(np.where(sayable, rate, np.nan))
        if excess:
            shape = RATE_PRIOR_SETS + past + prior_hours * fleet_rate
            share = recent_hours / np.maximum(recent_hours + past_hours + prior_hours, 1)
            tail = np.where(recent > 0, betainc(np.maximum(recent, 1), shape, share), 1.0)
            surprise = np.minimum(-np.log(np.maximum(tail, 1e-300)), MAX_EXCESS)
            yield name.removesuffix("count") + "excess", grid.gather(np.where(sayable, surprise, np.nan))
        if name != "faults.count":
            novel += (sets > 0) & (recent + past == sets)
    seen_days = past_days + _recent(known.astype(np.float64)) - 1
    yield "faults.novel", grid.gather(np.where(known & (seen_days >= MIN_DAYS), novel, np.nan))


def _exposure(base: pd.DataFrame, grid: Grid, known: NDArray[np.bool_]) -> Floats:
    """Hours in operation of each day whose faults are known: at least one, and the fleet's median of that day (or
    24) where telemetry was silent and only faults came.
    """
    silent = "exposure.hours" not in base  # a fleet of which there are faults alone
    hours = np.full(grid.shape, np.nan) if silent else grid.spread(base["exposure.hours"])
    typical, _, _ = _median_and_spread(np.array(hours.T))
    filled = np.where(np.isnan(hours), np.where(np.isnan(typical), 24.0, typical), hours)
    # In units of 2^-20 h sums are exact, so that they do not depend on where the panel begins.
    return np.where(known, np.round(np.maximum(filled, 1.0) * 2**20) / 2**20, 0.0)


def _recent(values: Floats) -> Floats:
    return _sum_of_days(values, 0, RECENT_DAYS)


def _past(values: Floats) -> Floats:
    return _sum_of_days(values, RECENT_DAYS, LOOK_BACK_DAYS + 1)


def _sum_of_days(values: Floats, start: int, end: int) -> Floats:
    """Sum over the days from ``start`` to before ``end`` days ago."""
    total = np.concatenate([np.zeros((len(values), end + 1)), np.cumsum(values, axis=1)], axis=1)
    days = values.shape[1]
    sums: Floats = total[:, end + 1 - start : end + 1 - start + days] - total[:, 1 : 1 + days]
    return sums
