"""The watch over a program at work: silence, a broker that is away, a store that is, and an absence of our own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mosquitto_server import Gateway, running_mosquitto, until

from config.installation import load
from fleetdx.data_folder import DataFolder
from fleetdx.ingest_thread import IngestThread
from fleetdx.intake_watch import IntakeWatch
from fleetdx.program import Program
from fleetdx.status import status

pytestmark = pytest.mark.slow

MINUTE = 60 * 10**9
TYPE = """\
id: bus
title: {en: Bus, zh: 客车}
silent_after_minutes: 30
signals:
  - {name: rpm, unit: rpm, low: 0, high: 5000, period: 60}
faults: []
"""


def configure(folder: Path, port: int) -> Path:
    (folder / "asset_types").mkdir(parents=True)
    (folder / "sites.yaml").write_text("- {id: depot, title: Depot, time_zone: UTC, language: en, skill_level: 2}\n")
    (folder / "asset_types" / "bus.yaml").write_text(TYPE)
    rows = [f"bus-{n},bus,depot" for n in range(8)]
    (folder / "assets.csv").write_text("\n".join(["asset_id,asset_type,site", *rows]) + "\n")
    (folder / "settings.yaml").write_text(f"mqtt: {{port: {port}}}\nstore: {{kind: memory}}\n")
    return folder


def test_what_falls_silent_and_what_keeps_us_from_hearing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ahead = 0

    def clock() -> int:
        return time.time_ns() + ahead

    with running_mosquitto(tmp_path / "broker") as broker:
        config = configure(tmp_path / "config", broker.port)
        with Program(load(config), DataFolder(tmp_path / "data"), clock) as program:
            from alerts.models import Alert

            def told() -> list[tuple[str, str, str]]:
                return list(Alert.objects.order_by("id").values_list("asset_id", "failure_mode", "state"))

            subscriber = program.subscriber(program.pipeline())
            ingesting, watch = IngestThread(subscriber), IntakeWatch(program, subscriber)
            ingesting.start()
            gateway = Gateway(broker.port)
            sent = 0

            def send(*numbers: int) -> None:
                nonlocal sent
                for number in numbers:
                    body = {"ts": clock() // 1_000_000, "signals": {"rpm": 900 + sent % 100}}
                    gateway.send(f"fleet/bus-{number}/telemetry", json.dumps(body))
                    sent += 1
                until(lambda: program.accounting.counters().stored == sent)

            def look(minutes: float) -> None:
                nonlocal ahead
                ahead += int(minutes * MINUTE)
                watch.look()

            try:
                until(lambda: subscriber.problem == "")
                send(*range(8))
                look(0)
                look(20)
                send(*range(7))  # 7 sends no more
                look(11)
                assert told() == [("bus-7", "NO-DATA", "unacknowledged")]
                send(7)
                look(2)
                assert told() == [("bus-7", "NO-DATA", "closed")]

                broker.stop()
                until(lambda: subscriber.problem != "")
                look(1.1)
                look(4)
                assert len(told()) == 1  # it may be back in a moment
                look(2)
                look(600)
                assert told()[1:] == [("fleetdx", "NO-INTAKE", "unacknowledged")]
                broker.start()
                until(lambda: subscriber.problem == "", within=90)
                look(2)
                assert told()[1:] == [("fleetdx", "NO-INTAKE", "closed")]
                look(29)  # each has its 30 minutes from when we hear again
                assert len(told()) == 2
                look(2)  # nobody spoke: that is not eight assets' fault
                assert told()[2:] == [("fleetdx", "NO-INTAKE", "unacknowledged")]
                send(*range(8))
                look(2)
                assert {state for _, _, state in told()} == {"closed"}

                ahead += 60 * MINUTE  # we were away
                IntakeWatch(program, subscriber).look()
                assert len(told()) == 4
                absence = Alert.objects.order_by("-id").first()
                assert absence is not None
                assert "did not run from" in absence.days.get().diagnosis["text"]["en"]
            finally:
                gateway.finish()
                ingesting.finish()


def test_a_spool_that_fills_is_seen_in_status_console_and_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from telemetry.memory import MemoryStore
    from telemetry.store import StoreUnavailable

    class Away(MemoryStore):
        def write(self, *_: object) -> None:
            raise StoreUnavailable("the store is away")

    with running_mosquitto(tmp_path / "broker") as broker:
        config, data = configure(tmp_path / "config", broker.port), tmp_path / "data"
        with Program(load(config), DataFolder(data)) as program:
            program.store = Away()
            subscriber = program.subscriber(program.pipeline())
            ingesting, watch = IngestThread(subscriber), IntakeWatch(program, subscriber)
            ingesting.start()
            gateway = Gateway(broker.port)
            try:
                until(lambda: subscriber.problem == "")
                for number in range(300):
                    body = {"ts": time.time_ns() // 1_000_000, "signals": {"rpm": number}}
                    gateway.send("fleet/bus-1/telemetry", json.dumps(body))
                gateway.finish()
                until(lambda: subscriber.spooled == 300)
                watch.look()
                status(config, data, as_json=False, every=False)
                said = " ".join(capsys.readouterr().err.split())
                assert "300 messages" in said
                assert "wait on disk for the telemetry store" in said
                assert "the store is away" in said
                status(config, data, as_json=True, every=False)
                intake = json.loads(capsys.readouterr().out)["intake"]
                assert (intake["waiting"], intake["problem"]) == (300, "the store is away")
                assert intake["waiting_most"] == 2_000_000_000

                page, metrics = pages(program)
                assert "300 messages" in page("en", "/data/")
                assert "300 条消息" in page("zh-hans", "/data/")
                assert "\nfleetdx_spool_messages 300\n" in metrics()
                assert "\nfleetdx_intake_up 0\n" in metrics()
            finally:
                ingesting.finish()


def pages(program: Program) -> tuple[Callable[[str, str], str], Callable[[], str]]:
    from django.contrib.auth import get_user_model
    from django.test import Client

    from console.context import provide

    provide(program.installation, program.store, program.accounting)

    def page(language: str, path: str) -> str:
        client = Client(headers={"host": "localhost", "accept-language": language})
        client.force_login(get_user_model().objects.get_or_create(username="anna")[0])
        answer = client.get(path)
        assert answer.status_code == 200
        return answer.content.decode()

    return page, lambda: page("en", "/metrics")
