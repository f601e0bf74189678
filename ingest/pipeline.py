"""Decode, validate, store, account; the caller acknowledges after ``take`` has returned.

Every message ends stored, duplicate or quarantined with a reason. The order is the promise: the store commits
(writing twice changes nothing there), then the account commits, then the broker is told. A crash in between
brings the messages again, and they count once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from config.operating_day import day_bounds, operating_day
from config.register import Register
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.batch import Batch, DayCount
from ingest.counters import UNKNOWN_ASSET
from ingest.decoders.decoder import Decoded, Kind, Reject, Request
from ingest.memory import Memory
from ingest.message import Message
from ingest.quarantine import KEPT_BYTES, Quarantined
from ingest.routes import Routes
from ingest.sequence import Sequence as Numbering
from ingest.validate import Checked, Validator
from telemetry.store import StoreRejected, TelemetryStore

log = logging.getLogger(__name__)
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_MINUTE = 60 * _SECOND
_TRIM_EVERY = 500  # quarantined messages
__all__ = ["Message", "Pipeline", "Replayed", "Report"]


class Report(NamedTuple):
    """What came from a file: the content of a message of one asset, without its payload."""

    asset_id: str
    kind: Kind
    decoded: Decoded


class Replayed(NamedTuple):
    """What became of a message out of quarantine: samples stored now, samples still refused, and why."""

    stored: int
    refused: int
    why: str


class _Read(msgspec.Struct, gc=False):
    """One message after decoding and validation."""

    message: Message
    asset_id: str
    kind: str
    decoded: Decoded
    checked: Checked


class ReadBatch(msgspec.Struct, gc=False):
    """A batch on its way through the pipeline: read, then stored, then accounted for.

    It was read at ``now`` (ns); ``requests`` are to be published once it is accounted for.
    """

    reads: list[_Read]
    requests: list[Request]
    now: int


class Pipeline:
    """Takes batches of messages; used by one thread at a time, but that ``store`` may run in a second one.

    ``clock`` returns ns since the epoch.

    ``mqtt`` says what is spoken under which prefix. ``max_age_days`` stands above the settings' own where it is given:
    an imported history may be of any age.

    Raises ``ConfigError`` where the settings name an unknown decoder.
    """

    def __init__(
        self,
        store: TelemetryStore,
        accounting: Accounting,
        register: Register,
        *,
        settings: Ingest,
        clock: Callable[[], int],
        prefix: str = "fleet",
        mqtt: Mqtt | None = None,
        max_age_days: float | None = None,
    ) -> None:
        self._store, self._accounting, self._clock = store, accounting, clock
        mqtt = mqtt or Mqtt(prefix=prefix)
        self._prefix = mqtt.prefix + "/"
        self._memory = Memory(accounting.remembered)
        self.routes = Routes.from_settings(mqtt, settings, self._memory)
        """What is spoken under which prefix."""
        self._settings = settings
        self._late = int(settings.late_after_minutes * _MINUTE)
        self._max_age = int((max_age_days or settings.max_age_days) * _DAY)
        self._numberings: dict[tuple[str, str], Numbering] = {}
        self._days: dict[str, tuple[int, int, date]] = {}
        self._unknown = (0, 0)  # the minute, and messages of unknown assets in it
        self._since_trim = _TRIM_EVERY  # the first refusal trims what an earlier run left
        self._adopted: Register | None = register
        self._begin()

    def adopt(self, register: Register) -> None:
        """Validate by another register from the next batch on that is read behind none; may be called by any thread."""
        self._adopted = register

    @property
    def changing(self) -> bool:
        """Whether another register waits: then no batch is to be read behind one."""
        return self._adopted is not None

    def _begin(self) -> None:
        """Forget what was read and not accounted for, and put in force what was adopted."""
        self._memory.begin()
        register, self._adopted = self._adopted, None
        if register is None:
            return
        self._register = register
        skew = int(self._settings.allowed_clock_skew_s * _SECOND)
        self._validator = Validator(register, skew=skew, age=self._max_age)
        self._days.clear()

    def now(self) -> int:
        """Return the clock's instant, ns since the epoch."""
        return self._clock()

    def spool_position(self) -> int:
        """Return the number of the last message of the spool that was brought to its end."""
        return self._accounting.spool_position()

    def take(self, messages: Sequence[Message]) -> list[Request]:
        """Bring a batch to its end: on return it is durable and accounted for. Return what is to be published.

        Raises:
            StoreUnavailable, sqlite3.OperationalError: nothing is accounted for; the same batch can be given again.
            StoreRejected: the store takes nothing at all (``stops_the_line``); a person has to act.
        """
        batch = self.read(messages)
        self.store(batch)
        return self.account(batch)

    def read(self, messages: Sequence[Message], *, behind: bool = False) -> ReadBatch:
        """Decode and check a batch, the first of three steps; ``behind`` one that is not accounted for yet.

        Unless it is ``behind``, what was read and not accounted for is forgotten. Raises ``sqlite3.OperationalError``:
        the same batch can be read again.
        """
        now, requests = self._clock(), list[Request]()
        if behind:
            self._memory.go_on()
        else:
            self._begin()
        return ReadBatch([self._read(message, message.at or now, requests) for message in messages], requests, now)

    def store(self, batch: ReadBatch) -> None:
        """Make a batch durable that was read. Raises ``StoreError`` as ``take`` does."""
        batch.reads = self._write(batch.reads)

    def account(self, batch: ReadBatch) -> list[Request]:
        """Account for a batch that is stored, in the order of reading. Return what is to be published.

        Raises ``sqlite3.OperationalError``: nothing is accounted for.
        """
        # Numberings are tried on copies, which replace the originals only when everything is durable.
        reads, now = batch.reads, batch.now
        account = Batch(memory=self._memory.changes(), memory_at=now, spooled=reads[-1].message.spooled if reads else 0)
        for read in reads:
            self._count(account, read, read.message.at or now)
        self._accounting.record(account)
        self._numberings |= account.sequences
        self._memory.settle()
        self._trim(len(account.quarantined), now)
        return batch.requests

    def take_reports(self, reports: Sequence[Report]) -> None:
        """Do what ``take`` does with content that needs no decoding."""
        now = self._clock()
        self._begin()
        # As what a broker retained: it says nothing of when it was sent.
        messages = [Message(f"{self._prefix}{r.asset_id}/{r.kind}", b"", retained=True) for r in reports]
        unknown = self._validator.unknown_asset
        self._finish(
            [self._check(m, *r, now, unknown(r.asset_id)) for m, r in zip(messages, reports, strict=True)], now
        )

    def refuse(self, message: Message, why: str) -> None:
        """Put a message into quarantine that a defect of ours keeps from being processed."""
        self._begin()
        self._finish([_refused(message, UNKNOWN_ASSET, Reject("internal-error", "payload", why[:300]))], self._clock())

    def replay(self, held: Quarantined) -> Replayed:
        """Take a message out of quarantine, read and judged as of when it came, and account for it once.

        Its samples move from quarantined to stored, or to duplicates where the store has them by now. What is refused
        again stays, with its reason. Needs that nobody else takes messages into this account.

        Raises:
            StoreError, sqlite3.OperationalError: it stays as it is; the call can be repeated.
        """
        if not held.whole:
            return Replayed(0, held.samples, "only the beginning of its payload was kept, or a file holds it")
        message = Message(held.topic, held.payload, held.size, retained=True)
        routed = self.routes.find(message.topic)
        if isinstance(routed, Reject):
            return Replayed(0, held.samples, str(routed))
        asset_id, kind = routed.place
        self._begin()
        unknown = self._validator.unknown_asset(asset_id)
        decoded, _ = self.routes.decode(routed, held.payload, held.at, known=unknown is None, again=True)
        read = self._check(message, asset_id, kind, decoded, held.at, unknown)
        measurements, faults = read.checked.measurements, read.checked.faults
        present = _present(self._store, read) if measurements or faults else set()
        [read] = self._write([read])
        checked = read.checked
        taken = checked.taken
        flagged = max(0, len(checked.rejects) - checked.rejected)
        if (taken, checked.rejected, flagged) == (held.stored, held.samples, held.flagged):
            return Replayed(0, held.samples, str(checked.rejects))
        there = min(taken, len(present))
        account = Batch(released=[held.id])
        before, tally = account.of(held.asset_id), account.of(read.asset_id)
        before.quarantined -= held.samples
        before.flagged_values -= held.flagged
        tally.stored += taken - there
        tally.duplicates += max(0, there - held.stored)
        tally.quarantined += checked.rejected
        tally.flagged_values += flagged
        if held.asset_id == UNKNOWN_ASSET:
            self._is_new(account, read, max(_times(checked), default=None))  # its number was not noted when it came
        # Of what the store had, the day is noted all the same: a value beside may be new, or a crash came between.
        for measured in checked.measurements:
            for time in measured.times:
                self._day(account, asset_id, time).measurements += (asset_id, time) not in present
        for fault in checked.faults:
            key = (fault.code, fault.time, fault.occurrence)
            self._day(account, asset_id, fault.time).faults += key not in present
        if checked.rejects:
            account.quarantined.append(_quarantined(read, held.at, taken))
        self._accounting.record(account)
        self._numberings |= account.sequences
        return Replayed(taken - there, checked.rejected, str(checked.rejects) if checked.rejects else "")

    def _read(self, message: Message, now: int, requests: list[Request]) -> _Read:
        routed = self.routes.find(message.topic)
        if isinstance(routed, Reject):
            return _refused(message, UNKNOWN_ASSET, routed)
        asset_id, kind = routed.place
        unknown = self._validator.unknown_asset(asset_id)
        if message.size > self._settings.max_payload_bytes:
            detail = f"{message.size} bytes, at most {self._settings.max_payload_bytes} are taken"
            known = asset_id if unknown is None else UNKNOWN_ASSET
            return _refused(message, known, Reject("too-large", "payload", detail))
        # An empty retained message is how a status is cleared.
        if kind == "status" and not message.payload:
            decoded = Decoded()
        else:
            decoded, answers = self.routes.decode(routed, message.payload, now, known=unknown is None)
            if answers:
                requests += answers
        return self._check(message, asset_id, kind, decoded, now, unknown)

    def _check(
        self, message: Message, asset_id: str, kind: Kind, decoded: Decoded, now: int, unknown: Reject | None
    ) -> _Read:
        if unknown is not None:
            if decoded.of_gateway and not (decoded.samples or decoded.faults or decoded.rejects):
                return _Read(message, UNKNOWN_ASSET, kind, decoded, Checked())
            samples = len(decoded.samples) + len(decoded.faults) + decoded.rejected
            return _refused(message, UNKNOWN_ASSET, unknown, samples or 1, decoded)
        checked = self._validator.check(asset_id, decoded, now)
        return _Read(message, asset_id, kind, decoded, checked)

    def _finish(self, reads: list[_Read], now: int) -> None:
        batch = ReadBatch(reads, [], now)
        self.store(batch)
        self.account(batch)

    def _write(self, batch: list[_Read]) -> list[_Read]:
        """Store the batch; return it with what the store refused as rejects.

        Repetitions are written too: it changes nothing, and nothing is lost where a gateway numbers wrongly.
        """
        measurements = [measurement for read in batch for measurement in read.checked.measurements]
        faults = [fault for read in batch for fault in read.checked.faults]
        if not measurements and not faults:
            return batch
        try:
            self._store.write(measurements, faults)
        except StoreRejected as error:
            if error.stops_the_line:
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._write(batch[:middle]) + self._write(batch[middle:])
            log.warning("The store refuses a message on %s: %s", batch[0].message.topic, error)
            checked = batch[0].checked
            checked.refuse(Reject("store-refused", "payload", str(error)[:300]), checked.taken)
            checked.measurements, checked.faults = [], []
        return batch

    def _count(self, account: Batch, read: _Read, now: int) -> None:
        checked, decoded, asset_id = read.checked, read.decoded, read.asset_id
        retained, tally = read.message.retained, account.of(asset_id)
        tally.messages += 1
        tally.lost += decoded.lost
        if asset_id != UNKNOWN_ASSET:
            tally.hear(None if retained else now, decoded.online)
        if decoded.offline:
            for other in decoded.offline:
                if self._validator.unknown_asset(other) is None:
                    account.of(other).hear(None, False)
        times = _times(checked)
        stored = len(times)
        first = newest = times[0] if times else None
        if stored > 1:
            first, newest = min(times), max(times)
        is_new = decoded.seq is None or self._is_new(account, read, newest)
        if newest is not None and not retained:
            tally.data_at, tally.clock = now, newest - now
        # What is refused as a whole stays refused, whatever its number: it must not pass for a repetition.
        if decoded.repeated or (stored and not is_new):
            tally.duplicates += max(1, stored + checked.rejected)
            return
        tally.stored += stored
        tally.quarantined += checked.rejected
        if first is not None and newest is not None:
            self._note_days(account, asset_id, checked, first, newest, stored)
            if not retained:
                if newest < now - self._late:
                    tally.late += stored
                elif first < now - self._late:
                    tally.late += sum([time < now - self._late for time in times])
                if newest > now + _SECOND:
                    tally.ahead += 1
        if checked.rejects.counts:
            tally.flagged_values += max(0, len(checked.rejects) - checked.rejected)
            for reason, n in checked.rejects.counts.items():
                tally.reasons[reason] = tally.reasons.get(reason, 0) + n
            if asset_id != UNKNOWN_ASSET or self._keeps_unknown(now):
                account.quarantined.append(_quarantined(read, now, stored))
            else:
                tally.quarantine_dropped += 1

    def _keeps_unknown(self, now: int) -> bool:
        """Whether quarantine takes one more message of an asset that nobody knows, this minute.

        So a flood of strangers does not push out what of known assets waits there.
        """
        minute, kept = self._unknown
        if now // _MINUTE != minute:
            minute, kept = now // _MINUTE, 0
        self._unknown = (minute, kept + 1)
        return kept < self._settings.unknown_per_minute

    def _is_new(self, account: Batch, read: _Read, newest: int | None) -> bool:
        seq = read.decoded.seq
        if seq is None:
            return True
        key = (read.asset_id, read.kind)
        numbering = account.sequences.get(key)
        if numbering is None:
            known = self._numberings.get(key) or self._accounting.sequence(*key)
            numbering = account.sequences[key] = known.copy()
        return numbering.take(seq, newest)

    def _note_days(self, account: Batch, asset_id: str, checked: Checked, first: int, newest: int, stored: int) -> None:
        count = self._day(account, asset_id, first)
        if newest < self._days[asset_id][1]:  # mostly all of a message is of one day
            count.faults += len(checked.faults)
            count.measurements += stored - len(checked.faults)
            count.last = max(count.last, newest)
            return
        for measured in checked.measurements:
            for time in measured.times:
                self._day(account, asset_id, time).measurements += 1
        for fault in checked.faults:
            self._day(account, asset_id, fault.time).faults += 1

    def _day(self, account: Batch, asset_id: str, at: int) -> DayCount:
        """Return the count of the operating day that holds an instant, which is noted in it."""
        low, high, day = self._days.get(asset_id, (0, 0, date.min))
        if not low <= at < high:  # the last day of each asset is remembered, since samples mostly come in order
            zone = self._register.site_of(asset_id).zone
            day = operating_day(zone, at)
            self._days[asset_id] = (*day_bounds(zone, day), day)
        count = account.days.get((asset_id, day))
        if count is None:
            count = account.days[asset_id, day] = DayCount(0, 0, at, at)
        elif at > count.last:
            count.last = at
        elif at < count.first:
            count.first = at
        return count

    def _trim(self, quarantined: int, now: int) -> None:
        self._since_trim += quarantined
        if quarantined and self._since_trim >= _TRIM_EVERY:
            before = now - int(self._settings.quarantine_max_days * _DAY)
            try:
                self._accounting.trim_quarantine(before=before, max_rows=self._settings.quarantine_max_rows)
            except sqlite3.OperationalError as error:  # what was taken is accounted for all the same
                log.warning("The quarantine could not be trimmed, trying again: %s", error)
            else:
                self._since_trim = 0


def _present(store: TelemetryStore, read: _Read) -> set[tuple[object, ...]]:
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


def _times(checked: Checked) -> Sequence[int]:
    """Return the time of each sample and fault that may be stored."""
    measurements, faults = checked.measurements, checked.faults
    if len(measurements) == 1 and not faults:  # as it mostly is
        return measurements[0].times
    times = [time for _, _, of_block, _ in measurements for time in of_block]
    return times + [fault.time for fault in faults]


def _refused(
    message: Message, asset_id: str, reject: Reject, samples: int = 1, decoded: Decoded | None = None
) -> _Read:
    """Return a message of which nothing is stored; of ``decoded`` counts what it says beside its samples."""
    checked = Checked()
    checked.refuse(reject, samples)
    said = Decoded() if decoded is None else Decoded(lost=decoded.lost, offline=decoded.offline)
    return _Read(message, asset_id, "", said, checked)


def _quarantined(read: _Read, now: int, stored: int) -> Quarantined:
    message, rejects = read.message, read.checked.rejects
    reason = next(iter(rejects)).reason
    size = max(message.size, len(message.payload))
    topic, detail = _printable(message.topic[:300]), _printable(str(rejects))
    refused, flagged = read.checked.rejected, max(0, len(rejects) - read.checked.rejected)
    kept = message.payload[:KEPT_BYTES]
    return Quarantined(now, read.asset_id, topic, reason, detail, size, kept, refused, flagged, stored)


def _printable(text: str) -> str:
    """Return text that a terminal and a database take as it is: what a gateway wrote may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
