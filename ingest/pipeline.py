"""Decode, validate, store, account; the caller acknowledges after ``take`` has returned.

Every message ends stored, duplicate or quarantined with a reason. The order is the promise: the store commits
(writing twice changes nothing there), then the account commits, then the broker is told. A crash in between
brings the messages again, and they count once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from config.register import Register
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.batch import Batch
from ingest.counters import UNKNOWN_ASSET
from ingest.counting import Counting
from ingest.decoders.decoder import Decoded, Kind, Reject, Request
from ingest.memory import Memory
from ingest.message import Message
from ingest.reading import Read, Reader, refused
from ingest.routes import Routes
from ingest.storing import write
from telemetry.store import TelemetryStore

log = logging.getLogger(__name__)
_DAY = 86_400 * 1_000_000_000
_TRIM_EVERY = 500  # quarantined messages
__all__ = ["Message", "Pipeline", "Report"]


class Report(NamedTuple):
    """What came from a file: the content of a message of one asset, without its payload."""

    asset_id: str
    kind: Kind
    decoded: Decoded


class ReadBatch(msgspec.Struct, gc=False):
    """A batch on its way through the pipeline: read, then stored, then accounted for.

    It was read at ``now`` (ns); ``requests`` are to be published once it is accounted for.
    """

    reads: list[Read]
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
        self.telemetry, self.accounting, self._clock = store, accounting, clock
        """Where samples go, and where they are accounted for."""
        mqtt = mqtt or Mqtt(prefix=prefix)
        self._prefix = mqtt.prefix + "/"
        self._memory = Memory(accounting.remembered)
        self.routes = Routes.from_settings(mqtt, settings, self._memory)
        """What is spoken under which prefix."""
        self.reader = Reader(self.routes, settings, int((max_age_days or settings.max_age_days) * _DAY))
        self.counting = Counting(settings, accounting.sequence)
        """What reads messages, and what counts them: both by the register in force."""
        self._settings = settings
        self._since_trim = _TRIM_EVERY  # the first refusal trims what an earlier run left
        self._adopted: Register | None = register
        self.begin()

    def adopt(self, register: Register) -> None:
        """Validate by another register from the next batch on that is read behind none; may be called by any thread."""
        self._adopted = register

    @property
    def changing(self) -> bool:
        """Whether another register waits: then no batch is to be read behind one."""
        return self._adopted is not None

    def begin(self) -> None:
        """Forget what was read and not accounted for, and put in force what was adopted."""
        self._memory.begin()
        register, self._adopted = self._adopted, None
        if register is not None:
            self.reader.use(register)
            self.counting.use(register)

    def now(self) -> int:
        """Return the clock's instant, ns since the epoch."""
        return self._clock()

    def spool_position(self) -> int:
        """Return the number of the last message of the spool that was brought to its end."""
        return self.accounting.spool_position()

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
            self.begin()
        read = self.reader.read
        return ReadBatch([read(message, message.at or now, requests) for message in messages], requests, now)

    def store(self, batch: ReadBatch) -> None:
        """Make a batch durable that was read. Raises ``StoreError`` as ``take`` does."""
        batch.reads = write(self.telemetry, batch.reads)

    def account(self, batch: ReadBatch) -> list[Request]:
        """Account for a batch that is stored, in the order of reading. Return what is to be published.

        Raises ``sqlite3.OperationalError``: nothing is accounted for.
        """
        reads, now = batch.reads, batch.now
        account = Batch(memory=self._memory.changes(), memory_at=now, spooled=reads[-1].message.spooled if reads else 0)
        for read in reads:
            self.counting.count(account, read, read.message.at or now)
        self.accounting.record(account)
        self.counting.settle(account)
        self._memory.settle()
        self._trim(len(account.quarantined), now)
        return batch.requests

    def take_reports(self, reports: Sequence[Report]) -> None:
        """Do what ``take`` does with content that needs no decoding."""
        now = self._clock()
        self.begin()
        # As what a broker retained: it says nothing of when it was sent.
        messages = [Message(f"{self._prefix}{r.asset_id}/{r.kind}", b"", retained=True) for r in reports]
        self._finish([self.reader.decoded(m, *r, now) for m, r in zip(messages, reports, strict=True)], now)

    def refuse(self, message: Message, why: str) -> None:
        """Put a message into quarantine that a defect of ours keeps from being processed."""
        self.begin()
        self._finish([refused(message, UNKNOWN_ASSET, Reject("internal-error", "payload", why[:300]))], self._clock())

    def _finish(self, reads: list[Read], now: int) -> None:
        batch = ReadBatch(reads, [], now)
        self.store(batch)
        self.account(batch)

    def _trim(self, quarantined: int, now: int) -> None:
        self._since_trim += quarantined
        if quarantined and self._since_trim >= _TRIM_EVERY:
            before = now - int(self._settings.quarantine_max_days * _DAY)
            try:
                self.accounting.trim_quarantine(before=before, max_rows=self._settings.quarantine_max_rows)
            except sqlite3.OperationalError as error:  # what was taken is accounted for all the same
                log.warning("The quarantine could not be trimmed, trying again: %s", error)
            else:
                self._since_trim = 0
