"""Evaluation by event: how many failures had a ticket in time, and how many tickets had a failure.

A ticket speaks for the first failure of its asset after it was opened (failures at the same instant count as one
moment, which one ticket catches whole). With the time between them, the lead:

========  =====================================================================================
true      the failure comes within the horizon, with at least the minimum lead
repeat    it would be true, but an earlier ticket already speaks for that failure
late      the failure comes, but sooner than the minimum lead: too late to act
false     no failure comes within the horizon; ``early`` counts those where one comes within two
========  =====================================================================================

A failure is caught where a true ticket speaks for it. Recall is caught over all failures; precision is true
tickets over all but repeats. Repeats cost work, so they are counted apart, and make neither figure better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from models.grid import Floats, Grid
from models.labels import local_days

NS_PER_HOUR = 3_600_000_000_000
BOOTSTRAP_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval: 2.5th and 97.5th percentile over resampled assets. NaN where nothing was drawn."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class EventReport:
    """Figures of one evaluation; shares and leads are NaN where there is nothing to take them of."""

    failures: int
    caught: int
    recall: float
    recall_interval: Interval
    tickets: int
    true_tickets: int
    false_tickets: int
    late_tickets: int
    early_tickets: int
    repeat_tickets: int
    precision: float
    precision_interval: Interval
    median_lead_hours: float
    """Over caught failures, from the first true ticket's opening."""
    p10_lead_hours: float
    """Lead that nine of ten caught failures have at least."""
    asset_days: int
    false_tickets_per_100_asset_days: float

    def as_dict(self) -> dict[str, object]:
        """Return the figures as numbers and plain mappings."""
        return asdict(self)


def evaluate(
    tickets: pd.DataFrame,
    failures: pd.DataFrame,
    asset_days: int,
    horizon_days: float,
    min_lead_hours: float = 0.0,
    *,
    match_failure_mode: bool = False,
    seed: int = 0,
) -> EventReport:
    """Match tickets (``asset_id``, ``opened`` in ns) with failures (``asset_id``, ``time`` in ns).

    ``asset_days`` is how many asset-days were watched. With ``match_failure_mode``, a ticket speaks only for failures
    of its own ``failure_mode``, a column of both. Intervals are bootstrapped over the assets that had either.
    """
    keys = ["asset_id", "failure_mode"] if match_failure_mode else ["asset_id"]
    outcome = _matched(tickets, failures, keys, horizon_days * 24.0, min_lead_hours)
    moments = failures[[*keys, "time"]].merge(
        outcome.loc[outcome["kind"] == "true", [*keys, "failure", "lead"]].rename(columns={"failure": "time"}),
        on=[*keys, "time"],
        how="left",
    )
    caught = moments["lead"].notna()
    leads = moments.loc[caught, "lead"].to_numpy(dtype=np.float64)
    kinds = outcome["kind"]
    true, repeats = int((kinds == "true").sum()), int((kinds == "repeat").sum())
    false = int((kinds == "false").sum())

    assets = pd.Index(sorted(set(moments["asset_id"]) | set(outcome["asset_id"])))
    weights = _resampled(len(assets), seed)
    of_failure, of_ticket = assets.get_indexer(moments["asset_id"]), assets.get_indexer(outcome["asset_id"])
    return EventReport(
        failures=len(moments),
        caught=int(caught.sum()),
        recall=_share(int(caught.sum()), len(moments)),
        recall_interval=_interval(weights, of_failure, caught.to_numpy(), np.ones(len(moments), dtype=bool)),
        tickets=len(outcome),
        true_tickets=true,
        false_tickets=false,
        late_tickets=int((kinds == "late").sum()),
        early_tickets=int(outcome["early"].sum()),
        repeat_tickets=repeats,
        precision=_share(true, len(outcome) - repeats),
        precision_interval=_interval(weights, of_ticket, (kinds == "true").to_numpy(), (kinds != "repeat").to_numpy()),
        median_lead_hours=float(np.median(leads)) if len(leads) else float("nan"),
        p10_lead_hours=float(np.quantile(leads, 0.1)) if len(leads) else float("nan"),
        asset_days=asset_days,
        false_tickets_per_100_asset_days=100 * false / asset_days if asset_days else float("nan"),
    )


def average_precision(
    scores: pd.Series,
    failures: pd.DataFrame,
    horizon_days: int,
    zones: Mapping[str, ZoneInfo] | None = None,
) -> float:
    """Return the average precision of a panel's score column for "fails within the next ``horizon_days`` days".

    The day of a failure itself does not count as before it. Asset-days without a score are left out. NaN where
    no day, or every day, is before a failure.
    """
    truth = fails_within(scores.index, failures, horizon_days, zones)
    known = scores.notna().to_numpy()
    if len(np.unique(truth[known])) < 2:
        return float("nan")
    return float(average_precision_score(truth[known], scores.to_numpy(dtype=np.float64)[known]))


def fails_within(
    asset_days: pd.Index, failures: pd.DataFrame, horizon_days: int, zones: Mapping[str, ZoneInfo] | None = None
) -> NDArray[np.bool_]:
    """Return for each asset-day of a panel's index whether its asset fails within the next ``horizon_days`` days."""
    if not isinstance(asset_days, pd.MultiIndex):
        raise ValueError("not the index of a panel: it must be (asset_id, day)")
    grid = Grid.of(asset_days)
    before = np.zeros(grid.shape)
    if not failures.empty:
        asset, place = grid.places(failures["asset_id"], local_days(failures, zones))
        for days in range(1, horizon_days + 1):
            inside = (asset >= 0) & (place - days >= 0) & (place - days < grid.days)
            before[asset[inside], place[inside] - days] = 1.0
    within: NDArray[np.bool_] = grid.gather(before) == 1
    return within


def _matched(
    tickets: pd.DataFrame, failures: pd.DataFrame, keys: list[str], horizon_hours: float, min_lead_hours: float
) -> pd.DataFrame:
    """Return the tickets in the order they were opened with ``failure`` (ns), ``lead`` (hours), ``kind``, ``early``."""
    moments = failures[[*keys, "time"]].drop_duplicates().sort_values("time")
    outcome = pd.merge_asof(
        tickets[[*keys, "opened"]].astype({"opened": "int64"}).sort_values("opened", kind="stable"),
        moments.astype({"time": "int64"}).assign(failure=moments["time"].astype("Int64")),
        left_on="opened",
        right_on="time",
        by=keys,
        direction="forward",
        allow_exact_matches=False,
    )
    lead = (outcome["failure"] - outcome["opened"]).astype("Float64") / NS_PER_HOUR
    outcome["lead"] = lead.to_numpy(dtype=np.float64, na_value=np.inf)
    true = (outcome["lead"] <= horizon_hours) & (outcome["lead"] >= min_lead_hours)
    repeat = true & outcome[true].duplicated([*keys, "failure"]).reindex(outcome.index, fill_value=False)
    late = outcome["lead"] < min_lead_hours
    outcome["kind"] = np.select([repeat, true, late], ["repeat", "true", "late"], "false")
    outcome["early"] = (outcome["lead"] > horizon_hours) & (outcome["lead"] <= 2 * horizon_hours)
    return outcome


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _resampled(assets: int, seed: int) -> Floats:
    """Return how often each asset was drawn in each round, drawing as many assets as there are."""
    if not assets:
        return np.zeros((BOOTSTRAP_ROUNDS, 0))
    drawn = np.random.default_rng(seed).multinomial(assets, np.full(assets, 1 / assets), size=BOOTSTRAP_ROUNDS)
    return drawn.astype(np.float64)


def _interval(weights: Floats, asset: NDArray[np.intp], hit: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Interval:
    hits = weights @ np.bincount(asset[hit & counted], minlength=weights.shape[1])
    wholes = weights @ np.bincount(asset[counted], minlength=weights.shape[1])
    shares = hits[wholes > 0] / wholes[wholes > 0]
    if not len(shares):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(shares, [0.025, 0.975])
    return Interval(float(low), float(high))
