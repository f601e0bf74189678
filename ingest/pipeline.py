"""Decode, validate, store, account; the caller acknowledges after ``take`` has returned.

Every message ends stored, duplicate or quarantined with a reason. The order is the promise: the store commits
(writing twice changes nothing there), then the account commits, then the broker is told. A crash in between
brings the messages again, and they count once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from config.operating_day import day_bounds, operating_day
from config.register import Register
from config.settings import Ingest
from ingest.accounting import UNKNOWN_ASSET, Accounting, Batch, DayCount
from ingest.decoders.decoder import KINDS, Decoded, Decoder, Kind, Limits, Reject
from ingest.decoders.json import JsonDecoder
from ingest.quarantine import KEPT_BYTES, KEPT_REASONS, Quarantined
from ingest.sequence import Sequence as SequenceNumbers
from ingest.validate import Checked, Validator
from telemetry.store import StoreRejected, TelemetryStore

log = logging.getLogger(__name__)
_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND


class Message(NamedTuple):
    """What came from a broker or a file; ``size`` is the whole payload's, where only its beginning was kept."""

    topic: str
    payload: bytes
    size: int = 0


class _Read(NamedTuple):
    """One message after decoding and validation."""

    message: Message
    asset_id: str
    kind: str
    seq: int | None
    online: bool | None
    checked: Checked


class Pipeline:
    """Takes batches of messages of one prefix; used by one thread at a time. ``clock`` returns ns since the epoch."""

    def __init__(
        self,
        store: TelemetryStore,
        accounting: Accounting,
        register: Register,
        *,
        prefix: str,
        settings: Ingest,
        clock: Callable[[], int],
        decoder: Decoder | None = None,
    ) -> None:
        self._store, self._accounting, self._prefix, self._clock = store, accounting, prefix + "/", clock
        self._settings = settings
        self._decoder = decoder or JsonDecoder(Limits(settings.max_payload_bytes, settings.max_samples))
        self._sequences: dict[tuple[str, str], SequenceNumbers] = {}
        self._days: dict[str, tuple[int, int, date]] = {}
        self.adopt(register)

    def adopt(self, register: Register) -> None:
        """Validate by another register from now on."""
        self._register = register
        self._validator = Validator(
            register,
            skew=int(self._settings.allowed_clock_skew_s * _SECOND),
            age=int(self._settings.max_age_days * _DAY),
        )
        self._days.clear()

    def take(self, messages: Sequence[Message]) -> None:
        """Bring a batch to its end: on return it is durable and accounted for.

        Raises:
            StoreUnavailable: nothing is accounted for; the same batch can be given again.
            StoreRejected: the store takes nothing at all (``stops_the_line``); a person has to act.
        """
        now = self._clock()
        self._finish([self._read(message, now) for message in messages], now)

    def refuse(self, message: Message, why: str) -> None:
        """Put a message into quarantine that a defect of ours keeps from being processed."""
        reject = Reject("internal-error", "payload", why[:300])
        self._finish([_refused(message, UNKNOWN_ASSET, "", reject)], self._clock())

    def _finish(self, batch: list[_Read], now: int) -> None:
        # Sequences are tried on copies, which replace the originals only when everything is durable.
        sequences: dict[tuple[str, str], SequenceNumbers] = {}
        fresh = [self._is_new(read, sequences) for read in batch]
        new = [read for read, is_new in zip(batch, fresh, strict=True) if is_new]
        measurements = [measurement for read in new for measurement in read.checked.measurements]
        faults = [fault for read in new for fault in read.checked.faults]
        if measurements or faults:
            try:
                self._store.write(measurements, faults)
            except StoreRejected as error:
                if error.stops_the_line:
                    raise
                self._finish_in_parts(batch, error, now)
                return
        account = self._account(batch, fresh, now)
        account.sequences = sequences
        self._accounting.record(account)
        self._sequences |= sequences

    def _finish_in_parts(self, batch: list[_Read], error: StoreRejected, now: int) -> None:
        """Something in the batch is at fault: halve until it is found, keep the rest."""
        if len(batch) > 1:
            middle = len(batch) // 2
            self._finish(batch[:middle], now)
            self._finish(batch[middle:], now)
            return
        read = batch[0]
        samples = len(read.checked.measurements) + len(read.checked.faults) + read.checked.rejected
        reject = Reject("store-refused", "payload", str(error)[:300])
        self._finish([read._replace(checked=Checked(rejected=samples, rejects=[*read.checked.rejects, reject]))], now)

    def _read(self, message: Message, now: int) -> _Read:
        place = self._place(message.topic)
        if isinstance(place, Reject):
            return _refused(message, UNKNOWN_ASSET, "", place)
        asset_id, kind = place
        unknown = self._validator.unknown_asset(asset_id)
        if unknown is not None:
            return _refused(message, UNKNOWN_ASSET, kind, unknown)
        if message.size > self._settings.max_payload_bytes:
            detail = f"{message.size} bytes, at most {self._settings.max_payload_bytes} are taken"
            return _refused(message, asset_id, kind, Reject("too-large", "payload", detail))
        # An empty retained message is how a status is cleared.
        cleared = kind == "status" and not message.payload
        decoded = Decoded() if cleared else self._decoder.decode(kind, message.payload)
        checked = self._validator.check(asset_id, decoded, now)
        return _Read(message, asset_id, kind, decoded.seq, decoded.online, checked)

    def _place(self, topic: str) -> tuple[str, Kind] | Reject:
        parts = topic.removeprefix(self._prefix).split("/")
        if not topic.startswith(self._prefix) or len(parts) != 2:
            shape = f"{self._prefix}<asset>/{'|'.join(KINDS)}"
            return Reject("bad-topic", "topic", f"{topic[:100]!r} is not {shape}")
        for kind in KINDS:
            if parts[1] == kind:
                return parts[0], kind
        return Reject("bad-topic", "topic", f"{parts[1][:32]!r} is none of {', '.join(KINDS)}")

    def _is_new(self, read: _Read, sequences: dict[tuple[str, str], SequenceNumbers]) -> bool:
        if read.seq is None:
            return True
        key = (read.asset_id, read.kind)
        numbers = sequences.get(key)
        if numbers is None:
            known = self._sequences.get(key) or self._accounting.sequence(*key)
            numbers = sequences[key] = known.copy()
        times = [m.time for m in read.checked.measurements] + [f.time for f in read.checked.faults]
        return numbers.take(read.seq, max(times, default=0))

    def _account(self, batch: list[_Read], fresh: list[bool], now: int) -> Batch:
        account = Batch()
        for read, is_new in zip(batch, fresh, strict=True):
            checked, asset_id = read.checked, read.asset_id
            account.count(asset_id, "messages")
            if asset_id != UNKNOWN_ASSET:
                earlier = account.heard.get(asset_id, (0, None))[1]
                account.heard[asset_id] = (now, earlier if read.online is None else read.online)
            stored = len(checked.measurements) + len(checked.faults)
            if not is_new:
                account.count(asset_id, "duplicates", stored + checked.rejected)
                continue
            account.count(asset_id, "stored", stored)
            account.count(asset_id, "quarantined", checked.rejected)
            self._note_days(account, asset_id, checked)
            if checked.rejects:
                account.count(asset_id, "flagged_values", max(0, len(checked.rejects) - checked.rejected))
                for reject in checked.rejects:
                    account.count(asset_id, f"reason:{reject.reason}")
                account.quarantined.append(_quarantined(read, now))
        return account

    def _note_days(self, account: Batch, asset_id: str, checked: Checked) -> None:
        for measurement in checked.measurements:
            day = self._day(asset_id, measurement.time)
            account.arrived(asset_id, day, DayCount(1, 0, measurement.time, measurement.time))
        for fault in checked.faults:
            account.arrived(asset_id, self._day(asset_id, fault.time), DayCount(0, 1, fault.time, fault.time))

    def _day(self, asset_id: str, at: int) -> date:
        """Return the operating day; the last one of each asset is remembered, since samples come in order."""
        low, high, day = self._days.get(asset_id, (0, 0, date.min))
        if not low <= at < high:
            zone = self._register.site_of(asset_id).zone
            day = operating_day(zone, at)
            self._days[asset_id] = (*day_bounds(zone, day), day)
        return day


def _refused(message: Message, asset_id: str, kind: str, reject: Reject) -> _Read:
    return _Read(message, asset_id, kind, None, None, Checked(rejected=1, rejects=[reject]))


def _quarantined(read: _Read, now: int) -> Quarantined:
    rejects = read.checked.rejects
    detail = "; ".join(map(str, rejects[:KEPT_REASONS]))
    if len(rejects) > KEPT_REASONS:
        detail += f"; and {len(rejects) - KEPT_REASONS} more"
    payload = read.message.payload
    size = max(read.message.size, len(payload))
    return Quarantined(now, read.message.topic[:300], rejects[0].reason, detail, size, payload[:KEPT_BYTES])
