"""What ``fleetdx backtest`` takes for a large fleet: 4,000 assets, 625 days, 2.5 million rows of 30 signals.

    make bench-backtest ARGS="--assets 400"

The history is generated (seeded), with failures that announce themselves in signals and fault codes, some well, some
hardly; with gaps, empty cells, a season and a load that all assets share. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

SIGNALS, CODES = 30, 8
MODES = ("BEARING", "VALVE", "SEAL")
BEGIN = np.datetime64("2023-01-01")
DAYS_BETWEEN_FAILURES = 500.0
SERVICE_DAYS = 120


def write_history(folder: Path, *, assets: int, days: int, seed: int = 1) -> int:
    """Write the tables; return how many rows of telemetry there are."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    names = np.array([f"A{n:05}" for n in range(assets)])
    day = np.arange(days)
    shared = np.sin(2 * np.pi * day / 365)[:, None] * rng.normal(0, 1.5, SIGNALS)
    shared += rng.normal(0, 0.5, (days, SIGNALS))
    follows = {mode: rng.choice(SIGNALS, 3, replace=False) for mode in MODES}
    failures: list[tuple[str, int, str]] = []
    maintenance: list[tuple[str, int, str, str]] = []
    faults: list[tuple[str, int, float, str]] = []
    rows = 0
    header = ["asset_id", "time", *(f"signal_{n:02}" for n in range(SIGNALS))]
    schema = pa.schema([(name, pa.string() if n < 2 else pa.float64()) for n, name in enumerate(header)])
    times = np.array([f"{BEGIN + d}T12:00:00Z" for d in day])
    with pa_csv.CSVWriter(folder / "telemetry.csv", schema) as table:
        for name in names:
            values = rng.normal(50, 10, SIGNALS) + shared + rng.normal(0, 1, (days, SIGNALS))
            chance = np.full((days, CODES), 0.004)
            at = 0.0
            while (at := at + rng.exponential(DAYS_BETWEEN_FAILURES)) < days:
                failed, mode = int(at), MODES[rng.integers(len(MODES))]
                grows = int(rng.integers(3, 15))
                strength = rng.uniform(0.5, 6.0)
                before = np.arange(max(0, failed - grows), failed)
                growth = strength * (before - (failed - grows) + 1) / grows
                values[before[:, None], follows[mode]] += growth[:, None]
                chance[before, MODES.index(mode)] = 0.25
                failures.append((str(name), failed, mode))
                maintenance.append((str(name), failed, mode.lower(), "replaced"))
            offset = int(rng.integers(SERVICE_DAYS))
            maintenance += [(str(name), d, "oil", "changed") for d in range(offset, days, SERVICE_DAYS)]
            for d, code in np.argwhere(rng.random((days, CODES)) < chance):
                faults.append((str(name), int(d), float(rng.uniform(0, 24)), f"F{code + 1:02}"))
            kept = rng.random(days) > 0.01
            values[rng.random(values.shape) < 0.002] = np.nan
            columns = [pa.array(np.full(int(kept.sum()), name)), pa.array(times[kept])]
            columns += [pa.array(np.round(values[kept, n], 3), from_pandas=True) for n in range(SIGNALS)]
            table.write_table(pa.table(columns, schema=schema))
            rows += int(kept.sum())
    _write(folder / "assets.csv", "asset_id,asset_type,site", [f"{name},pump,plant" for name in names])
    _write(folder / "faults.csv", "asset_id,time,code", [f"{a},{_at(d, h)},{c}" for a, d, h, c in faults])
    _write(folder / "failures.csv", "asset_id,time,failure_mode", [f"{a},{_at(d, 6)},{m}" for a, d, m in failures])
    done = [f"{a},{_at(d, 20)},{c},{what}" for a, d, c, what in maintenance]
    _write(folder / "maintenance.csv", "asset_id,time,component,action", done)
    return rows


def _at(day: int, hour: float) -> str:
    minute = int(hour * 60)
    return f"{BEGIN + day}T{minute // 60:02}:{minute % 60:02}:00Z"


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def main() -> None:
    """Generate, walk in a process of its own, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=4000)
    parser.add_argument("--days", type=int, default=625)
    parser.add_argument("--horizon", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--history", type=Path, help="keep the history here, or take it from here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetdx-scale-") as scratch:
        history = options.history or Path(scratch) / "history"
        begun = time.monotonic()
        if not (history / "telemetry.csv").is_file():
            write_history(history, assets=options.assets, days=options.days, seed=options.seed)
        generated = time.monotonic() - begun
        last = date(2023, 1, 1) + timedelta(days=options.days * 3 // 5)
        command = [sys.executable, "-m", "fleetdx", "backtest", str(history), "--train-until", last.isoformat()]
        command += ["--horizon", str(options.horizon), "--json"]
        ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
    result = json.loads(ran.stdout)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    for detail in ("per_failure", "per_ticket"):
        del result[detail]
    result |= {"cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1), "generated_seconds": round(generated, 1)}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
