"""Outages with a real broker and real processes: what was acknowledged to a gateway is stored, and counts once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ingesting import ingesting
from mosquitto_server import Gateway, running_mosquitto, until

from config.register import Register
from fleetdx.servers.mosquitto import MosquittoServer
from ingest.accounting import Accounting
from ingest.spool import Spool
from telemetry.memory import MemoryStore
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected, StoreUnavailable, TelemetryStore


@pytest.fixture(params=["paho", "mqtt5"])
def client(request: pytest.FixtureRequest) -> str:
    """Whose code speaks MQTT: what is promised is promised by both."""
    return str(request.param)


class Troubled(MemoryStore):
    """A real store that fails while ``trouble`` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Callable[[Sequence[Measurements]], None] = lambda _: None
        self.calls = 0

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        self.calls += 1
        self.trouble(measurements)
        super().write(measurements, faults)


def body(seq: int) -> bytes:
    return json.dumps({"seq": seq, "ts": time.time_ns() // 1_000_000 - 10**6 + seq, "signals": {"rpm": seq}}).encode()


def values(store: TelemetryStore) -> list[float]:
    return [v for frame in store.read_measurements(["bus-1"], ["rpm"], 0, 2**62) for v in frame["rpm"]]


def test_a_broker_that_restarts_in_the_middle_loses_nothing(
    client: str, tmp_path: Path, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store, total = MemoryStore(), 400
    with (
        running_mosquitto(tmp_path / "broker") as broker,
        ingesting(broker.port, topic_prefix, register, accounting, store, client=client) as thread,
    ):
        gateway = Gateway(broker.port)
        for seq in range(total):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
            time.sleep(0.002)
            if seq in (100, 250):
                broker.stop()
                until(lambda: "broker" in thread.subscriber.problem)
                broker.start()
        gateway.finish()
        until(lambda: accounting.counters().stored >= total)
        assert thread.subscriber.problem == ""
    assert sorted(values(store)) == [float(seq) for seq in range(total)]
    counters = accounting.counters()
    assert (counters.stored, counters.lost, counters.quarantined) == (total, 0, 0)


def test_while_the_store_is_away_nothing_is_acknowledged_and_afterwards_nothing_is_lost(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store = Troubled()

    def away(_: Sequence[Measurements]) -> None:
        raise StoreUnavailable("the server is away")

    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client) as thread:
        store.trouble = away
        gateway = Gateway(mosquitto.port)
        for seq in range(60):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: store.calls >= 2)
        assert thread.subscriber.problem == "the server is away"
        assert accounting.counters().stored == 0
    # Nothing was acknowledged: to the next process the broker gives all of it.
    store.trouble = lambda _: None
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client) as thread:
        until(lambda: accounting.counters().stored == 60)
        assert thread.subscriber.problem == ""
    # And that was acknowledged: to the next one nothing, or it would count as duplicates.
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client):
        time.sleep(0.3)
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.lost) == (60, 0, 0)
    assert sorted(values(store)) == [float(seq) for seq in range(60)]


def test_while_the_store_is_away_what_comes_is_kept_on_disk_acknowledged_and_later_stored_in_order(
    client: str,
    mosquitto: MosquittoServer,
    topic_prefix: str,
    register: Register,
    accounting: Accounting,
    tmp_path: Path,
) -> None:
    store, written = Troubled(), list[float]()

    def away(_: Sequence[Measurements]) -> None:
        raise StoreUnavailable("the server is away")

    def back(measurements: Sequence[Measurements]) -> None:
        written.extend(value for measured in measurements for value in measured.values)

    path = tmp_path / "spool.sqlite3"
    parts = (mosquitto.port, topic_prefix, register, accounting, store)
    with ingesting(*parts, client=client, spool=Spool(path, 10**7)) as thread:
        store.trouble = away
        gateway = Gateway(mosquitto.port)
        for seq in range(200):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: thread.subscriber.spooled == 200)
        assert thread.subscriber.problem == "the server is away"
        assert accounting.counters().stored == 0
    # It was acknowledged, so the next process has it from the disk alone; what comes meanwhile goes behind it.
    with ingesting(*parts, client=client, spool=Spool(path, 10**7)) as thread:
        until(lambda: thread.subscriber.spooled >= 200)
        gateway = Gateway(mosquitto.port)
        for seq in range(200, 300):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: thread.subscriber.spooled >= 300)
        store.trouble = back
        until(lambda: accounting.counters().stored == 300)
        until(lambda: thread.subscriber.spooled == 0)
        assert thread.subscriber.problem == ""
    assert written == [float(seq) for seq in range(300)]
    counters = accounting.counters()
    assert (counters.duplicates, counters.lost, counters.quarantined) == (0, 0, 0)


def test_a_full_spool_leaves_the_rest_to_the_broker_and_loses_nothing(
    client: str,
    mosquitto: MosquittoServer,
    topic_prefix: str,
    register: Register,
    accounting: Accounting,
    tmp_path: Path,
) -> None:
    store = Troubled()

    def away(_: Sequence[Measurements]) -> None:
        raise StoreUnavailable("the server is away")

    spool = Spool(tmp_path / "spool.sqlite3", 20_000)  # about a hundred of the four hundred
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client, spool=spool) as thread:
        store.trouble = away
        gateway = Gateway(mosquitto.port)
        for seq in range(400):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: "takes no more" in thread.subscriber.problem)
        assert 20 < thread.subscriber.spooled < 200
        assert spool.bytes_held <= 20_000
        store.trouble = lambda _: None
        until(lambda: accounting.counters().stored == 400)
        assert thread.subscriber.problem == ""
    assert sorted(values(store)) == [float(seq) for seq in range(400)]
    counters = accounting.counters()
    assert (counters.duplicates, counters.lost, counters.quarantined) == (0, 0, 0)


def test_a_store_that_comes_back_is_used_again_without_a_restart(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store = Troubled()

    def away_at_first(_: Sequence[Measurements]) -> None:
        if store.calls <= 2:
            raise StoreUnavailable("the server is away")

    store.trouble = away_at_first
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client):
        gateway = Gateway(mosquitto.port)
        for seq in range(30):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: accounting.counters().stored == 30)
    assert store.calls > 2
    assert accounting.counters().duplicates == 0


def test_a_store_that_takes_nothing_at_all_ends_the_subscriber_and_keeps_the_messages(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store = Troubled()

    def refuse(_: Sequence[Measurements]) -> None:
        raise StoreRejected("no such bucket", stops_the_line=True)

    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client) as thread:
        store.trouble = refuse
        gateway = Gateway(mosquitto.port)
        gateway.send(f"{topic_prefix}/bus-1/telemetry", body(0))
        gateway.finish()
        until(lambda: not thread.is_alive())
        assert isinstance(thread.failure, StoreRejected)
        assert thread.subscriber.problem == "no such bucket"
    store.trouble = lambda _: None
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client):
        until(lambda: accounting.counters().stored == 1)


def test_a_defect_of_ours_costs_the_message_that_meets_it_and_no_other(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    store = Troubled()

    def stumble(measurements: Sequence[Measurements]) -> None:
        if any(13 in measured.values for measured in measurements):
            raise ZeroDivisionError("division by zero")

    store.trouble = stumble
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, client=client) as thread:
        gateway = Gateway(mosquitto.port)
        for seq in range(40):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: accounting.counters().received == 40)
        assert thread.is_alive()
    [kept] = accounting.quarantined()
    assert (kept.reason, json.loads(kept.payload)["seq"]) == ("internal-error", 13)
    assert sorted(values(store)) == [float(seq) for seq in range(40) if seq != 13]


def test_two_of_the_same_client_id_do_not_make_a_third_of_the_messages(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, register: Register, tmp_path: Path
) -> None:
    """An operator starts a second program by mistake: they take the session from each other, and nothing is lost."""
    store, accounts = MemoryStore(), [Accounting(tmp_path / f"{n}.sqlite3") for n in range(2)]
    for account in accounts:
        account.open()
    with (
        ingesting(mosquitto.port, topic_prefix, register, accounts[0], store, client=client),
        ingesting(mosquitto.port, topic_prefix, register, accounts[1], store, client=client),
    ):
        gateway = Gateway(mosquitto.port)
        for seq in range(50):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
        gateway.finish()
        until(lambda: len(values(store)) == 50)
    for account in accounts:
        account.close()


@pytest.mark.faults
@pytest.mark.parametrize("durable", [True, False])
def test_what_a_broker_that_is_killed_loses_is_counted(
    client: str, tmp_path: Path, topic_prefix: str, register: Register, accounting: Accounting, durable: bool
) -> None:
    """What mosquitto acknowledged and had not yet written goes with it, and the gateways' numbering tells."""
    store, total = MemoryStore(), 2000
    with (
        running_mosquitto(tmp_path / "broker", durable=durable) as broker,
        ingesting(broker.port, topic_prefix, register, accounting, store, client=client),
    ):
        gateway = Gateway(broker.port)
        for seq in range(total):
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(seq))
            time.sleep(0.001)
            if seq in (400, 800, 1200):
                broker.kill()
                time.sleep(0.3)
                broker.start()

        def everything_is_accounted_for() -> bool:
            """Equipment goes on publishing: what was lost last shows by the number of what follows it."""
            nonlocal total
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body(total))
            total += 1
            time.sleep(0.5)
            return accounting.counters().stored + accounting.counters().lost == total

        until(everything_is_accounted_for, within=90)
        gateway.finish()
    counters = accounting.counters()
    assert len(values(store)) == len(set(values(store))) == counters.stored
    assert len(set(range(total)) - {int(value) for value in values(store)}) == counters.lost
    print(f"\n3 kills of a {'durable' if durable else 'fast'} broker: {counters}")
    if durable:
        assert counters.lost <= 100  # its answer is on its way a moment before its state is on the disk


def test_a_poison_in_the_spool_and_a_store_that_goes_away_beside_it_count_nothing_twice(
    mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting, tmp_path: Path
) -> None:
    store, written = Troubled(), list[int]()

    def away(_: Sequence[Measurements]) -> None:
        raise StoreUnavailable("the server is away")

    def stumble(measurements: Sequence[Measurements]) -> None:
        if any(13 in measured.values for measured in measurements):
            raise ZeroDivisionError("division by zero")
        written.append(len(measurements))
        if len(written) == 5:  # in the middle of taking them one by one
            raise StoreUnavailable("the server is away again")

    with ingesting(
        mosquitto.port, topic_prefix, register, accounting, store, client="mqtt5", spool=Spool(tmp_path / "s", 10**7)
    ) as thread:
        store.trouble = away
        gateway = Gateway(mosquitto.port)
        for number in range(20):  # not numbered: a repetition would count
            content = {"ts": time.time_ns() // 1_000_000 - 10**6 + number, "signals": {"rpm": number}}
            gateway.send(f"{topic_prefix}/bus-1/telemetry", json.dumps(content).encode())
        gateway.finish()
        until(lambda: thread.subscriber.spooled == 20)
        store.trouble = stumble
        until(lambda: thread.subscriber.spooled == 0)
    counters = accounting.counters()
    assert (counters.received, counters.stored, counters.quarantined) == (20, 19, 1)
    assert sorted(values(store)) == [float(number) for number in range(20) if number != 13]
