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
    reason TEXT NOT NULL, detail TEXT NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL,
    samples INTEGER NOT NULL DEFAULT 1, flagged INTEGER NOT NULL DEFAULT 0, stored INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS quarantine_by_time ON quarantine (at);
"""


class Quarantined(NamedTuple):
    """One message that was refused, wholly or in part.

    ``at`` is when it came (ns), ``asset_id`` the known asset that it is of (empty where none is), ``reason`` the
    first reason's name, ``detail`` the reasons for people, ``size`` the payload's length in bytes; ``payload`` is its
    beginning, or empty where a file holds it. Of the message, ``samples`` were refused, ``flagged`` single values
    beside, and ``stored`` samples stored. ``id`` is given by the quarantine; numbers rise and are not used again.
    """

    at: int
    asset_id: str
    topic: str
    reason: str
    detail: str
    size: int
    payload: bytes
    samples: int = 1
    flagged: int = 0
    stored: int = 0
    id: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of its payload was kept, so that it can be replayed."""
        return bool(self.payload) and self.size == len(self.payload)


class Selection(NamedTuple):
    """Which messages in quarantine are meant: those to which all that is given applies. ``before`` is ns."""

    ids: tuple[int, ...] = ()
    reason: str | None = None
    asset_id: str | None = None
    before: int | None = None

    def condition(self) -> tuple[str, list[object]]:
        """Return it as a condition in SQL, with its values."""
        parts, values = ["1"], list[object]()
        if self.ids:
            parts.append(f"id IN ({','.join('?' * len(self.ids))})")
            values += self.ids
        for column, comparison, value in (
            ("reason", "=", self.reason), ("asset_id", "=", self.asset_id), ("at", "<", self.before)
        ):  # fmt: skip
            if value is not None:
                parts.append(f"{column} {comparison} ?")
                values.append(value)
        return " AND ".join(parts), values


ALL = Selection()
_COLUMNS = "at, asset_id, topic, reason, detail, size, payload, samples, flagged, stored"


def upgrade(database: sqlite3.Connection) -> None:
    """Bring a quarantine that an earlier version made up to date."""
    present = {row[1] for row in database.execute("PRAGMA table_info(quarantine)")}
    for column, default in (("samples", 1), ("flagged", 0), ("stored", 0)):
        if column not in present:
            database.execute(f"ALTER TABLE quarantine ADD COLUMN {column} INTEGER NOT NULL DEFAULT {default}")


def insert(database: sqlite3.Connection, rows: Sequence[Quarantined]) -> None:
    """Put messages into quarantine, within the caller's transaction."""
    marks = ", ".join("?" * 10)
    database.executemany(
        f"INSERT INTO quarantine ({_COLUMNS}) VALUES ({marks})",  # noqa: S608 - constants
        [row[:10] for row in rows],
    )


def latest(database: sqlite3.Connection, limit: int, selection: Selection = ALL) -> list[Quarantined]:
    """Return the latest messages of a selection, newest first."""
    condition, values = selection.condition()
    rows = database.execute(
        f"SELECT {_COLUMNS}, id FROM quarantine WHERE {condition} ORDER BY id DESC LIMIT ?",  # noqa: S608 - constants
        [*values, limit],
    )
    return [Quarantined(*row) for row in rows]


def oldest(
    database: sqlite3.Connection, selection: Selection, *, after: int, last: int, limit: int
) -> list[Quarantined]:
    """Return messages of a selection with numbers above ``after`` and up to ``last``, oldest first."""
    condition, values = selection.condition()
    rows = database.execute(
        f"SELECT {_COLUMNS}, id FROM quarantine WHERE {condition} AND id > ? AND id <= ? ORDER BY id LIMIT ?",  # noqa: S608 - constants
        [*values, after, last, limit],
    )
    return [Quarantined(*row) for row in rows]


def count(database: sqlite3.Connection, selection: Selection = ALL) -> int:
    """Return how many messages a selection holds."""
    condition, values = selection.condition()
    found = database.execute(f"SELECT count(*) FROM quarantine WHERE {condition}", values)  # noqa: S608 - constants
    return int(found.fetchone()[0])


def remove(database: sqlite3.Connection, selection: Selection) -> int:
    """Remove the messages of a selection, within the caller's transaction; return how many."""
    condition, values = selection.condition()
    return database.execute(f"DELETE FROM quarantine WHERE {condition}", values).rowcount  # noqa: S608 - constants


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
