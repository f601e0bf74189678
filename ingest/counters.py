"""The account in figures: for the whole fleet, and for each asset's link."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import msgspec

from ingest.batch import COUNTS
from ingest.sequence import Epoch, Sequence

UNKNOWN_ASSET = ""
"""Under this name what came for assets that are not in the register is counted: their names are not ours to keep."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Samples by what became of them; ``received`` is the sum of the next three.

    A sample is the measurements of one instant, or one fault event; a message of which nothing can be read counts as
    one. ``flagged_values`` are single values that were refused while the rest of their sample was stored; ``reasons``
    counts refusals of either kind. ``messages`` are all that came. ``lost`` are messages that a gateway numbered and
    that never came, as far as later numbers tell. ``quarantine_dropped`` are quarantined messages kept no longer.
    ``late`` samples were older when they came than the settings allow, and stored all the same; ``ahead`` messages came
    from a clock that is ahead of ours.
    """

    received: int
    stored: int
    duplicates: int
    quarantined: int
    flagged_values: int
    messages: int
    lost: int
    quarantine_dropped: int
    reasons: Mapping[str, int]
    late: int = 0
    ahead: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return asdict(self)

    def since(self, earlier: Counters) -> Counters:
        """Return what was counted after ``earlier``."""
        grown = {name: n - earlier.reasons.get(name, 0) for name, n in self.reasons.items()}
        return Counters(
            self.received - earlier.received,
            self.stored - earlier.stored,
            self.duplicates - earlier.duplicates,
            self.quarantined - earlier.quarantined,
            self.flagged_values - earlier.flagged_values,
            self.messages - earlier.messages,
            self.lost - earlier.lost,
            self.quarantine_dropped - earlier.quarantine_dropped,
            {name: n for name, n in grown.items() if n},
            self.late - earlier.late,
            self.ahead - earlier.ahead,
        )


@dataclass(frozen=True, slots=True)
class AssetStatus:
    """What is known of one asset's link: ``heard`` is when it last sent anything (ns), ``online`` what it said last.

    ``data_at`` is when samples of it last came (ns), and ``clock`` how far the newest of them was ahead of our clock
    (ns; below 0: it came that long after it was measured). The counts are as in ``Counters``. Under the asset id ""
    stands what came for assets that nobody knows.
    """

    asset_id: str
    heard: int | None
    online: bool | None
    stored: int
    duplicates: int
    quarantined: int
    lost: int
    reasons: Mapping[str, int]
    data_at: int | None = None
    clock: int | None = None
    late: int = 0
    ahead: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return asdict(self)


def sequence_to_text(sequence: Sequence) -> str:
    """Return the epochs of a sequence as JSON."""
    return msgspec.json.encode([(epoch.since, epoch.lows, epoch.highs) for epoch in sequence.epochs]).decode()


def sequence_from_text(latest: int, given_up: int, epochs: str) -> Sequence:
    """Return the sequence that was written so."""
    return Sequence(latest, given_up, [Epoch(*epoch) for epoch in msgspec.json.decode(epochs)])


def counters(database: sqlite3.Connection) -> Counters:
    """Return the whole account so far."""
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in COUNTS)
    counts = dict(zip(COUNTS, database.execute(f"SELECT {sums} FROM assets").fetchone(), strict=True))  # noqa: S608
    counts["lost"] += sum(lost for _, lost in _lost(database))
    received = counts["stored"] + counts["duplicates"] + counts["quarantined"]
    reasons = dict(database.execute("SELECT reason, sum(n) FROM reasons GROUP BY reason ORDER BY reason"))
    return Counters(received=received, reasons=reasons, **counts)


def asset_statuses(database: sqlite3.Connection) -> list[AssetStatus]:
    """Return the state of each asset's link, by asset."""
    lost: dict[str, int] = defaultdict(int)
    for asset_id, missing in _lost(database):
        lost[asset_id] += missing
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for asset_id, reason, n in database.execute("SELECT asset_id, reason, n FROM reasons ORDER BY asset_id, reason"):
        reasons[asset_id][reason] = n
    found = database.execute(
        "SELECT asset_id, at, online, stored, duplicates, quarantined, lost, data_at, clock, late, ahead FROM assets "
        "ORDER BY asset_id"
    )
    return [
        AssetStatus(
            asset_id,
            at,
            None if online is None else bool(online),
            stored,
            duplicates,
            quarantined,
            missing + lost[asset_id],
            reasons[asset_id],
            *rest,
        )
        for asset_id, at, online, stored, duplicates, quarantined, missing, *rest in found
    ]


def _lost(database: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for asset_id, *known in database.execute("SELECT asset_id, latest, given_up, epochs FROM sequences"):
        yield asset_id, sequence_from_text(*known).missing
