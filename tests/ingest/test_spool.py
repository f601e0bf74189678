"""The spool keeps what comes while the store is away: in order, on the disk, within its bound, and nothing twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from config.register import Register
from config.settings import Ingest
from ingest.accounting import Accounting
from ingest.message import Message
from ingest.pipeline import Pipeline
from ingest.spool import Spool, SpoolFull
from telemetry.memory import MemoryStore

NOW = 1_790_000_000_000_000_000
HOUR = 3600 * 10**9


def message(n: int, payload: bytes = b"x" * 100) -> Message:
    return Message(f"fleet/bus-1/{n}", payload, len(payload), n % 2 == 1, NOW + n)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite3", 1_000_000)
    spool.open(0)
    yield spool
    spool.close()


def plain(messages: Sequence[Message]) -> list[Message]:
    return [replace(found, spooled=0) for found in messages]


def test_what_went_in_comes_out_whole_and_in_order(spool: Spool) -> None:
    put = [message(n, bytes(range(256)) * (n % 3)) for n in range(10)]
    spool.append(put[:4])
    spool.append(put[4:])
    assert len(spool) == 10
    first = spool.first(3)
    assert plain(first) == put[:3]
    spool.forget(first)
    assert plain(spool.first(100)) == put[3:]
    spool.forget(spool.first(100))
    assert (len(spool), spool.bytes_held, spool.first(5)) == (0, 0, [])


def test_what_waits_is_still_there_after_the_file_was_closed_and_what_is_done_is_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3", 1_000_000)
    spool.open(0)
    spool.append([message(n) for n in range(10)])
    done = spool.first(4)[-1].spooled
    held = spool.bytes_held
    spool.close()
    again = Spool(tmp_path / "spool.sqlite3", 1_000_000)
    again.open(done)  # the account had them, and the crash came before they were removed
    assert len(again) == 6
    assert again.bytes_held < held
    assert plain(again.first(100)) == [message(n) for n in range(4, 10)]
    again.close()


def test_that_all_that_waited_is_done_is_said_also_after_a_crash_before_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path / "spool.sqlite3", 1_000_000)
    spool.open(0)
    spool.append([message(n) for n in range(3)])
    done = spool.first(3)[-1].spooled
    spool.close()
    for _ in range(2):
        spool.open(done)
        assert len(spool) == 0
        spool.close()
    assert caplog.text.count("The spool is empty again") == 1


def test_numbers_never_come_again_even_where_the_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite3"
    spool = Spool(path, 1_000_000)
    spool.open(5000)
    spool.append([message(1)])
    [found] = spool.first(9)
    assert found.spooled > 5000
    spool.forget([found])
    spool.append([message(2)])
    assert spool.first(9)[0].spooled > found.spooled
    spool.close()


def test_its_bound_holds_and_a_batch_that_does_not_fit_leaves_nothing(spool: Spool) -> None:
    batch = [message(0, b"x" * 3000)] * 3
    while spool.bytes_held + 9500 < 1_000_000:
        spool.append(batch)
    with pytest.raises(SpoolFull, match="1 MB of 1 MB allowed"):
        spool.append(batch)
    assert spool.bytes_held <= 1_000_000
    assert len(spool) % 3 == 0
    spool.forget(spool.first(30))
    spool.append([message(0)])  # there is room again


def test_a_batch_out_of_it_is_bounded_in_bytes_but_never_empty(spool: Spool) -> None:
    spool.append([message(n, b"x" * 1000) for n in range(20)])
    assert len(spool.first(100, most_bytes=4500)) == 5
    assert len(spool.first(100, most_bytes=1)) == 1


def test_a_file_that_grew_gives_its_space_back_once_it_is_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.sqlite3", 100_000_000)
    spool.open(0)
    for _ in range(20):
        spool.append([message(n, b"x" * 10_000) for n in range(100)])
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 20_000_000
    while len(spool):
        spool.forget(spool.first(500))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_000_000
    spool.close()


def test_it_is_said_each_time_that_what_waits_has_doubled(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(100):
        spool.append([message(n)])
    said = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [int(record.getMessage().split(":")[1].split()[0]) for record in said] == [1, 2, 4, 8, 16, 32, 64]
    spool.forget(spool.first(1000))
    assert "is empty again" in caplog.records[-1].getMessage()


def test_where_the_disk_refuses_nothing_is_half_in(tmp_path: Path) -> None:
    """In a process of its own whose files may not grow: the kernel's own refusal."""
    script = f"""
import resource, signal, sqlite3, sys
sys.path[:0] = [{str(Path(__file__).parents[2])!r}]
from pathlib import Path
from ingest.message import Message
from ingest.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path({str(tmp_path / "spool.sqlite3")!r}), 10**9)
spool.open(0)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
kept = 0
try:
    while True:
        spool.append([Message("t", b"x" * 5000)] * 7)
        kept += 7
except sqlite3.OperationalError as error:
    print(kept, len(spool), error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept, counted, *why = done.stdout.split()
    assert int(kept) == int(counted) > 0
    assert why
    again = Spool(tmp_path / "spool.sqlite3", 10**9)
    again.open(0)
    assert len(again) == int(kept)  # what was promised is there, and no part of what was not
    again.close()


def body(seq: int, at: int) -> bytes:
    return f'{{"seq": {seq}, "ts": {at // 1_000_000}, "signals": {{"rpm": {seq}}}}}'.encode()


def test_the_account_keeps_how_far_it_came_in_the_transaction_that_counts(
    register: Register, accounting: Accounting, spool: Spool, store: MemoryStore
) -> None:
    pipeline = Pipeline(store, accounting, register, settings=Ingest(), clock=lambda: NOW)
    # Without a number of its own a message that came twice would be counted twice.
    payload = b'{"ts": "2026-09-21T14:00:00Z", "signals": {"rpm": 5}}'
    spool.append([Message("fleet/bus-1/telemetry", payload, len(payload), False, NOW)] * 4)
    first = spool.first(3)
    pipeline.take(first)
    assert pipeline.spool_position() == accounting.spool_position() == first[-1].spooled
    # A crash before ``forget``: the next start asks the account.
    spool.close()
    spool.open(accounting.spool_position())
    assert len(spool) == 1


def test_what_waited_is_judged_as_of_when_it_came(
    register: Register, accounting: Accounting, store: MemoryStore
) -> None:
    pipeline = Pipeline(store, accounting, register, settings=Ingest(), clock=lambda: NOW + 2 * HOUR)
    ahead = NOW + HOUR  # an hour ahead when it came, an hour ago by now
    payload = body(0, ahead)
    pipeline.take([Message("fleet/bus-1/telemetry", payload, len(payload), False, NOW, 1)])
    assert accounting.counters().reasons == {"future": 1}
    assert {status.asset_id: status.heard for status in accounting.status()} == {"bus-1": NOW}


def test_a_broken_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite3").write_bytes(b"no database at all" * 100)
    spool = Spool(tmp_path / "spool.sqlite3", 1000)
    with pytest.raises(sqlite3.DatabaseError):
        spool.open(0)
    spool.close()
