"""What was refused, with its reason: bounded in rows, bytes and age, oldest out first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

KEPT_BYTES = 65_536
"""Of a payload, so much is kept; a larger one is of no use to anybody in full."""
KEPT_REASONS = 20
TABLE = """
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS quarantine_by_time ON quarantine (at);
"""


class Quarantined(NamedTuple):
    """One message that was refused, wholly or in part.

    ``at`` is when it came (ns), ``reason`` the first reason's name, ``detail`` all of them for people, ``size`` the
    payload's length in bytes; ``payload`` may be shorter.
    """

    at: int
    topic: str
    reason: str
    detail: str
    size: int
    payload: bytes


def insert(database: sqlite3.Connection, rows: Sequence[Quarantined]) -> None:
    """Put messages into quarantine, within the caller's transaction."""
    database.executemany(
        "INSERT INTO quarantine (at, topic, reason, detail, size, payload) VALUES (?, ?, ?, ?, ?, ?)", rows
    )


def latest(database: sqlite3.Connection, limit: int) -> list[Quarantined]:
    """Return the latest messages, newest first."""
    rows = database.execute(
        "SELECT at, topic, reason, detail, size, payload FROM quarantine ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Quarantined(*row) for row in rows]


def trim(database: sqlite3.Connection, *, max_rows: int, before: int) -> int:
    """Remove what came before an instant (ns) or is too much; return how many."""
    gone = database.execute("DELETE FROM quarantine WHERE at < ?", (before,)).rowcount
    gone += database.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (max_rows,)
    ).rowcount
    return gone
