"""The CARE score of tickets: coverage, accuracy, reliability and earliness in one number between 0 and 1.

After Gück, Roelofs & Faulstich, "CARE to Compare", Data 9(12):138, 2024 (doi 10.3390/data9120138), which scores
labelled time frames of wind turbines. Adapted to a fleet that is watched without a break:

- The point is the asset-day. A day is predicted to be anomalous while a ticket stands: from its operating day
  until the failure comes or the horizon is over, since that is how long it says that a failure is to come.
- An *anomaly event* is the horizon before a failure, and the horizon before that, in which nothing should be said yet.
- A *normal event* is a stretch as long as an anomaly event, cut from days of one asset that lie in none.
- An event counts as detected on its first predicted day (an anomaly event: within the horizon). The paper waits
  until an anomaly has persisted; a ticket has done that before it is opened.

With F the F-score at beta 1/2, *coverage* is the mean F over the days of each anomaly event, *accuracy* the mean share
of quiet days in the normal events, *reliability* F over the events, and *earliness* the mean share of its horizon
that was predicted, each day weighted by one in the first quarter and falling to zero at the failure. The score
is (coverage + 2 accuracy + reliability + earliness) / 5; it is 0 where no event was detected, and the accuracy alone
where that is not above a half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.grid import Floats, Grid
from models.labels import local_days

_BETA_SQUARED = 0.25
_DESCENT = 0.25


@dataclass(frozen=True, slots=True)
class Care:
    """The score and its four parts, NaN where there is no anomaly event or no normal one."""

    score: float
    coverage: float
    accuracy: float
    reliability: float
    earliness: float
    anomaly_events: int
    normal_events: int

    def as_dict(self) -> dict[str, float]:
        """Return the parts by name."""
        return asdict(self)


def care(
    asset_days: pd.MultiIndex,
    tickets: pd.DataFrame,
    failures: pd.DataFrame,
    horizon_days: int,
    zones: Mapping[str, ZoneInfo] | None = None,
) -> Care:
    """Return the score of tickets (``asset_id``, ``opened`` in ns) on the asset-days that were watched.

    ``failures`` (``asset_id``, ``time`` in ns) are all that are known: one that comes soon after the last day counts.
    """
    grid = Grid.of(asset_days)
    watched = ~np.isnan(grid.spread(np.ones(len(asset_days))))
    failed_at = _failure_places(grid, failures, zones)
    predicted = _predicted(grid, tickets, failed_at, horizon_days, zones)
    coverages, earliness, caught = [], [], 0
    normal = watched.copy()
    for asset, place in failed_at:
        event = slice(max(0, place - 2 * horizon_days), max(0, min(place, grid.days)))
        normal[asset, event.start : max(0, min(place + 1, grid.days))] = False
        days = np.arange(event.start, event.stop)[watched[asset, event]]
        said, truth = predicted[asset, days], days >= place - horizon_days
        if not truth.any():
            continue
        coverages.append(_f(int((said & truth).sum()), int((said & ~truth).sum()), int((~said & truth).sum())))
        weights = _weights(days[truth] - (place - horizon_days), horizon_days)
        earliness.append(float((weights * said[truth]).sum() / weights.sum()))
        caught += bool(said[truth].any())
    quiet, false = _normal_events(normal, predicted, 2 * horizon_days)
    if not coverages or not len(quiet):
        nan = float("nan")
        return Care(nan, nan, nan, nan, nan, len(coverages), len(quiet))
    coverage, accuracy, early = float(np.mean(coverages)), float(np.mean(quiet)), float(np.mean(earliness))
    reliability = _f(caught, false, len(coverages) - caught)
    score = (coverage + 2 * accuracy + reliability + early) / 5
    if not caught and not false:
        score = 0.0
    elif accuracy <= 0.5:
        score = accuracy
    return Care(score, coverage, accuracy, reliability, early, len(coverages), len(quiet))


def _failure_places(grid: Grid, failures: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None) -> list[tuple[int, int]]:
    """Return asset number and day place of each day with a failure, in order."""
    if failures.empty:
        return []
    asset, place = grid.places(failures["asset_id"], local_days(failures, zones))
    return sorted({(int(a), int(p)) for a, p in zip(asset, place, strict=True) if a >= 0 and p > 0})


def _predicted(
    grid: Grid,
    tickets: pd.DataFrame,
    failed_at: list[tuple[int, int]],
    horizon_days: int,
    zones: Mapping[str, ZoneInfo] | None,
) -> NDArray[np.bool_]:
    predicted = np.zeros(grid.shape, dtype=bool)
    if tickets.empty:
        return predicted
    opened = tickets[["asset_id"]].assign(time=tickets["opened"])
    asset, place = grid.places(opened["asset_id"], local_days(opened, zones))
    fails: dict[int, list[int]] = {}
    for number, at in failed_at:
        fails.setdefault(number, []).append(at)
    for number, first in zip(asset.tolist(), place.tolist(), strict=True):
        if number >= 0:
            end = min([at for at in fails.get(number, ()) if at >= first], default=first + horizon_days)
            predicted[number, max(0, first) : max(0, min(end, first + horizon_days))] = True
    return predicted


def _normal_events(normal: NDArray[np.bool_], predicted: NDArray[np.bool_], length: int) -> tuple[Floats, int]:
    """Return the share of quiet days of each normal event, and how many events hold a predicted day."""
    shares: list[Floats] = []
    false = 0
    for days, said in zip(normal, predicted, strict=True):
        of_asset = said[days]
        whole = len(of_asset) // length
        if whole:
            events = of_asset[: whole * length].reshape(whole, length)
            shares.append(1 - events.mean(axis=1))
            false += int(events.any(axis=1).sum())
    return (np.concatenate(shares) if shares else np.zeros(0)), false


def _weights(day: NDArray[np.intp], horizon_days: int) -> Floats:
    """Weight of each day of the horizon, counted from its first."""
    gone = day / horizon_days
    return np.minimum(1.0, (1 - gone) / (1 - _DESCENT))


def _f(hits: int, false: int, missed: int) -> float:
    whole = (1 + _BETA_SQUARED) * hits + _BETA_SQUARED * missed + false
    return (1 + _BETA_SQUARED) * hits / whole if whole else 0.0
