"""The account: exact across repetitions, restarts and crashes; and the bounds of quarantine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from ingest.accounting import Accounting
from ingest.batch import Batch, DayCount, Tally
from ingest.counters import AssetStatus
from ingest.quarantine import Quarantined
from ingest.sequence import Sequence

DAY = 86_400 * 10**9


def quarantined(at: int = 1, payload: bytes = b"x") -> Quarantined:
    return Quarantined(at, "bus-1", "fleet/bus-1/telemetry", "not-json", f"number {at}", len(payload), payload)


def batch(**days: int) -> Batch:
    made = Batch()
    for day, samples in days.items():
        made.days["bus-1", date.fromisoformat(day.removeprefix("d").replace("_", "-"))] = DayCount(samples, 1, 5, 9)
    return made


def test_an_empty_account_is_all_zero(accounting: Accounting) -> None:
    counters = accounting.counters()
    assert counters.as_dict() == dict.fromkeys(counters.as_dict(), 0) | {"reasons": {}}
    assert accounting.status() == []
    assert accounting.arrivals() == []
    assert accounting.quarantined() == []
    assert accounting.sequence("bus-1", "telemetry") == Sequence()


def test_counts_add_up_and_received_is_the_sum_of_what_became_of_them(accounting: Accounting) -> None:
    for _ in range(2):
        bus_1 = Tally(messages=7, stored=5, duplicates=3, quarantined=2, reasons={"future": 2})
        accounting.record(Batch({"bus-1": bus_1, "bus-2": Tally(stored=10)}))
    counters = accounting.counters()
    assert (counters.messages, counters.stored, counters.duplicates, counters.quarantined) == (14, 30, 6, 4)
    assert counters.received == 40
    assert counters.reasons == {"future": 4}


def test_since_tells_what_was_added(accounting: Accounting) -> None:
    added = Batch({"bus-1": Tally(stored=2, reasons={"future": 1})})
    accounting.record(added)
    before = accounting.counters()
    added.of("bus-1").reasons["too-old"] = 4
    accounting.record(added)
    grown = accounting.counters().since(before)
    assert (grown.stored, grown.received, grown.reasons) == (2, 2, {"future": 1, "too-old": 4})


def test_revisions_rise_with_each_batch_that_brings_something_of_a_day(accounting: Accounting) -> None:
    accounting.record(batch(d2026_09_20=3, d2026_09_21=4))
    accounting.record(batch(d2026_09_21=5))
    accounting.record(Batch())
    found = accounting.arrivals()
    assert [(a.day.day, a.revision, a.measurements, a.faults, a.first, a.last) for a in found] == [
        (20, 1, 3, 1, 5, 9),
        (21, 2, 9, 2, 5, 9),
    ]
    assert [a.day.day for a in accounting.arrivals(since_revision=1)] == [21]
    assert accounting.arrivals(since_revision=2) == []


def test_the_first_and_last_time_of_a_day_widen(accounting: Accounting) -> None:
    for first, last in ((50, 60), (55, 70), (40, 45)):
        added = Batch()
        added.days["bus-1", date(2026, 9, 21)] = DayCount(1, 0, first, last)
        accounting.record(added)
    [arrived] = accounting.arrivals()
    assert (arrived.first, arrived.last, arrived.measurements) == (40, 70, 3)


def test_the_state_of_a_link_keeps_the_newest_time_and_the_last_word(accounting: Accounting) -> None:
    for at, online in ((100, None), (None, True), (90, None), (None, None), (120, False)):
        added = Batch()
        added.of("bus-1").hear(at, online)
        accounting.record(added)
    assert accounting.status() == [AssetStatus("bus-1", 120, False, 0, 0, 0, 0, {})]
    added = Batch()
    added.of("bus-1").hear(90, None)  # replayed or out of the spool: it came before
    accounting.record(added)
    assert accounting.status()[0].heard == 120
    added = Batch()
    added.of("bus-2").hear(None, True)  # a retained status says nothing of when it was sent
    accounting.record(added)
    assert accounting.status()[1].heard is None


def test_lost_messages_are_those_missing_in_all_sequences(accounting: Accounting) -> None:
    added = Batch()
    for key, numbers in {
        ("bus-1", "telemetry"): (0, 1, 5),
        ("bus-1", "faults"): (7, 9),
        ("bus-2", "faults"): (1, 4),
    }.items():
        sequence = Sequence()
        for n in numbers:
            sequence.take(n, n + 1)
        added.sequences[key] = sequence
    accounting.record(added)
    assert accounting.counters().lost == 3 + 1 + 2
    assert accounting.sequence("bus-1", "telemetry") == added.sequences["bus-1", "telemetry"]


def test_everything_is_there_after_it_was_closed_and_opened(tmp_path: Path) -> None:
    account = Accounting(tmp_path / "a.sqlite3")
    account.open()
    account.open()
    added = batch(d2026_09_21=4)
    added.of("bus-1").stored = 4
    added.of("bus-1").hear(77, True)
    added.quarantined.append(quarantined())
    sequence = Sequence()
    sequence.take(3, 1)
    added.sequences["bus-1", "telemetry"] = sequence
    account.record(added)
    before = account.counters(), account.arrivals(), account.status(), account.quarantined()
    account.close()
    account.close()
    with pytest.raises(RuntimeError):
        account.counters()
    account.open()
    assert (account.counters(), account.arrivals(), account.status(), account.quarantined()) == before
    assert account.sequence("bus-1", "telemetry") == sequence
    account.close()


@pytest.mark.parametrize("columns", ["at, online", "at, online, data_at, clock"])
def test_the_account_of_an_earlier_version_goes_on_as_it_was(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "a.sqlite3"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("CREATE TABLE counts (asset_id TEXT, name TEXT, n INTEGER, PRIMARY KEY (asset_id, name))")
        old.execute(f"CREATE TABLE heard (asset_id TEXT PRIMARY KEY, {columns})")
        counts = [("", "messages", 1), ("", "reason:bad-topic", 1), ("bus-1", "stored", 40), ("bus-1", "late", 3)]
        old.executemany("INSERT INTO counts VALUES (?, ?, ?)", [*counts, ("bus-1", "reason:future", 2)])
        values = ("bus-1", 77, 1, 70, -7)[: columns.count(",") + 2]
        old.execute(f"INSERT INTO heard VALUES ({', '.join('?' * len(values))})", values)
    account = Accounting(path)
    for _ in range(2):
        account.open()
        found = account.counters()
        assert (found.stored, found.late, found.messages, found.lost) == (40, 3, 1, 0)
        assert found.reasons == {"bad-topic": 1, "future": 2}
        unknown, bus = account.status()
        assert (unknown.asset_id, unknown.heard, unknown.reasons) == ("", None, {"bad-topic": 1})
        assert (bus.asset_id, bus.heard, bus.online, bus.stored, bus.reasons) == ("bus-1", 77, True, 40, {"future": 2})
        assert (bus.data_at, bus.clock) == ((70, -7) if "clock" in columns else (None, None))
        account.close()


def test_a_batch_that_fails_half_way_leaves_nothing(accounting: Accounting) -> None:
    wrong = batch(d2026_09_21=4)
    wrong.of("bus-1").stored = 4
    wrong.quarantined.append(quarantined()._replace(payload=None))  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        accounting.record(wrong)
    assert accounting.counters().stored == 0
    assert accounting.arrivals() == []
    accounting.record(batch(d2026_09_21=4))
    assert accounting.arrivals()[0].measurements == 4


def test_a_number_beyond_what_a_column_holds_is_no_error(accounting: Accounting) -> None:
    added = Batch()
    sequence = Sequence()
    sequence.take(0, 1)
    sequence.take(2**63 - 1, 2)
    added.sequences["bus-1", "telemetry"] = sequence
    accounting.record(added)
    assert accounting.counters().lost == 2**63 - 2
    for n in range(2000):  # gaps are given up in the end
        sequence.take(2 * n + 1, 1)
    accounting.record(added)
    assert accounting.counters().lost > 2**62


def put(accounting: Accounting, *rows: Quarantined) -> None:
    added = Batch()
    added.quarantined.extend(rows)
    accounting.record(added)


def test_quarantine_keeps_the_latest_and_counts_what_it_drops(accounting: Accounting) -> None:
    put(accounting, *[quarantined(at) for at in range(1, 101)])
    assert accounting.trim_quarantine(before=0, max_rows=30) == 70
    assert [row.at for row in accounting.quarantined(1000)] == list(range(100, 70, -1))
    assert accounting.counters().quarantine_dropped == 70
    assert accounting.trim_quarantine(before=0, max_rows=30) == 0


def test_quarantine_drops_what_is_too_old(accounting: Accounting) -> None:
    put(accounting, *[quarantined(at) for at in (5, 50, 500)])
    assert accounting.trim_quarantine(before=50, max_rows=30) == 1
    assert [row.at for row in accounting.quarantined()] == [500, 50]


@pytest.mark.parametrize(("most", "kept"), [(10_000, 10), (4_999, 4), (5_000, 5), (999, 0), (100_000, 10)])
def test_quarantine_keeps_no_more_bytes_than_it_may(accounting: Accounting, most: int, kept: int) -> None:
    put(accounting, *[quarantined(at, bytes(1000)) for at in range(1, 11)])
    accounting.trim_quarantine(before=0, max_rows=30, max_bytes=most)
    assert [row.at for row in accounting.quarantined()] == list(range(10, 10 - kept, -1))


def test_an_account_that_another_process_locks_is_an_error_that_may_pass(tmp_path: Path) -> None:
    account = Accounting(tmp_path / "a.sqlite3")
    account.open()
    with account._reading() as database:
        database.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "a.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        account.record(batch(d2026_09_21=1))
    other.execute("ROLLBACK")
    other.close()
    account.record(batch(d2026_09_21=1))
    assert account.arrivals()[0].revision == 1
    account.close()
