"""The command line as a person or a script meets it: help, exit codes, one JSON object, errors that say what to do."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from history_folder import write_history
from program import Answer, command_of, fleetdx, here, started, wait_until
from typer.testing import CliRunner

from fleetdx.cli import app
from fleetdx.demo import SAMPLE
from fleetdx.servers.process import free_port


def _commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command, groups included."""
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, *path, name)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history") / "pumps", days=3, pumps=2, hours=6)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The sample installation, to be changed."""
    folder = tmp_path / "config"
    shutil.copytree(SAMPLE, folder)
    return folder


@pytest.fixture
def somebody_listens() -> Iterator[int]:
    """A port that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", list(_commands(command_of(app))), ids=" ".join)
def test_help_says_what_a_command_and_each_of_its_options_does(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    found: Any = command_of(app)
    for name in command:
        found = found.commands[name]
    sentences = [found.help, *(parameter.help for parameter in found.params)]
    for sentence in sentences:
        assert sentence
        assert sentence[0].isupper()
        assert sentence[-1] == "."
        assert sentence.splitlines()[0].split()[-1] in result.output
    told = [option for parameter in found.params for option in parameter.opts if option.startswith("-")]
    assert [option for option in told if option not in result.output] == []


def test_there_are_as_many_commands_as_the_documents_speak_of() -> None:
    commands = {" ".join(command) for command in _commands(command_of(app))}
    assert commands >= {"run", "ingest", "score", "import", "replay", "backtest", "demo", "create-user", "check-config"}
    assert len(commands) >= 13


@pytest.mark.parametrize(
    "arguments", [["bogus"], ["backtest"], ["demo", "--days", "31"], ["run", "--port", "x"], ["import"]]
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_sample_installation_is_usable() -> None:
    answer = here("check-config", SAMPLE, "--json")
    assert answer.code == 0
    found = {"sites": 3, "asset_types": 1, "assets": 24, "rules": 8}
    assert answer.json() == {"ok": True, **found, "problems": [], "run_as_review": {}}
    assert here("rules", "test", SAMPLE, "--json").json()["ok"] is True


def test_a_wrong_configuration_is_an_answer_of_no_with_every_problem_at_its_line(config: Path) -> None:
    settings = config / "settings.yaml"
    settings.write_text("mqtt:\n  prot: 1883\nconsole:\n  port: 99999\n")
    rules = config / "rules" / "air.yaml"
    answer = here("check-config", config)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("2 problems:\n")
    assert "settings.yaml:2: " in answer.err
    assert "'port'" in answer.err
    assert "settings.yaml:4: " in answer.err
    as_json = here("check-config", config, "--json")
    assert as_json.code == 1
    assert as_json.json()["ok"] is False
    assert len(as_json.json()["problems"]) == 2
    settings.unlink()
    rules.write_text(rules.read_text().replace("compressor_duty", "compressor_duti"))
    wrong_rule = here("rules", "check", config)
    assert wrong_rule.code == 1
    assert "compressor_duty" in wrong_rule.err  # the nearest known name
    assert re.search(r"rules/air\.yaml:\d+: ", wrong_rule.err)


def test_a_rule_test_that_fails_is_an_answer_of_no(config: Path) -> None:
    tests = config / "rules" / "bogie_test.yaml"
    tests.write_text(
        re.sub(r"faults\(.*?\)|(\d+\.?\d*)", lambda m: m[0], tests.read_text()).replace("fires:", "fires:")
    )
    rules = config / "rules" / "bogie.yaml"
    rules.write_text(re.sub(r">= \d+", ">= 100000", rules.read_text()))
    answer = here("rules", "test", config, "--json")
    assert answer.code == 1
    assert answer.json()["ok"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check-config", "{missing}"], 1, "is not a folder"),
        (["run", "-c", "{missing}", "-d", "{data}"], 3, "Copy the sample config/rail"),
        (["score", "-c", "{missing}", "-d", "{data}"], 3, "name it with --config"),
        (["import", "{missing}", "-d", "{data}"], 3, "no history folder"),
        (["backtest", "{missing}", "--train-until", "2026-01-01"], 1, "is not a folder"),
        (["replay", "{missing}"], 1, "is not a folder"),
        (
            ["score", "-c", SAMPLE, "-d", "{file}"],
            3,
            "cannot be the data folder: File exists. Name another with --data",
        ),
        (["demo", "--store", "influxdb", "-d", "{data}"], 3, "set INFLUXDB_V2_TOKEN"),
        (["demo", "--store", "sqlite", "-d", "{data}"], 3, "--store is duckdb or influxdb, not 'sqlite'"),
        (["create-user", "anna", "-d", "{data}"], 3, "set FLEETDX_PASSWORD"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path, arguments: list[object], code: int, says: str) -> None:
    (tmp_path / "file").touch()
    places = {"missing": tmp_path / "[no such] folder", "data": tmp_path / "data", "file": tmp_path / "file"}
    answer = here(*(str(a).format(**places) for a in arguments), INFLUXDB_V2_TOKEN="")
    assert (answer.code, answer.out) == (code, "")
    _is_one_message(answer)
    assert says in answer.err
    if "{missing}" in arguments:
        assert "[no such] folder" in answer.err  # nothing of a name is taken for markup


def test_a_replay_without_a_broker_says_where_it_looked(history: Path) -> None:
    port = free_port()
    answer = here("replay", history, "--port", port)
    assert answer.code == 3
    assert f"no broker answers at 127.0.0.1:{port}" in answer.err
    _is_one_message(answer)


@pytest.mark.slow
def test_an_ingest_that_can_take_nothing_in_does_not_end_well(tmp_path: Path, config: Path) -> None:
    (config / "settings.yaml").write_text(f"mqtt: {{port: {free_port()}}}\n")
    answer = fleetdx("ingest", "-c", config, "-d", tmp_path / "data", "--idle-exit", 1, "--json")
    assert (answer.code, answer.out) == (3, "")
    assert "Stopped: nothing can be taken in: no broker answers" in answer.err


def test_a_store_without_its_token_names_the_variable(tmp_path: Path, config: Path) -> None:
    (config / "settings.yaml").write_text("store: {kind: influxdb, token_env: MY_TOKEN}\n")
    answer = here("score", "-c", config, "-d", tmp_path / "data")
    assert answer.code == 3
    assert "set the environment variable MY_TOKEN" in answer.err
    _is_one_message(answer)


def test_a_store_that_does_not_answer_is_named(tmp_path: Path, config: Path) -> None:
    port = free_port()
    (config / "settings.yaml").write_text(f"store: {{kind: influxdb, url: 'http://127.0.0.1:{port}'}}\n")
    answer = here("score", "-c", config, "-d", tmp_path / "data", INFLUX_TOKEN="secret-on-no-account-to-be-said")
    assert answer.code == 3
    assert f"http://127.0.0.1:{port}" in answer.err
    assert "secret-on-no-account" not in answer.err
    _is_one_message(answer)


@pytest.mark.slow
def test_a_ticket_system_that_cannot_work_stops_the_start(tmp_path: Path, config: Path) -> None:
    wrong = "tickets: {connector: roundap, url: 'http://127.0.0.1:1/fleet'}\n"
    (config / "settings.yaml").write_text(wrong)
    checked = here("check-config", config)
    assert checked.code == 1
    assert "no ticket connector 'roundap'" in checked.err
    (config / "settings.yaml").write_text(
        "tickets: {connector: roundup, url: 'http://127.0.0.1:1/fleet', user: bot, password_env: BOTS_PASSWORD}\n"
    )
    answer = fleetdx("run", "-c", config, "-d", tmp_path / "data")
    assert answer.code == 3
    assert "set the environment variable BOTS_PASSWORD" in answer.err
    _is_one_message(answer)


@pytest.mark.slow
def test_a_key_of_inbound_outcomes_that_is_not_set_stops_the_start(tmp_path: Path, config: Path) -> None:
    (config / "settings.yaml").write_text("outcomes: {secret_env: NO_SUCH_OUTCOMES_KEY}\n")
    answer = fleetdx("run", "-c", config, "-d", tmp_path / "data")
    assert answer.code == 3
    assert "set the environment variable NO_SUCH_OUTCOMES_KEY" in answer.err
    _is_one_message(answer)


@pytest.mark.slow
def test_a_console_whose_port_is_taken_does_not_start(tmp_path: Path, config: Path, somebody_listens: int) -> None:
    (config / "settings.yaml").write_text(f"console: {{port: {somebody_listens}}}\n")
    answer = fleetdx("run", "-c", config, "-d", tmp_path / "data")
    assert answer.code == 3
    assert f"cannot serve the console on 127.0.0.1:{somebody_listens}" in answer.err
    assert "Choose another port" in answer.err
    _is_one_message(answer)


@pytest.mark.slow
def test_a_data_folder_has_one_owner(tmp_path: Path, config: Path) -> None:
    (config / "settings.yaml").write_text(f"mqtt: {{port: {free_port()}}}\n")
    owner = started("ingest", "-c", config, "-d", tmp_path / "data", log=tmp_path / "log")
    try:
        wait_until(lambda: (tmp_path / "data" / "telemetry.duckdb").exists())
        answer = here("score", "-c", config, "-d", tmp_path / "data")
        assert answer.code == 3
        assert "another fleetdx process works on" in answer.err
        assert "--data" in answer.err
        _is_one_message(answer)
    finally:
        owner.terminate()
        assert owner.wait(timeout=10) == 0


def test_a_user_is_made_once_and_may_change_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1000)  # a third of a second each otherwise
    data = tmp_path / "data"
    short = here("create-user", "anna", "-d", data, FLEETDX_PASSWORD="short")
    assert short.code == 3
    assert "too short" in short.err
    made = here("create-user", "anna", "-d", data, FLEETDX_PASSWORD="correct horse 1")
    assert (made.code, made.err) == (0, "anna can log in. Users so far: 1\n")
    again = here("create-user", "anna", "-d", data, FLEETDX_PASSWORD="battery staple 2")
    assert again.err == "anna can log in. Users so far: 1\n"
    assert here("create-user", " ", "-d", data, FLEETDX_PASSWORD="correct horse 1").code == 3
    assert (data.stat().st_mode & 0o077) == 0
    assert (data / "secret-key").stat().st_mode & 0o077 == 0


def _is_one_message(answer: Answer) -> None:
    assert "Traceback" not in answer.err
    assert answer.err.startswith(("Stopped: ", "What was read is not usable.", "1 problem:")), answer.err
