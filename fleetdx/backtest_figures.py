"""What a walk's tickets were worth, as figures and as tables of every failure and every ticket."""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.operating_day import NS, day_bounds, operating_day
from fleetdx.backtest import Backtest
from fleetdx.backtest_baselines import baseline_tickets
from fleetdx.backtest_expected import expected_figures, with_expected
from fleetdx.opened_tickets import opened_tickets
from models.care import care
from models.ensemble import ENSEMBLE
from models.evaluation import USUAL_COSTS, Costs, Judgement, average_precision, fails_within, judge
from models.failure import FAILURE
from models.reliability import reliability

_NO_INTERVAL = {"low": math.nan, "high": math.nan}


@dataclass(frozen=True)
class Findings:
    """``figures`` are plain values, ``None`` where there is nothing to take one of; the rest is what they are of.

    ``scores`` holds each way's score of the walk's asset-days, ``truth`` whether a failure followed within the horizon.
    """

    figures: dict[str, Any]
    judgement: Judgement
    scores: Mapping[str, pd.Series[float]]
    truth: NDArray[np.bool_]


def evaluated(
    program: Backtest,
    failures: pd.DataFrame,
    train_until: date,
    until: date | None,
    horizon_days: float,
    costs: Costs = USUAL_COSTS,
) -> dict[str, Any]:
    """Return the figures of ``findings``."""
    return findings(program, failures, train_until, until, horizon_days, costs).figures


def findings(
    program: Backtest,
    failures: pd.DataFrame,
    train_until: date,
    until: date | None,
    horizon_days: float,
    costs: Costs = USUAL_COSTS,
) -> Findings:
    """Judge a walk's tickets, and those of the naive ways, against the failures of its days.

    ``failures`` are all of the history's (``asset_id``, ``time`` in ns, ``failure_mode``).
    """
    register = program.installation.register
    zones = {asset.id: register.site_of(asset.id).zone for asset in register.assets.values()}
    whole_days = max(1, math.ceil(horizon_days))
    scores, kind = _scores(program, list(zones), train_until, until or date.max)
    last: date = scores.index.get_level_values(1).max().date() if len(scores) else train_until
    known = failures[failures["asset_id"].isin(zones.keys())]
    watched = known[_inside(known, zones, train_until, until or last)]
    truth = fails_within(scores.index, known, whole_days, zones)
    naive = baseline_tickets(program, known, train_until, last, whole_days)
    # On the same days, or their figures could not be compared; without any score, on all of them.
    scored = scores.notna().to_numpy(dtype=bool)
    same_days = scored if scored.any() else ~scored
    all_scores = {"fleetdx": scores} | {n: b.score.reindex(scores.index).where(same_days) for n, b in naive.items()}

    def figures(judgement: Judgement, score: pd.Series[float], *, probability: bool) -> dict[str, Any]:
        found = judgement.report(len(scores), costs).as_dict()
        del found["asset_days"]
        if not len(watched):  # then no ticket is known to be right or wrong: what is left is the load
            found |= {"precision": math.nan, "precision_interval": _NO_INTERVAL, "cost": math.nan}
        values = np.asarray(score, dtype=np.float64)
        told = np.isfinite(values)
        calibrated = reliability(values, truth) if probability and len(watched) else None
        found |= {
            "average_precision": average_precision(score, known, whole_days, zones) if len(score) else math.nan,
            "prevalence": float(truth[told].mean()) if told.any() else math.nan,
            "care": care(_index(scores), judgement.tickets, known, whole_days, zones).as_dict(),
            "calibration": calibrated.as_dict() if calibrated is not None else None,
        }
        return {name: _plain(value) for name, value in found.items()}

    known_until = _known_until(zones, last, known) if len(watched) else None

    def judged(tickets: pd.DataFrame) -> Judgement:
        found = judge(tickets, known, horizon_days, known_until=known_until)
        inside = _inside(found.failures, zones, train_until, until or last)
        return Judgement(found.tickets, found.failures[inside].reset_index(drop=True))

    tickets = with_expected(opened_tickets(register, program.installation.settings.daily), program.ledger.expected)
    judgement = judged(tickets)
    expected = expected_figures(tickets, known, horizon_days) if len(watched) else None
    result = {
        "assets": len(register.assets),
        "asset_days": len(scores),
        "horizon_days": horizon_days,
        "train_until": train_until.isoformat(),
        "last_day": last.isoformat(),
        "score": kind,
        "scored_asset_days": int(scored.sum()),
        **figures(judgement, scores, probability=kind == FAILURE),
        "expected_time": {name: _plain(value) for name, value in expected.items()} if expected is not None else None,
        "failures_of_unknown_assets": len(failures) - len(known),
        "costs": {name: getattr(costs, name) for name in costs.__slots__},
        "baselines": {
            name: figures(judged(b.tickets), all_scores[name], probability=True) for name, b in naive.items()
        },
        "per_failure": _failure_rows(judgement),
        "per_ticket": _ticket_rows(judgement),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    return Findings(result, judgement, all_scores, truth)


def _scores(program: Backtest, asset_ids: list[str], train_until: date, last: date) -> tuple[pd.Series[float], str]:
    """Return the score of each asset-day of the walk (NaN: none), and whose it is.

    It is the failure model's risk where there is one, and the level of the anomaly ensemble otherwise.
    """
    names = [f"score.{FAILURE}", f"score.{ENSEMBLE}"]
    panel = program.ledger.columns(asset_ids, train_until, last, names)
    panel = panel[panel.index.get_level_values(1) > np.datetime64(train_until, "D")]
    kind = FAILURE if panel[names[0]].notna().any() else ENSEMBLE
    return panel[f"score.{kind}"], kind


def _known_until(zones: Mapping[str, ZoneInfo], last: date, failures: pd.DataFrame) -> int:
    """Return up to when failures are known (ns): the end of the last day, or the last failure if that is later."""
    return max(*(day_bounds(zone, last)[1] for zone in set(zones.values())), int(failures["time"].max()))


def _inside(failures: pd.DataFrame, zones: Mapping[str, ZoneInfo], train_until: date, last: date) -> NDArray[np.bool_]:
    """Return which failures came on the days of the walk."""
    days = [
        operating_day(zones[name], int(at)) for name, at in zip(failures["asset_id"], failures["time"], strict=True)
    ]
    return np.array([train_until < day <= last for day in days], dtype=bool)


def _failure_rows(judgement: Judgement) -> list[dict[str, Any]]:
    columns = [judgement.failures[name].tolist() for name in ("asset_id", "failure_mode", "time", "caught", "lead")]
    return [
        {"asset_id": asset, "failure_mode": mode, "time": _iso(at), "caught": caught, "lead_hours": _known(lead)}
        for asset, mode, at, caught, lead in zip(*columns, strict=True)
    ]


def _ticket_rows(judgement: Judgement) -> list[dict[str, Any]]:
    names = ("asset_id", "failure_mode", "opened", "kind", "failure", "lead", "expected_from", "expected_by")
    columns = [judgement.tickets[name].tolist() for name in names]
    return [
        {
            "asset_id": asset,
            "failure_mode": mode,
            "opened": _iso(opened),
            "kind": kind,
            "failure": None if pd.isna(failure) else _iso(failure),
            "lead_hours": _known(lead),
            "expected_from": _iso(first) if math.isfinite(first) else None,
            "expected_by": _iso(last) if math.isfinite(last) else None,
        }
        for asset, mode, opened, kind, failure, lead, first, last in zip(*columns, strict=True)
    ]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _index(column: pd.Series[float]) -> pd.MultiIndex:
    assert isinstance(column.index, pd.MultiIndex)
    return column.index


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return _known(value) if isinstance(value, float) else value


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None
