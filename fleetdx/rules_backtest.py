"""``fleetdx rules backtest``: what each rule would have raised on a history, and what differs between two versions.

The walk is the service itself, a ``Program`` on a folder of its own (docs/decisions/0006); nothing is learned unless a
rule reads scores. A rule is judged alone, by the tickets that it would have asked for, against the failures of its own
failure mode.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from config.installation import Installation
from config.operating_day import NS, operating_day
from config.register import Register
from config.settings import Rules, Store
from diagnostics.rules import RuleSet
from fleetdx.data_folder import DataFolder
from fleetdx.history import bring
from fleetdx.opened_tickets import opened_tickets
from fleetdx.program import Program
from fleetdx.rule_tickets import RuleTicket, RuleTickets
from fleetdx.terminal import console, print_json, progress
from fleetdx.wiring import read_installation, rules_as_written
from ingest.history import History
from models.evaluation import EventReport, evaluate

if TYPE_CHECKING:
    from alerts.ledger import DjangoLedger

_LATE = timedelta(days=30)
"""After the last sample, when every day of a history is closed."""


@dataclass(frozen=True, slots=True)
class RulesWalk:
    """What came of a walk: the rules, each one's tickets and figures, and those of all together as the service.

    A rule whose failure mode the history never saw has no figures (``None``): nothing can be right or wrong.
    """

    rules: RuleSet
    tickets: tuple[RuleTicket, ...]
    reports: Mapping[str, EventReport | None]
    asset_days: Mapping[str, int]
    together: EventReport
    failures: int


def walked(installation: Installation, folder: Path, horizon_days: float, until: date | None) -> RulesWalk:
    """Walk the history in ``folder`` with an installation's rules as they are written, approved or not."""
    history = History.open(folder)
    rules = rules_as_written(installation)
    reads_scores = any(rule.expression.detectors for rule in rules.rules)
    settings = installation.settings
    models = settings.models.model_copy(update={"enabled": settings.models.enabled and reads_scores})
    # In a store of its own, and without the gate that it is walked for.
    settings = settings.model_copy(update={"models": models, "store": Store(), "rules": Rules()})
    heard = RuleTickets(installation.register, settings.daily)
    with tempfile.TemporaryDirectory(prefix="fleetdx-rules-") as scratch:
        alone = replace(installation, settings=settings)
        with Program(alone, DataFolder(Path(scratch)), ledger=_ledger, hear=heard.hear) as program:
            bring(program, history)
            span = program.store.span()
            if span is not None:
                with progress("asset-days walked") as report:
                    program.score(datetime.fromtimestamp(span[1] // NS, UTC) + _LATE, until=until, progress=report)
            together = opened_tickets(installation.register, settings.daily)
    failures = _watched(history.failures(), installation.register, span, until)
    reports: dict[str, EventReport | None] = {}
    for rule in rules.rules:
        kind, mode = rule.written.asset_type, rule.written.failure_mode
        of_type = failures["asset_id"].map(lambda a, kind=kind: installation.register.assets[a].asset_type == kind)
        concerned = failures[(failures["failure_mode"] == mode) & of_type.astype(bool)]
        figures = evaluate(heard.of(rule.name), concerned, heard.asset_days[kind], horizon_days)
        reports[rule.name] = figures if len(concerned) else None
    days = sum(heard.asset_days.values())
    as_service = evaluate(together, failures, days, horizon_days, match_failure_mode=True)
    return RulesWalk(rules, tuple(heard.tickets), reports, dict(heard.asset_days), as_service, len(failures))


def _ledger() -> DjangoLedger:
    from fleetdx.backtest_ledger import BacktestLedger

    return BacktestLedger()


def _watched(
    failures: pd.DataFrame, register: Register, span: tuple[int, int] | None, until: date | None
) -> pd.DataFrame:
    """Return the failures of the register's assets on days that were walked."""
    if span is None:
        return failures.iloc[:0]
    inside = [
        asset_id in register.assets
        and at >= span[0]
        and (until is None or operating_day(register.site_of(asset_id).zone, int(at)) <= until)
        for asset_id, at in zip(failures["asset_id"], failures["time"], strict=True)
    ]
    return failures[np.array(inside, dtype=bool)]


def difference(new: RulesWalk, old: RulesWalk) -> dict[str, Any]:
    """Return what ``new`` would change: its rules, and of each rule's tickets those that are new, gone and moved.

    A ticket moved if the same rule asks for one on the same asset within seven days of it.
    """
    ours, theirs = ({rule.name: rule.version for rule in walk.rules.rules} for walk in (new, old))
    tickets = {}
    for name in sorted({*ours, *theirs}):
        mine, before = _days(new, name), _days(old, name)
        added, gone = mine - before, before - mine
        moved = 0
        for asset_id, day in sorted(added):
            near = sorted((abs((other - day).days), other) for a, other in gone if a == asset_id)
            if near and near[0][0] <= 7:
                gone.discard((asset_id, near[0][1]))
                added.discard((asset_id, day))
                moved += 1
        tickets[name] = {"new": len(added), "gone": len(gone), "moved": moved, "same": len(mine & before)}
    return {
        "rules": {
            "new": sorted(ours.keys() - theirs),
            "gone": sorted(theirs.keys() - ours),
            "changed": sorted(name for name in ours.keys() & theirs if ours[name] != theirs[name]),
        },
        "tickets": {
            name: counts for name, counts in tickets.items() if counts["new"] + counts["gone"] + counts["moved"]
        },
    }


def _days(walk: RulesWalk, rule: str) -> set[tuple[str, date]]:
    return {(ticket.asset_id, ticket.day) for ticket in walk.tickets if ticket.rule == rule}


def rules_backtest(
    folder: Path, config: Path | None, against: Path | None, *, horizon_days: float, until: date | None, as_json: bool
) -> None:
    """Walk, compare and report."""
    begun = time.monotonic()
    new = walked(read_installation(config or folder), folder, horizon_days, until)
    old = walked(read_installation(against), folder, horizon_days, until) if against is not None else None
    result = as_dict(new, horizon_days)
    if old is not None:
        result["against"] = as_dict(old, horizon_days) | {"difference": difference(new, old)}
    if as_json:
        print_json(result | {"seconds": round(time.monotonic() - begun, 1)})
    else:
        say_walk(result)
        console.print(f"[dim]{time.monotonic() - begun:.0f} s[/dim]")


def as_dict(walk: RulesWalk, horizon_days: float) -> dict[str, Any]:
    """Return a walk's figures as plain values; ``None`` where there is nothing to take one of."""
    rules = {}
    for rule in walk.rules.rules:
        of_type = walk.asset_days.get(rule.written.asset_type, 0)
        tickets = sum(1 for ticket in walk.tickets if ticket.rule == rule.name)
        rules[rule.name] = {
            "failure_mode": rule.written.failure_mode,
            "ticket": rule.written.ticket,
            "version": rule.version,
            **_figures(walk.reports[rule.name]),
            "tickets": tickets,
            "tickets_per_100_asset_days": _known(100 * tickets / of_type if of_type else math.nan),
        }
    days = sum(walk.asset_days.values())
    together = _figures(walk.together) | {
        "tickets_per_100_asset_days": _known(100 * walk.together.tickets / days if days else math.nan)
    }
    return {
        "version": walk.rules.version,
        "asset_days": days,
        "failures": walk.failures,
        "horizon_days": horizon_days,
        "rules": rules,
        "together": together,
    }


def _figures(report: EventReport | None) -> dict[str, Any]:
    names = ("failures", "caught", "tickets", "true_tickets", "false_tickets", "late_tickets", "repeat_tickets")
    shares = ("recall", "precision", "median_lead_hours", "p10_lead_hours")
    if report is None:
        return dict.fromkeys(names, 0) | dict.fromkeys(shares)
    return {n: getattr(report, n) for n in names} | {n: _known(getattr(report, n)) for n in shares}


def _known(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def say_walk(result: Mapping[str, Any]) -> None:
    """Tell a person what a walk found."""
    from rich.table import Table

    console.print(
        f"{result['asset_days']:,} asset-days, {result['failures']:,} failures; a ticket is right if a failure of its "
        f"mode follows within {result['horizon_days']:g} days. Rules version {result['version']}."
    )
    table = Table()
    headings = ("rule", "ticket", "failures", "recall", "precision", "median lead", "p10 lead", "tickets")
    for heading in (*headings, "per 100 asset-days"):
        table.add_column(heading, justify="left" if heading in ("rule", "ticket") else "right")
    for name, row in result["rules"].items():
        _add(table, name, row["ticket"], row)
    table.add_section()
    _add(table, "tickets of all, as the service", "", result["together"])
    console.print(table)
    unseen = sorted({row["failure_mode"] for row in result["rules"].values() if not row["failures"]})
    if unseen:
        console.print(f"The history knows no failure of {', '.join(unseen)}: rules that say so cannot be judged by it.")
    if "against" in result:
        _say_difference(result["against"]["version"], result["against"]["difference"])


def _add(table: Any, name: str, ticket: str, row: Mapping[str, Any]) -> None:
    table.add_row(
        name,
        ticket,
        f"{row['failures']:,}",
        _share(row["recall"]),
        _share(row["precision"]),
        _days_of(row["median_lead_hours"]),
        _days_of(row["p10_lead_hours"]),
        f"{row['tickets']:,}",
        "–" if row["tickets_per_100_asset_days"] is None else f"{row['tickets_per_100_asset_days']:.2f}",
    )


def _say_difference(version: str, found: Mapping[str, Any]) -> None:
    words = [f"{what}: {', '.join(names)}" for what, names in found["rules"].items() if names]
    console.print(f"Against version {version}: " + ("; ".join(words) or "the same rules") + ".")
    for name, counts in found["tickets"].items():
        told = [f"{counts[what]} {what}" for what in ("new", "gone", "moved", "same") if counts[what]]
        console.print(f"  {name}: tickets {', '.join(told)}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _days_of(hours: float | None) -> str:
    return "–" if hours is None else f"{hours / 24:.1f} days"
