"""The walk that computes many days together gives what the service gives day by day: tickets, alerts and scores."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from history_folder import BEGIN, write_history

from config.register import AssetType, Register
from fleetdx.backtest import Backtest, backtest_program, fast_program, walk
from fleetdx.backtest_command import bring_tables
from fleetdx.history import bring
from fleetdx.opened_tickets import opened_tickets
from fleetdx.terminal import progress
from fleetdx.wiring import read_installation
from ingest.history import History
from models.registry import Registry

PUMPS, DAYS = 6, 36
TRAIN_UNTIL = (BEGIN + timedelta(days=23)).date()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walks") / "pumps"
    write_history(folder, days=DAYS, pumps=PUMPS, fails_on=[(2, 29), (4, 34), (1, 10)], hours=6)
    with (folder / "telemetry.csv").open("a") as table:  # the same again, late, unknown, and none at all
        table.write("P-03,2025-01-30T06:00:00Z,61.5,\nP-03,2025-01-30T06:00:00Z,,20.5\n")
        table.write("P-99,2025-01-30T06:00:00Z,60,20\nP-05,2025-01-30T06:30:00+01:00,60.25,19.5\n")
    return folder


def speaking_of_the_pump(register: Register) -> Register:
    """The same fleet, where the temperature speaks of the pump alone, which each repair replaces."""
    kind = register.asset_types["pump"]
    signals = [signal.model_dump() | {"component": "pump"} for signal in kind.signals if signal.name == "temperature"]
    signals += [signal.model_dump() for signal in kind.signals if signal.name != "temperature"]
    named = AssetType(**kind.model_dump() | {"components": ("pump",), "signals": signals})
    return Register(tuple(register.sites.values()), (named,), tuple(register.assets.values()))


def versions(program: Backtest) -> list[date]:
    """Up to which day each version learned that was fitted, then those that became active."""
    registry = Registry(program.data.registry)
    active = [one.version for one in registry.activations("pump")]
    return [registry.describe("pump", name).training_last for name in [*registry.versions("pump"), *active]]


def outcome(program: Backtest) -> dict[str, Any]:
    from alerts.models import Alert

    register = program.installation.register
    last = (BEGIN + timedelta(days=DAYS)).date()
    names = ["score.ensemble", "completeness", "temperature.mean", "temperature.p95", "faults.count"]
    fields = ("asset_id", "failure_mode", "episode", "first_day", "last_true_day", "state", "closed_reason")
    return {
        "tickets": opened_tickets(register, program.installation.settings.daily).to_dict("records"),
        "alerts": sorted(Alert.objects.values_list(*fields)),
        "fits": versions(program),
        "days": program.ledger.columns(list(register.assets), BEGIN.date(), last, names),
    }


@pytest.mark.slow
def test_days_together_give_what_days_one_by_one_give(history: Path, tmp_path: Path) -> None:
    found = read_installation(history)
    models = found.settings.models.model_copy(update={"refit_days": 4, "shadow_days": 4})
    installation = replace(
        found,
        register=speaking_of_the_pump(found.register),
        settings=found.settings.model_copy(update={"models": models}),
    )
    with progress("") as silent:
        with backtest_program(installation, tmp_path / "service") as program:
            program.days_at_once = 1
            bring(program, History.open(history))
            walk(program, TRAIN_UNTIL, None, silent)
            by_day = outcome(program)
        with fast_program(installation, tmp_path / "fast") as program:
            bring_tables(program, History.open(history))
            program.days_at_once = 5
            walk(program, TRAIN_UNTIL, None, silent)
            together = outcome(program)
    assert by_day["tickets"]
    assert together["tickets"] == by_day["tickets"]
    assert together["fits"] == by_day["fits"]
    assert len(by_day["fits"]) > 2
    assert together["alerts"] == by_day["alerts"]
    pd.testing.assert_frame_equal(together["days"], by_day["days"], rtol=1e-12)
    assert by_day["days"]["score.ensemble"].notna().sum() > PUMPS * 8
