"""``fleetdx backtest``: a history folder, whatever it holds, to figures, a table and a report."""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from config.installation import Installation
from config.operating_day import NS, day_bounds
from fleetdx.backtest import Backtest, fast_program, walk
from fleetdx.backtest_figures import Findings, findings
from fleetdx.backtest_said import say_report
from fleetdx.backtest_store import HistoryStore
from fleetdx.failure import CannotGoOn
from fleetdx.field_records import field_records
from fleetdx.left_out import say_assets_left_out, say_columns_left_out
from fleetdx.terminal import print_json, progress, say
from fleetdx.wiring import configuration_folder, read_installation
from ingest.history import History
from models.evaluation import USUAL_COSTS, Costs
from models.failure import FAILURE, MIN_FAILURES

_LEARNED_SHARE = 2 / 3


@dataclass(frozen=True, slots=True)
class Choices:
    """What was asked for; ``None`` where it is left to the data or the installation."""

    train_until: date | None = None
    horizon_days: float | None = None
    until: date | None = None
    refit_days: int | None = None
    costs: Costs = USUAL_COSTS


def backtest_history(
    folder: Path, config: Path | None, choices: Choices, *, report: Path | None, as_json: bool
) -> None:
    """Walk through a history in a temporary folder, and report.

    Raises:
        ConfigError: a table of the history, or the configuration, is broken.
        CannotGoOn: there is nothing to learn from or to walk through, or the report cannot be written.
    """
    begun = time.monotonic()
    if report is not None and not report.parent.is_dir():
        raise CannotGoOn(f"there is no folder {report.parent} for the report.")
    history = History.open(folder)
    installation, horizon = _with_horizon(folder, config, choices.horizon_days)
    if choices.refit_days is not None:
        installation = _with_models(installation, refit_days=choices.refit_days)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetdx-backtest-")))
        program = stack.enter_context(fast_program(installation, scratch))
        bring_tables(program, history)
        train_until = choices.train_until or _two_thirds(program)
        with progress("asset-days walked") as told:
            walk(program, train_until, choices.until, told)
        program.sweep.forget()
        failures = history.failures()
        found = findings(program, failures, train_until, choices.until, horizon, choices.costs)
        known = failures[failures["asset_id"].isin(list(installation.register.assets))]
        _say_what_spoke(found, known, train_until)
    result = found.figures | {"seconds": round(time.monotonic() - begun, 1)}
    if report is not None:
        from fleetdx.backtest_report import report_page

        report.write_text(report_page(folder.resolve().name, replace(found, figures=result)), encoding="utf-8")
    if as_json:
        print_json(result)
    else:
        say_report(result, begun)
        if report is not None:
            say(f"The report is in {report}.")


def bring_tables(program: Backtest, history: History) -> None:
    """Load a history into the store of a fast program, and its records of maintenance and failures."""
    store = program.store
    assert isinstance(store, HistoryStore)
    say_columns_left_out(history)
    with progress("samples read") as told:
        store.load(history, told)
    program.ledger.note_field_records(field_records(history))
    left_out = ", ".join(f"{n:,} × {reason}" for reason, n in store.left_out.most_common() if n)
    if left_out:
        say(f"Left out of {folder_name(history)}: {left_out}.")
    register = program.installation.register
    say_assets_left_out("the data", store.unknown_assets, register)
    failed = history.failures()["asset_id"].drop_duplicates()
    say_assets_left_out("the table of failures", failed[~failed.isin(list(register.assets))], register)


def _say_what_spoke(found: Findings, failures: pd.DataFrame, train_until: date) -> None:
    """Say why nothing, or only anomaly models, spoke, where that is so; ``failures`` are of assets that are known."""
    if not found.scores["fleetdx"].notna().any():
        say("No day could be scored: there were too few sound days to learn from, away from failures and repairs.")
        return
    if found.figures["score"] == FAILURE or failures.empty:
        return
    end = day_bounds(ZoneInfo("UTC"), train_until)[1]
    counts = failures["failure_mode"][failures["time"] < end].value_counts()
    often = "once" if len(counts) and counts.iloc[0] == 1 else f"{counts.max():.0f} times"
    most = f"{counts.index[0]} came {often}" if len(counts) else "no failure came"
    if len(counts) and counts.iloc[0] >= MIN_FAILURES:
        say("Nothing could be learned from failures (-v says why). Anomaly models alone spoke.")
        return
    say(
        f"Nothing was learned from failures: {most} up to {train_until}, and {MIN_FAILURES} of one mode are needed. "
        "Anomaly models alone spoke."
    )


def folder_name(history: History) -> str:
    """Return what a history is called."""
    return history.folder.resolve().name


def _with_horizon(folder: Path, config: Path | None, horizon: float | None) -> tuple[Installation, float]:
    """Return the installation and the horizon; an inferred one learns for the horizon that is asked for."""
    installation = read_installation(config or folder)
    models = installation.settings.models
    if horizon is None:
        say(f"No --horizon is given: a ticket is right if the failure comes within {models.horizon_days} days.")
        return installation, float(models.horizon_days)
    if configuration_folder(config or folder) is None:
        days = min(90, max(1, math.ceil(horizon)))
        installation = _with_models(installation, horizon_days=days)
    return installation, horizon


def _with_models(installation: Installation, **chosen: int) -> Installation:
    models = installation.settings.models.model_copy(update=chosen)
    return replace(installation, settings=installation.settings.model_copy(update={"models": models}))


def _two_thirds(program: Backtest) -> date:
    span = program.store.span()
    if span is None:
        return datetime.now(UTC).date()
    first, last = (datetime.fromtimestamp(at // NS, UTC).date() for at in span)
    chosen = first + timedelta(days=max(0, math.floor((last - first).days * _LEARNED_SHARE)))
    say(f"No --train-until is given: the models learn from the days up to {chosen}.")
    return chosen
