"""Where measurements and faults are kept: the protocol that every store obeys.

    StoreError
    ├── StoreUnavailable   may be retried: the server is away, busy, or the disk is full for now
    └── StoreRejected      permanent: the store refuses this batch or this configuration

A new store is one file with a class of this shape; ``tests/telemetry`` finds it by itself.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Protocol

import pandas as pd

from telemetry.records import FaultEvent, Measurements


class StoreError(Exception):
    """A store could not do what was asked; one of the two below says whether asking again can help."""


class StoreUnavailable(StoreError):
    """The same call may succeed later: retry with back-off, acknowledge nothing meanwhile."""


class StoreRejected(StoreError):
    """The same call fails every time.

    ``stops_the_line`` is true where nothing can be written at all (wrong token, no such bucket): a person
    has to act. Otherwise the batch holds something that the store will not take: split and quarantine it.
    """

    def __init__(self, message: str, *, stops_the_line: bool = False) -> None:
        super().__init__(message)
        self.stops_the_line = stops_the_line


class TelemetryStore(Protocol):
    """Keeps measurements and fault events; every write is idempotent under the records' keys.

    ``start`` is inclusive and ``end`` exclusive, both in ns since the epoch. A constructor opens nothing;
    ``open`` does, and ``close`` may be called twice.
    """

    def open(self) -> None:
        """Connect or open the file, and make what is needed there. Raises ``StoreError``."""

    def close(self) -> None:
        """Release everything; what was written stays."""

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        """Store all of it, durably, or raise. The order is free; of equal keys the last wins.

        Raises:
            StoreUnavailable: nothing may be assumed stored; the whole call can be repeated.
            StoreRejected: the batch, or the store's configuration, is at fault; so is a batch that holds NaN or an
                infinity, of which nothing is stored.
        """

    def read_measurements(
        self,
        asset_ids: Collection[str],
        signals: Sequence[str],
        start: int,
        end: int,
        *,
        chunk_rows: int = 200_000,
    ) -> Iterator[pd.DataFrame]:
        """Yield frames of about ``chunk_rows`` rows: ``asset_id`` (str), ``time`` (int64 ns) and one float64
        column per name in ``signals`` (NaN where not reported), sorted by asset and time. An asset is never
        split over two frames unless it alone exceeds ``chunk_rows``. No row: no frame.
        """

    def read_faults(self, asset_ids: Collection[str], start: int, end: int) -> pd.DataFrame:
        """Return ``asset_id``, ``code``, ``time`` (int64 ns), ``occurrence`` (int64), ``state``, ``severity``
        (str) and ``context`` (JSON text), sorted by asset, time, code, occurrence; empty if there is none.
        """

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last time of any record (ns), or ``None`` of an empty store."""


def require_finite(measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
    """Raise ``StoreRejected`` where a value is NaN or infinite: it would spoil every mean that it enters."""
    # One look at the sum mostly does: no finite sum has a part that is not.
    if not math.isfinite(sum(chain.from_iterable([values for _, _, _, values in measurements]))):
        for measured in measurements:
            for time, values in measured.rows():
                if not all(map(math.isfinite, values.values())):
                    raise StoreRejected(f"{measured.asset_id} at {time} ns: a value is not finite")
    for fault in faults:
        if not all(map(math.isfinite, fault.context.values())):
            raise StoreRejected(f"fault {fault.code} of {fault.asset_id}: a value of its context is not finite")
