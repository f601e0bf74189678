"""From bytes to stored, duplicate or quarantined: every message ends as one of them, and counts once."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from config.register import Asset, Register
from ingest.accounting import Accounting
from ingest.batch import Batch
from ingest.decoders.decoder import Decoded, Sample
from ingest.pipeline import Message, Pipeline, Report
from telemetry.duckdb import DuckDBStore
from telemetry.memory import MemoryStore
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected, StoreUnavailable, TelemetryStore

NOW = 1_790_000_000_000_000_000
MS = NOW // 1_000_000
Make = Callable[..., Pipeline]


@pytest.fixture(params=["memory", "duckdb"])
def real_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelemetryStore]:
    store = MemoryStore() if request.param == "memory" else DuckDBStore(tmp_path / "telemetry.duckdb")
    store.open()
    yield store
    store.close()


def message(kind: str, asset: str = "bus-1", **body: Any) -> Message:
    return Message(f"fleet/{asset}/{kind}", json.dumps(body).encode())


def telemetry(seq: int, asset: str = "bus-1", samples: int = 2) -> Message:
    content = [
        {"ts": MS - 10_000 + 100 * seq + i, "signals": {"rpm": 1000 + seq, "oil_temp": i}} for i in range(samples)
    ]
    return message("telemetry", asset, seq=seq, samples=content)


def stored(store: TelemetryStore) -> list[tuple[str, int]]:
    frames = store.read_measurements(["bus-1", "bus-2", "bus-3"], ["rpm", "oil_temp"], 0, 2**62)
    return [key for frame in frames for key in zip(frame["asset_id"], frame["time"], strict=True)]


def test_a_batch_is_stored_counted_and_noted_by_day(
    real_store: TelemetryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(real_store, accounting)
    fault = message("faults", seq=0, ts=MS - 1, code="F1", severity="major", context={"speed": 62})
    pipeline.take([telemetry(0), telemetry(0, "bus-2"), fault, message("status", online=True)])
    assert stored(real_store) == [(a, NOW - 10_000_000_000 + i * 1_000_000) for a in ("bus-1", "bus-2") for i in (0, 1)]
    assert real_store.read_faults(["bus-1"], 0, 2**62)["code"].tolist() == ["F1"]
    counters = accounting.counters()
    assert (counters.messages, counters.received, counters.stored, counters.lost) == (4, 5, 5, 0)
    assert (counters.duplicates, counters.quarantined, counters.flagged_values, counters.reasons) == (0, 0, 0, {})
    days = [(a.asset_id, a.day, a.measurements, a.faults) for a in accounting.arrivals()]
    assert days == [("bus-1", date(2026, 9, 21), 2, 1), ("bus-2", date(2026, 9, 21), 2, 0)]
    assert accounting.status()[0].online is True
    assert accounting.status()[0].heard == NOW


def test_a_quarantine_that_cannot_be_trimmed_now_makes_nothing_count_twice(
    accounting: Accounting, pipeline_on: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trim, tried = accounting.trim_quarantine, []

    def full(**bounds: int) -> int:
        tried.append(1)
        if len(tried) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        return trim(**bounds)

    monkeypatch.setattr(accounting, "trim_quarantine", full)
    pipeline = pipeline_on(MemoryStore(), accounting)
    pipeline.take([telemetry(0), Message("fleet/bus-1/telemetry", b"?")])
    pipeline.take([Message("fleet/bus-1/telemetry", b"?")])
    counters = accounting.counters()
    assert (counters.stored, counters.quarantined, counters.messages, len(tried)) == (2, 2, 3, 2)


def test_late_samples_and_clocks_ahead_are_counted_and_a_day_knows_its_first_and_last(
    real_store: TelemetryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    def taken(seq: int, *minutes: float, retained: bool = False) -> Message:
        samples = [{"ts": MS + int(ago * 60_000), "signals": {"rpm": 1}} for ago in minutes]
        body = samples[0] if len(samples) == 1 else {"samples": samples}
        return replace(message("telemetry", seq=seq, **body), retained=retained)

    pipeline = pipeline_on(real_store, accounting, late_after_minutes=30)
    pipeline.take([taken(0, -31), taken(1, -29), taken(2, -40, -35, -1), taken(3, 0.05), taken(4, -32, retained=True)])
    counters = accounting.counters()
    assert (counters.stored, counters.late, counters.ahead, counters.quarantined) == (7, 3, 1, 0)
    [day] = accounting.arrivals()
    assert (day.measurements, day.first, day.last) == (7, NOW - 40 * 60 * 10**9, NOW + 3 * 10**9)
    pipeline.take([taken(5, -50, 0.5)])
    [day] = accounting.arrivals()
    assert (day.first, day.last) == (NOW - 50 * 60 * 10**9, NOW + 30 * 10**9)


def test_a_message_that_comes_again_is_a_duplicate(
    real_store: TelemetryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(real_store, accounting)
    for batch in ([telemetry(0), telemetry(1), telemetry(0)], [telemetry(1)], [telemetry(2), telemetry(2)]):
        pipeline.take(batch)
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.messages) == (6, 6, 6)
    assert len(stored(real_store)) == 6
    assert [day.measurements for day in accounting.arrivals()] == [6]


def test_a_message_without_a_number_is_stored_once_and_counted_each_time(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(store, accounting)
    for _ in range(2):
        pipeline.take([message("telemetry", ts=MS, signals={"rpm": 1})])
    assert accounting.counters().stored == 2
    assert stored(store) == [("bus-1", NOW)]


REFUSED: list[tuple[str, Message, str, str]] = [
    ("not UTF-8", Message("fleet/bus-1/telemetry", b"\xff\xfe"), "not-utf8", "payload"),
    ("not JSON", Message("fleet/bus-1/telemetry", b"rpm=1"), "not-json", "payload"),
    ("too large", Message("fleet/bus-1/telemetry", b"x" * 10, 5_000_000), "too-large", "payload"),
    ("NaN", Message("fleet/bus-1/telemetry", b'{"ts":%d,"signals":{"rpm":NaN}}' % MS), "not-finite", "signals.rpm"),
    ("future", message("telemetry", ts=MS + 400_000, signals={"rpm": 1}), "future", "ts"),
    ("too old", message("telemetry", ts=MS - 401 * 86_400_000, signals={"rpm": 1}), "too-old", "ts"),
    ("unknown asset", message("telemetry", "bus-9", ts=MS, signals={"rpm": 1}), "unknown-asset", "topic"),
    ("unknown signal", message("telemetry", ts=MS, signals={"rpn": 1}), "unknown-signal", "signals.rpn"),
    ("out of range", message("telemetry", ts=MS, signals={"rpm": 5001}), "out-of-range", "signals.rpm"),
    ("another asset", message("telemetry", asset_id="bus-2", ts=MS, signals={"rpm": 1}), "other-asset", "asset_id"),
    ("unknown code", message("faults", ts=MS, code="F9"), "unknown-code", "code"),
    ("status of text", message("status", online="yes"), "wrong-type", "online"),
    ("no kind", Message("fleet/bus-1", b"{}"), "bad-topic", "topic"),
    ("unknown kind", Message("fleet/bus-1/events", b"{}"), "bad-topic", "topic"),
    ("too many parts", Message("fleet/madrid/bus-1/telemetry", b"{}"), "bad-topic", "topic"),
    ("another prefix", Message("fleets/bus-1/telemetry", b"{}"), "bad-topic", "topic"),
    ("no asset", Message("fleet//telemetry", b'{"ts":%d,"signals":{"rpm":1}}' % MS), "unknown-asset", "topic"),
    ("hostile topic", Message("fleet/\x1b[2J\n\ud800/telemetry", b"{}"), "unknown-asset", "topic"),
]


@pytest.mark.parametrize(("bad", "reason", "field"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_refused_is_kept_with_its_reason_and_its_neighbours_are_stored(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make, bad: Message, reason: str, field: str
) -> None:
    pipeline_on(store, accounting).take([telemetry(0), bad, telemetry(1)])
    assert len(stored(store)) == 4
    [kept] = accounting.quarantined()
    assert (kept.at, kept.reason, kept.payload) == (NOW, reason, bad.payload)
    assert kept.detail.startswith(f"{field}: ")
    assert kept.size == max(bad.size, len(bad.payload))
    assert kept.topic.isprintable()
    assert kept.detail.isprintable()
    counters = accounting.counters()
    assert (counters.stored, counters.quarantined, counters.reasons, counters.messages) == (4, 1, {reason: 1}, 3)


def test_the_wrong_value_of_a_sample_is_flagged_and_the_rest_is_stored(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline_on(store, accounting).take([message("telemetry", ts=MS, seq=0, signals={"rpm": "fast", "oil_temp": 88})])
    counters = accounting.counters()
    assert (counters.stored, counters.quarantined, counters.flagged_values) == (1, 0, 1)
    assert counters.reasons == {"wrong-type": 1}
    assert accounting.quarantined()[0].detail == "signals.rpm: expected number, got string [wrong-type]"
    frame = next(store.read_measurements(["bus-1"], ["rpm", "oil_temp"], 0, 2**62))
    assert frame["oil_temp"].tolist() == [88.0]
    assert frame["rpm"].isna().all()


def test_samples_refused_and_values_flagged_are_counted_apart(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    samples = [
        {"ts": MS, "signals": {"rpm": 1, "oil_temp": 2}},
        {"ts": MS + 1, "signals": {"rpm": -1, "oil_temp": 2}},
        {"ts": MS + 2, "signals": {"rpm": -1, "oil": 2}},
        {"ts": MS + 10**9, "signals": {"rpm": 1}},
        {"ts": "?", "signals": {"rpm": 1}},
    ]
    pipeline_on(store, accounting).take([message("telemetry", seq=0, samples=samples)])
    counters = accounting.counters()
    assert (counters.received, counters.stored, counters.quarantined, counters.flagged_values) == (5, 2, 3, 2)
    assert counters.reasons == {"bad-time": 1, "future": 1, "out-of-range": 2, "unknown-signal": 1}


def test_a_retained_status_tells_the_state_and_not_when_it_was_sent(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(store, accounting)
    pipeline.take([Message("fleet/bus-1/status", b'{"online": true}', retained=True)])
    assert (accounting.status()[0].online, accounting.status()[0].heard) == (True, None)
    pipeline.take([Message("fleet/bus-1/status", b"", retained=True)])  # how a retained message is cleared
    assert accounting.counters().quarantined == 0
    assert accounting.status()[0].online is True


class Troubled(MemoryStore):
    """A real store that does what ``trouble`` says before or after it has written."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[Sequence[Measurements]], None] = lambda _: None
        self.after: Callable[[], None] = lambda: None
        self.calls = 0

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        self.calls += 1
        self.before(measurements)
        super().write(measurements, faults)
        self.after()


def fails(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_while_the_store_is_away_nothing_is_counted_and_afterwards_everything_once(
    accounting: Accounting, pipeline_on: Make
) -> None:
    store = Troubled()
    pipeline = pipeline_on(store, accounting)
    batch = [telemetry(0), Message("fleet/bus-1/telemetry", b"?"), telemetry(1)]
    for trouble in ("before", "after"):  # a write that timed out may have been done
        setattr(store, trouble, fails(StoreUnavailable("away")))
        with pytest.raises(StoreUnavailable):
            pipeline.take(batch)
        assert accounting.counters().messages == 0
        assert accounting.quarantined() == []
    store.before = store.after = lambda *_: None
    pipeline.take(batch)
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.quarantined, counters.messages) == (4, 0, 1, 3)


def test_a_store_that_takes_nothing_at_all_stops_the_line(accounting: Accounting, pipeline_on: Make) -> None:
    store = Troubled()
    store.before = fails(StoreRejected("no such bucket", stops_the_line=True))
    with pytest.raises(StoreRejected):
        pipeline_on(store, accounting).take([telemetry(n) for n in range(8)])
    assert store.calls == 1
    assert accounting.counters().messages == 0


def test_what_the_store_refuses_is_found_and_the_rest_is_stored(accounting: Accounting, pipeline_on: Make) -> None:
    store = Troubled()

    def refuse(measurements: Sequence[Measurements]) -> None:
        if any(value in (1003.0, 1011.0) for m in measurements for value in m.values):
            raise StoreRejected("field type conflict")

    store.before = refuse
    pipeline_on(store, accounting).take([telemetry(n) for n in range(16)])
    counters = accounting.counters()
    assert (counters.stored, counters.quarantined, counters.reasons) == (28, 4, {"store-refused": 2})
    assert len(stored(store)) == 28
    for kept in accounting.quarantined():
        assert kept.detail == "payload: field type conflict [store-refused]"
        assert json.loads(kept.payload)["seq"] in (3, 11)
    assert store.calls < 20
    assert [day.measurements for day in accounting.arrivals()] == [28]


class Account(Accounting):
    """An account whose next ``failures`` commits fail as a full disk makes them."""

    failures = 0

    def record(self, batch: Batch) -> None:
        if self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        super().record(batch)


def test_an_account_that_cannot_be_written_counts_once_when_it_can(
    real_store: TelemetryStore, tmp_path: Path, pipeline_on: Make
) -> None:
    account = Account(tmp_path / "account.sqlite3")
    account.open()
    pipeline = pipeline_on(real_store, account)
    pipeline.take([telemetry(0)])
    account.failures = 2
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            pipeline.take([telemetry(1), telemetry(2), telemetry(1)])
    pipeline.take([telemetry(1), telemetry(2), telemetry(1)])
    counters = account.counters()
    assert (counters.stored, counters.duplicates, counters.lost) == (6, 2, 0)
    assert len(stored(real_store)) == 6
    account.close()


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("moment", ["before the store", "after the store", "after the account"])
def test_a_crash_at_any_moment_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, pipeline_on: Make, moment: str
) -> None:
    """Each round opens the files anew, as the next process does, and the broker brings what was not acknowledged."""

    class CrashingStore(DuckDBStore):
        def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
            if crash and moment == "before the store":
                raise Crash
            super().write(measurements, faults)
            if crash and moment == "after the store":
                raise Crash

    class CrashingAccount(Accounting):
        def record(self, batch: Batch) -> None:
            super().record(batch)
            if crash and moment == "after the account":
                raise Crash

    messages = [telemetry(n) for n in range(16)]
    acknowledged, redelivered = 0, 0
    for round_number in range(100):
        crash = round_number % 3 == 1
        store, account = CrashingStore(tmp_path / "t.duckdb"), CrashingAccount(tmp_path / "a.sqlite3")
        store.open()
        account.open()
        try:
            pipeline_on(store, account).take(messages[acknowledged : acknowledged + 4])
            acknowledged += 4
        except Crash:
            redelivered += 8 if moment == "after the account" else 0
        counters = account.counters()
        done, kept = acknowledged >= len(messages), len(stored(store))
        account.close()
        store.close()
        if done:
            break
    assert kept == 32
    assert (counters.stored, counters.duplicates, counters.lost) == (32, redelivered, 0)


def test_a_sample_counts_to_the_day_at_its_assets_site(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    at = int(datetime(2026, 9, 20, 21, 59, 59, tzinfo=UTC).timestamp()) * 1000
    for asset in ("bus-1", "bus-3"):
        samples = [{"ts": at + 1000 * i, "signals": {"rpm": 1}} for i in range(3)]
        pipeline_on(store, accounting).take([message("telemetry", asset, seq=0, samples=samples)])
    days = [(day.asset_id, day.day.day, day.measurements) for day in accounting.arrivals()]
    assert days == [("bus-1", 20, 1), ("bus-1", 21, 2), ("bus-3", 21, 3)]  # Madrid +2 h, Auckland +12 h


def test_a_day_rises_in_revision_for_what_is_new_and_not_for_what_repeats(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(store, accounting)
    pipeline.take([telemetry(0)])
    pipeline.take([telemetry(0), Message("fleet/bus-1/telemetry", b"?"), message("status", online=True)])
    assert [day.revision for day in accounting.arrivals()] == [1]
    pipeline.take([telemetry(1)])
    assert [day.revision for day in accounting.arrivals()] == [2]


def test_quarantine_is_bounded_while_bad_messages_keep_coming(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline = pipeline_on(store, accounting, quarantine_max_rows=100)
    for first in range(0, 2400, 100):
        pipeline.take([Message("fleet/bus-1/telemetry", b"%d?" % (first + n)) for n in range(100)])
        assert len(accounting.quarantined(10_000)) <= 100 + 500
    counters = accounting.counters()
    assert counters.quarantined == 2400
    assert counters.quarantine_dropped == 2400 - len(accounting.quarantined(10_000))
    assert accounting.quarantined(1)[0].payload == b"2399?"


def test_of_a_large_payload_quarantine_keeps_the_beginning(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline_on(store, accounting).take([Message("fleet/bus-1/telemetry", b"x" * 200_000)])
    [kept] = accounting.quarantined()
    assert (len(kept.payload), kept.size) == (65_536, 200_000)


def test_a_changed_register_is_in_force_from_the_next_batch_on(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make, register: Register
) -> None:
    pipeline = pipeline_on(store, accounting)
    newcomer = message("telemetry", "bus-9", ts=MS, seq=0, signals={"rpm": 1})
    pipeline.take([newcomer])
    assert accounting.counters().quarantined == 1
    assets = (*register.assets.values(), Asset(id="bus-9", asset_type="bus", site="madrid"))
    pipeline.adopt(Register(tuple(register.sites.values()), tuple(register.asset_types.values()), assets))
    pipeline.take([newcomer])
    assert accounting.counters().stored == 1


def test_an_imported_history_may_be_older_than_a_live_sample(
    store: MemoryStore, accounting: Accounting, register: Register, pipeline_on: Make
) -> None:
    old = Report("bus-1", "telemetry", Decoded(0, samples=[Sample(10**18, {"rpm": 1.0})]))
    pipeline_on(store, accounting, max_age_days=20_000).take_reports([old])
    pipeline_on(store, accounting).take_reports([old._replace(asset_id="bus-2")])
    assert (accounting.counters().stored, accounting.counters().reasons) == (1, {"too-old": 1})


def test_a_message_that_a_defect_of_ours_meets_is_kept_in_quarantine(
    store: MemoryStore, accounting: Accounting, pipeline_on: Make
) -> None:
    pipeline_on(store, accounting).refuse(telemetry(0), "ZeroDivisionError: division by zero")
    [kept] = accounting.quarantined()
    assert (kept.reason, kept.payload) == ("internal-error", telemetry(0).payload)


def test_a_day_of_random_traffic_adds_up(tmp_path: Path, real_store: TelemetryStore, pipeline_on: Make) -> None:
    """Repetitions, noise, disorder and restarts of ours: the store, the account and what was sent agree."""
    rng = random.Random(5)
    sent = [telemetry(n, asset, 1 + n % 3) for asset in ("bus-1", "bus-2", "bus-3") for n in range(120)]
    lost = set(rng.sample(range(len(sent)), 20)) - {0, 119, 120, 239, 240, 359}
    arriving = [m for n, m in enumerate(sent) if n not in lost]
    samples = sum(len(json.loads(m.payload)["samples"]) for m in arriving)
    repeated = rng.choices(arriving, k=70)
    noise = [Message("fleet/bus-1/telemetry", m.payload[: rng.randrange(len(m.payload) - 1)]) for m in arriving[:50]]
    traffic = arriving + repeated + noise
    rng.shuffle(traffic)
    while traffic:
        account = Accounting(tmp_path / "account.sqlite3")
        account.open()
        pipeline = pipeline_on(real_store, account)
        for _ in range(4):
            pipeline.take(traffic[:13])
            del traffic[:13]
        account.close()
    account.open()
    counters = account.counters()
    assert len(stored(real_store)) == counters.stored == samples
    assert counters.duplicates == sum(len(json.loads(m.payload)["samples"]) for m in repeated)
    assert counters.quarantined == len(account.quarantined(1000)) == 50
    assert counters.lost == len(lost)
    assert counters.messages == len(arriving) + 70 + 50
    assert sum(day.measurements for day in account.arrivals()) == samples
    account.close()
