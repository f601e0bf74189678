"""Out of quarantine: after a mapping was mended, what was refused is taken in again, and counts once."""

from __future__ import annotations

from typing import NamedTuple

from ingest.batch import Batch
from ingest.counters import UNKNOWN_ASSET
from ingest.counting import quarantined
from ingest.decoders.decoder import Reject
from ingest.message import Message
from ingest.pipeline import Pipeline
from ingest.quarantine import Quarantined
from ingest.reading import Read, sample_times
from ingest.storing import write
from telemetry.store import TelemetryStore


class Replayed(NamedTuple):
    """What became of a message out of quarantine: samples stored now, samples still refused, and why."""

    stored: int
    refused: int
    why: str


def replay(pipeline: Pipeline, held: Quarantined) -> Replayed:
    """Take a message out of quarantine, read and judged as of when it came, and account for it once.

    Its samples move from quarantined to stored, or to duplicates where the store has them by now. What is refused
    again stays, with its reason. Needs that nobody else takes messages into this account.

    Raises:
        StoreError, sqlite3.OperationalError: it stays as it is; the call can be repeated.
    """
    if not held.whole:
        return Replayed(0, held.samples, "only the beginning of its payload was kept, or a file holds it")
    message = Message(held.topic, held.payload, held.size, retained=True)
    pipeline.begin()
    read = pipeline.reader.again(message, held.at)
    if isinstance(read, Reject):
        return Replayed(0, held.samples, str(read))
    measurements, faults = read.checked.measurements, read.checked.faults
    present = _present(pipeline.telemetry, read) if measurements or faults else set()
    [read] = write(pipeline.telemetry, [read])
    checked = read.checked
    asset_id, taken = read.asset_id, checked.taken
    flagged = max(0, len(checked.rejects) - checked.rejected)
    if (taken, checked.rejected, flagged) == (held.stored, held.samples, held.flagged):
        return Replayed(0, held.samples, str(checked.rejects))
    there = min(taken, len(present))
    counting, account = pipeline.counting, Batch(released=[held.id])
    before, tally = account.of(held.asset_id), account.of(asset_id)
    before.quarantined -= held.samples
    before.flagged_values -= held.flagged
    tally.stored += taken - there
    tally.duplicates += max(0, there - held.stored)
    tally.quarantined += checked.rejected
    tally.flagged_values += flagged
    if held.asset_id == UNKNOWN_ASSET:
        # Its number was not noted when it came.
        counting.is_new(account, read, max(sample_times(checked), default=None))
    # Of what the store had, the day is noted all the same: a value beside may be new, or a crash came between.
    for measured in checked.measurements:
        for time in measured.times:
            counting.day(account, asset_id, time).measurements += (asset_id, time) not in present
    for fault in checked.faults:
        key = (fault.code, fault.time, fault.occurrence)
        counting.day(account, asset_id, fault.time).faults += key not in present
    if checked.rejects:
        account.quarantined.append(quarantined(read, held.at, taken))
    pipeline.accounting.record(account)
    counting.settle(account)
    return Replayed(taken - there, checked.rejected, str(checked.rejects) if checked.rejects else "")


def _present(store: TelemetryStore, read: Read) -> set[tuple[object, ...]]:
    """Return which samples of a message the store has: (asset, time), or for a fault (code, time, occurrence)."""
    found: set[tuple[object, ...]] = set()
    measurements, faults = read.checked.measurements, read.checked.faults
    if measurements:
        times = {time for measured in measurements for time in measured.times}
        names = sorted({name for measured in measurements for name in measured.signals})
        for frame in store.read_measurements([read.asset_id], names, min(times), max(times) + 1):
            found |= {(read.asset_id, time) for time in frame["time"] if time in times}
    if faults:
        keys = {(fault.code, fault.time, fault.occurrence) for fault in faults}
        frame = store.read_faults([read.asset_id], min(f.time for f in faults), max(f.time for f in faults) + 1)
        found |= keys & set(zip(frame["code"], frame["time"], frame["occurrence"], strict=True))
    return found
