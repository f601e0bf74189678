"""A walk through a history in the order of time, and what its tickets were worth.

The walk is the service itself, a ``Program`` on a folder of its own: up to a day it only learns, then the models are
fitted, and from there on each day is scored from what was known at its end.
"""

from __future__ import annotations

import math
import resource
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from config.installation import Installation
from config.operating_day import NS, day_bounds, operating_day
from config.register import AssetType, Site
from diagnostics.sweep import allowance
from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from fleetdx.opened_tickets import opened_tickets
from fleetdx.program import Program
from fleetdx.terminal import Report, console
from models import baselines
from models.ensemble import ENSEMBLE
from models.evaluation import EventReport, average_precision, evaluate, fails_within
from models.failure import FAILURE
from models.labels import healthy_days
from models.panel import panel_index

if TYPE_CHECKING:
    from alerts.ledger import DjangoLedger

_DAYS_AT_ONCE = 14
_NEVER_BY_ITSELF = 3650
"""Training days that the service would wait for: the walk fits at the day that it is told."""


def backtest_program(installation: Installation, folder: Path) -> Program:
    """Return a program for a walk on a folder of its own, not opened."""
    models = installation.settings.models.model_copy(update={"min_training_days": _NEVER_BY_ITSELF})
    settings = installation.settings.model_copy(update={"models": models})
    return Program(replace(installation, settings=settings), DataFolder(folder), ledger=_ledger)


def _ledger() -> DjangoLedger:
    from fleetdx.backtest_ledger import BacktestLedger

    return BacktestLedger()


def walk(program: Program, train_until: date, until: date | None, progress: Report) -> None:
    """Learn from the days up to ``train_until``, fit, and score the days after it up to ``until`` (or all).

    Raises ``CannotGoOn`` where there is nothing to learn from, or nothing after it.
    """
    from alerts.models import Alert

    span = program.store.span()
    if span is None:
        return
    begin, end = (datetime.fromtimestamp(at // NS, UTC) for at in span)
    if not begin.date() <= train_until < end.date():
        raise CannotGoOn(
            f"the history goes from {begin.date()} to {end.date()}: up to {train_until} nothing can be learned, "
            "or after it nothing is left to walk through. Give another --train-until."
        )
    now = end + timedelta(days=30)
    program.score(now, until=train_until, progress=progress)
    Alert.objects.all().delete()  # tickets count from here on; what is still wrong is raised again
    program.fit(train_until)
    program.score(now, until=until, progress=progress)


def evaluated(
    program: Program, failures: pd.DataFrame, train_until: date, until: date | None, horizon_days: float
) -> dict[str, Any]:
    """Return the figures of a walk as plain values; ``None`` where there is nothing to take a figure of.

    ``failures`` are all of the history's (``asset_id``, ``time`` in ns); those of the walk's days count.
    """
    register = program.installation.register
    scores, asset_days = _scores(train_until, until)
    zones = {asset.id: register.site_of(asset.id).zone for asset in register.assets.values()}
    days = {asset_id: (train_until, until or date.max - timedelta(days=2)) for asset_id in zones}
    inside = [
        asset_id in days and days[asset_id][0] < operating_day(zones[asset_id], int(at)) <= days[asset_id][1]
        for asset_id, at in zip(failures["asset_id"], failures["time"], strict=True)
    ]
    watched = failures[np.array(inside, dtype=bool)]

    def report(tickets: pd.DataFrame) -> dict[str, Any]:
        return _figures(evaluate(tickets, watched, asset_days, horizon_days))

    whole_days = max(1, math.ceil(horizon_days))
    prevalence = float(np.mean(fails_within(scores.index, failures, whole_days, zones))) if len(scores) else math.nan
    return {
        "assets": len(register.assets),
        "asset_days": asset_days,
        "horizon_days": horizon_days,
        "train_until": train_until.isoformat(),
        **report(opened_tickets(register, program.installation.settings.daily)),
        "average_precision": _known(average_precision(scores, failures, whole_days, zones)),
        "prevalence": _known(prevalence),
        "baselines": {
            name: report(tickets) for name, tickets in _baseline_tickets(program, train_until, until).items()
        },
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _scores(train_until: date, until: date | None) -> tuple[pd.Series[float], int]:
    """Return the score of each asset-day of the walk, and how many asset-days there were.

    It is the failure model's risk where there is one, and the anomaly ensemble's score otherwise.
    """
    from alerts.models import AssetDayRun, Score

    bounds = {"day__gt": train_until} | ({"day__lte": until} if until is not None else {})
    learned = Score.objects.filter(detector=FAILURE, **bounds).exists()
    detector = FAILURE if learned else ENSEMBLE
    rows = list(Score.objects.filter(detector=detector, **bounds).values_list("asset_id", "day", "score"))
    index = panel_index([row[0] for row in rows], [np.datetime64(row[1], "D") for row in rows])
    return pd.Series([row[2] for row in rows], index=index, dtype="float64"), AssetDayRun.objects.filter(
        **bounds
    ).count()


def _figures(report: EventReport) -> dict[str, Any]:
    figures = report.as_dict()
    del figures["asset_days"]
    return {name: _plain(value) for name, value in figures.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return _known(value) if isinstance(value, float) else value


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _baseline_tickets(program: Program, train_until: date, until: date | None) -> dict[str, pd.DataFrame]:
    register = program.installation.register
    opened: defaultdict[str, list[tuple[str, int]]] = defaultdict(list, any_fault=[], last_value_limits=[])
    last_day = until or date.max - timedelta(days=2)
    for asset_type in register.asset_types.values():
        for site in register.sites.values():
            assets = [a.id for a in register.assets.values() if (a.asset_type, a.site) == (asset_type.id, site.id)]
            if not assets:
                continue
            panel = program.ledger.history(assets, date(1970, 1, 2), last_day)
            if panel.empty:
                continue
            assert isinstance(panel.index, pd.MultiIndex)
            records = program.ledger.field_records(assets, 2**62)
            repaired = _days_of(records.values(), site)
            sound = healthy_days(
                panel.index,
                records["failures"],
                records["maintenance"],
                zones=dict.fromkeys(assets, site.zone),
            )
            learning = panel.index.get_level_values(1) <= np.datetime64(train_until, "D")
            last = _last_values(program, asset_type, site, assets, panel.index)
            flags = {
                "any_fault": baselines.any_fault(panel),
                "last_value_limits": baselines.outside_limits(last, np.asarray(sound) & learning),
            }
            wait = allowance(site, program.installation.settings.daily)
            for name, flagged in flags.items():
                for asset_id, day in baselines.tickets(flagged & ~learning, repaired):
                    end = day_bounds(site.zone, day.astype(object))[1]
                    opened[name].append((asset_id, end + int(wait.total_seconds()) * NS))
    return {
        name: pd.DataFrame(rows, columns=["asset_id", "opened"]).astype({"asset_id": "str", "opened": "int64"})
        for name, rows in opened.items()
    }


def _days_of(frames: Iterable[pd.DataFrame], site: Site) -> Mapping[str, list[np.datetime64]]:
    days: defaultdict[str, list[np.datetime64]] = defaultdict(list)
    for frame in frames:
        for asset_id, at in zip(frame["asset_id"], frame["time"], strict=True):
            days[asset_id].append(np.datetime64(operating_day(site.zone, int(at)), "D"))
    return days


def _last_values(
    program: Program, asset_type: AssetType, site: Site, assets: list[str], index: pd.MultiIndex
) -> pd.DataFrame:
    """Return each signal's last known value of each asset-day, as a panel with the rows of ``index``."""
    signals = [signal.name for signal in asset_type.signals]
    days = pd.DatetimeIndex(index.get_level_values(1).unique()).sort_values()
    found: list[pd.DataFrame] = []
    for first in range(0, len(days), _DAYS_AT_ONCE):
        some = [at.date() for at in days[first : first + _DAYS_AT_ONCE]]
        bounds = np.array([day_bounds(site.zone, day)[0] for day in some], dtype=np.int64)
        end = day_bounds(site.zone, some[-1])[1]
        for frame in program.store.read_measurements(assets, signals, int(bounds[0]), end):
            place = np.searchsorted(bounds, frame["time"].to_numpy(), side="right") - 1
            day = np.array(some, dtype="datetime64[D]")[place]
            found.append(frame.drop(columns="time").assign(day=day).groupby(["asset_id", "day"]).last())
    if not found:
        return pd.DataFrame(np.nan, index=index, columns=signals)
    # An asset with more rows than a chunk comes in two, the later one last.
    last = pd.concat(found)
    last = last[~last.index.duplicated(keep="last")]
    last.index = panel_index(list(last.index.get_level_values(0)), list(last.index.get_level_values(1)))
    return last.reindex(index)


def say_report(result: Mapping[str, Any], begun: float) -> None:
    """Tell a person what a back-test found."""
    from rich.table import Table

    console.print(
        f"{result['assets']:,} assets, {result['asset_days']:,} asset-days after {result['train_until']}, "
        f"{result['failures']:,} failures; a ticket is true if one follows within {result['horizon_days']:g} days."
    )
    if not result["failures"]:
        console.print("No failure is known in these days: this says how many tickets there would be, not what for.")
    table = Table()
    for heading in ("", "tickets", "recall", "precision", "median lead", "false per 100 asset-days"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"fleetdx": result} | {name.replace("_", " "): row for name, row in result["baselines"].items()}
    for name, row in rows.items():
        lead, false = row["median_lead_hours"], row["false_tickets_per_100_asset_days"]
        table.add_row(
            name,
            f"{row['tickets']:,}",
            _share(row["recall"]),
            _share(row["precision"]),
            "–" if lead is None else f"{lead / 24:.1f} days",
            "–" if false is None else f"{false:.2f}",
        )
    console.print(table)
    if result["average_precision"] is not None:
        console.print(
            f"Average precision of the daily score: {result['average_precision']:.3f} "
            f"(of a score without skill: {result['prevalence']:.3f})."
        )
    console.print(f"[dim]{time.monotonic() - begun:.0f} s[/dim]")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
