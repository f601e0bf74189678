"""``fleetdx demo``: the whole way on a simulated fleet, over a real broker, to a real ticket system.

The folder of a demo can be used again: the same fleet is published again, everything is recognised as known, and no
ticket is opened twice; what an earlier run left undone, because it was killed, is done.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import config
from config.installation import Installation, load
from config.operating_day import NS
from fleetdx.data_folder import DataFolder
from fleetdx.demo_report import DemoReport, report_of
from fleetdx.failure import CannotGoOn
from fleetdx.field_records import field_records
from fleetdx.ingest_thread import IngestThread
from fleetdx.program import Program
from fleetdx.run import console_server
from fleetdx.servers import roundup
from fleetdx.servers.amqtt import AmqttServer
from fleetdx.servers.broker import broker
from fleetdx.servers.process import die_with_parent, free_port
from fleetdx.servers.roundup import RoundupServer
from fleetdx.terminal import console, print_json, progress, say
from fleetdx.wiring import set_password
from ingest.history import History
from telemetry.store import StoreUnavailable

log = logging.getLogger(__name__)

SAMPLE = Path(config.__file__).parent / "rail"
USER = "demo"
_TOKEN_ENV = "INFLUXDB_V2_TOKEN"  # noqa: S105 - the name of the variable
_PASSWORD_ENV = "FLEETDX_DEMO_TICKETS_PASSWORD"  # noqa: S105
_HISTORY_CLOSES = timedelta(hours=10)
"""After the history's last midnight (UTC): every depot's last day is closed by then, and none's next one is."""
_LIVE_SPEED = 600.0
_LIVE_SWEEP_S = 5.0
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """Where the demo keeps telemetry; all but ``kind`` is for influxdb alone."""

    kind: str
    url: str
    org: str
    bucket: str
    token: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is simulated; a folder keeps to the one that it began with."""

    start: str
    days: int
    seed: int
    store: str

    @property
    def first(self) -> date:
        """The first simulated day."""
        return date.fromisoformat(self.start)

    @property
    def end(self) -> datetime:
        """The midnight (UTC) after the last day."""
        return datetime.combine(self.first, datetime.min.time(), UTC) + timedelta(days=self.days)


class Demo:
    """A demo on a folder. ``start``: the first simulated day; if not given, the history ends yesterday."""

    def __init__(self, data: Path, store: StoreChoice, *, start: date | None, days: int, seed: int) -> None:
        if store.kind not in ("duckdb", "influxdb"):
            raise CannotGoOn(f"--store is duckdb or influxdb, not {store.kind!r}")
        if store.kind == "influxdb" and not (store.token or os.environ.get(_TOKEN_ENV)):
            raise CannotGoOn(f"--store influxdb needs a token: give --influx-token, or set {_TOKEN_ENV}")
        self._folder, self._store, self._start, self._days, self._seed = data, store, start, days, seed
        self._now = 0
        self._stop = threading.Event()

    def run(self, *, once: bool, as_json: bool, port: int) -> None:
        """Do it all, and serve the console unless ``once``."""
        begun = time.monotonic()
        scenario = self._scenario()
        self._now = int((scenario.end + _HISTORY_CLOSES).timestamp()) * NS
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._interrupted())
        with ExitStack() as stack:
            broker_server, tickets = broker(self._folder / "broker", free_port()), self._tickets()
            installation = self._installation(broker_server.port, tickets, port, mqtt5=not _is_amqtt(broker_server))
            program = stack.enter_context(Program(installation, DataFolder(self._folder), lambda: self._now))
            for server in (broker_server, tickets):
                if server is not None:
                    server.start()
                    stack.callback(server.stop)
            simulator = stack.enter_context(self._simulator(broker_server.port, scenario, live=not once))
            before = program.accounting.counters()
            ingest = IngestThread(program.subscriber(program.pipeline()), self._stop.set)
            ingest.start()
            stack.callback(ingest.finish)
            self._take_history(simulator, ingest)
            self._note_field_records(program)
            with progress("scoring asset-days") as report:
                program.score(progress=report, stop=self._stop)
            with progress("delivering tickets") as report:
                program.deliver(progress=report)
            if ingest.failure is not None:
                raise ingest.failure
            if self._stop.is_set():
                return
            truth = History.tables_in(self._folder / "truth")
            published = json.loads((self._folder / "truth" / "published.json").read_text())
            result = report_of(program, truth, published, before, scenario.end.date())
            result = replace(result, seconds=round(time.monotonic() - begun, 1))
            if as_json:
                print_json(asdict(result))
            else:
                self._say_result(scenario, installation, result)
            if not once:
                assert simulator.stdin is not None
                simulator.stdin.close()  # it goes on live
                self._serve(stack, program, installation, tickets)

    def _interrupted(self) -> None:
        if self._stop.is_set():
            os._exit(130)  # asked twice: whoever asks does not want to wait; the folder survives it
        self._stop.set()

    # What is set up

    def _scenario(self) -> Scenario:
        """Return the folder's scenario, or begin one. Raises ``CannotGoOn`` where another one is asked for."""
        path = self._folder / "scenario.json"
        if path.exists():
            known = Scenario(**json.loads(path.read_text()))
            asked = (self._start or known.first, self._days, self._seed, self._store.kind)
            if asked != (known.first, known.days, known.seed, known.store):
                raise CannotGoOn(
                    f"{self._folder} holds a demo of {known.days} days from {known.start}, seed {known.seed}, on "
                    f"{known.store}. Ask for the same, name another folder with --data, or delete this one."
                )
            return known
        first = self._start or datetime.now(UTC).date() - timedelta(days=self._days)
        scenario = Scenario(first.isoformat(), self._days, self._seed, self._store.kind)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(scenario)))
        return scenario

    def _tickets(self) -> RoundupServer | None:
        if roundup.installed():
            return RoundupServer(self._folder / "tickets", free_port())
        say("Roundup is not installed (pip install 'fleetdx[demo]'): tickets stay in the console.")
        return None

    def _installation(
        self, port: int, tickets: RoundupServer | None, console_port: int, *, mqtt5: bool
    ) -> Installation:
        """Return the sample installation, pointed at this demo's servers."""
        sample = load(SAMPLE)
        settings, choice = sample.settings, self._store
        mqtt = {"host": "127.0.0.1", "port": port, "client_id": "fleetdx-demo", "version": 5 if mqtt5 else 3}
        store: dict[str, Any] = {"kind": choice.kind}
        if choice.kind == "influxdb":
            os.environ[_TOKEN_ENV] = choice.token or os.environ[_TOKEN_ENV]
            store |= {"url": choice.url, "org": choice.org, "bucket": choice.bucket, "token_env": _TOKEN_ENV}
        sections = {
            "mqtt": settings.mqtt.model_copy(update=mqtt),
            "store": settings.store.model_copy(update=store),
            "console": settings.console.model_copy(
                update={"port": console_port, "base_url": f"http://127.0.0.1:{console_port}" if console_port else None}
            ),
        }
        if tickets is not None:
            os.environ[_PASSWORD_ENV] = roundup.PASSWORD
            update = {"connector": "roundup", "url": tickets.url, "user": roundup.USER, "password_env": _PASSWORD_ENV}
            sections["tickets"] = settings.tickets.model_copy(update=update)
        return replace(sample, settings=settings.model_copy(update=sections))

    # The history

    @contextmanager
    def _simulator(self, port: int, scenario: Scenario, *, live: bool) -> Iterator[subprocess.Popen[str]]:
        command = [
            sys.executable, "-m", "fleetdx.simulator", "--port", str(port), "--config", str(SAMPLE),
            "--start", scenario.start, "--days", str(scenario.days), "--seed", str(scenario.seed),
            "--truth", str(self._folder / "truth"), "--live", str(_LIVE_SPEED if live else 0.0),
        ]  # fmt: skip
        with (self._folder / "simulator.log").open("ab") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                preexec_fn=die_with_parent,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _take_history(self, simulator: subprocess.Popen[str], ingest: IngestThread) -> None:
        """Wait until everything that was published is stored, showing how far it is."""
        sent = None
        expected: int | None = None
        heard = threading.Event()

        def listen() -> None:
            nonlocal sent, expected
            assert simulator.stdout is not None
            for line in simulator.stdout:
                told = json.loads(line)
                if "of" in told:
                    expected = told["of"]
                elif "history" in told:
                    sent = expected = told["messages"]
                    heard.set()
                elif "now" in told:
                    self._now = max(self._now, told["now"])

        threading.Thread(target=listen, daemon=True).start()
        with progress("messages published and stored") as report:
            while not self._stop.is_set():
                report(ingest.messages, expected)
                if sent is not None and ingest.messages >= sent and ingest.idle_seconds > 0.5:
                    return
                if not heard.is_set() and simulator.poll() not in (None, 0):
                    tail = (self._folder / "simulator.log").read_text(errors="replace")[-800:]
                    raise CannotGoOn(f"the simulated gateways ended before they had sent everything:\n{tail}")
                if ingest.idle_seconds > _PATIENCE_S:
                    raise CannotGoOn(f"nothing could be stored for {_PATIENCE_S:.0f} s; see the messages above")
                time.sleep(0.05)

    def _note_field_records(self, program: Program) -> None:
        """Let the field report its repairs and failures, as far as they have happened."""
        known = field_records(History.tables_in(self._folder / "truth"))
        program.ledger.note_field_records([record for record in known if record[1] <= self._now])

    # What a person sees

    def _say_result(self, scenario: Scenario, installation: Installation, result: DemoReport) -> None:
        last = scenario.first + timedelta(days=scenario.days - 1)
        assets, sites = len(installation.register.assets), len(installation.register.sites)
        console.print()
        console.rule(
            f"{assets} vehicles, {sites} depots, {scenario.first} to {last}, seed {scenario.seed}", align="left"
        )
        for line in result.lines():
            console.print(line)

    def _serve(
        self, stack: ExitStack, program: Program, installation: Installation, tickets: RoundupServer | None
    ) -> None:
        """Serve the console, and go on live, until told to stop."""
        password = self._password()
        settings = installation.settings.console
        server = console_server(settings.host, settings.port, program)
        stack.callback(server.close)
        threading.Thread(target=server.run, name="console", daemon=True).start()
        say(f"http://127.0.0.1:{server.effective_port}/   name {USER}   password {password}", "\nConsole  ")
        if tickets is not None:
            say(f"{tickets.url}/   name {roundup.USER}   password {roundup.PASSWORD}", "Tickets  ")
        say(
            f"The fleet goes on, {_LIVE_SPEED:.0f} times as fast as time. Ctrl-C ends; the same command takes up again."
        )
        while not self._stop.wait(_LIVE_SWEEP_S):
            try:
                self._note_field_records(program)
                swept = program.score(stop=self._stop)
                program.attend()
                delivered = program.deliver()
            except StoreUnavailable as error:
                log.warning("The telemetry store does not answer, trying again: %s", error)
                continue
            if swept.asset_days:
                at = datetime.fromtimestamp(self._now / NS, UTC)
                say(
                    f"{at:%Y-%m-%d %H:%M} UTC: {swept.asset_days} asset-days scored, {delivered.created} tickets opened"
                )

    def _password(self) -> str:
        path = self._folder / "console-password"
        if not path.exists():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(9))
        password = path.read_text()
        set_password(USER, password)
        return password


def _is_amqtt(server: object) -> bool:
    return isinstance(server, AmqttServer)
