"""A fleet that publishes, ``fleetdx ingest`` as processes that take it in, and what must be true in the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from influx_server import Bucket
from mosquitto_server import Gateway
from program import wait_until

from ingest.accounting import Accounting
from ingest.counters import Counters
from telemetry.duckdb import DuckDBStore
from telemetry.influxdb import InfluxDBStore
from telemetry.store import TelemetryStore

ROOT = Path(__file__).parents[1]
ASSETS = ("EMU-01-A", "EMU-01-B", "EMU-01-C")
SIGNALS = ("speed", "battery_voltage")


class Fleet:
    """Gateways of real assets that publish until told to stop, and remember what they sent.

    Each message has three samples; every seventh comes with a fault. ``pause`` is the time between two rounds (s);
    ``poison`` gives a payload instead of the right one, by the message's count, and a falsy one where it is right.
    """

    def __init__(self, port: int, prefix: str, *, pause: float = 0.004, poison: Any = None) -> None:
        self._gateway, self._prefix, self._pause, self._poison = Gateway(port), prefix, pause, poison
        self._ending = threading.Event()
        self.sent: dict[str, set[int]] = {asset: set() for asset in ASSETS}
        self.faults: dict[str, int] = dict.fromkeys(ASSETS, 0)
        self.samples = self.messages = self.poisoned = 0
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        base, seq = time.time_ns() // 1_000_000 - 6_000_000, 0
        while not self._ending.wait(self._pause):
            for asset in ASSETS:
                times = [base + seq * 10 + i for i in range(3)]
                content = [{"ts": ts, "signals": {"speed": seq % 100, "battery_voltage": 110}} for ts in times]
                right = json.dumps({"seq": seq, "samples": content})
                bad = self._poison(self.messages, seq, times[0]) if self._poison else ""
                self._send(asset, "telemetry", bad or right)
                if bad:
                    self.poisoned += 1
                    continue
                self.sent[asset].update(ts * 1_000_000 for ts in times)
                self.samples += 3
                if seq % 7 == 0:
                    fault = {"seq": self.faults[asset], "ts": base + seq * 10, "code": "A2101"}
                    self._send(asset, "faults", json.dumps(fault))
                    self.faults[asset] += 1
                    self.samples += 1
            seq += 1

    def _send(self, asset: str, kind: str, content: str | bytes) -> None:
        self._gateway.send(f"{self._prefix}/{asset}/{kind}", content)
        self.messages += 1

    def finish(self) -> None:
        """Stop, and wait until the broker has all of it."""
        self._ending.set()
        self._thread.join()
        self._gateway.finish(within=120)


def installation(
    folder: Path, port: int, prefix: str, bucket: Bucket | None = None, *, ingest: Mapping[str, Any] | None = None,
    **mqtt: Any,
) -> Path:  # fmt: skip
    """The sample installation with this broker, and with InfluxDB where a bucket is given."""
    shutil.copytree(ROOT / "config" / "rail", folder)
    settings: dict[str, Any] = {"mqtt": {"port": port, "prefix": prefix, "client_id": prefix, **mqtt}}
    settings["ingest"] = dict(ingest or {})
    if bucket is not None:
        settings["store"] = {"kind": "influxdb", "url": bucket.url, "org": bucket.org, "bucket": bucket.name}
        settings["store"]["timeout_s"] = 2
    (folder / "settings.yaml").write_text(json.dumps(settings))
    return folder


class Taker:
    """``fleetdx ingest`` on a folder of its own; started, killed and started again by the test."""

    def __init__(self, config: Path, data: Path, bucket: Bucket | None = None) -> None:
        self._command = [sys.executable, "-m", "fleetdx", "ingest", "-c", str(config), "-d", str(data)]
        self.data, self._log = data, config.parent / f"{config.name}.log"
        self._token = bucket.token if bucket is not None else ""
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Taker:
        # The first run opens the session at the broker: from then on it queues what comes while nobody is there.
        self.finish(idle=1)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()

    def _environment(self) -> dict[str, str]:
        return os.environ | {"INFLUX_TOKEN": self._token}

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment())

    def kill(self) -> None:
        """End it as a crash would; it must have been alive."""
        assert self.process is not None
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        self.process = None
        assert alive, self._log.read_text()[-3000:]

    def stop(self) -> None:
        """Ask it to end in good order."""
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(timeout=60)
        self.process = None
        assert code == 0, self._log.read_text()[-3000:]

    def finish(self, *, idle: float = 3, within: float = 180) -> None:
        """Run until nothing has come for a while."""
        done = subprocess.run(
            [*self._command, "--idle-exit", str(idle)], env=self._environment(), capture_output=True, text=True,
            timeout=within,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout

    def counters(self) -> Counters:
        """The account so far, read beside the running program."""
        with self.account() as account:
            return account.counters()

    @contextmanager
    def account(self) -> Iterator[Accounting]:
        account = Accounting(self.data / "ingest.sqlite3")
        account.open()
        try:
            yield account
        finally:
            account.close()

    def progress(self, within: float = 300) -> None:
        """Wait until it has taken something more."""
        before = self.counters().messages
        wait_until(lambda: self.counters().messages > before, within=within)

    def log(self) -> str:
        return self._log.read_text()


def open_store(taker: Taker, bucket: Bucket | None) -> TelemetryStore:
    """The store that a taker has written, once that has ended."""
    if bucket is None:
        store: TelemetryStore = DuckDBStore(taker.data / "telemetry.duckdb")
    else:
        store = InfluxDBStore(bucket.url, bucket.org, bucket.name, bucket.token)
    store.open()
    return store


def expect_all_in_store(fleet: Fleet, store: TelemetryStore) -> None:
    """Every sample and fault that was sent is there once, and nothing else."""
    for asset in ASSETS:
        frames = store.read_measurements([asset], SIGNALS, 0, 2**62)
        times = [time for frame in frames for time in frame["time"]]
        assert len(times) == len(set(times))
        assert set(times) == fleet.sent[asset]
        assert len(store.read_faults([asset], 0, 2**62)) == fleet.faults[asset]


def expect_counted_once(fleet: Fleet, takers: Sequence[Taker]) -> None:
    """All accounts together have stored each sample once; the days say the same."""
    stored = days = 0
    for taker in takers:
        with taker.account() as account:
            stored += account.counters().stored
            days += sum(day.measurements + day.faults for day in account.arrivals())
    assert stored == days == fleet.samples


def expect_nothing_lost_nor_twice(fleet: Fleet, taker: Taker, bucket: Bucket | None = None) -> None:
    """All of it, by the sequence numbers, by the account and by the store."""
    counters = taker.counters()
    print(f"\n{fleet.messages} messages, {fleet.samples} samples sent: {counters}")
    assert counters.lost == 0
    assert counters.quarantined == fleet.poisoned
    assert counters.received == fleet.samples + fleet.poisoned + counters.duplicates
    expect_counted_once(fleet, [taker])
    store = open_store(taker, bucket)
    try:
        expect_all_in_store(fleet, store)
    finally:
        store.close()
