"""What every telemetry store promises. A new store is found by itself; it needs a line in ``place`` below."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from influx_server import Bucket

import telemetry
from fleetdx.servers.process import free_port
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected, StoreUnavailable, TelemetryStore

DAY = 86_400 * 10**9
NOON = 20_000 * DAY + DAY // 2
METHODS = {name for name in vars(TelemetryStore) if not name.startswith("_")}


def store_classes() -> dict[str, Any]:
    """Every class of ``telemetry/`` that has all of the protocol's methods, by its module's name."""
    found = {}
    for module in pkgutil.iter_modules(telemetry.__path__):
        for _, kind in inspect.getmembers(importlib.import_module(f"telemetry.{module.name}"), inspect.isclass):
            if (
                kind.__module__ == f"telemetry.{module.name}"
                and kind is not TelemetryStore
                and set(dir(kind)) >= METHODS
            ):
                found[module.name] = kind
    return found


STORES = store_classes()
DURABLE = sorted(set(STORES) - {"memory"})
Make = Callable[[], TelemetryStore]


def test_all_stores_are_found() -> None:
    assert sorted(STORES) == ["duckdb", "influxdb", "memory"]


def place(name: str, request: pytest.FixtureRequest, folder: Path) -> Make:
    """Return what makes a store object on one and the same place, each time anew."""
    if name == "influxdb":
        bucket: Bucket = request.getfixturevalue("influxdb")
        return lambda: STORES[name](bucket.url, bucket.org, bucket.name, bucket.token)
    if name == "duckdb":
        return lambda: STORES[name](folder / "telemetry.duckdb")
    assert name == "memory", f"say here how a {name} store is made"
    return STORES[name]


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelemetryStore]:
    opened = place(request.param, request, tmp_path)()
    opened.open()
    yield opened
    opened.close()


@pytest.fixture(params=DURABLE)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return place(request.param, request, tmp_path)


def read(
    store: TelemetryStore, assets: Sequence[str], signals: Sequence[str], start: int = 0, end: int = 2**62
) -> dict[tuple[str, int], dict[str, float]]:
    """Everything in a span as a dictionary, after a look at the shape of each frame."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for frame in store.read_measurements(assets, signals, start, end):
        assert list(frame.columns) == ["asset_id", "time", *signals]
        assert [str(kind) for kind in frame.dtypes] == ["str", "int64", *["float64"] * len(signals)]
        assert len(frame) > 0
        for asset_id, time, *values in zip(*(frame[name].tolist() for name in frame.columns), strict=True):
            assert (asset_id, time) not in found
            found[asset_id, time] = {s: v for s, v in zip(signals, values, strict=True) if v == v}
    assert list(found) == sorted(found)
    return found


def test_what_is_written_is_read_exactly(store: TelemetryStore) -> None:
    values = {"a": 0.1 + 0.2, "b": 1.7976931348623157e308, "c": 5e-324, "d": -1 / 3, "e": 20.0, "f": 2.0**53 + 2}
    store.write([Measurements.at("bus-1", 1_700_000_000_123_456_789, values)], [])
    assert read(store, ["bus-1"], list(values)) == {("bus-1", 1_700_000_000_123_456_789): values}


def test_several_instants_in_one_record_are_those_instants_one_by_one(store: TelemetryStore) -> None:
    rng = np.random.default_rng(11)
    expected: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(6):
        batch = []
        for _ in range(12):
            asset, count = f"bus-{rng.integers(3)}", int(rng.integers(1, 6))
            signals = tuple(rng.permutation(["rpm", "oil", "fuel"])[: int(rng.integers(1, 4))].tolist())
            times = [NOON + int(time) for time in rng.integers(30, size=count)]  # often twice, in no order
            measured = Measurements(asset, signals, times, rng.normal(size=count * len(signals)).tolist())
            batch.append(measured)
            for place, time in enumerate(times):
                row = measured.values[place * len(signals) : (place + 1) * len(signals)]
                expected.setdefault((asset, time), {}).update(zip(signals, row, strict=True))
        store.write(batch, [])
    assert read(store, [f"bus-{n}" for n in range(3)], ["rpm", "oil", "fuel"]) == dict(sorted(expected.items()))


def test_writing_twice_changes_nothing(store: TelemetryStore) -> None:
    measurements = [Measurements.at("bus-1", NOON + i, {"rpm": float(i), "oil": 80.0}) for i in range(50)]
    faults = [FaultEvent("bus-1", "F1", NOON + i, context={"rpm": float(i)}) for i in range(5)]
    store.write(measurements, faults)
    before = read(store, ["bus-1"], ["rpm", "oil"]), store.read_faults(["bus-1"], 0, 2**62)
    store.write(measurements, faults)
    store.write(measurements[10:20], faults[:1])
    assert read(store, ["bus-1"], ["rpm", "oil"]) == before[0]
    pd.testing.assert_frame_equal(store.read_faults(["bus-1"], 0, 2**62), before[1])


def test_the_last_value_of_a_key_wins_within_a_batch_and_after_it(store: TelemetryStore) -> None:
    store.write([Measurements.at("bus-1", NOON, {"rpm": 1.0}), Measurements.at("bus-1", NOON, {"rpm": 2.0})], [])
    assert read(store, ["bus-1"], ["rpm"]) == {("bus-1", NOON): {"rpm": 2.0}}
    store.write([Measurements.at("bus-1", NOON, {"rpm": 3.0})], [])
    assert read(store, ["bus-1"], ["rpm"]) == {("bus-1", NOON): {"rpm": 3.0}}


def test_signals_of_one_instant_join_whatever_message_they_came_in(store: TelemetryStore) -> None:
    store.write(
        [Measurements.at("bus-1", NOON, {"rpm": 1.0, "oil": 70.0}), Measurements.at("bus-1", NOON, {"fuel": 9.0})], []
    )
    store.write([Measurements.at("bus-1", NOON, {"oil": 71.0})], [])
    assert read(store, ["bus-1"], ["rpm", "oil", "fuel"]) == {("bus-1", NOON): {"rpm": 1.0, "oil": 71.0, "fuel": 9.0}}


def test_the_last_state_of_a_fault_wins(store: TelemetryStore) -> None:
    store.write([], [FaultEvent("bus-1", "F1", NOON, severity="minor"), FaultEvent("bus-1", "F1", NOON, state="clear")])
    store.write([], [FaultEvent("bus-1", "F1", NOON, severity="major", context={"rpm": 1.5})])
    frame = store.read_faults(["bus-1"], 0, 2**62)
    assert frame[["state", "severity"]].to_numpy().tolist() == [["set", "major"]]
    assert json.loads(frame["context"].iloc[0]) == {"rpm": 1.5}


def test_what_comes_out_of_order_is_read_in_order(store: TelemetryStore) -> None:
    for time in (NOON + 3 * DAY, NOON, NOON + DAY, NOON - DAY, NOON + 1):
        store.write([Measurements.at(asset, time, {"rpm": 1.0}) for asset in ("b", "a")], [FaultEvent("a", "F1", time)])
    times = sorted([NOON + 3 * DAY, NOON, NOON + DAY, NOON - DAY, NOON + 1])
    assert list(read(store, ["b", "a"], ["rpm"])) == [(asset, time) for asset in ("a", "b") for time in times]
    assert store.read_faults(["a"], 0, 2**62)["time"].tolist() == times


def test_random_batches_end_as_a_dictionary_does(store: TelemetryStore) -> None:
    rng = np.random.default_rng(7)
    expected: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(12):
        batch = []
        for _ in range(int(rng.integers(1, 120))):
            key = f"bus-{rng.integers(3)}", NOON + int(rng.integers(-4, 5)) * (DAY // 3) + int(rng.integers(20))
            names = rng.choice(["rpm", "oil", "fuel"], int(rng.integers(1, 4)), replace=False).tolist()
            values = {name: float(rng.normal()) for name in names}
            batch.append(Measurements.at(*key, values))
            expected.setdefault(key, {}).update(values)
        store.write(batch, [])
    assert read(store, [f"bus-{n}" for n in range(3)], ["rpm", "oil", "fuel"]) == dict(sorted(expected.items()))


def test_an_empty_span_gives_no_frame_and_an_empty_fault_frame(store: TelemetryStore) -> None:
    assert store.span() is None
    assert read(store, ["bus-1"], ["rpm"]) == {}
    store.write([Measurements.at("bus-1", NOON, {"rpm": 1.0})], [FaultEvent("bus-1", "F1", NOON)])
    assert read(store, ["bus-1"], ["rpm"], NOON + 1, NOON + DAY) == {}
    assert read(store, ["bus-1"], ["oil"]) == {}
    assert read(store, ["bus-2"], ["rpm"]) == {}
    assert read(store, [], ["rpm"]) == {}
    for frame in (store.read_faults(["bus-1"], NOON + 1, NOON + DAY), store.read_faults([], 0, 2**62)):
        assert len(frame) == 0
        assert list(frame.columns) == ["asset_id", "code", "time", "occurrence", "state", "severity", "context"]
        assert [str(kind) for kind in frame.dtypes] == ["str", "str", "int64", "int64", "str", "str", "str"]


def test_only_instants_of_the_signals_asked_for_are_read(store: TelemetryStore) -> None:
    store.write([Measurements.at("bus-1", NOON, {"rpm": 1.0}), Measurements.at("bus-1", NOON + 1, {"oil": 2.0})], [])
    assert read(store, ["bus-1"], ["rpm", "fuel"]) == {("bus-1", NOON): {"rpm": 1.0}}


def test_a_span_holds_its_start_and_not_its_end(store: TelemetryStore) -> None:
    midnight = 20_000 * DAY
    times = [midnight - 1, midnight, midnight + 1, midnight + DAY - 1, midnight + DAY]
    store.write(
        [Measurements.at("bus-1", t, {"rpm": 1.0}) for t in times], [FaultEvent("bus-1", "F1", t) for t in times]
    )
    assert [time for _, time in read(store, ["bus-1"], ["rpm"], midnight, midnight + DAY)] == times[1:4]
    assert store.read_faults(["bus-1"], midnight, midnight + DAY)["time"].tolist() == times[1:4]


def test_faults_of_one_instant_are_told_apart_by_their_occurrence(store: TelemetryStore) -> None:
    faults = [
        FaultEvent("bus-1", "F2", NOON, 11, "clear"),
        FaultEvent("bus-1", "F2", NOON, 2, "set", "major", {"speed": 62.0}),
        FaultEvent("bus-1", "F1", NOON, 2**63 - 1),
        FaultEvent("bus-0", "F9", NOON + 1),
    ]
    store.write([], faults)
    frame = store.read_faults(["bus-1", "bus-0"], NOON, NOON + 2)
    assert frame.drop(columns="context").to_numpy().tolist() == [
        ["bus-0", "F9", NOON + 1, 0, "set", ""],
        ["bus-1", "F1", NOON, 2**63 - 1, "set", ""],
        ["bus-1", "F2", NOON, 2, "set", "major"],
        ["bus-1", "F2", NOON, 11, "clear", ""],
    ]
    assert [json.loads(text) for text in frame["context"]] == [{}, {}, {"speed": 62.0}, {}]


@pytest.mark.parametrize(
    "context",
    [
        {"车速": 62.0, "Öltemperatur": -1.5, "температура": 3.0},
        {'quote"and\\backslash': 1.0, "tab\tline\nbreak": 2.0, "a,b=c d": 3.0, "'": 4.0},
        {"\\": 1.0, '\\"': 2.0, "🚌": 3.0, "": 4.0, "null": 5.0},
    ],
    ids=["alphabets", "delimiters", "edges"],
)
def test_a_context_of_any_text_comes_back_as_it_was(store: TelemetryStore, context: dict[str, float]) -> None:
    store.write([], [FaultEvent("bus-1", "F1", NOON, context=context)])
    assert json.loads(store.read_faults(["bus-1"], 0, 2**62)["context"].iloc[0]) == context


ODD_ASSETS = ["0", "A.b_c:d-9", "NA", "a" * 64, "nan", "null", "x.", "x.y", "xzy", "x:", "x-", "1e5", "007", "True"]


def test_odd_asset_ids_are_kept_apart(store: TelemetryStore) -> None:
    store.write(
        [Measurements.at(asset, NOON, {"rpm": float(n)}) for n, asset in enumerate(ODD_ASSETS)],
        [FaultEvent(asset, "F1", NOON, n) for n, asset in enumerate(ODD_ASSETS)],
    )
    expected = {(asset, NOON): {"rpm": float(n)} for n, asset in enumerate(ODD_ASSETS)}
    assert read(store, ODD_ASSETS, ["rpm"]) == dict(sorted(expected.items()))
    for n, asset in enumerate(ODD_ASSETS):  # one at a time: none is a pattern that matches others
        assert read(store, [asset], ["rpm"]) == {(asset, NOON): {"rpm": float(n)}}
        assert store.read_faults([asset], 0, 2**62)["occurrence"].tolist() == [n]


def test_odd_fault_codes_are_kept_apart(store: TelemetryStore) -> None:
    codes = sorted(["0", "007", "1e5", "NA", "NaN", "a" * 32, "SPN-100.FMI_3", "null", "x.", "x"])
    store.write([], [FaultEvent("bus-1", code, NOON) for code in codes])
    assert store.read_faults(["bus-1"], 0, 2**62)["code"].tolist() == codes


def test_signals_may_be_called_what_a_query_language_calls_something(store: TelemetryStore) -> None:
    names = ["name", "tags", "value", "select", "from", "series", "max", "f0", "f1", "c0", "points", "table", "result"]
    values = {name: float(number) for number, name in enumerate(names)}
    store.write([Measurements.at("bus-1", NOON, values)], [])
    assert read(store, ["bus-1"], names) == {("bus-1", NOON): values}
    assert read(store, ["bus-1"], ["tags"]) == {("bus-1", NOON): {"tags": 1.0}}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
def test_what_is_not_finite_is_refused_with_all_that_came_with_it(store: TelemetryStore, value: float) -> None:
    good = Measurements.at("bus-1", NOON, {"rpm": 1.0})
    with pytest.raises(StoreRejected) as refused:
        store.write([good, Measurements.at("bus-1", NOON + 1, {"oil": 1.0, "rpm": value})], [])
    assert not refused.value.stops_the_line
    with pytest.raises(StoreRejected):
        store.write([good], [FaultEvent("bus-1", "F1", NOON, context={"rpm": value})])
    assert store.span() is None
    store.write([good], [])
    assert read(store, ["bus-1"], ["rpm"]) == {("bus-1", NOON): {"rpm": 1.0}}


def test_the_span_is_from_the_first_to_the_last_of_either_kind(store: TelemetryStore) -> None:
    store.write([], [FaultEvent("bus-1", "F1", NOON)])
    assert store.span() == (NOON, NOON)
    store.write(
        [Measurements.at("bus-2", NOON + 5 * DAY, {"rpm": 1.0}), Measurements.at("bus-1", NOON + 7, {"oil": 1.0})], []
    )
    assert store.span() == (NOON, NOON + 5 * DAY)
    store.write([], [FaultEvent("bus-1", "F1", NOON + 9 * DAY, state="clear")])
    assert store.span() == (NOON, NOON + 9 * DAY)


def test_an_empty_batch_and_a_measurement_without_values_are_nothing(store: TelemetryStore) -> None:
    store.write([], [])
    store.write([Measurements.at("bus-1", NOON, {})], [])
    assert store.span() is None


def test_frames_keep_to_their_size_and_assets_together(store: TelemetryStore) -> None:
    rows = {"a": 30, "b": 60, "c": 10, "d": 350, "e": 1, "f": 100, "g": 99, "h": 2}
    store.write(
        [Measurements.at(asset, NOON + i, {"rpm": float(i)}) for asset, n in rows.items() for i in range(n)], []
    )
    frames = list(store.read_measurements(list(rows), ["rpm"], 0, 2**62, chunk_rows=100))
    whole = pd.concat(frames, ignore_index=True)
    assert list(zip(whole["asset_id"], whole["time"] - NOON, strict=True)) == [
        (asset, i) for asset, n in rows.items() for i in range(n)
    ]
    assert max(map(len, frames)) <= 100
    for asset, n in rows.items():
        holding = sum(asset in set(frame["asset_id"]) for frame in frames)
        assert holding == 1 if n <= 100 else holding <= n // 100 + 2


def test_many_assets_are_read_in_order(store: TelemetryStore) -> None:
    assets = [f"bus-{n}" for n in range(450)]
    store.write(
        [Measurements.at(asset, NOON + i, {"rpm": 1.0}) for asset in assets for i in range(2)],
        [FaultEvent(asset, "F1", NOON) for asset in assets],
    )
    assert list(read(store, assets, ["rpm"])) == [(asset, NOON + i) for asset in sorted(assets) for i in range(2)]
    assert store.read_faults(assets, 0, 2**62)["asset_id"].tolist() == sorted(assets)


def test_it_can_be_read_while_it_is_written(store: TelemetryStore) -> None:
    store.write([Measurements.at("bus-1", NOON, {"rpm": 0.0})], [])
    failures: list[BaseException] = []
    done = threading.Event()

    def write() -> None:
        try:
            for batch in range(15):
                store.write(
                    [Measurements.at(f"bus-{batch}", NOON + i, {"rpm": 1.0, "oil": 2.0}) for i in range(50)], []
                )
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assets = [f"bus-{n}" for n in range(15)]
    while not done.is_set():
        found = read(store, assets, ["rpm", "oil"])
        assert ("bus-1", NOON) in found
    writer.join()
    assert not failures
    assert len(read(store, assets, ["rpm", "oil"])) == 15 * 50


def test_what_was_written_is_there_after_a_restart(make: Make) -> None:
    first = make()
    first.open()
    first.write([Measurements.at("bus-1", NOON, {"rpm": 1.0})], [FaultEvent("bus-1", "F1", NOON, context={"rpm": 2.0})])
    first.close()
    first.close()
    second = make()
    second.open()
    second.write([Measurements.at("bus-1", NOON, {"oil": 3.0}), Measurements.at("bus-2", NOON, {"rpm": 4.0})], [])
    second.close()
    third = make()
    third.open()
    third.open()
    assert read(third, ["bus-1", "bus-2"], ["rpm", "oil"]) == {
        ("bus-1", NOON): {"rpm": 1.0, "oil": 3.0},
        ("bus-2", NOON): {"rpm": 4.0},
    }
    assert len(third.read_faults(["bus-1"], 0, 2**62)) == 1
    third.close()


def test_a_store_that_is_not_open_is_unavailable(make: Make) -> None:
    store = make()
    store.open()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.write([Measurements.at("bus-1", NOON, {"rpm": 1.0})], [])
    with pytest.raises(StoreUnavailable):
        store.read_faults(["bus-1"], 0, 1)


@pytest.mark.parametrize("name", DURABLE)
def test_a_store_that_is_not_there_is_unavailable(name: str, tmp_path: Path) -> None:
    absent: dict[str, Make] = {
        "duckdb": lambda: STORES["duckdb"](tmp_path / "no-such-folder" / "telemetry.duckdb"),
        "influxdb": lambda: STORES["influxdb"](f"http://127.0.0.1:{free_port()}", "o", "b", "t", timeout_s=2),
    }
    store = absent[name]()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.open()
    store.close()


@pytest.mark.slow
def test_reading_twice_as_much_of_one_asset_takes_no_more_memory(make: Make) -> None:
    rows, chunk = 60_000, 3_000
    store = make()
    store.open()
    for first in range(0, rows, 20_000):
        store.write([Measurements.at("bus-1", NOON + i, {"rpm": float(i)}) for i in range(first, first + 20_000)], [])

    def peak(most: int) -> int:
        """Peak bytes while reading ``most`` rows; also that each came once."""
        tracemalloc.start()
        try:
            seen = 0
            for frame in store.read_measurements(["bus-1"], ["rpm"], NOON, NOON + most, chunk_rows=chunk):
                assert len(frame) <= chunk
                assert frame["rpm"].iloc[0] == seen
                seen += len(frame)
            assert seen == most
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(chunk)  # what is loaded on first use is not counted
    assert peak(rows) < 1.3 * peak(rows // 2)
    store.close()
