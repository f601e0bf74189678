"""The whole way on a simulated fleet, with a real broker and a real ticket system, undisturbed and killed."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pandas as pd
import pytest
from program import fleetdx, processes_on, started, wait_until
from servers import missing

from fleetdx.servers import mosquitto, roundup
from fleetdx.servers.process import free_port
from fleetdx.servers.roundup import RoundupServer

pytestmark = pytest.mark.slow
_START, _DAYS, _CARS = "2026-03-01", 33, 24
_OF_THIS_RUN = {"published", "stored", "duplicates", "quarantined", "seconds"}


class Run(NamedTuple):
    """What a run of the demo said, and the folder that it left."""

    folder: Path
    report: dict[str, Any]


@pytest.fixture(scope="session")
def undisturbed() -> Iterator[Run]:
    """One run that nobody disturbs."""
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    if not roundup.installed():
        missing("roundup", "pip install 'fleetdx[demo]'")
    # Not below pytest's own folder: the ticket system's account must reach it, and another session would shut it out.
    with tempfile.TemporaryDirectory(prefix="fleetdx-demo-") as folder:
        yield _demo(Path(folder))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder like that of ``undisturbed``, for one test."""
    with tempfile.TemporaryDirectory(prefix="fleetdx-demo-") as folder:
        yield Path(folder)


def test_every_published_sample_is_accounted_for(undisturbed: Run) -> None:
    report, tally = undisturbed.report, _tally(undisturbed.folder)
    assert report["published"] == tally["samples"] + tally["duplicate_samples"] > 150_000
    assert report["published"] == report["stored"] + report["duplicates"] + report["quarantined"]
    assert report["lost"] == 0
    assert report["quarantined"] == tally["quarantined_samples"] > 0
    assert report["stored"] == tally["samples"] - tally["quarantined_samples"]
    assert report["duplicates"] == tally["duplicate_samples"] > 0


def test_every_closed_day_of_every_car_is_scored(undisturbed: Run) -> None:
    assert undisturbed.report["asset_days"] == _CARS * _DAYS
    (runs,) = _rows(undisturbed.folder, "SELECT count(*), count(DISTINCT asset_id || day) FROM alerts_assetdayrun")
    assert runs == (_CARS * _DAYS, _CARS * _DAYS)


def test_the_failures_reported_are_those_that_happened(undisturbed: Run) -> None:
    report, failures = undisturbed.report, _failures(undisturbed.folder)
    assert report["failures_injected"] == len(failures) == 11
    opened = {
        tuple(key.split("/")[:2]): pd.Timestamp(created, tz="UTC")
        for key, created in _rows(undisturbed.folder, "SELECT key, created_at FROM alerts_ticket")
    }
    came = {(asset_id, mode): at for asset_id, at, mode in failures.itertuples(index=False)}
    assert report["failures_ticketed_in_advance"] == sum(opened.get(key, at) < at for key, at in came.items()) > 5


def test_only_a_ticket_that_no_failure_follows_is_called_false(undisturbed: Run) -> None:
    tickets = [tuple(key.split("/")[:2]) for key in _ticket_keys(undisturbed.folder)]
    failures = _failures(undisturbed.folder)
    fail = set(zip(failures["asset_id"], failures["failure_mode"], strict=True))
    assert undisturbed.report["false_tickets"] == sum(ticket not in fail for ticket in tickets)


def test_the_ticket_system_holds_each_ticket_once(undisturbed: Run) -> None:
    report = undisturbed.report
    filed = _filed(undisturbed.folder)
    assert sorted(filed) == _ticket_keys(undisturbed.folder)
    assert len(filed) == len(set(filed)) == report["tickets"] == report["tickets_delivered"] > 0


def test_a_second_run_on_the_same_folder_finds_everything_done(undisturbed: Run, scratch: Path) -> None:
    folder = scratch / "again"
    shutil.copytree(undisturbed.folder, folder)
    before, keys = _results(folder), _filed(undisturbed.folder)
    again = _demo(folder).report
    assert again["stored"] == 0
    assert again["published"] == undisturbed.report["published"]
    assert again["duplicates"] == again["published"] - again["quarantined"]
    assert _lasting(again) == _lasting(undisturbed.report)
    assert _results(folder) == before
    assert _filed(folder) == keys


def test_no_process_is_left_when_the_demo_has_ended(undisturbed: Run) -> None:
    assert processes_on(undisturbed.folder) == []


def test_what_comes_live_is_in_no_figure_of_the_history(scratch: Path) -> None:
    log, options = scratch / "demo.log", ["--json", "--port", free_port(), "--start", _START, "--days", _DAYS]
    process = started("demo", "--data", scratch / "live", *options, log=log)
    try:
        wait_until(lambda: "published" in log.read_text() or process.poll() is not None, within=300)
        [report] = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert report["published"] == report["stored"] + report["duplicates"] + report["quarantined"]
    assert report["lost"] == 0


@pytest.mark.faults
def test_killed_at_any_moment_it_goes_on_to_the_same_result(undisturbed: Run, scratch: Path) -> None:
    folder = scratch / "killed"
    stored = "SELECT coalesce(sum(stored), 0) FROM assets"
    scored, wished = "SELECT count(*) FROM alerts_assetdayrun", "SELECT count(*) FROM alerts_ticket"
    delivered = f"{wished} WHERE status = 'delivered'"
    moments = [
        ("while the ticket system is set up", "", "", 0),
        ("while the first samples come", "ingest.sqlite3", stored, 1),
        ("while publishing", "ingest.sqlite3", stored, 90_000),
        ("while scoring, before there is a model", "fleetdx.sqlite3", scored, 100),
        ("while scoring, with models", "fleetdx.sqlite3", scored, 600),
        ("when the first tickets are wished for", "fleetdx.sqlite3", wished, 2),
        ("while the first ticket is delivered", "fleetdx.sqlite3", f"{wished} WHERE attempts > 0", 1),
        ("between two tickets", "fleetdx.sqlite3", delivered, 4),
    ]
    for told, database, count, reached in moments:
        process = started("demo", *_options(folder), log=scratch / "demo.log")
        try:
            wait_until(lambda: (folder / "tickets" / "tracker").exists())
            if count:
                wait_until(lambda: _count(folder / database, count) >= reached, within=300, every=0.01)  # noqa: B023
            assert process.poll() is None, f"{told}: {(scratch / 'demo.log').read_text()[-2000:]}"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        # What the kernel was told to end with the program needs a moment to be gone.
        with suppress(AssertionError):
            wait_until(lambda: not processes_on(folder), within=3)
        assert processes_on(folder) == [], told
    report = _demo(folder).report
    assert report["lost"] == 0
    assert _lasting(report) == _lasting(undisturbed.report)
    assert _results(folder) == _results(undisturbed.folder)
    assert sorted(_filed(folder)) == sorted(_filed(undisturbed.folder))


def _options(folder: Path) -> list[object]:
    return ["--data", folder, "--once", "--json", "--start", _START, "--days", _DAYS]


def _demo(folder: Path) -> Run:
    answer = fleetdx("demo", *_options(folder), within=600)
    assert answer.code == 0, answer.err
    return Run(folder, answer.json())


def _lasting(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in _OF_THIS_RUN}


def _tally(folder: Path) -> dict[str, Any]:
    tally: dict[str, Any] = json.loads((folder / "truth" / "published.json").read_text())
    return tally


def _failures(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "truth" / "failures.csv", parse_dates=["time"])


def _rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "fleetdx.sqlite3")) as database:
        return database.execute(query).fetchall()


def _count(database: Path, query: str) -> int:
    """Ask a database of the running program; what is not there yet counts as nothing."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as found:
        return int(found.execute(query).fetchone()[0])
    return 0


def _results(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return what was concluded: all but what depends on when and how often it was tried."""
    queries = {
        "runs": "SELECT asset_id, day, completeness, fault_log FROM alerts_assetdayrun",
        "scores": "SELECT asset_id, day, detector, round(score, 6), round(threshold, 6) FROM alerts_score",
        "alerts": "SELECT asset_id, failure_mode, episode, state, severity, first_day, last_day, last_true_day, "
        "days_seen, known_at, act_by, suppressed_by, closed_at, closed_reason FROM alerts_alert",
        "tickets": "SELECT key, status, created_at FROM alerts_ticket",
        "field": "SELECT asset_id, at, kind, what FROM alerts_fieldrecord",
    }
    return {name: sorted(_rows(folder, query)) for name, query in queries.items()}


def _ticket_keys(folder: Path) -> list[str]:
    return sorted(row[0] for row in _rows(folder, "SELECT key FROM alerts_ticket"))


def _filed(folder: Path) -> list[str]:
    """Ask the ticket system itself, over its own interface, which tickets it holds."""
    with _serving_tickets(folder) as url:
        answer = httpx.get(
            f"{url}/rest/data/issue",
            params={"@fields": "external_id", "@page_size": 1000},
            auth=(roundup.USER, roundup.PASSWORD),
            headers={"X-Requested-With": "rest"},
            timeout=10,
        )
    return sorted(issue["external_id"] for issue in answer.raise_for_status().json()["data"]["collection"])


@contextmanager
def _serving_tickets(folder: Path) -> Iterator[str]:
    server = RoundupServer(folder / "tickets", free_port())
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
