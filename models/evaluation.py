"""Evaluation by event: how many failures had a ticket in time, and how many tickets had a failure.

A ticket speaks for the first failure of its asset after it was opened (failures at the same instant count as one
moment, which one ticket catches whole). With the time between them, the lead:

========  =====================================================================================
true      the failure comes within the horizon, with at least the minimum lead
repeat    it would be true, but an earlier ticket already speaks for that failure
late      the failure comes, but sooner than the minimum lead: too late to act
early     no failure comes within the horizon, but within two
false     none comes at all, or none within two horizons
========  =====================================================================================

A failure is caught where a true ticket speaks for it. Recall is caught over all failures; precision is true tickets
over all but repeats, and counts early ones as false. Repeats make neither figure better.
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
class Costs:
    """What an error costs, in any one currency; by default in visits for nothing."""

    missed_failure: float = 10.0
    """A failure without a true ticket."""
    false_ticket: float = 1.0
    """A ticket that no failure follows, one for a failure that has its ticket already, or one too late to act."""
    early_replacement: float = 2.0
    """A ticket too early: a part is replaced that would have held for more than the horizon."""


USUAL_COSTS = Costs()


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
    """Early ones among them."""
    late_tickets: int
    early_tickets: int
    repeat_tickets: int
    pending_tickets: int
    """Whose horizon was not over when the records ended, with no failure by then; they count neither way."""
    precision: float
    precision_interval: Interval
    median_lead_hours: float
    """Over caught failures, from the first true ticket's opening."""
    median_lead_hours_interval: Interval
    p10_lead_hours: float
    """Lead that nine of ten caught failures have at least."""
    asset_days: int
    false_tickets_per_100_asset_days: float
    cost: float
    cost_without_tickets: float
    """What all failures would cost if each were missed."""

    def as_dict(self) -> dict[str, object]:
        """Return the figures as numbers and plain mappings."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What each ticket and each failure was.

    ``tickets`` in the order they were opened: the keys, ``opened`` (ns), ``failure`` (ns of the failure it speaks for,
    NA where none follows), ``lead`` (hours, infinite where none follows) and ``kind``: true, repeat, late, early,
    pending or false. ``failures`` in the order of time: the keys, ``time`` (ns), ``caught`` and ``lead`` (hours, NaN if
    missed).
    """

    tickets: pd.DataFrame
    failures: pd.DataFrame

    def report(self, asset_days: int, costs: Costs = USUAL_COSTS, seed: int = 0) -> EventReport:
        """Return the figures; intervals are bootstrapped over the assets that had a ticket or a failure."""
        kinds, caught = self.tickets["kind"], self.failures["caught"].to_numpy(dtype=bool)
        count = {str(kind): int(n) for kind, n in kinds.value_counts().items()}
        true, early, late, repeats, pending = (
            count.get(kind, 0) for kind in ("true", "early", "late", "repeat", "pending")
        )
        false = count.get("false", 0) + early
        missed = len(caught) - int(caught.sum())
        leads = self.failures["lead"].to_numpy(dtype=np.float64)
        assets = pd.Index(sorted(set(self.failures["asset_id"]) | set(self.tickets["asset_id"])))
        weights = _resampled(len(assets), seed)
        of_failure = assets.get_indexer(self.failures["asset_id"])
        of_ticket = assets.get_indexer(self.tickets["asset_id"])
        every = np.ones(len(caught), dtype=bool)
        return EventReport(
            failures=len(caught),
            caught=int(caught.sum()),
            recall=_share(int(caught.sum()), len(caught)),
            recall_interval=_interval(weights, of_failure, caught, every),
            tickets=len(kinds),
            true_tickets=true,
            false_tickets=false,
            late_tickets=late,
            early_tickets=early,
            repeat_tickets=repeats,
            pending_tickets=pending,
            precision=_share(true, len(kinds) - repeats - pending),
            precision_interval=_interval(
                weights, of_ticket, (kinds == "true").to_numpy(), (~kinds.isin(["repeat", "pending"])).to_numpy()
            ),
            median_lead_hours=float(np.median(leads[caught])) if caught.any() else float("nan"),
            median_lead_hours_interval=_median_interval(weights, of_failure[caught], leads[caught]),
            p10_lead_hours=float(np.quantile(leads[caught], 0.1)) if caught.any() else float("nan"),
            asset_days=asset_days,
            false_tickets_per_100_asset_days=100 * false / asset_days if asset_days else float("nan"),
            cost=costs.missed_failure * missed
            + costs.false_ticket * (false - early + late + repeats)
            + costs.early_replacement * early,
            cost_without_tickets=costs.missed_failure * len(caught),
        )


def judge(
    tickets: pd.DataFrame,
    failures: pd.DataFrame,
    horizon_days: float,
    min_lead_hours: float = 0.0,
    *,
    match_failure_mode: bool = False,
    known_until: int | None = None,
) -> Judgement:
    """Match tickets (``asset_id``, ``opened`` in ns) with failures (``asset_id``, ``time`` in ns).

    Failures are known up to ``known_until`` (ns; if not given, as far as it matters). With ``match_failure_mode``, a
    ticket speaks only for failures of its own ``failure_mode``, a column of both. Other columns stay beside.
    """
    keys = ["asset_id", "failure_mode"] if match_failure_mode else ["asset_id"]
    judged = _matched(tickets, failures, keys, horizon_days * 24.0, min_lead_hours)
    if known_until is not None:
        open_yet = judged["opened"] + int(horizon_days * 24 * NS_PER_HOUR) > known_until
        judged.loc[judged["failure"].isna() & open_yet, "kind"] = "pending"
    spoken = judged.loc[judged["kind"] == "true", [*keys, "failure", "lead"]].rename(columns={"failure": "time"})
    moments = failures.astype({"time": "int64"}).sort_values("time", kind="stable")
    moments = moments.merge(spoken.astype({"time": "int64"}), on=[*keys, "time"], how="left")
    moments["caught"] = moments["lead"].notna()
    return Judgement(judged.reset_index(drop=True), moments)


def evaluate(
    tickets: pd.DataFrame,
    failures: pd.DataFrame,
    asset_days: int,
    horizon_days: float,
    min_lead_hours: float = 0.0,
    *,
    match_failure_mode: bool = False,
    costs: Costs = USUAL_COSTS,
    seed: int = 0,
) -> EventReport:
    """Return the figures of tickets against failures, as ``judge`` takes them.

    ``asset_days`` is how many asset-days were watched.
    """
    judgement = judge(tickets, failures, horizon_days, min_lead_hours, match_failure_mode=match_failure_mode)
    return judgement.report(asset_days, costs, seed)


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
    """Return the tickets as ``Judgement`` says."""
    moments = failures[[*keys, "time"]].drop_duplicates().astype({"time": "int64"}).sort_values("time", kind="stable")
    judged = pd.merge_asof(
        tickets.astype({"opened": "int64"}).sort_values("opened", kind="stable"),
        moments.assign(failure=moments["time"].astype("Int64")),
        left_on="opened",
        right_on="time",
        by=keys,
        direction="forward",
        allow_exact_matches=False,
    ).drop(columns="time")
    lead = (judged["failure"] - judged["opened"]).astype("Float64") / NS_PER_HOUR
    judged["lead"] = lead.to_numpy(dtype=np.float64, na_value=np.inf)
    true = (judged["lead"] <= horizon_hours) & (judged["lead"] >= min_lead_hours)
    repeat = true & judged[true].duplicated([*keys, "failure"]).reindex(judged.index, fill_value=False)
    late = judged["lead"] < min_lead_hours
    early = (judged["lead"] > horizon_hours) & (judged["lead"] <= 2 * horizon_hours)
    judged["kind"] = np.select([repeat, true, late, early], ["repeat", "true", "late", "early"], "false")
    return judged


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


def _median_interval(weights: Floats, asset: NDArray[np.intp], leads: Floats) -> Interval:
    """The same of a median: of each round's weighted values, the one in the middle."""
    if not len(leads):
        return Interval(float("nan"), float("nan"))
    order = np.argsort(leads, kind="stable")
    total = np.cumsum(weights[:, asset[order]], axis=1)
    drawn = total[:, -1] > 0
    middle = (total[drawn] < total[drawn, -1:] / 2).sum(axis=1)
    low, high = np.quantile(leads[order][middle], [0.025, 0.975])
    return Interval(float(low), float(high))
