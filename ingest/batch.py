"""What one batch of messages adds to the account: built by the pipeline, committed as one by ``ingest.accounting``."""

from __future__ import annotations

from datetime import date

import msgspec

from ingest.quarantine import Quarantined
from ingest.sequence import Sequence


class DayCount(msgspec.Struct):
    """New samples of one asset's operating day, as in ``DayArrivals``."""

    measurements: int
    faults: int
    first: int
    last: int


class Tally(msgspec.Struct):
    """What a batch holds of one asset; the counts are as in ``Counters``, ``reasons`` are by reason.

    It sent something at ``at`` (ns; ``None``: what came may be old), and said last that it is ``online``.
    ``data_at`` is when samples came that are not old, and ``clock`` how far the newest of them was ahead of our clock
    (both ns).
    """

    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0
    flagged_values: int = 0
    messages: int = 0
    lost: int = 0
    quarantine_dropped: int = 0
    late: int = 0
    ahead: int = 0
    reasons: dict[str, int] = {}
    at: int | None = None
    online: bool | None = None
    data_at: int | None = None
    clock: int | None = None

    def hear(self, at: int | None, online: bool | None) -> None:
        """Note that the asset sent something."""
        if at is not None:
            self.at = at
        if online is not None:
            self.online = online

    def counts(self) -> tuple[int, ...]:
        """Return what is counted for it, in the order of ``COUNTS``."""
        counts: tuple[int, ...] = msgspec.structs.astuple(self)[: len(COUNTS)]
        return counts


COUNTS = Tally.__struct_fields__[: Tally.__struct_fields__.index("reasons")]
"""What a tally counts, but for reasons."""


class Batch(msgspec.Struct):
    """The whole of it.

    ``tallies`` are by asset, ``sequences`` by asset and topic kind. ``released`` are numbers of messages that leave
    quarantine. ``memory`` is what decoders remember from now on, by key (``None``: no more), written at ``memory_at``
    (ns). ``spooled`` is the number of the last message that came out of the spool, 0 where none did.
    """

    tallies: dict[str, Tally] = {}
    days: dict[tuple[str, date], DayCount] = {}
    sequences: dict[tuple[str, str], Sequence] = {}
    quarantined: list[Quarantined] = []
    released: list[int] = []
    memory: dict[str, bytes | None] = {}
    memory_at: int = 0
    spooled: int = 0

    def of(self, asset_id: str) -> Tally:
        """Return the tally of an asset."""
        tally = self.tallies.get(asset_id)
        if tally is None:
            tally = self.tallies[asset_id] = Tally()
        return tally
