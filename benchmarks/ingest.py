"""What taking messages in costs, beside Telegraf doing the same: mosquitto, decode, store, acknowledge.

    python -m benchmarks.ingest --runs 3

For each shape of message (1, 20 and 200 samples of 5 signals) the taker is started, connected, and halted (SIGSTOP);
the broker's queue for it is filled; then it goes on (SIGCONT) and the drain is measured, so that neither start-up nor
the publisher is part of it. The takers are ``fleetdx ingest`` into DuckDB, the same into InfluxDB 2.x, and Telegraf's
mqtt_consumer into the same InfluxDB; they take turns, ``--runs`` times. All of them acknowledge after the store has
answered. Afterwards the store is counted: every sample must be there.

InfluxDB is where INFLUXDB_V2_URL, _ORG and _TOKEN name a server (the token must be allowed to make buckets) or an
``influxd`` is on PATH; Telegraf where ``telegraf`` is on PATH. What is missing is said and left out.

``--soak MINUTES`` publishes one-sample messages at ``--rate`` instead and prints the memory (RSS) of ``fleetdx ingest``
minute by minute, and the ratio of its median in the last third to that in the first. The last line of the
output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.store import start_influxdb
from fleetdx.servers import mosquitto
from fleetdx.servers.process import ServerProcess, die_with_parent, free_port
from telemetry.duckdb import DuckDBStore

ASSETS = 200
SIGNALS = ("oil_temp", "rpm", "coolant_temp", "oil_pressure", "battery_voltage")
SHAPES = {1: 200_000, 20: 20_000, 200: 2_500}
"""Samples in a message, and how many messages of them are drained: some seconds of work each."""
IN_FLIGHT = 2000
_TICKS = os.sysconf("SC_CLK_TCK")
_BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
# The same for all takers: this measures them, not how the broker keeps its queue on disk.
persistence false
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages {in_flight}
sys_interval 1
set_tcp_nodelay true
log_dest none
"""
_TELEGRAF = """\
[agent]
  interval = "1s"
  round_interval = false
  flush_interval = "200ms"
  metric_batch_size = {batch}
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{port}"]
  topics = ["fleet/+/telemetry"]
  topic_tag = ""
  qos = 1
  client_id = "taker"
  persistent_session = true
  max_undelivered_messages = {in_flight}
  data_format = "json"
  name_override = "telemetry"
  json_query = "{query}"
  json_time_key = "ts"
  json_time_format = "unix_ms"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "+/+/+"
    tags = "_/asset_id/_"
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
"""


@dataclass(frozen=True)
class Influx:
    """A server on which buckets may be made; ``pid`` is 0 where it is not ours."""

    url: str
    org: str
    token: str
    pid: int

    def new_bucket(self, stack: ExitStack) -> str:
        """Make a bucket that goes with ``stack``; return its name."""
        headers = {"Authorization": f"Token {self.token}"}
        found = httpx.get(f"{self.url}/api/v2/orgs", params={"org": self.org}, headers=headers, timeout=30)
        body = {"orgID": found.raise_for_status().json()["orgs"][0]["id"], "name": f"benchmark-{uuid.uuid4().hex}"}
        made = httpx.post(f"{self.url}/api/v2/buckets", json=body, headers=headers, timeout=30).raise_for_status()
        stack.callback(httpx.delete, f"{self.url}/api/v2/buckets/{made.json()['id']}", headers=headers, timeout=60)
        return str(body["name"])

    def count(self, bucket: str, field: str) -> int:
        """Return how many values of a field a bucket holds."""
        statement = f'SELECT count("{field}") FROM telemetry'
        answer = httpx.post(
            f"{self.url}/query",
            data={"db": bucket, "q": statement},
            headers={"Authorization": f"Token {self.token}"},
            timeout=300,
        )
        series = answer.raise_for_status().json()["results"][0].get("series")
        return int(series[0]["values"][0][1]) if series else 0


@dataclass
class Drain:
    """One drain. Rates are per second; CPU is in microseconds of one core, a message or a point; memory in MB.

    ``broker`` and ``store`` are the CPU of mosquitto and influxd in the same time, a message. ``cores`` is what all
    three used together, of one core.
    """

    messages_s: float
    points_s: float
    cpu_us: float
    cpu_point_us: float
    broker_us: float
    store_us: float
    cores: float
    peak_mb: float


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int, which: str = "VmHWM") -> float:
    """Return the peak memory of a process (``VmRSS``: its present one)."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


class Broker(ServerProcess):
    """mosquitto in memory, which tells how many messages it holds."""

    def __init__(self, folder: Path) -> None:
        program = mosquitto.executable()
        if program is None:
            raise SystemExit("mosquitto is not installed; it is what this measures with")
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        configuration = folder / "mosquitto.conf"
        configuration.write_text(_BROKER.format(port=port, in_flight=IN_FLIGHT))
        super().__init__("mosquitto", [program, "-c", str(configuration)], folder, port)
        self.held: list[tuple[float, int]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def watch(self) -> None:
        self._client.connect("127.0.0.1", self.port)
        self._client.subscribe("$SYS/broker/store/messages/count")
        self._client.loop_start()

    def stop(self) -> None:
        self._client.loop_stop()
        self._client.disconnect()
        super().stop()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.held.append((time.perf_counter(), int(message.payload)))


def body(number: int, samples: int, base: int) -> tuple[str, bytes]:
    """Return topic and payload of one message: assets take turns, each counts up, and no instant comes twice."""
    asset, seq = number % ASSETS, number // ASSETS
    first = base + seq * samples * 10

    def content(at: int) -> str:
        n = (at // 10) % 1000
        return (
            f'"ts":{at},"signals":{{"oil_temp":{70 + n / 100},"rpm":{1500 + n},"coolant_temp":{80 + n / 50},'
            f'"oil_pressure":{3 + n / 1000},"battery_voltage":{27 + n / 2000}}}'
        )

    if samples == 1:
        text = f'{{"seq":{seq},{content(first)}}}'
    else:
        text = f'{{"seq":{seq},"samples":[{",".join("{" + content(first + 10 * i) + "}" for i in range(samples))}]}}'
    return f"fleet/A{asset:05}/telemetry", text.encode()


class Publisher:
    """A gateway as fast as a socket: MQTT 3.1.1, QoS 1, counts the acknowledgements."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = uuid.uuid4().hex[:20].encode()
        self._socket.sendall(bytes([0x10, 12 + len(name)]) + b"\0\4MQTT\4\2\0\0" + len(name).to_bytes(2, "big") + name)
        assert self._socket.recv(4)[3] == 0, "the broker refuses"
        self._packet = 0
        self.sent = self.acknowledged = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        received = 0
        while chunk := self._socket.recv(65_536):
            received += len(chunk)
            self.acknowledged = received // 4

    def packet(self, topic: str, payload: bytes) -> bytes:
        self._packet = self._packet % 65_535 + 1
        head = len(topic).to_bytes(2, "big") + topic.encode() + self._packet.to_bytes(2, "big")
        length, size = len(head) + len(payload), b""
        while True:
            length, low = divmod(length, 128)
            size += bytes([low | (128 if length else 0)])
            if not length:
                return b"\x32" + size + head + payload

    def send(self, packets: list[bytes]) -> None:
        self._socket.sendall(b"".join(packets))
        self.sent += len(packets)
        while self.sent - self.acknowledged > 5_000:
            time.sleep(0.001)

    def finish(self) -> None:
        while self.acknowledged < self.sent:
            time.sleep(0.005)
        self._socket.close()


def publish(port: int, messages: int, samples: int) -> int:
    """Publish all messages of a drain; return the time (ms) of the first sample."""
    publisher, base = Publisher(port), int(time.time() * 1000) - 20 * 86_400_000
    for first in range(0, messages, 500):
        publisher.send([publisher.packet(*body(n, samples, base)) for n in range(first, min(first + 500, messages))])
    publisher.finish()
    return base


def installation(folder: Path, port: int, influx: Influx | None, bucket: str, client: str = "paho") -> Path:
    """Write a configuration folder: one type, one site, ``ASSETS`` assets, and the settings' defaults."""
    (folder / "asset_types").mkdir(parents=True)
    (folder / "sites.yaml").write_text("- {id: depot, title: Depot, time_zone: UTC, language: en, skill_level: 2}\n")
    signals = [f"  - {{name: {name}, unit: '1', low: -1000, high: 10000, period: 1}}" for name in SIGNALS]
    text = ["id: unit", "title: {en: Unit, zh: 单元}", "signals:", *signals, "faults: []"]
    (folder / "asset_types" / "unit.yaml").write_text("\n".join(text) + "\n")
    rows = [f"A{n:05},unit,depot" for n in range(ASSETS)]
    (folder / "assets.csv").write_text("\n".join(["asset_id,asset_type,site", *rows]) + "\n")
    store = "store: {kind: duckdb}"
    if influx is not None:
        store = f"store: {{kind: influxdb, url: '{influx.url}', org: '{influx.org}', bucket: '{bucket}'}}"
    settings = f"mqtt: {{port: {port}, client_id: taker, client: {client}, max_in_flight: {IN_FLIGHT}}}\n{store}\n"
    (folder / "settings.yaml").write_text(settings)
    return folder


def telegraf(folder: Path, port: int, influx: Influx, bucket: str, samples: int) -> list[str]:
    """Write Telegraf's configuration; return the command."""
    text = _TELEGRAF.format(
        port=port, in_flight=IN_FLIGHT, url=influx.url, token=influx.token, org=influx.org, bucket=bucket,
        query="" if samples == 1 else "samples", batch=1000 if samples == 1 else 5000,
    )  # fmt: skip
    (folder / "telegraf.conf").write_text(text)
    return ["telegraf", "--config", str(folder / "telegraf.conf")]


@contextmanager
def taking(command: list[str], folder: Path, token: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a taker; it is asked to end, and must."""
    with (folder / "taker.log").open("ab") as log, (folder / "answer.json").open("ab") as out:
        taker = subprocess.Popen(
            command, stdout=out, stderr=log, env=os.environ | {"INFLUX_TOKEN": token}, preexec_fn=die_with_parent
        )
    try:
        yield taker
    finally:
        if taker.poll() is None:
            taker.send_signal(signal.SIGCONT)
            taker.terminate()
            try:
                taker.wait(timeout=60)
            except subprocess.TimeoutExpired:
                taker.kill()
                taker.wait()


def subscribed(port: int, taker: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the taker's subscription stands."""
    client, counts = paho.Client(CallbackAPIVersion.VERSION2), list[int]()
    client.connect("127.0.0.1", port)
    client.subscribe("$SYS/broker/subscriptions/count")
    client.on_message = lambda _client, _data, message: counts.append(int(message.payload))
    client.loop_start()
    end = time.monotonic() + 300  # a busy machine starts slowly
    while not counts or max(counts) < 3:  # the two watchers' and the taker's
        if taker.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the taker did not subscribe: {(folder / 'taker.log').read_text()[-4000:]}")
        time.sleep(0.05)
    client.disconnect()
    client.loop_stop()
    time.sleep(0.5)


def drain(kind: str, samples: int, messages: int, folder: Path, influx: Influx | None) -> Drain:
    """Fill the queue of one taker and measure how it empties it. Ends the program where anything is lost."""
    folder.mkdir()
    with ExitStack() as stack:
        broker = Broker(folder / "broker")
        broker.start()
        stack.callback(broker.stop)
        broker.watch()
        bucket = influx.new_bucket(stack) if influx is not None else ""
        if kind == "telegraf":
            assert influx is not None
            command = telegraf(folder, broker.port, influx, bucket, samples)
        else:
            config = installation(folder / "config", broker.port, influx, bucket, _client(kind))
            program = [sys.executable, "-m", "fleetdx", "ingest", "--json"]
            command = [*program, "-c", str(config), "-d", str(folder / "data")]
        pids = [broker.pid, influx.pid if influx is not None else 0]
        with taking(command, folder, influx.token if influx is not None else "") as taker:
            subscribed(broker.port, taker, folder)
            empty = broker.held[-1][1]
            taker.send_signal(signal.SIGSTOP)
            base = publish(broker.port, messages, samples)
            time.sleep(1.5)  # the broker tells its count once a second
            pids.insert(0, taker.pid)
            before, begin = [cpu_seconds(pid) if pid else 0.0 for pid in pids], time.perf_counter()
            taker.send_signal(signal.SIGCONT)
            while broker.held[-1][1] > empty or broker.held[-1][0] < begin:
                if taker.poll() is not None or time.perf_counter() - begin > 300:
                    raise SystemExit(f"{kind} stopped taking: {(folder / 'taker.log').read_text()[-4000:]}")
                time.sleep(0.05)
            used = [cpu_seconds(pid) - was if pid else 0.0 for pid, was in zip(pids, before, strict=True)]
            peak = memory_mb(taker.pid)
        rate = _rate([(at, held) for at, held in broker.held if at > begin], begin, messages + empty)
        _expect_all(kind, samples * messages, base, folder, influx, bucket)
    cpu, broker_cpu, store_cpu = (seconds * 1e6 / messages for seconds in used)
    points = samples * len(SIGNALS)
    cores = (cpu + broker_cpu + store_cpu) * rate / 1e6
    return Drain(rate, rate * points, cpu, cpu / points, broker_cpu, store_cpu, cores, peak)


def _client(kind: str) -> str:
    return kind.partition("/")[2] or "paho"


def _rate(held: list[tuple[float, int]], begin: float, first: int) -> float:
    """Return messages a second from what the broker still held, which it tells once a second."""
    # The last telling before the end is exact; the end itself lies somewhere in the second after it.
    middle = [(at, left) for at, left in held if left > held[-1][1]] or held
    at, left = middle[-1]
    return (first - left) / (at - begin)


def _expect_all(kind: str, samples: int, base: int, folder: Path, influx: Influx | None, bucket: str) -> None:
    if influx is not None:
        field = f"signals_{SIGNALS[0]}" if kind == "telegraf" else SIGNALS[0]
        found = influx.count(bucket, field)
    else:
        store = DuckDBStore(folder / "data" / "telemetry.duckdb")
        store.open()
        frames = store.read_measurements([f"A{n:05}" for n in range(ASSETS)], [SIGNALS[0]], base * 10**6, 2**62)
        found = sum(len(frame) for frame in frames)
        store.close()
    if found != samples:
        raise SystemExit(f"{kind}: {found} of {samples} samples are in the store")
    if kind != "telegraf":
        counted = json.loads((folder / "answer.json").read_text().splitlines()[-1])
        if counted["stored"] != samples or counted["lost"] or counted["duplicates"]:
            raise SystemExit(f"{kind}: the account does not agree: {counted}")


def soak(minutes: float, rate: int, influx: Influx | None, client: str) -> dict[str, object]:
    """Publish at a rate and watch the memory of ``fleetdx ingest``; Telegraf has no part in it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        broker = Broker(folder / "broker")
        broker.start()
        stack.callback(broker.stop)
        broker.watch()
        bucket = influx.new_bucket(stack) if influx is not None else ""
        config = installation(folder / "config", broker.port, influx, bucket, client)
        program = [sys.executable, "-m", "fleetdx", "ingest", "--json"]
        command = [*program, "-c", str(config), "-d", str(folder / "data")]
        memory: list[float] = []
        with taking(command, folder, influx.token if influx is not None else "") as taker:
            subscribed(broker.port, taker, folder)
            publisher, base, sent = Publisher(broker.port), int(time.time() * 1000) - 20 * 86_400_000, 0
            begin = last = time.perf_counter()
            while (now := time.perf_counter()) - begin < minutes * 60:
                due = int((now - begin) * rate)
                if due > sent:
                    publisher.send([publisher.packet(*body(n, 1, base)) for n in range(sent, due)])
                    sent = due
                if now - last > 1:
                    memory.append(memory_mb(taker.pid, "VmRSS"))
                    last = now
                    if len(memory) % 60 == 0:
                        print(f"{len(memory)} s: {memory[-1]:.0f} MB, {sent:,} sent", flush=True)
                time.sleep(0.01)
            publisher.finish()
            time.sleep(3)
            backlog = broker.held[-1][1]
        counted = json.loads((folder / "answer.json").read_text().splitlines()[-1])
    minute = [round(statistics.median(memory[at : at + 60]), 1) for at in range(0, len(memory), 60)]
    third = len(memory) // 3
    early, late = statistics.median(memory[third // 2 : third]), statistics.median(memory[-third:])
    return {
        "benchmark": "ingest-soak", "minutes": minutes, "rate": rate, "store": "influxdb" if influx else "duckdb",
        "sent": sent, "stored": counted["stored"], "lost": counted["lost"], "left_at_broker": backlog,
        "memory_mb_early": round(early, 1), "memory_mb_late": round(late, 1), "memory_mb_most": round(max(memory), 1),
        "memory_mb_by_minute": minute, "last_to_first": round(late / early, 3),
    }  # fmt: skip


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2 if value < 100 else 0) for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of messages; less is less exact")
    everybody = "duckdb,influxdb,influxdb/mqtt5,telegraf"
    parser.add_argument("--takers", default=everybody, help="store, or store/client of MQTT")
    parser.add_argument("--shapes", default="1,20,200", help="samples in a message")
    parser.add_argument("--soak", type=float, default=0.0, help="minutes")
    parser.add_argument("--rate", type=int, default=5000, help="messages a second of --soak")
    options = parser.parse_args()

    takers = options.takers.split(",")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        influx = _influx(folder / "influxdb", stack)
        if influx is None:
            print("no InfluxDB 2.x on this machine: DuckDB alone is measured")
            takers = [taker for taker in takers if taker.startswith("duckdb")]
        elif "telegraf" in takers and shutil.which("telegraf") is None:
            print("no telegraf on PATH: it is left out")
            takers.remove("telegraf")
        if options.soak:
            taker = takers[0]
            store = influx if taker.startswith("influxdb") else None
            print(json.dumps(soak(options.soak, options.rate, store, _client(taker))))
            return
        found: dict[str, dict[int, list[Drain]]] = {taker: {} for taker in takers}
        for run in range(options.runs):
            for samples in map(int, options.shapes.split(",")):
                messages = int(SHAPES.get(samples, 200_000 // samples) * options.share)
                for taker in takers:
                    where = folder / f"{taker.replace('/', '-')}-{samples}-{run}"
                    measured = drain(taker, samples, messages, where, None if taker.startswith("duckdb") else influx)
                    found[taker].setdefault(samples, []).append(measured)
                    shutil.rmtree(where)
                    figures = "  ".join(f"{k} {v:,.1f}" for k, v in asdict(measured).items())
                    print(f"run {run + 1}  {samples:4} samples  {taker:14} {figures}", flush=True)
    print(json.dumps(_result(found, options.runs)))


def _result(found: dict[str, dict[int, list[Drain]]], runs: int) -> dict[str, object]:
    medians = {
        taker: {
            samples: {name: statistics.median(asdict(d)[name] for d in drains) for name in asdict(drains[0])}
            for samples, drains in shapes.items()
        }
        for taker, shapes in found.items()
    }
    spread = {
        taker: {
            samples: [round(min(d.cpu_us for d in drains), 1), round(max(d.cpu_us for d in drains), 1)]
            for samples, drains in shapes.items()
        }
        for taker, shapes in found.items()
    }
    result: dict[str, object] = {"benchmark": "ingest", "runs": runs, "cores": os.cpu_count(), "signals": len(SIGNALS)}
    result["median"] = {taker: {n: _rounded(f) for n, f in shapes.items()} for taker, shapes in medians.items()}
    result["cpu_us_spread"] = spread
    if "telegraf" in medians:
        result["to_telegraf"] = {
            taker: {
                samples: _rounded(
                    {
                        "cpu_us": figures["cpu_us"] / medians["telegraf"][samples]["cpu_us"],
                        "messages_s": figures["messages_s"] / medians["telegraf"][samples]["messages_s"],
                    }
                )
                for samples, figures in medians[taker].items()
            }
            for taker in medians
            if taker != "telegraf"
        }
    return result


def _influx(folder: Path, stack: ExitStack) -> Influx | None:
    url, org, token = (os.environ.get(f"INFLUXDB_V2_{name}", "") for name in ("URL", "ORG", "TOKEN"))
    if url:
        return Influx(url.rstrip("/"), org, token, 0)
    program = shutil.which("influxd")
    if program is None:
        return None
    url, org, token = start_influxdb(program, folder, stack)
    return Influx(url, org, token, int((folder / "influxd.pid").read_text().split()[0]))


if __name__ == "__main__":
    main()
