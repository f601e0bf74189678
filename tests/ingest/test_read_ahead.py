"""The next batch is read while the store takes one: nothing is lost, doubled or out of order by it."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from sparkplug_messages import DOUBLE, bd_seq, double, metric, payload, rebirth_control

from config.register import Register
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.decoders.decoder import Request
from ingest.link import Delivery
from ingest.message import Message
from ingest.pipeline import Pipeline
from ingest.read_ahead import ReadAhead
from ingest.window import Window
from telemetry.memory import MemoryStore
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreUnavailable

MS = 1_790_000_000_000
BATCH = 10


class Held(MemoryStore):
    """A store that tells of each write and waits for ``go``; ``trouble`` is told of each, and may raise."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[list[float]] = []
        self.go = threading.Semaphore(0)
        self.trouble: Callable[[int], None] = lambda _: None
        self.at_once = 0

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        self.at_once += 1
        assert self.at_once == 1, "two write at once"
        try:
            self.begun.append([value for measured in measurements for value in measured.values])
            assert self.go.acquire(timeout=10)
            self.trouble(len(self.begun))
            super().write(measurements, faults)
        finally:
            self.at_once -= 1


class Desk:
    """A window, a pipeline into ``store``, and who is told what came to its end."""

    def __init__(self, pipeline: Pipeline, store: Held) -> None:
        self.store = store
        self.window: Window[Delivery] = Window(1000, 10**9)
        self.ahead = ReadAhead(pipeline, self.window, BATCH, 10**9)
        self.held: list[Delivery] = []
        self.ended: list[list[int]] = []
        self.stop = threading.Event()
        self.read: list[int] = []
        take = pipeline.read

        def noted(messages: Sequence[Message], **how: Any) -> Any:
            self.read.append(len(messages))
            return take(messages, **how)

        pipeline.read = noted  # type: ignore[method-assign]

    def arrive(self, numbers: range) -> None:
        for seq in numbers:
            body = json.dumps({"seq": seq, "ts": MS - 10_000 + seq, "signals": {"rpm": seq}}).encode()
            self.window.put(Delivery(Message("fleet/bus-1/telemetry", body, len(body)), seq + 1), len(body))

    def put(self, path: str, content: bytes) -> None:
        kind, _, rest = path.partition("/")
        self.window.put(Delivery(Message(f"spBv1.0/g/{kind}/{rest}", content, len(content)), 1), len(content))

    def run(self) -> None:
        if not self.held:
            self.held = self.window.take(BATCH, wait=0, fill=0)
        self.ahead.run(self.held, self.told, self.stop)

    def told(self, count: int, _: list[Request]) -> None:
        self.ended.append([delivery.packet - 1 for delivery in self.held[:count]])
        del self.held[:count]


@pytest.fixture
def desk(accounting: Accounting, pipeline_on: Callable[..., Pipeline]) -> Any:
    store = Held()
    desk = Desk(pipeline_on(store, accounting), store)
    yield desk
    store.go.release(1000)
    desk.ahead.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_next_batch_is_read_while_the_store_takes_one_and_ends_after_it(desk: Desk, accounting: Accounting) -> None:
    desk.arrive(range(3 * BATCH))
    running = in_thread(desk.run)
    until(lambda: len(desk.read) == 2 and len(desk.store.begun) == 1)
    assert (desk.ended, accounting.counters().stored) == ([], 0)
    assert len(desk.window) == BATCH  # no third one is taken meanwhile
    desk.store.go.release()
    until(lambda: len(desk.read) == 3 and len(desk.store.begun) == 2)
    assert desk.ended == [list(range(BATCH))]
    desk.store.go.release(2)
    running.join(10)
    assert desk.ended == [list(range(first, first + BATCH)) for first in (0, BATCH, 2 * BATCH)]
    assert desk.store.begun == [[float(seq) for seq in told] for told in desk.ended]
    assert (accounting.counters().stored, accounting.counters().lost, desk.held) == (3 * BATCH, 0, [])


def test_a_part_of_a_batch_is_not_taken_ahead_and_what_waits_for_it_ends_with_the_store(desk: Desk) -> None:
    desk.arrive(range(BATCH + 3))
    running = in_thread(desk.run)
    until(lambda: len(desk.store.begun) == 1)
    desk.store.go.release()
    running.join(10)
    assert not running.is_alive()
    assert (desk.read, len(desk.window), desk.held) == ([BATCH], 3, [])


def test_after_a_stop_no_further_batch_is_taken(desk: Desk) -> None:
    desk.arrive(range(3 * BATCH))
    desk.stop.set()
    desk.store.go.release()
    desk.run()
    assert (len(desk.ended), len(desk.window)) == (1, 2 * BATCH)


def test_when_the_program_stops_meanwhile_what_was_read_ahead_is_held_and_not_written(desk: Desk) -> None:
    desk.arrive(range(3 * BATCH))
    running = in_thread(desk.run)
    until(lambda: len(desk.read) == 2 and len(desk.store.begun) == 1)
    desk.stop.set()
    desk.store.go.release(10)
    running.join(10)
    assert (len(desk.store.begun), desk.ended) == (1, [list(range(BATCH))])
    assert [d.packet - 1 for d in desk.held] == list(range(BATCH, 2 * BATCH))


def test_what_is_held_grows_no_further_however_often_it_fails_and_leaves_nothing_behind(
    desk: Desk, accounting: Accounting
) -> None:
    failures: list[weakref.ref[BaseException]] = []

    def away(number: int) -> None:
        if number <= 8:
            failure = StoreUnavailable("away")
            failures.append(weakref.ref(failure))
            try:
                raise failure
            finally:
                del failure  # or this frame and it would hold each other

    desk.store.trouble = away
    desk.store.go.release(20)
    desk.arrive(range(5 * BATCH))
    gc.disable()
    try:
        for _ in range(8):
            with pytest.raises(StoreUnavailable):
                desk.run()
            assert len(desk.held) <= 2 * BATCH
        assert [failure() for failure in failures] == [None] * 8
    finally:
        gc.enable()
    while desk.held or len(desk.window):
        desk.run()
    assert [seq for told in desk.ended for seq in told] == list(range(5 * BATCH))
    assert (accounting.counters().stored, accounting.counters().duplicates) == (5 * BATCH, 0)


def test_another_register_is_in_force_once_nothing_is_read_behind(
    register: Register, accounting: Accounting, pipeline_on: Callable[..., Pipeline]
) -> None:
    store = Held()
    pipeline = pipeline_on(store, accounting)
    desk = Desk(pipeline, store)
    desk.arrive(range(3 * BATCH))
    running = in_thread(desk.run)
    until(lambda: len(desk.read) == 2 and len(desk.store.begun) == 1)
    rest = tuple(asset for asset in register.assets.values() if asset.id != "bus-1")
    pipeline.adopt(Register(tuple(register.sites.values()), tuple(register.asset_types.values()), rest))
    store.go.release(10)
    running.join(10)
    assert (accounting.counters().stored, len(desk.window)) == (2 * BATCH, BATCH)
    desk.run()
    desk.ahead.close()
    counters = accounting.counters()
    assert (counters.stored, counters.reasons) == (2 * BATCH, {"unknown-asset": BATCH})


@pytest.mark.parametrize("fails", [1, 2])
def test_when_the_store_is_away_all_that_was_taken_is_held_and_counts_once_later(
    desk: Desk, accounting: Accounting, fails: int
) -> None:
    def away(number: int) -> None:
        if number == fails:
            raise StoreUnavailable("away")

    desk.store.trouble = away
    desk.store.go.release(10)
    desk.arrive(range(3 * BATCH))
    with pytest.raises(StoreUnavailable):
        desk.run()
    assert [d.packet - 1 for d in desk.held] == list(range((fails - 1) * BATCH, (fails + 1) * BATCH))
    assert accounting.counters().stored == (fails - 1) * BATCH
    assert desk.store.at_once == 0
    desk.run()  # what is held first, and the rest behind it
    if len(desk.window):
        desk.run()
    assert [seq for told in desk.ended for seq in told] == list(range(3 * BATCH))
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.lost) == (3 * BATCH, 0, 0)


def test_when_the_account_fails_nobody_writes_any_more_and_nothing_counts_twice(
    desk: Desk, accounting: Accounting, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, calls = accounting.record, []

    def full(batch: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("a defect")
        record(batch)

    monkeypatch.setattr(accounting, "record", full)
    desk.store.go.release()
    desk.arrive(range(2 * BATCH))
    raised: list[BaseException] = []

    def run() -> None:
        try:
            desk.run()
        except OSError as error:
            raised.append(error)

    running = in_thread(run)
    until(lambda: bool(calls))
    running.join(0.1)
    assert running.is_alive()  # until the write of the batch behind has ended
    desk.store.go.release(10)
    running.join(10)
    assert [str(error) for error in raised] == ["a defect"]
    assert (desk.store.at_once, len(desk.held)) == (0, 2 * BATCH)
    desk.run()
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.lost) == (2 * BATCH, 0, 0)


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_what_a_session_said_in_the_batch_ahead_is_known_and_forgotten_where_that_comes_again(
    register: Register, accounting: Accounting, fails: int
) -> None:
    def away(number: int) -> None:
        if number == fails:
            raise StoreUnavailable("away")

    store = Held()
    store.trouble = away
    store.go.release(10)
    mqtt = Mqtt(decoders={"spBv1.0": "sparkplug"})
    desk = Desk(Pipeline(store, accounting, register, settings=Ingest(), mqtt=mqtt, clock=lambda: MS * 10**6), store)
    alias = metric(double(0), name="rpm", alias=5, datatype=DOUBLE)
    desk.put("NBIRTH/n", payload([bd_seq(4), rebirth_control()], seq=0, ts=MS - 9000))
    desk.put("DBIRTH/n/bus-1", payload([alias], seq=1, ts=MS - 8000))
    for number in range(1, 3 * BATCH - 1):
        desk.put("DDATA/n/bus-1", payload([metric(double(number), alias=5)], seq=1 + number, ts=MS - 7000 + number))
    for _ in range(4):
        with suppress(StoreUnavailable):
            desk.run()
        if not desk.held and not len(desk.window):
            break
    desk.ahead.close()
    counters = accounting.counters()
    assert (counters.messages, counters.stored, counters.duplicates) == (3 * BATCH, 3 * BATCH - 1, 0)
    assert (counters.lost, counters.quarantined) == (0, 0)
