"""Histories as people bring them who know nothing of this program: one command has to make sense of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from history_folder import write_history
from program import here

pytestmark = pytest.mark.slow

TABLES = ("assets", "telemetry", "faults", "maintenance", "failures")
PUMPS, DAYS, FAILS_ON = 6, 36, [(0, 12), (1, 18), (2, 29), (3, 33)]
LEARNS_UNTIL, WALKED = "2025-01-25", 11
Tables = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("strangers") / "pumps"
    write_history(folder, days=DAYS, pumps=PUMPS, fails_on=FAILS_ON, hours=6)
    return {name: pd.read_csv(folder / f"{name}.csv", dtype="str") for name in TABLES}


@pytest.fixture
def written(tables: Tables, tmp_path: Path) -> Callable[..., Path]:
    def write(**changed: pd.DataFrame) -> Path:
        for name, table in (tables | changed).items():
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        return tmp_path

    return write


def test_an_asset_that_ended_has_no_days_after(tables: Tables, written: Callable[..., Path]) -> None:
    """A disk that failed and is gone must not make false tickets per 100 asset-days look rare."""
    telemetry, faults = tables["telemetry"], tables["faults"]
    gone = telemetry["asset_id"].isin(["P-02", "P-05"]) & (telemetry["time"] >= "2025-01-30T13")
    folder = written(telemetry=telemetry[~gone], faults=faults[faults["time"] < "2025-01-30T13"])
    answer = here("backtest", folder, "--train-until", LEARNS_UNTIL, "--horizon", "7", "--json")
    assert answer.code == 0, answer.err
    assert answer.json()["asset_days"] == (PUMPS - 2) * WALKED + 2 * 5
    assert answer.json()["failures"] == 2


def test_columns_that_measure_nothing_are_left_out_and_named(tables: Tables, written: Callable[..., Path]) -> None:
    rows = len(tables["telemetry"])
    telemetry = tables["telemetry"].assign(mode=["AUTO"] * rows, running=["yes", "no"] * (rows // 2))
    answer = here(
        "backtest", written(telemetry=telemetry), "--train-until", LEARNS_UNTIL, "--until", "2025-01-27", "--json"
    )
    assert answer.code == 0, answer.err
    assert "Columns of telemetry left out: mode (text such as 'AUTO')." in answer.err
    assert answer.json()["asset_days"] == 2 * PUMPS


def test_assets_that_the_register_writes_otherwise_are_named(tables: Tables, written: Callable[..., Path]) -> None:
    """A spreadsheet takes leading zeros away: what is left is another asset, and the message shows both."""
    short = {f"P-0{n}": str(n) for n in range(PUMPS)}
    long = {name: f"00{n}" for name, n in short.items()}
    mixed = {
        name: table.assign(asset_id=table["asset_id"].map(short if name in ("assets", "telemetry", "faults") else long))
        for name, table in tables.items()
    }
    answer = here("backtest", written(**mixed), "--train-until", LEARNS_UNTIL, "--until", "2025-01-27", "--json")
    assert answer.code == 0, answer.err
    said = (
        "The register lacks assets that the table of failures names: 000, 001, 002, 003. It has 0, 1, 2, 3 and 2 more."
    )
    assert said in answer.err
    assert answer.json()["failures_of_unknown_assets"] == len(FAILS_ON)
    others = {name: table for name, table in tables.items() if name != "assets"}
    others = {name: table.assign(asset_id=table["asset_id"].map(long)) for name, table in others.items()}
    answer = here("backtest", written(assets=mixed["assets"], **others), "--train-until", LEARNS_UNTIL)
    assert answer.code == 3
    assert "The register lacks assets that the data names: 000, 001, 002, 003, 004, 005. It has 0, 1" in answer.err
    assert "no sample of an asset that it knows" in answer.err


def test_where_failures_are_too_few_to_learn_from_it_is_said(written: Callable[..., Path]) -> None:
    answer = here("backtest", written(), "--train-until", LEARNS_UNTIL, "--until", "2025-01-27", "--json")
    assert answer.code == 0, answer.err
    assert "Nothing was learned from failures: SEIZED came 2 times up to 2025-01-25, and 15 of one mode" in answer.err
    found = answer.json()
    assert (found["score"], found["scored_asset_days"]) == ("ensemble", 2 * PUMPS)
    assert {row["prevalence"] for row in found["baselines"].values()} == {found["prevalence"]}
    answer = here("backtest", written(), "--train-until", "2025-01-17", "--until", "2025-01-18", "--json")
    assert "Nothing was learned from failures: SEIZED came once up to 2025-01-17" in answer.err


def test_where_nothing_could_be_learned_at_all_it_is_said(written: Callable[..., Path]) -> None:
    answer = here("backtest", written(), "--train-until", "2025-01-01", "--until", "2025-01-05", "--json")
    assert answer.code == 0, answer.err
    assert "No day could be scored: there were too few sound days" in answer.err
    assert (answer.json()["tickets"], answer.json()["average_precision"]) == (0, None)
