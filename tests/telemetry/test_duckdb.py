"""What only the DuckDB store can get wrong: a file held by another, a full disk, a crash."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import permutations
from math import isnan
from pathlib import Path

import pytest

from telemetry.duckdb import DuckDBStore
from telemetry.records import Measurements
from telemetry.store import StoreUnavailable

_HOLD = """
import sys
from pathlib import Path
from telemetry.duckdb import DuckDBStore
store = DuckDBStore(Path(sys.argv[1]))
store.open()
print("held", flush=True)
sys.stdin.read()
"""
_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from telemetry.duckdb import DuckDBStore
from telemetry.records import Measurements
from telemetry.store import StoreUnavailable

def batch(number):
    values = ((i, i * 7919 % 1000 / number) for i in range(20_000))
    return [Measurements.at(f"bus-{i % 7}", number * 10**12 + i, {"rpm": value}) for i, value in values]

def count():
    return sum(map(len, store.read_measurements([f"bus-{i}" for i in range(7)], ["rpm"], 0, 2**62)))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = DuckDBStore(Path(sys.argv[1]))
store.open()
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
stored, problem = 0, ""
for number in range(1, 8):
    try:
        store.write(batch(number), [])
        stored += 1
    except StoreUnavailable as error:
        problem = str(error)
assert 0 < stored < 7, stored
assert "File too large" in problem, problem
assert count() == stored * 20_000
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for number in range(1, 8):
    store.write(batch(number), [])
assert count() == 7 * 20_000
store.close()
store.open()
assert count() == 7 * 20_000
"""
_WRITE_ON = """
import sys
from pathlib import Path
from telemetry.duckdb import DuckDBStore
from telemetry.records import Measurements
store = DuckDBStore(Path(sys.argv[1]))
store.open()
for number in range(int(sys.argv[2]), 1_000_000):
    store.write([Measurements.at("bus-1", number * 10**9 + i, {"rpm": float(number)}) for i in range(200)], [])
    print(number, flush=True)
"""


def test_a_file_that_another_process_holds_is_unavailable_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        store = DuckDBStore(path)
        with pytest.raises(StoreUnavailable, match=r"telemetry\.duckdb"):
            store.open()
        holder.communicate()
    store.open()
    assert store.span() is None
    store.close()


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_acknowledged_and_passes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path / "telemetry.duckdb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_memory_and_spill_limits_are_in_force(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "telemetry.duckdb", memory_limit="123MiB", temp_limit="456MiB")
    store.open()
    with store._cursor() as cursor:
        row = cursor.execute(
            "SELECT current_setting('memory_limit'), current_setting('max_temp_directory_size')"
        ).fetchone()
    assert row == ("123.0 MiB", "456.0 MiB")
    store.close()


def test_a_batch_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "telemetry.duckdb")
    store.open()
    beyond = 2**63  # no 64-bit column holds it
    with pytest.raises(OverflowError):
        store.write([Measurements.at("bus-1", 1, {"rpm": 1.0}), Measurements.at("bus-1", beyond, {"rpm": 2.0})], [])
    assert store.span() is None
    store.write([Measurements.at("bus-1", 1, {"oil": 1.0})], [])
    assert [len(frame) for frame in store.read_measurements(["bus-1"], ["rpm", "oil"], 0, 9)] == [1]
    store.close()


@pytest.mark.faults
def test_kill_9_loses_no_batch_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.duckdb"
    acknowledged = 0
    for kill in range(6):
        command = [sys.executable, "-c", _WRITE_ON, str(path), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            timer = threading.Timer(1.0 + 0.37 * kill, writer.kill)
            timer.start()
            assert writer.stdout is not None
            for line in writer.stdout:
                acknowledged = int(line)
        timer.join()
        store = DuckDBStore(path)
        store.open()
        times = [time for frame in store.read_measurements(["bus-1"], ["rpm"], 0, 2**62) for time in frame["time"]]
        store.close()
        # The batch at hand may have been committed and not told.
        assert len(times) in (acknowledged * 200, (acknowledged + 1) * 200)
        assert times == [n * 10**9 + i for n in range(1, len(times) // 200 + 1) for i in range(200)]
    assert acknowledged > 20


def test_any_selection_of_signals_is_stored_and_a_bounded_number_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.duckdb._ROWS_REMEMBERED", 10)
    monkeypatch.setattr("telemetry.duckdb._LONGEST_REMEMBERED", 3)
    names = ("a", "b", "c", "d")
    selections = [chosen for n in range(1, 5) for chosen in permutations(names, n)]  # in any order, too
    store = DuckDBStore(tmp_path / "telemetry.duckdb")
    store.open()
    for day in range(3):
        batch = [
            Measurements.at(f"bus-{time % 2}", day * 1000 + time, {name: float(ord(name) + time) for name in chosen})
            for time, chosen in enumerate(selections)
        ]
        store.write(batch, [])
        assert len(store._rows) <= 10
    [frame] = store.read_measurements(["bus-0", "bus-1"], names, 0, 10_000)
    store.close()
    assert len(frame) == 3 * len(selections)
    for row in frame.itertuples(index=False):
        at = row.time % 1000
        expected = {name: ord(name) + at for name in selections[at]}
        assert {name: value for name in names if not isnan(value := getattr(row, name))} == expected


def test_a_file_put_in_the_place_of_the_former_has_its_own_series(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("telemetry.duckdb", "restored.duckdb")]
    for path, first in zip(paths, ("rpm", "oil"), strict=True):
        store = DuckDBStore(path)
        store.open()
        for signal in (first, "rpm", "oil"):  # numbered in the order in which they come
            store.write([Measurements.at("bus-1", 1, {signal: 1.0})], [])
            store.write([Measurements.at("bus-1", 2, {signal: 2.0})], [])
        store.close()
    store = DuckDBStore(paths[0])
    store.open()
    store.write([Measurements.at("bus-1", 3, {"rpm": 3.0})], [])
    store.write([Measurements.at("bus-1", 4, {"rpm": 4.0})], [])
    store.close()
    paths[1].replace(paths[0])
    store.open()
    store.write([Measurements.at("bus-1", 5, {"rpm": 5.0})], [])
    [frame] = store.read_measurements(["bus-1"], ["rpm", "oil"], 3, 9)
    store.close()
    assert frame["rpm"].tolist() == [5.0]
