"""The whole service as one process, on real files and a real broker: it follows its files, and survives broken ones."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from program import fleetdx, started, wait_until

from fleetdx.demo import SAMPLE
from fleetdx.publisher import Publisher
from fleetdx.servers.mosquitto import MosquittoServer
from fleetdx.servers.process import free_port

pytestmark = pytest.mark.slow
CAR = "EMU-01-A"
RULE = """\
- rule: brake-test-failed
  asset_type: emu-car
  when: faults("E1002", days=1) >= 1
  failure_mode: AIR-LEAK
  severity: minor
  act_within: 48h
  ticket: review
  text: {en: "Seen once.", zh: "出现一次。"}
"""


class Service(NamedTuple):
    """A running service and its places."""

    url: str
    config: Path
    data: Path
    log: Path
    publisher: Publisher
    prefix: str

    def said(self) -> str:
        """Return all that it said so far."""
        return self.log.read_text()

    def stored(self) -> int:
        """Return how many samples it has stored."""
        with closing(sqlite3.connect(self.data / "ingest.sqlite3")) as database:
            row = database.execute("SELECT coalesce(sum(stored), 0) FROM assets").fetchone()
        return int(row[0])

    def alerts(self) -> list[tuple[Any, ...]]:
        """Return asset and source of each alert."""
        with closing(sqlite3.connect(self.data / "fleetdx.sqlite3")) as database:
            return database.execute("SELECT asset_id, source FROM alerts_alert").fetchall()

    def report_fault(self, seq: int, at: datetime) -> None:
        """Publish a fault of the car and wait until it is stored."""
        before = self.stored()
        body = {"ts": int(at.timestamp() * 1000), "seq": seq, "code": "E1002", "state": "set"}
        self.publisher.send(f"{self.prefix}/{CAR}/faults", json.dumps(body).encode())
        self.publisher.drain()
        wait_until(lambda: self.stored() == before + 1, within=15)

    def is_well(self) -> None:
        """Assert that it answers."""
        answer = httpx.get(f"{self.url}/health", timeout=5)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.fixture
def service(mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path) -> Iterator[Service]:
    config, data, log, port = tmp_path / "config", tmp_path / "data", tmp_path / "log", free_port()
    shutil.copytree(SAMPLE, config)
    (config / "settings.yaml").write_text(
        f"mqtt: {{port: {mosquitto.port}, prefix: {topic_prefix}, client_id: {topic_prefix}}}\n"
        f"console: {{port: {port}}}\ndaily: {{sweep_minutes: 0.02}}\n"
    )
    process = started("--verbose", "run", "-c", config, "-d", data, log=log)
    publisher = Publisher("127.0.0.1", mosquitto.port, f"{topic_prefix}-gateway")
    found = Service(f"http://127.0.0.1:{port}", config, data, log, publisher, topic_prefix)
    try:
        wait_until(lambda: process.poll() is not None or "Console: " in found.said(), within=30)
        assert process.poll() is None, found.said()
        yield found
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0, found.said()
        assert time.monotonic() - begun < 8
        assert "Traceback" not in found.said()
    finally:
        publisher.close()
        process.kill()
        process.wait()


def test_the_service_follows_its_files_and_keeps_what_is_valid(service: Service) -> None:
    lately = datetime.now(UTC) - timedelta(days=2)
    service.is_well()
    service.report_fault(0, lately)
    assert service.alerts() == []

    register = service.config / "assets.csv"
    register.write_text(
        register.read_text() + "EMU-09-A,emu-car,madrid,2024-01-01,2027-01-01,EMU-09,motor car,Maker,3.6\n"
    )
    wait_until(lambda: service.said().count("The changed configuration is in force") == 1, within=10)
    body = {"ts": int(time.time() * 1000), "seq": 0, "signals": {"speed": 10.0}}
    service.publisher.send(f"{service.prefix}/EMU-09-A/telemetry", json.dumps(body).encode())
    wait_until(lambda: service.stored() == 2, within=10)

    rule = service.config / "rules" / "brake.yaml"
    rule.write_text(RULE)
    wait_until(lambda: service.said().count("The changed configuration is in force") == 2, within=10)
    service.report_fault(1, lately + timedelta(minutes=1))  # late data: the day is scored again, by the new rule
    wait_until(lambda: len(service.alerts()) == 1, within=10)
    assert service.alerts()[0][0] == CAR
    assert service.alerts()[0][1].startswith("rule:brake-test-failed@")

    rule.write_text(RULE.replace("faults(", "fualts("))
    wait_until(lambda: "the old one stays in force" in service.said(), within=10)
    told = service.said().partition("the old one stays in force")[2]
    assert "rules/brake.yaml:3: " in told
    assert "faults" in told
    service.report_fault(2, lately + timedelta(minutes=2))
    service.is_well()

    (service.config / "settings.yaml").write_text("mqtt:\n  port: none\n")
    wait_until(lambda: "settings.yaml:2: " in service.said(), within=10)
    service.report_fault(3, lately + timedelta(minutes=3))
    service.is_well()
    assert service.said().count("The changed configuration is in force") == 2
    assert len(service.alerts()) == 1


def test_behind_a_proxy_that_ends_tls_people_can_log_in(tmp_path: Path) -> None:
    config, data, port = tmp_path / "config", tmp_path / "data", free_port()
    shutil.copytree(SAMPLE, config)
    (config / "settings.yaml").write_text(
        f"mqtt: {{port: {free_port()}}}\nconsole: {{port: {port}, base_url: 'https://fleet.example.org'}}\n"
    )
    fleetdx("create-user", "anna", "-d", data, FLEETDX_PASSWORD="correct horse 1")
    process = started("run", "-c", config, "-d", data, log=tmp_path / "log")
    try:
        wait_until(lambda: "Console: " in (tmp_path / "log").read_text())
        # What a proxy passes on: the host and the origin that the browser knows.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"host": "fleet.example.org"}) as proxy:
            form = proxy.get("/login/")
            assert form.status_code == 200
            cookie = form.headers["set-cookie"]
            assert "Secure" in cookie
            token = cookie.partition("csrftoken=")[2].partition(";")[0]
            entered = proxy.post(
                "/login/",
                data={"username": "anna", "password": "correct horse 1", "csrfmiddlewaretoken": token},
                headers={"origin": "https://fleet.example.org", "cookie": f"csrftoken={token}"},
            )
            assert (entered.status_code, entered.headers["location"]) == (302, "/")
            foreign = proxy.post("/login/", headers={"origin": "https://evil.example", "cookie": f"csrftoken={token}"})
            assert foreign.status_code == 403
            assert proxy.get("/health", headers={"host": "elsewhere.example.org"}).status_code == 400
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0
