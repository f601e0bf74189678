"""Messages that wait on disk while the telemetry store is away: first in, first out, bounded in bytes.

One SQLite file. A message is in it, durably, before the broker is told to forget it; it leaves once the account says
that it was brought to its end. Each has a number that never comes again, and the account keeps the last number done in
the transaction that counts the message: a crash at any moment brings none of them back a second time.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ingest.message import Message

log = logging.getLogger(__name__)

RESERVE_BYTES = 50_000_000
"""Of the disk, so much is left free: the account must be able to grow, or what waits could never leave."""
_TABLE = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
    size INTEGER NOT NULL, retained INTEGER NOT NULL
);
"""
_ROW_BYTES = 60
"""What a message takes beside its topic and payload, about."""
_EMPTY = "The spool is empty again: the telemetry store has all that waited"
_SHRINK_PAGES = 2000  # an empty file larger than this gives its space back


class SpoolFull(Exception):
    """There is no room left: the broker has to keep what comes."""


class Spool:
    """Opens nothing until ``open``; every other method needs it, and may raise ``sqlite3.Error``.

    ``max_bytes`` bounds what waits. ``len`` and ``bytes_held`` may be read from any thread.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._database: sqlite3.Connection | None = None
        self._messages = self._bytes = 0
        self._told = 0

    def open(self, done: int) -> None:
        """Open the file, or make it; ``done`` is the last number that the account has seen."""
        if self._database is not None:
            return
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # it is on the disk before the broker forgets it
            database.executescript(_TABLE)
            over = database.execute("DELETE FROM spool WHERE id <= ?", (done,)).rowcount
            # A file that was removed must not give numbers that are done.
            database.execute("INSERT INTO sqlite_sequence SELECT 'spool', 0 WHERE NOT EXISTS "
                             "(SELECT 1 FROM sqlite_sequence WHERE name = 'spool')")  # fmt: skip
            database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'spool'", (done,))
            row = database.execute(
                "SELECT count(*), coalesce(sum(length(CAST(topic AS BLOB)) + length(payload)), 0) FROM spool"
            ).fetchone()
        except BaseException:
            database.close()
            raise
        self._database = database
        self._messages, self._bytes = row[0], row[1] + row[0] * _ROW_BYTES
        if self._messages:
            log.warning("%d messages wait in the spool for the telemetry store", self._messages)
            self._told = self._messages
        elif over:  # a crash came between the account and what would have said so
            log.warning(_EMPTY)

    def close(self) -> None:
        """Release the file; what waits stays."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def __len__(self) -> int:
        return self._messages

    @property
    def bytes_held(self) -> int:
        """What waits, in bytes."""
        return self._bytes

    @property
    def max_bytes(self) -> int:
        """What may wait, in bytes."""
        return self._max_bytes

    def append(self, messages: Sequence[Message]) -> None:
        """Put messages behind those that wait; on return they are on the disk.

        Raises:
            SpoolFull: they do not fit; none of them is in it.
            sqlite3.OperationalError: the disk refuses; none of them is in it.
        """
        size = sum(_size(message) for message in messages)
        if self._bytes + size > self._max_bytes:
            raise SpoolFull(f"{self._path} holds {self._bytes / 1e6:.0f} MB of {self._max_bytes / 1e6:.0f} MB allowed")
        free = shutil.disk_usage(self._path.parent).free
        if free - 2 * size < RESERVE_BYTES:
            raise SpoolFull(f"{self._path.parent} has only {free / 1e6:.0f} MB left")
        rows = [(m.at, m.topic, m.payload, m.size, m.retained) for m in messages]
        database = self._opened()
        database.execute("BEGIN IMMEDIATE")
        try:
            database.executemany("INSERT INTO spool (at, topic, payload, size, retained) VALUES (?, ?, ?, ?, ?)", rows)
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
        self._messages += len(messages)
        self._bytes += size
        self._tell()

    def first(self, most: int, most_bytes: int = 16_000_000) -> list[Message]:
        """Return the messages that have waited longest; each says its number. At least one where any waits."""
        found, size = [], 0
        rows = self._opened().execute(
            "SELECT topic, payload, size, retained, at, id FROM spool ORDER BY id LIMIT ?", (most,)
        )
        for topic, payload, whole, retained, at, number in rows:
            found.append(Message(topic, payload, whole, bool(retained), at, number))
            size += len(payload)
            if size > most_bytes:
                break
        return found

    def forget(self, messages: Sequence[Message]) -> None:
        """Remove the first messages, which are done: the account says so."""
        database = self._opened()
        database.execute("DELETE FROM spool WHERE id <= ?", (messages[-1].spooled,))
        self._messages -= len(messages)
        self._bytes -= sum(_size(message) for message in messages)
        if not self._messages:
            log.warning(_EMPTY)
            self._told = self._bytes = 0
            if database.execute("PRAGMA page_count").fetchone()[0] > _SHRINK_PAGES:
                database.execute("VACUUM")  # of an empty file it takes no time
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _tell(self) -> None:
        """Say it each time that what waits has doubled."""
        if self._messages >= 2 * self._told:
            self._told = self._messages
            share = self._bytes / self._max_bytes
            log.error(
                "The telemetry store is away: %d messages wait in the spool (%.1f MB, %.0f %% of what may)",
                self._messages, self._bytes / 1e6, 100 * share,
            )  # fmt: skip

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise RuntimeError(f"{self._path} is not open")
        return self._database


def _size(message: Message) -> int:
    return len(message.topic.encode(errors="surrogatepass")) + len(message.payload) + _ROW_BYTES
