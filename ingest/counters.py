"""The account in figures: for the whole fleet, and for each asset's link."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import msgspec

from ingest.sequence import Epoch, Sequence

UNKNOWN_ASSET = ""
"""Under this name what came for assets that are not in the register is counted: their names are not ours to keep."""
REASON = "reason:"
"""What the name of a count begins with that is of one reason."""


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
    by_name: dict[str, int] = dict(database.execute("SELECT name, sum(n) FROM counts GROUP BY name ORDER BY name"))
    stored, duplicates, quarantined = (by_name.get(name, 0) for name in ("stored", "duplicates", "quarantined"))
    return Counters(
        stored + duplicates + quarantined,
        stored,
        duplicates,
        quarantined,
        by_name.get("flagged_values", 0),
        by_name.get("messages", 0),
        sum(lost for _, lost in _lost(database)) + by_name.get("lost", 0),
        by_name.get("quarantine_dropped", 0),
        _reasons(by_name),
        by_name.get("late", 0),
        by_name.get("ahead", 0),
    )


def asset_statuses(database: sqlite3.Connection) -> list[AssetStatus]:
    """Return the state of each asset's link, by asset."""
    heard = {row[0]: row[1:] for row in database.execute("SELECT asset_id, at, online, data_at, clock FROM heard")}
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for asset_id, name, n in database.execute("SELECT asset_id, name, n FROM counts ORDER BY asset_id, name"):
        counts[asset_id][name] = n
    lost: dict[str, int] = defaultdict(int)
    for asset_id, missing in _lost(database):
        lost[asset_id] += missing
    for asset_id, of_asset in counts.items():
        lost[asset_id] += of_asset.get("lost", 0)
    found = []
    for asset_id in sorted({*heard, *counts}):
        at, online, data_at, clock = heard.get(asset_id, (None, None, None, None))
        n = counts[asset_id]
        stored, duplicates, quarantined = (n.get(name, 0) for name in ("stored", "duplicates", "quarantined"))
        late, ahead, missing = n.get("late", 0), n.get("ahead", 0), lost[asset_id]
        online, reasons = None if online is None else bool(online), _reasons(n)
        state = AssetStatus(
            asset_id, at, online, stored, duplicates, quarantined, missing, reasons, data_at, clock, late, ahead
        )
        found.append(state)
    return found


def _reasons(counts: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(REASON): n for name, n in counts.items() if name.startswith(REASON)}


def _lost(database: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for asset_id, *known in database.execute("SELECT asset_id, latest, given_up, epochs FROM sequences"):
        yield asset_id, sequence_from_text(*known).missing
