"""The operator's commands on a real data folder: list, show, replay, purge, status."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from program import Answer
from typer.testing import CliRunner

from config.installation import load
from fleetdx.cli import app
from fleetdx.data_folder import DataFolder
from fleetdx.demo import SAMPLE
from fleetdx.program import Program
from ingest.pipeline import Message

pytestmark = pytest.mark.slow

NOW_MS = time.time_ns() // 1_000_000 - 60_000


def fleetdx(*arguments: object, **environment: str) -> Answer:
    """Run a command in this process: a new one for each takes longer than all that is tested here."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    shutil.copytree(SAMPLE, folder)
    return folder


def asset_of(config: Path) -> tuple[str, str]:
    """An asset of the sample and one of its signals."""
    register = load(config).register
    asset = sorted(register.assets)[0]
    return asset, register.type_of(asset).signals[0].name


@pytest.fixture
def data(tmp_path: Path, config: Path) -> Path:
    """What ingest left: one good message, an unknown code twice, an unknown signal, an unknown asset, noise."""
    asset, signal = asset_of(config)
    bodies: list[tuple[str, object]] = [
        (f"{asset}/telemetry", {"ts": NOW_MS, "seq": 0, "signals": {signal: 1}}),
        (f"{asset}/faults", {"ts": NOW_MS, "seq": 0, "code": "Z999"}),
        (f"{asset}/faults", {"ts": NOW_MS + 1, "seq": 1, "code": "Z999", "state": "clear"}),
        (f"{asset}/telemetry", {"ts": NOW_MS + 2, "seq": 3, "signals": {signal: 2, "vibration_z": 3}}),
        ("stranger/telemetry", {"ts": NOW_MS, "signals": {signal: 1}}),
    ]
    messages = [Message(f"fleet/{topic}", json.dumps(body).encode()) for topic, body in bodies]
    folder = tmp_path / "data"
    with Program(load(config), DataFolder(folder)) as program:
        program.pipeline().take([*messages, Message(f"fleet/{asset}/telemetry", b"\x00\xff\x1b[31m")])
    return folder


def mend(config: Path) -> None:
    path = config / "asset_types" / "emu-car.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count("\nfaults:\n") == 1
    text = text.replace("\nfaults:\n", "\nfaults:\n  - {code: Z999, title: {en: New, zh: 新}, subsystem: general}\n")
    path.write_text(text, encoding="utf-8")


def test_what_was_refused_is_listed_and_shown(data: Path) -> None:
    listed = fleetdx("quarantine", "list", "-d", data, "--json").json()
    assert listed["total"] == 5
    by_reason = {one["reason"]: one for one in listed["quarantined"]}
    assert set(by_reason) == {"unknown-code", "unknown-signal", "unknown-asset", "not-utf8"}
    ids = [one["id"] for one in listed["quarantined"]]
    assert ids == sorted(ids, reverse=True)
    assert [len(fleetdx("quarantine", "list", "-d", data, "--json", *option).json()["quarantined"]) for option in (
        ("--reason", "unknown-code"), ("--asset", ""), ("--limit", 2), ("--reason", "nothing")
    )] == [2, 1, 2, 0]  # fmt: skip
    one = fleetdx("quarantine", "show", by_reason["unknown-signal"]["id"], "-d", data, "--json").json()
    assert (json.loads(one["payload"])["signals"]["vibration_z"], one["encoding"]) == (3, "text")
    assert (one["samples_stored"], one["values_flagged"], one["samples_refused"]) == (1, 1, 0)
    noise = fleetdx("quarantine", "show", by_reason["not-utf8"]["id"], "-d", data)
    assert noise.code == 0
    assert "00ff1b5b33316d" in noise.err
    assert "\x1b" not in noise.err
    assert fleetdx("quarantine", "show", 999, "-d", data).code == 1
    person = fleetdx("quarantine", "list", "-d", data, COLUMNS="200")
    assert "5 messages in quarantine" in person.err
    assert "Z999" in person.err
    assert person.out == ""


def test_after_mending_what_was_refused_is_stored_and_counts_once(config: Path, data: Path) -> None:
    asset, _ = asset_of(config)
    replay = ("quarantine", "replay", "-c", config, "-d", data, "--json", "--reason", "unknown-code")
    still = fleetdx(*replay)
    assert (still.code, still.json()["stored"], still.json()["kept"]) == (1, 0, 2)
    mend(config)
    done = fleetdx(*replay)
    assert (done.code, done.json()) == (0, {"messages": 2, "stored": 2, "refused": 0, "kept": 0, "reasons": []})
    assert fleetdx(*replay).json()["messages"] == 0
    counters = fleetdx("status", "-c", config, "-d", data, "--json").json()["counters"]
    assert (counters["stored"], counters["quarantined"], counters["received"]) == (4, 2, 6)
    with Program(load(config), DataFolder(data)) as program:
        frame = program.store.read_faults([asset], 0, 2**62)
        assert list(zip(frame["code"], frame["state"], strict=True)) == [("Z999", "set"), ("Z999", "clear")]


def test_replay_and_purge_want_to_know_which(config: Path, data: Path) -> None:
    for command in (("replay", "-c", config), ("purge",)):
        answer = fleetdx("quarantine", *command, "-d", data)
        assert answer.code == 3
        assert "say which messages" in answer.err
        assert fleetdx("quarantine", *command, "-d", data, "--all", "--reason", "x").code == 3
    assert fleetdx("quarantine", "purge", "-d", data, "--json", "--older-than", 1).json() == {"purged": 0}
    assert fleetdx("quarantine", "purge", "-d", data, "--json", "--reason", "unknown-asset").json() == {"purged": 1}
    assert fleetdx("quarantine", "purge", "-d", data, "--json", "--all").json() == {"purged": 4}
    counters = fleetdx("status", "-c", config, "-d", data, "--json").json()["counters"]
    assert (counters["quarantine_dropped"], counters["quarantined"]) == (5, 4)


def test_while_the_service_runs_one_may_look_and_not_replay(config: Path, data: Path) -> None:
    with DataFolder(data).owned():
        assert fleetdx("quarantine", "list", "-d", data, "--json").json()["total"] == 5
        assert fleetdx("status", "-c", config, "-d", data, "--json").code == 0
        answer = fleetdx("quarantine", "replay", "-c", config, "-d", data, "--all")
        assert (answer.code, "another fleetdx process works on" in answer.err) == (3, True)


def test_status_reads_like_a_dashboard(config: Path, data: Path) -> None:
    asset, _ = asset_of(config)
    account = sqlite3.connect(data / "ingest.sqlite3")
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
    account.execute("INSERT INTO arrivals VALUES (?, ?, 9, 100, 0, 1, 2)", (asset, yesterday))
    account.execute("UPDATE assets SET data_at = data_at - ?", (7200 * 10**9,))
    account.commit()
    account.close()
    told = fleetdx("status", "-c", config, "-d", data, "--json").json()
    assert (told["in_quarantine"], told["unknown_assets"]) == (5, 1)
    assert len(told["assets"]) == len(load(config).register.assets)
    one = next(link for link in told["assets"] if link["asset_id"] == asset)
    assert (one["stored"], one["quarantined"], one["lost"]) == (2, 3, 2)
    assert 7200 <= one["silent_seconds"] < 7400
    assert told["assets"][0]["silent_seconds"] is None
    person = fleetdx("status", "-c", config, "-d", data, COLUMNS="200")
    assert f"{len(told['assets'])} assets: 1 sent data so far" in person.err
    assert "never heard" in person.err
    assert asset in person.err


def test_without_an_account_it_says_so(tmp_path: Path, config: Path) -> None:
    for command in (("quarantine", "list"), ("status", "-c", config), ("quarantine", "purge", "--all")):
        answer = fleetdx(*command, "-d", tmp_path / "nothing")
        assert (answer.code, "holds no account of ingest" in answer.err) == (3, True)
    assert not (tmp_path / "nothing").exists()


def test_what_a_gateway_wrote_does_not_steer_the_terminal(config: Path, data: Path) -> None:
    with Program(load(config), DataFolder(data)) as program:
        topic = "fleet/\x1b]0;gone\x07\x1b[2J/telemetry"
        program.pipeline().take([Message(topic, b'{"seq": 1, "samples": []}', 25, False)])
    shown = fleetdx("quarantine", "list", "-d", data)
    assert shown.code == 0
    assert "gone" in shown.err.replace("\n", "")
    assert "\x1b" not in shown.err + shown.out
    assert "\x07" not in shown.err + shown.out
