"""What became of every message: counted exactly, also across crashes.

One SQLite file. A batch is accounted in one transaction after the store has committed it and before the broker is
told; so a crash in between brings the batch again, and only the second time counts. The unit is the *sample*: the
measurements of one instant, or one fault event.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from ingest import quarantine
from ingest.quarantine import Quarantined
from ingest.sequence import Sequence

Outcome = Literal["stored", "duplicates", "quarantined"]
UNKNOWN_ASSET = ""
"""Under this name what came for assets that are not in the register is counted: their names are not ours to keep."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS sequences (
    asset_id TEXT NOT NULL, kind TEXT NOT NULL, epoch INTEGER NOT NULL, latest INTEGER NOT NULL,
    lost_before INTEGER NOT NULL, intervals TEXT NOT NULL, PRIMARY KEY (asset_id, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    asset_id TEXT NOT NULL, name TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (asset_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS arrivals (
    asset_id TEXT NOT NULL, day TEXT NOT NULL, revision INTEGER NOT NULL, measurements INTEGER NOT NULL,
    faults INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (asset_id, day)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS arrivals_by_revision ON arrivals (revision);
CREATE TABLE IF NOT EXISTS heard (
    asset_id TEXT PRIMARY KEY, at INTEGER NOT NULL, online INTEGER
) WITHOUT ROWID;
{quarantine.TABLE}
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """Samples by what became of them; ``received`` is the sum of the next three.

    ``flagged_values`` are single values that were refused while the rest of their sample was stored. ``lost`` are
    messages that a gateway numbered and that never came, as far as later numbers tell.
    """

    received: int
    stored: int
    duplicates: int
    quarantined: int
    flagged_values: int
    messages: int
    lost: int
    reasons: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return asdict(self)


class DayArrivals(NamedTuple):
    """What has arrived of one asset's operating day; ``revision`` rises with each new sample of it.

    ``measurements`` and ``faults`` count samples; ``first`` and ``last`` are their times (ns).
    """

    asset_id: str
    day: date
    revision: int
    measurements: int
    faults: int
    first: int
    last: int


class AssetStatus(NamedTuple):
    """What is known of one asset's link: times in ns, counts in samples, ``lost`` in messages."""

    asset_id: str
    heard: int
    online: bool | None
    stored: int
    duplicates: int
    quarantined: int
    lost: int


class DayCount(NamedTuple):
    """New samples of one asset's operating day."""

    measurements: int
    faults: int
    first: int
    last: int


@dataclass(slots=True)
class Batch:
    """What one batch of messages adds to the account; built by the pipeline, committed as one."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    days: dict[tuple[str, date], DayCount] = field(default_factory=dict)
    sequences: dict[tuple[str, str], Sequence] = field(default_factory=dict)
    heard: dict[str, tuple[int, bool | None]] = field(default_factory=dict)
    quarantined: list[Quarantined] = field(default_factory=list)

    def count(self, asset_id: str, name: str, n: int = 1) -> None:
        """Count ``n`` samples under a name."""
        if n:
            self.counts[asset_id, name] += n

    def arrived(self, asset_id: str, day: date, count: DayCount) -> None:
        """Note new samples of a day."""
        old = self.days.get((asset_id, day))
        if old is not None:
            count = DayCount(
                old.measurements + count.measurements,
                old.faults + count.faults,
                min(old.first, count.first),
                max(old.last, count.last),
            )
        self.days[asset_id, day] = count


class Accounting:
    """Opens nothing until ``open``; methods may be called from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, or make it."""
        with self._lock:
            if self._database is None:
                database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30)
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before we acknowledge
                database.executescript(_TABLES)
                self._database = database

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    @property
    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise RuntimeError(f"{self._path} is not open")
        return self._database

    def sequence(self, asset_id: str, kind: str) -> Sequence:
        """Return a copy of what is known of one asset's numbering; a new one where nothing is."""
        with self._lock:
            row = self._open.execute(
                "SELECT epoch, latest, lost_before, intervals FROM sequences WHERE asset_id = ? AND kind = ?",
                (asset_id, kind),
            ).fetchone()
        if row is None:
            return Sequence()
        lows, highs = json.loads(row[3])
        return Sequence(row[0], row[1], row[2], lows, highs)

    def record(self, batch: Batch) -> None:
        """Add a batch to the account, in one durable transaction."""
        with self._lock:
            database = self._open
            database.execute("BEGIN IMMEDIATE")
            try:
                self._write(database, batch)
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    @staticmethod
    def _write(database: sqlite3.Connection, batch: Batch) -> None:
        database.executemany(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(asset_id, name, n) for (asset_id, name), n in batch.counts.items()],
        )
        if batch.days:
            revision = database.execute("SELECT coalesce(max(revision), 0) + 1 FROM arrivals").fetchone()[0]
            database.executemany(
                "INSERT INTO arrivals VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "revision = excluded.revision, measurements = measurements + excluded.measurements, "
                "faults = faults + excluded.faults, "
                "first = min(first, excluded.first), last = max(last, excluded.last)",
                [(asset_id, day.isoformat(), revision, *count) for (asset_id, day), count in batch.days.items()],
            )
        database.executemany(
            "INSERT OR REPLACE INTO sequences VALUES (?, ?, ?, ?, ?, ?)",
            [
                (asset_id, kind, s.epoch, s.latest, s.lost_before, json.dumps([s.lows, s.highs]))
                for (asset_id, kind), s in batch.sequences.items()
            ],
        )
        database.executemany(
            "INSERT INTO heard VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at), "
            "online = coalesce(excluded.online, online)",
            [(asset_id, at, online) for asset_id, (at, online) in batch.heard.items()],
        )
        quarantine.insert(database, batch.quarantined)

    def counters(self) -> Counters:
        """Return the account so far."""
        with self._lock:
            rows = self._open.execute("SELECT name, sum(n) FROM counts GROUP BY name").fetchall()
        by_name: dict[str, int] = dict(rows)
        outcomes = {name: by_name.get(name, 0) for name in ("stored", "duplicates", "quarantined")}
        return Counters(
            received=sum(outcomes.values()),
            **outcomes,
            flagged_values=by_name.get("flagged_values", 0),
            messages=by_name.get("messages", 0),
            lost=sum(lost for _, lost in self._lost()),
            reasons={
                name.removeprefix("reason:"): n for name, n in sorted(by_name.items()) if name.startswith("reason:")
            },
        )

    def _lost(self) -> Iterable[tuple[str, int]]:
        with self._lock:
            rows = self._open.execute("SELECT asset_id, lost_before, intervals FROM sequences").fetchall()
        for asset_id, lost_before, intervals in rows:
            lows, highs = json.loads(intervals)
            yield asset_id, Sequence(0, 0, lost_before, lows, highs).missing

    def quarantined(self, limit: int = 100) -> list[Quarantined]:
        """Return the latest messages that were refused, newest first."""
        with self._lock:
            return quarantine.latest(self._open, limit)

    def trim_quarantine(self, *, max_rows: int, before: int) -> int:
        """Remove refused messages that came before an instant (ns) or are too many; return how many."""
        with self._lock:
            return quarantine.trim(self._open, max_rows=max_rows, before=before)

    def arrivals(self, after_revision: int = 0) -> list[DayArrivals]:
        """Return the days whose revision is above ``after_revision``, by asset and day."""
        with self._lock:
            rows = self._open.execute(
                "SELECT * FROM arrivals WHERE revision > ? ORDER BY asset_id, day", (after_revision,)
            ).fetchall()
        return [DayArrivals(asset_id, date.fromisoformat(day), *rest) for asset_id, day, *rest in rows]

    def status(self) -> list[AssetStatus]:
        """Return the state of each asset's link, by asset."""
        with self._lock:
            heard = self._open.execute("SELECT asset_id, at, online FROM heard ORDER BY asset_id").fetchall()
            counts = self._open.execute("SELECT asset_id, name, n FROM counts").fetchall()
        n: dict[tuple[str, str], int] = {(asset_id, name): number for asset_id, name, number in counts}
        lost: Counter[str] = Counter()
        for asset_id, missing in self._lost():
            lost[asset_id] += missing
        return [
            AssetStatus(
                asset_id, at, None if online is None else bool(online),
                n.get((asset_id, "stored"), 0), n.get((asset_id, "duplicates"), 0), n.get((asset_id, "quarantined"), 0),
                lost[asset_id],
            )
            for asset_id, at, online in heard
        ]  # fmt: skip
