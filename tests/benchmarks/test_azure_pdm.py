"""A short span of the walk through the public fleet: real data, real broker, real ticket system."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest
from servers import dataset, missing

from benchmarks.azure_pdm import run_on, with_config, write_history
from diagnostics import rule_tests
from fleetdx.servers import mosquitto, roundup
from fleetdx.wiring import load_rules, read_installation
from ingest.history import History

FIRST, TRAIN_UNTIL, UNTIL = date(2015, 1, 1), date(2015, 3, 15), date(2015, 3, 31)


def test_the_history_folder_holds_what_the_data_set_holds(tmp_path: Path) -> None:
    source = dataset("azure_pdm")
    write_history(source, tmp_path)
    history = History.open(tmp_path)
    with (source / "failures.csv").open() as file:
        failures = list(csv.DictReader(file))
    assert len(history.failures()) == len(failures)
    assert sum(len(frame) for frame in history.telemetry()) == 75 * 273
    assert len(history.maintenance()) == len((source / "maint.csv").read_text().splitlines()) - 1
    first = history.failures().iloc[0]
    assert first["asset_id"] == f"M{int(failures[0]['machineID']):03}"
    assert first["failure_mode"] == failures[0]["failure"]


def test_the_rules_of_the_comparison_hold_their_own_tests(tmp_path: Path) -> None:
    source = dataset("azure_pdm")
    write_history(source, tmp_path)
    installation = read_installation(with_config(tmp_path))
    rules = load_rules(installation)
    files = sorted(installation.folder.glob("rules/*_test.yaml"))
    report = rule_tests.run(rules, files, installation.register.assets)
    assert report.ok
    assert len(rules.rules) == 8
    assert set(installation.knowledge.failure_modes) >= set(History.open(tmp_path).failures()["failure_mode"])


@pytest.mark.slow
def test_a_short_span_goes_from_the_broker_to_the_ticket(tmp_path: Path) -> None:
    source = dataset("azure_pdm")
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    if not roundup.installed():
        missing("roundup", "pip install 'fleetdx[demo]'")
    write_history(source, tmp_path / "history", machines=12, first=FIRST, last=UNTIL)
    result, tickets = run_on("duckdb", tmp_path / "history", tmp_path / "run", TRAIN_UNTIL, UNTIL, 7.0)
    assert result["ingest"]["stored"] == result["ingest"]["messages"]
    assert result["ingest"]["lost"] == result["ingest"]["quarantined"] == 0
    assert result["assets"] == 12
    assert result["asset_days"] == 12 * (UNTIL - TRAIN_UNTIL).days
    assert result["tickets"] == result["tickets_created"] == result["tickets_in_roundup"] == len(tickets) > 0
    kinds = ("true", "false", "late", "repeat", "pending")
    assert sum(result[f"{kind}_tickets"] for kind in kinds) == result["tickets"]
    assert result["baselines"]["any_fault"]["tickets"] > 0
