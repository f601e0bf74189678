"""A history folder through every command that takes one: imported, replayed over a real broker, scored, back-tested."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from history_folder import BEGIN, GROWS_DAYS, write_history
from program import fleetdx, here

from fleetdx.servers.mosquitto import MosquittoServer

pytestmark = pytest.mark.slow

PUMPS, DAYS, HOURS = 6, 40, 2
FAILS_ON = [(2, 31), (5, 37), (4, 10)]
"""The last one fails before anything is predicted."""
LEARNS_DAYS = 26
REPORTED = (
    "failures", "caught", "recall", "tickets", "true_tickets", "precision", "median_lead_hours", "p10_lead_hours",
    "false_tickets_per_100_asset_days", "average_precision", "prevalence", "care", "cost", "calibration",
)  # fmt: skip
"""Of the back-test, and of each naive way beside it."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("histories") / "pumps"
    return write_history(folder, days=DAYS, pumps=PUMPS, fails_on=FAILS_ON, hours=HOURS)


@pytest.fixture(scope="module")
def samples(history: Path) -> int:
    """How many samples there are: rows of telemetry and of faults."""
    return sum((history / name).read_text().count("\n") - 1 for name in ("telemetry.csv", "faults.csv"))


@pytest.fixture(scope="module")
def imported(history: Path, samples: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder after an import, of which everything was stored."""
    data = tmp_path_factory.mktemp("imported") / "data"
    answer = here("import", history, "-d", data, "--json")
    assert answer.code == 0, answer.err
    counted = answer.json()
    assert {name: counted[name] for name in ("received", "stored", "duplicates", "quarantined", "lost")} == {
        "received": samples, "stored": samples, "duplicates": 0, "quarantined": 0, "lost": 0,
    }  # fmt: skip
    assert counted["field_records"] == 2 * len(FAILS_ON)
    return data


def test_a_second_import_stores_nothing(history: Path, samples: int, imported: Path) -> None:
    again = here("import", history, "-d", imported, "--json").json()
    assert (again["stored"], again["duplicates"], again["field_records"]) == (0, samples, 0)


def test_what_an_import_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=1, pumps=2, hours=6)
    with (history / "telemetry.csv").open("a") as table:
        table.write("P-99,2025-01-01T00:00:00Z,60,20\n")
    answer = here("import", history, "-d", tmp_path / "data")
    assert (answer.code, answer.out) == (0, "")
    assert "8 samples stored, 0 known already, 1 quarantined" in answer.err
    assert "1 × unknown-asset" in answer.err


def test_a_broken_table_is_named_with_its_row(history: Path, tmp_path: Path) -> None:
    broken = write_history(tmp_path / "broken", days=1, pumps=2, hours=6)
    text = (broken / "telemetry.csv").read_text().replace("2025-01-01T06:00:00Z", "yesterday", 1)
    (broken / "telemetry.csv").write_text(text)
    answer = here("import", broken, "-d", tmp_path / "data")
    assert answer.code == 1
    assert "telemetry.csv: column 'time': 'yesterday' is no ISO 8601 time" in answer.err
    assert "Traceback" not in answer.err


def test_days_are_scored_once_up_to_the_instant_that_is_asked_for(tmp_path: Path) -> None:
    history, data = write_history(tmp_path / "history", days=5, pumps=2, hours=6), tmp_path / "data"
    here("import", history, "-d", data)
    # The third day is over at midnight, and closed an hour later.
    until = BEGIN + timedelta(days=3)
    assert _score(history, data, until + timedelta(minutes=59))["asset_days"] == 2 * 2
    assert _score(history, data, until + timedelta(minutes=61))["asset_days"] == 2
    assert _score(history, data, BEGIN + timedelta(days=30)) == {
        "asset_days": 2 * 2, "revisions": 0,
        "tickets_created": 0, "tickets_found": 0, "tickets_continued": 0, "tickets_held_back": 0,
        "tickets_postponed": 0, "tickets_dead": 0,
    }  # fmt: skip


def test_a_replay_through_a_broker_stores_what_an_import_stores(
    history: Path, samples: int, imported: Path, mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    _write_configuration(config, mosquitto.port, topic_prefix)
    data = tmp_path / "data"
    # The first run leaves a session at the broker, which keeps what is published for the second.
    assert fleetdx("ingest", "-c", config, "-d", data, "--idle-exit", 1).code == 0
    replayed = fleetdx("replay", history, "--port", mosquitto.port, "--prefix", topic_prefix, "--json")
    assert replayed.code == 0
    counted = fleetdx("ingest", "-c", config, "-d", data, "--idle-exit", 3, "--json").json()
    assert counted["messages"] == replayed.json()["messages"]
    assert (counted["stored"], counted["duplicates"], counted["quarantined"], counted["lost"]) == (samples, 0, 0, 0)
    assert _telemetry(data) == _telemetry(imported) != []


def test_a_ticket_is_right_whose_failure_comes_after_the_days_walked(history: Path) -> None:
    learnt = (BEGIN + timedelta(days=LEARNS_DAYS - 1)).date()
    last = (BEGIN + timedelta(days=max(day for _, day in FAILS_ON) - 2)).date()
    result = here("backtest", history, "--train-until", learnt, "--until", last, "--json").json()
    assert (result["failures"], result["caught"]) == (1, 1)
    ticket = result["per_ticket"][-1]
    assert (ticket["kind"], ticket["failure"][:10]) == ("true", str(last + timedelta(days=2)))
    assert result["true_tickets"] == 2


def test_a_back_test_finds_the_failures_that_a_drift_announces(history: Path, tmp_path: Path) -> None:
    learnt = (BEGIN + timedelta(days=LEARNS_DAYS - 1)).date()
    report = tmp_path / "report.html"
    answer = here("backtest", history, "--train-until", learnt, "--report", report, "--json")
    assert answer.code == 0, answer.err
    assert "No --horizon is given: a ticket is right if the failure comes within 7 days." in answer.err
    result = answer.json()
    assert result["assets"] == PUMPS
    assert result["asset_days"] == PUMPS * (DAYS - LEARNS_DAYS)
    assert (result["failures"], result["caught"], result["recall"]) == (2, 2, 1.0)
    assert result["true_tickets"] == 2
    assert result["false_tickets"] <= 1
    # A ticket opens when its day is closed, an hour after midnight; the failure comes at noon.
    assert (result["median_lead_hours"] - 11) % 12 == 0
    assert 24 <= result["median_lead_hours"] <= 24 * GROWS_DAYS
    # Of the first failure's seven days before, five are walked through.
    assert result["prevalence"] == pytest.approx((5 + 7) / result["asset_days"], abs=1e-4)
    assert result["average_precision"] > 4 * result["prevalence"]
    assert set(result["baselines"]) == {"any_fault", "last_value_limits"}
    assert [row["caught"] for row in result["per_failure"]] == [True, True]
    assert {row["kind"] for row in result["per_ticket"]} <= {"true", "false", "early", "repeat", "pending"}
    assert 0 < result["care"]["score"] <= 1
    assert result["cost"] < result["cost_without_tickets"] == 20
    assert result["calibration"] is None  # two failures are too few to learn a probability from
    for way in result["baselines"].values():
        missing = set(REPORTED) - way.keys()
        assert not missing
        assert way["calibration"]["brier"] >= 0
    assert result.keys() >= {*REPORTED, "assets", "asset_days", "baselines", "seconds", "peak_mb"}
    page = report.read_text()
    assert page.count("<svg") == 5
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "P-02" in page


def test_a_back_test_of_a_history_without_failures_counts_tickets_and_says_what_it_cannot_say(tmp_path: Path) -> None:
    sound = write_history(tmp_path / "sound", days=27, pumps=4, hours=6)
    learnt = (BEGIN + timedelta(days=23)).date()
    until = (BEGIN + timedelta(days=26)).date()
    answer = here("backtest", sound, "--train-until", learnt, "--until", until)
    assert (answer.code, answer.out) == (0, "")
    assert "4 assets, 12 asset-days after 2025-01-24, 0 failures" in " ".join(answer.err.split())
    assert "No failure is known in these days" in answer.err
    assert "Traceback" not in answer.err


def test_a_back_test_without_days_to_learn_from_says_which_there_are(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=3, pumps=2, hours=6)
    answer = here("backtest", history, "--train-until", "2024-12-31", "--json")
    assert (answer.code, answer.out) == (3, "")
    assert "Stopped: the history goes from 2025-01-01 to 2025-01-03" in answer.err
    assert "Traceback" not in answer.err
    answer = here("backtest", history, "--train-until", "2025-01-02", "--until", "2025-01-02")
    assert answer.code == 3
    assert "Stopped: the walk would end on 2025-01-02, before it begins on the day after 2025-01-02." in answer.err


def _score(history: Path, data: Path, until: Any) -> dict[str, Any]:
    found: dict[str, Any] = here(
        "score", "-c", history, "-d", data, "--until", until.strftime("%Y-%m-%dT%H:%M:%S"), "--json"
    ).json()
    return found


def _write_configuration(folder: Path, port: int, prefix: str) -> None:
    (folder / "asset_types").mkdir(parents=True)
    (folder / "settings.yaml").write_text(
        f"mqtt: {{port: {port}, prefix: {prefix}, client_id: {prefix}}}\ningest: {{max_age_days: 20000}}\n"
    )
    (folder / "sites.yaml").write_text("- {id: works, title: Works, time_zone: UTC}\n")
    (folder / "assets.csv").write_text(
        "asset_id,asset_type,site\n" + "".join(f"P-{n:02},pump,works\n" for n in range(PUMPS))
    )
    (folder / "asset_types" / "pump.yaml").write_text(
        "id: pump\ntitle: {en: Pump, zh: 泵}\nsignals:\n"
        "  - {name: temperature, unit: degC}\n  - {name: current, unit: A}\n"
        "faults:\n  - {code: P2, title: {en: Overheated, zh: 过热}, severity: major}\n"
    )


def _telemetry(data: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data / "ingest.sqlite3")) as database:
        return sorted(database.execute("SELECT asset_id, day, measurements, faults FROM arrivals").fetchall())
