"""What became of every message: counted exactly, also across crashes.

One SQLite file. A batch is accounted in one transaction after the store has committed it and before the broker is
told; so a crash in between brings the batch again, and it counts once. The unit is the *sample*: the measurements
of one instant, or one fault event.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

from ingest import counters, quarantine
from ingest.batch import COUNTS, Batch, Tally
from ingest.counters import UNKNOWN_ASSET, AssetStatus, Counters
from ingest.quarantine import Quarantined, Selection
from ingest.sequence import Sequence

_TABLES = f"""
CREATE TABLE IF NOT EXISTS sequences (
    asset_id TEXT NOT NULL, kind TEXT NOT NULL, latest INTEGER NOT NULL, given_up INTEGER NOT NULL,
    epochs TEXT NOT NULL, PRIMARY KEY (asset_id, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assets (
    asset_id TEXT PRIMARY KEY, at INTEGER, online INTEGER, data_at INTEGER, clock INTEGER,
    {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)}
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reasons (
    asset_id TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (asset_id, reason)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrivals (
    asset_id TEXT NOT NULL, day TEXT NOT NULL, revision INTEGER NOT NULL, measurements INTEGER NOT NULL,
    faults INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (asset_id, day)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS arrivals_by_revision ON arrivals (revision);
CREATE TABLE IF NOT EXISTS intake (
    one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL, problem TEXT NOT NULL, since INTEGER NOT NULL,
    waiting INTEGER NOT NULL, waiting_bytes INTEGER NOT NULL, waiting_most INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS memory (
    key TEXT PRIMARY KEY, at INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS memory_by_time ON memory (at);
CREATE TABLE IF NOT EXISTS spooled (one INTEGER PRIMARY KEY CHECK (one = 1), done INTEGER NOT NULL);
{quarantine.TABLE}
"""
_ADD = f"""
INSERT INTO assets (asset_id, at, online, data_at, clock, {", ".join(COUNTS)})
VALUES (?, ?, ?, ?, ?{", ?" * len(COUNTS)}) ON CONFLICT DO UPDATE SET
    at = coalesce(max(at, excluded.at), excluded.at, at), online = coalesce(excluded.online, online),
    data_at = coalesce(excluded.data_at, data_at), clock = coalesce(excluded.clock, clock),
    {", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)}
"""  # noqa: S608 - names of ours
_MEMORY_ROWS, _MEMORY_BYTES = 50_000, 256_000_000
"""Of what decoders remember, so much is kept, the newest: a gateway may open as many sessions as it likes."""
_MOST = 2**62  # what an integer column can hold with room to spare: a gateway may number as wildly as it likes


class DayArrivals(NamedTuple):
    """What has arrived of one asset's operating day; ``revision`` rises when new samples of it are stored.

    ``measurements`` and ``faults`` count samples; ``first`` and ``last`` are their times (ns).
    """

    asset_id: str
    day: date
    revision: int
    measurements: int
    faults: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Intake:
    """How taking in went at ``at`` (ns), as the program that does it wrote down.

    ``problem`` is what keeps messages from being taken or stored, empty while all is well, and ``since`` the instant
    from which that holds. ``waiting`` messages of ``waiting_bytes`` are in the spool, of ``waiting_most`` bytes that
    may be.
    """

    at: int
    problem: str
    since: int
    waiting: int = 0
    waiting_bytes: int = 0
    waiting_most: int = 0


class Accounting:
    """Opens nothing until ``open``; methods may be called from several threads. Every one may raise ``sqlite3.Error``.

    An ``sqlite3.OperationalError`` (disk full, locked) may pass: the same call can be repeated.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._memory_written = _MEMORY_BYTES  # since what decoders remember was trimmed; at first an earlier run's

    def open(self) -> None:
        """Open the file, or make it."""
        with self._lock:
            if self._database is None:
                database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before we acknowledge
                database.executescript(_TABLES)
                with _transaction(database):
                    _upgrade(database)
                quarantine.upgrade(database)
                self._database = database

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._database is None:
                raise RuntimeError(f"{self._path} is not open")
            yield self._database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database, _transaction(database):
            yield database

    def sequence(self, asset_id: str, kind: str) -> Sequence:
        """Return a copy of what is known of one asset's numbering; a new one where nothing is."""
        with self._reading() as database:
            row = database.execute(
                "SELECT latest, given_up, epochs FROM sequences WHERE asset_id = ? AND kind = ?", (asset_id, kind)
            ).fetchone()
        return Sequence() if row is None else counters.sequence_from_text(*row)

    def record(self, batch: Batch) -> None:
        """Add a batch to the account, in one durable transaction."""
        with self._transaction() as database:
            _add(database, batch.tallies)
            if batch.days:
                revision = database.execute("SELECT coalesce(max(revision), 0) + 1 FROM arrivals").fetchone()[0]
                database.executemany(
                    "INSERT INTO arrivals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "revision = excluded.revision, measurements = measurements + excluded.measurements, "
                    "faults = faults + excluded.faults, "
                    "first = min(first, excluded.first), last = max(last, excluded.last)",
                    [
                        (asset_id, day.isoformat(), revision, n.measurements, n.faults, n.first, n.last)
                        for (asset_id, day), n in batch.days.items()
                    ],
                )
            database.executemany(
                "INSERT OR REPLACE INTO sequences VALUES (?, ?, ?, ?, ?)",
                [
                    (asset_id, kind, known.latest, min(known.given_up, _MOST), counters.sequence_to_text(known))
                    for (asset_id, kind), known in batch.sequences.items()
                ],
            )
            self._remember(database, batch.memory, batch.memory_at)
            if batch.released:
                quarantine.remove(database, Selection(tuple(batch.released)))
            quarantine.insert(database, batch.quarantined)
            if batch.spooled:
                database.execute("INSERT OR REPLACE INTO spooled VALUES (1, ?)", (batch.spooled,))

    def note_intake(self, intake: Intake) -> None:
        """Write down how taking in goes."""
        values = (intake.at, intake.problem, intake.since, intake.waiting, intake.waiting_bytes, intake.waiting_most)
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO intake VALUES (1, ?, ?, ?, ?, ?, ?)", values)

    def intake(self) -> Intake | None:
        """Return how taking in went when that was last written down; ``None`` where it never was."""
        with self._reading() as database:
            row = database.execute(
                "SELECT at, problem, since, waiting, waiting_bytes, waiting_most FROM intake"
            ).fetchone()
        return None if row is None else Intake(*row)

    def spool_position(self) -> int:
        """Return the number of the last message of the spool that is in the account, 0 where none is."""
        with self._reading() as database:
            row = database.execute("SELECT done FROM spooled").fetchone()
        return 0 if row is None else int(row[0])

    def remembered(self, key: str) -> bytes | None:
        """Return what a decoder remembers under a key, if anything."""
        with self._reading() as database:
            row = database.execute("SELECT value FROM memory WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def _remember(self, database: sqlite3.Connection, memory: Mapping[str, bytes | None], at: int) -> None:
        gone = [(key,) for key, value in memory.items() if value is None]
        rows = [(key, at, value) for key, value in memory.items() if value is not None]
        database.executemany("DELETE FROM memory WHERE key = ?", gone)
        database.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?)", rows)
        self._memory_written += sum(1000 + len(value) for _, _, value in rows)
        if rows and self._memory_written > _MEMORY_BYTES // 10:
            _trim_memory(database)
            self._memory_written = 0

    def trim_quarantine(self, *, before: int, max_rows: int, max_bytes: int = quarantine.MAX_BYTES) -> int:
        """Remove refused messages that came before an instant (ns) or are too many; return and count how many."""
        with self._transaction() as database:
            gone = quarantine.trim(database, before=before, max_rows=max_rows, max_bytes=max_bytes)
            if gone:
                _add(database, {UNKNOWN_ASSET: Tally(quarantine_dropped=gone)})
        return gone

    def quarantined(self, limit: int = 100, selection: Selection = quarantine.ALL) -> list[Quarantined]:
        """Return the latest messages that were refused, newest first."""
        with self._reading() as database:
            return quarantine.latest(database, limit, selection)

    def newest_quarantined(self) -> int:
        """Return the number of the message that was refused last; 0 where none is kept."""
        with self._reading() as database:
            return int(database.execute("SELECT coalesce(max(id), 0) FROM quarantine").fetchone()[0])

    def oldest_quarantined(self, selection: Selection, *, after: int, last: int, limit: int) -> list[Quarantined]:
        """Return messages of a selection with numbers above ``after`` and up to ``last``, oldest first."""
        with self._reading() as database:
            return quarantine.oldest(database, selection, after=after, last=last, limit=limit)

    def count_quarantined(self, selection: Selection = quarantine.ALL) -> int:
        """Return how many messages of a selection are in quarantine."""
        with self._reading() as database:
            return quarantine.count(database, selection)

    def purge_quarantine(self, selection: Selection) -> int:
        """Remove the messages of a selection; return and count how many."""
        with self._transaction() as database:
            gone = quarantine.remove(database, selection)
            _add(database, {UNKNOWN_ASSET: Tally(quarantine_dropped=gone)})
        return gone

    def arrivals(self, since_revision: int = 0) -> list[DayArrivals]:
        """Return the days whose revision is above ``since_revision``, by asset and day."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT asset_id, day, revision, measurements, faults, first, last FROM arrivals "
                "WHERE revision > ? ORDER BY asset_id, day",
                (since_revision,),
            ).fetchall()
        return [DayArrivals(asset_id, date.fromisoformat(day), *rest) for asset_id, day, *rest in rows]

    def counters(self) -> Counters:
        """Return the whole account so far."""
        with self._reading() as database:
            return counters.counters(database)

    def status(self) -> list[AssetStatus]:
        """Return the state of each asset's link, by asset."""
        with self._reading() as database:
            return counters.asset_statuses(database)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _upgrade(database: sqlite3.Connection) -> None:
    """Take over what an earlier version counted, a row each count and the state of links in a table of its own."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tallies: dict[str, Tally] = {}
    if "heard" in tables:
        held = database.execute("SELECT * FROM heard")
        names = [column[0] for column in held.description]  # the newest two of its columns came later than the table
        for row in held:
            state = dict(zip(names, row, strict=True))
            asset_id = state.pop("asset_id")
            tallies[asset_id] = Tally(**state)
        database.execute("DROP TABLE heard")
    if "counts" in tables:
        for asset_id, name, n in database.execute("SELECT asset_id, name, n FROM counts"):
            tally = tallies.setdefault(asset_id, Tally())
            if name.startswith("reason:"):
                tally.reasons[name.removeprefix("reason:")] = n
            elif name in COUNTS:
                setattr(tally, name, n)
        database.execute("DROP TABLE counts")
    _add(database, tallies)


def _add(database: sqlite3.Connection, tallies: Mapping[str, Tally]) -> None:
    # The newest state of a link and all counts of an asset are one row: a row each takes several times as long.
    rows = [
        (asset_id, tally.at, tally.online, tally.data_at, tally.clock, *tally.counts())
        for asset_id, tally in tallies.items()
    ]
    database.executemany(_ADD, rows)
    reasons = [(asset_id, *count) for asset_id, tally in tallies.items() for count in tally.reasons.items()]
    if reasons:
        database.executemany(
            "INSERT INTO reasons VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", reasons
        )


def _trim_memory(database: sqlite3.Connection) -> None:
    rows, size = database.execute("SELECT count(*), coalesce(sum(length(value)), 0) FROM memory").fetchone()
    while rows > _MEMORY_ROWS or size > _MEMORY_BYTES:
        oldest = database.execute(
            "DELETE FROM memory WHERE key IN (SELECT key FROM memory ORDER BY at LIMIT 1000) RETURNING length(value)"
        ).fetchall()
        rows, size = rows - len(oldest), size - sum(length for (length,) in oldest)
