"""Write and read rates of the telemetry stores, side by side on this machine.

    python -m benchmarks.store --assets 200 --signals 10 --minutes 1440

Each run takes an empty store and measures, in this order: one day of the fleet, a sample a minute, written in batches
as an import writes them (``--batch`` samples), but for its last hour; that hour in batches as the pipeline writes
them (``--live``); the hour once more, which changes nothing; the whole day read; and one asset's day read. The stores
take turns, ``--runs`` times. DuckDB is always there; InfluxDB where INFLUXDB_V2_URL, _ORG and _TOKEN name a server (the
token must be allowed to make buckets) or an ``influxd`` is on PATH. Rates are medians in points a second, a point being
one value of one signal. The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np

from fleetdx.servers.process import ServerProcess, free_port
from telemetry.duckdb import DuckDBStore
from telemetry.influxdb import InfluxDBStore
from telemetry.records import Measurements
from telemetry.store import TelemetryStore

MINUTE = 60 * 10**9
START = 1_767_225_600 * 10**9  # 2026-01-01 00:00 UTC
LIVE_MINUTES = 60

Place = Callable[[Path], TelemetryStore]


def samples(assets: int, signals: int, minutes: range) -> Iterator[Measurements]:
    """All assets minute by minute, as they arrive; the same minutes give the same values."""
    names = [f"signal_{s}" for s in range(signals)]
    for minute in minutes:
        values = np.random.default_rng(minute).normal(50, 5, (assets, signals)).round(3).tolist()
        for asset in range(assets):
            yield Measurements.at(f"A{asset:05}", START + minute * MINUTE, dict(zip(names, values[asset], strict=True)))


def write(store: TelemetryStore, measurements: Sequence[Measurements], batch: int) -> float:
    """Return the seconds that writing takes."""
    begin = time.perf_counter()
    for first in range(0, len(measurements), batch):
        store.write(measurements[first : first + batch], [])
    return time.perf_counter() - begin


def read(store: TelemetryStore, assets: Sequence[str], signals: Sequence[str], minutes: int) -> tuple[float, int]:
    """Return the seconds that reading takes, and how many points came."""
    begin = time.perf_counter()
    frames = store.read_measurements(assets, signals, START, START + minutes * MINUTE)
    points = sum(len(frame) * len(signals) for frame in frames)
    return time.perf_counter() - begin, points


def one_run(store: TelemetryStore, options: argparse.Namespace) -> dict[str, float]:
    """Measure an empty store once."""
    day = list(samples(options.assets, options.signals, range(options.minutes - LIVE_MINUTES)))
    hour = list(samples(options.assets, options.signals, range(options.minutes - LIVE_MINUTES, options.minutes)))
    assets = [f"A{a:05}" for a in range(options.assets)]
    signals = [f"signal_{s}" for s in range(options.signals)]
    rates: dict[str, float] = {}
    store.open()
    rates["write_import"] = len(day) * options.signals / write(store, day, options.batch)
    rates["write_live"] = len(hour) * options.signals / write(store, hour, options.live)
    rates["write_again"] = len(hour) * options.signals / write(store, hour, options.live)
    seconds, points = read(store, assets, signals, options.minutes)
    assert points == (len(day) + len(hour)) * options.signals, "not all of the day was read"
    rates["read_day"] = points / seconds
    one = [read(store, [assets[n % len(assets)]], signals, options.minutes)[0] for n in range(0, 100, 9)]
    rates["read_asset_ms"] = statistics.median(one) * 1000
    store.close()
    return rates


@contextmanager
def influxdb(folder: Path) -> Iterator[Place | None]:
    """Give what makes a store on a new bucket each time, or ``None`` where this machine has no InfluxDB."""
    url, org, token = (os.environ.get(f"INFLUXDB_V2_{name}", "") for name in ("URL", "ORG", "TOKEN"))
    with ExitStack() as stack:
        if not url:
            program = shutil.which("influxd")
            if program is None:
                yield None
                return
            url, org, token = start_influxdb(program, folder, stack)

        def place(_folder: Path) -> TelemetryStore:
            headers = {"Authorization": f"Token {token}"}
            found = httpx.get(f"{url}/api/v2/orgs", params={"org": org}, headers=headers, timeout=30).raise_for_status()
            body = {"orgID": found.json()["orgs"][0]["id"], "name": f"benchmark-{uuid.uuid4().hex}"}
            made = httpx.post(f"{url}/api/v2/buckets", json=body, headers=headers, timeout=30).raise_for_status()
            stack.callback(httpx.delete, f"{url}/api/v2/buckets/{made.json()['id']}", headers=headers, timeout=60)
            return InfluxDBStore(url, org, body["name"], token, timeout_s=120)

        yield place


def start_influxdb(program: str, folder: Path, stack: ExitStack) -> tuple[str, str, str]:
    port = free_port()
    paths = {"--bolt-path": "bolt", "--engine-path": "engine", "--sqlite-path": "sqlite"}
    files = [part for option, name in paths.items() for part in (option, str(folder / name))]
    address = ["--http-bind-address", f"127.0.0.1:{port}"]
    server = ServerProcess(
        "influxd", [program, "--reporting-disabled", "--log-level", "error", *address, *files], folder, port
    )
    server.start(within=60)
    stack.callback(server.stop)
    body = {"username": "b", "password": "benchmark", "org": "fleetdx", "bucket": "first", "token": "benchmark"}
    httpx.post(f"http://127.0.0.1:{port}/api/v2/setup", json=body, timeout=30).raise_for_status()
    return f"http://127.0.0.1:{port}", "fleetdx", "benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=200)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--minutes", type=int, default=1440, help="of the day; more than an hour, at most 1440")
    parser.add_argument("--batch", type=int, default=20_000, help="samples in one write of an import")
    parser.add_argument("--live", type=int, default=500, help="samples in one write of the pipeline")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()

    found: dict[str, dict[str, list[float]]] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, influxdb(Path(folder) / "influxdb") as influx:
        places: dict[str, Place] = {"duckdb": lambda where: DuckDBStore(where / "telemetry.duckdb")}
        if influx is None:
            print("no InfluxDB on this machine: DuckDB alone is measured")
        else:
            places["influxdb"] = influx
        for run in range(options.runs):
            for name, place in places.items():
                where = Path(folder) / f"{name}-{run}"
                where.mkdir()
                for measure, rate in one_run(place(where), options).items():
                    found.setdefault(name, {}).setdefault(measure, []).append(rate)
                    print(f"run {run + 1}  {name:10} {measure:16} {rate:14,.1f}", flush=True)
                file = where / "telemetry.duckdb"
                if file.exists():
                    points = options.assets * options.signals * options.minutes
                    sizes[name] = round(file.stat().st_size / points, 2)
    medians = {name: {m: round(statistics.median(r), 1) for m, r in rates.items()} for name, rates in found.items()}
    result: dict[str, object] = {"benchmark": "store", **vars(options), "cores": os.cpu_count(), "median": medians}
    result["spread"] = {
        name: {m: [round(min(r), 1), round(max(r), 1)] for m, r in rates.items()} for name, rates in found.items()
    }
    if "influxdb" in medians:
        result["duckdb_to_influxdb"] = {
            m: round(rate / medians["influxdb"][m], 2) for m, rate in medians["duckdb"].items()
        }
    result["duckdb_bytes_a_point"] = sizes["duckdb"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
