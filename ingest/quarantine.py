"""What was refused, with its reason: bounded in rows, bytes and age, oldest out first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

KEPT_BYTES = 65_536
"""Of a payload, so much is kept; a larger one is of no use to anybody in full."""
MAX_BYTES = 256_000_000
"""Of all payloads together, so much is kept."""
TABLE = """
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, asset_id TEXT NOT NULL, topic TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS quarantine_by_time ON quarantine (at);
"""


class Quarantined(NamedTuple):
    """One message that was refused, wholly or in part.

    ``at`` is when it came (ns), ``asset_id`` the known asset that it is of (empty where none is), ``reason`` the
    first reason's name, ``detail`` the reasons for people, ``size`` the payload's length in bytes; ``payload`` is its
    beginning, or empty where a file holds it.
    """

    at: int
    asset_id: str
    topic: str
    reason: str
    detail: str
    size: int
    payload: bytes


def insert(database: sqlite3.Connection, rows: Sequence[Quarantined]) -> None:
    """Put messages into quarantine, within the caller's transaction."""
    database.executemany(
        "INSERT INTO quarantine (at, asset_id, topic, reason, detail, size, payload) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
    )


def latest(database: sqlite3.Connection, limit: int) -> list[Quarantined]:
    """Return the latest messages, newest first."""
    rows = database.execute(
        "SELECT at, asset_id, topic, reason, detail, size, payload FROM quarantine ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Quarantined(*row) for row in rows]


def trim(database: sqlite3.Connection, *, before: int, max_rows: int, max_bytes: int) -> int:
    """Remove what came before an instant (ns) or is too much, within the caller's transaction; return how many."""
    gone = database.execute("DELETE FROM quarantine WHERE at < ?", (before,)).rowcount
    gone += database.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC LIMIT 1 OFFSET ?)", (max_rows,)
    ).rowcount
    gone += database.execute(
        "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM (SELECT id, "
        "sum(length(payload)) OVER (ORDER BY id DESC) AS newer FROM quarantine) WHERE newer > ?)",
        (max_bytes,),
    ).rowcount
    return gone
