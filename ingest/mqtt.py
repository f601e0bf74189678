"""From the broker to the pipeline: acknowledged after the commit, in the store or, while that is away, in the spool.

One thread owns the link to the broker: it connects, puts what comes into a bounded window, and sends acknowledgements.
The thread that calls ``run`` takes batches from the window through the pipeline, and a third writes to the store
(``ingest.read_ahead``). What is not acknowledged, the broker sends again after the next connect.
"""

from __future__ import annotations

import gc
import importlib
import logging
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from config.settings import Ingest, Mqtt
from ingest.accounting import Intake
from ingest.decoders.decoder import Request
from ingest.link import Delivery, Link, LinkLost
from ingest.message import Message
from ingest.pipeline import Pipeline
from ingest.read_ahead import ReadAhead
from ingest.spool import Spool, SpoolFull
from ingest.window import Window
from telemetry.store import StoreError, StoreRejected, StoreUnavailable

log = logging.getLogger(__name__)

_LINKS = {"paho": ("ingest.paho_link", "PahoLink"), "mqtt5": ("ingest.codec_link", "CodecLink")}
_WINDOW_BYTES = 64_000_000
_BATCH_BYTES = 4_000_000
"""Of payloads in one batch: of many samples a message, a thousand messages would take much memory at no gain."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_REQUESTS = 10_000
"""Requests to gateways that wait for the network; beyond it the oldest are given up, and asked again."""
_LEAVE_S = 0.15
_ACK_S = 0.02
"""How long an acknowledgement may wait for the network's thread while nothing comes in."""
_DRAINED_BATCHES = 8
"""Batches that leave the spool for each that joins it, while the store answers."""
_YOUNG = 50_000
"""Objects made between two searches for cycles. A batch makes many and no cycle; at Python's own 700 the searching
takes as long as the work."""


class _Backoff:
    """Waits that double from ``_FIRST_WAIT_S`` to ``_LONGEST_WAIT_S``, each half to one and a half times as long.

    The jitter keeps many programs from coming back in step after an outage.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._next = _FIRST_WAIT_S

    def next_wait(self) -> float:
        wait = self._next * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, no secret
        self._next = min(self._next * 2, _LONGEST_WAIT_S)
        return wait


class Subscriber:
    """Takes what gateways publish under the prefix until told to stop. The constructor connects to nothing.

    While the store is away, messages are kept in ``spool``; without one, or where it is full, the broker keeps them.
    For one ``run``: a second needs a new object.
    """

    def __init__(self, settings: Mqtt, ingest: Ingest, pipeline: Pipeline, spool: Spool | None = None) -> None:
        self._settings, self._ingest, self._pipeline, self._spool = settings, ingest, pipeline, spool
        self._window: Window[Delivery] = Window(settings.max_in_flight, _WINDOW_BYTES)
        self._done: deque[Delivery] = deque()  # bounded as the window is: each was in it
        self._requests: deque[Request] = deque(maxlen=_REQUESTS)
        self._connection = 0
        self._ending = threading.Event()
        self._connect_backoff, self._store_backoff = _Backoff(), _Backoff()
        self._store_at = 0.0  # when the store is tried again
        self._held: list[Delivery] = []  # taken from the window, neither stored nor spooled yet
        self._link_problem, self._store_problem = "not connected yet", ""
        self._defect: BaseException | None = None
        module, name = _LINKS[settings.client]
        link_class = getattr(importlib.import_module(module), name)
        self._link: Link = link_class(settings, pipeline.routes.filters, self, ingest.max_payload_bytes)
        self._ahead = ReadAhead(pipeline, self._window, ingest.batch_messages, _BATCH_BYTES)

    @property
    def problem(self) -> str:
        """What keeps messages from being taken at the moment; empty while all is well."""
        return self._store_problem or self._link_problem

    @property
    def spooled(self) -> int:
        """Messages that wait on disk for the store."""
        return 0 if self._spool is None else len(self._spool)

    def intake(self, now: int, since: int) -> Intake:
        """Return how taking in goes at ``now``, which holds since ``since`` (ns)."""
        spool = self._spool
        held = (len(spool), spool.bytes_held, spool.max_bytes) if spool is not None else ()
        return Intake(now, self.problem, since, *held)

    def run(self, stop: threading.Event, taken: Callable[[int], None] = lambda _: None) -> None:
        """Connect and work until ``stop``; ``taken`` is told how many messages each batch held, after its commit.

        Raises:
            StoreRejected: the store takes nothing at all; a person has to act.
            sqlite3.DatabaseError: the account or the spool is broken.
            RuntimeError: the network's thread died of a defect.
        """
        if self._spool is not None:
            self._spool.open(self._pipeline.spool_position())
        network = threading.Thread(target=self._network, name="mqtt", daemon=True)
        network.start()
        try:
            with _rare_collections():
                while not stop.is_set():
                    if self._defect is not None or not network.is_alive():
                        raise RuntimeError("the MQTT thread has ended") from self._defect
                    if self._spool is not None and len(self._spool):
                        self._by_the_spool(self._spool, stop, taken)
                    else:
                        self._straight(stop, taken)
        finally:
            self._ending.set()
            self._link.wake()
            self._window.close()
            self._ahead.close()
            network.join(timeout=5)
            if self._spool is not None:
                self._spool.close()

    # In the worker's thread

    def _straight(self, stop: threading.Event, taken: Callable[[int], None]) -> None:
        """Bring a batch to its end and those that are there behind it, or into the spool."""

        def ended(count: int, requests: list[Request]) -> None:
            self._store_is_there()
            self._requests.extend(requests)
            self._acknowledge_held(count)
            taken(count)

        self._held = self._held or self._window.take(
            self._ingest.batch_messages, wait=0.2, fill=self._ingest.batch_seconds, most_bytes=_BATCH_BYTES
        )
        if not self._held:
            return
        try:
            try:
                self._ahead.run(self._held, ended, stop)
            except (StoreError, sqlite3.Error) as error:
                self._note_rejection(error)
                raise
            except Exception:  # a defect of ours met by some message must neither lose it nor stop those beside it
                log.exception("Some message could not be processed; they are taken one by one")
                while self._held and not stop.is_set():
                    self._take([self._held[0].message])
                    ended(1, [])
            return
        except StoreUnavailable as error:
            self._store_is_away(error)
            if self._spool is not None and self._keep(self._spool):
                return
        except sqlite3.OperationalError as error:
            self._store_is_away(error)
        stop.wait(max(0.0, self._store_at - time.monotonic()))

    def _by_the_spool(self, spool: Spool, stop: threading.Event, taken: Callable[[int], None]) -> None:
        """What comes goes behind what waits, so that the order stays; what waits goes to the store, once it is back."""
        for _ in range(_DRAINED_BATCHES):
            if stop.is_set() or time.monotonic() < self._store_at or not self._drain(spool, taken):
                break
            if not len(spool):
                return
        if not self._held:
            wait = min(max(0.0, self._store_at - time.monotonic()), 0.2)
            self._held = self._window.take(self._ingest.batch_messages, wait=wait, fill=0, most_bytes=_BATCH_BYTES)
        if self._held and not self._keep(spool):  # then the broker keeps what comes
            stop.wait(min(max(0.0, self._store_at - time.monotonic()), 0.2))

    def _drain(self, spool: Spool, taken: Callable[[int], None]) -> bool:
        """Bring the messages that have waited longest to their end; False where they still can't be."""
        messages = spool.first(self._ingest.batch_messages, _BATCH_BYTES)
        try:
            # Of what was tried before, a part may have come to its end, one by one.
            done = self._pipeline.spool_position()
            before = [message for message in messages if message.spooled <= done]
            if before:
                spool.forget(before)
                messages = messages[len(before) :]
            if messages:
                self._take(messages)
                spool.forget(messages)
        except (StoreUnavailable, sqlite3.OperationalError) as error:
            self._store_is_away(error)
            return False
        self._store_is_there()
        taken(len(messages))
        return True

    def _store_is_away(self, error: Exception) -> None:
        self._store_problem = str(error) or type(error).__name__
        self._store_at = time.monotonic() + self._store_backoff.next_wait()
        log.error("Cannot store, trying again: %s", self._store_problem)

    def _store_is_there(self) -> None:
        self._store_problem, self._store_at = "", 0.0
        self._store_backoff.reset()

    def _keep(self, spool: Spool) -> bool:
        """Put the batch at hand on the disk and acknowledge it; False where there is no room."""
        now = self._pipeline.now()
        try:
            spool.append([msgspec.structs.replace(held.message, at=now) for held in self._held])
        except (SpoolFull, sqlite3.OperationalError) as error:
            problem = f"the store is away, and the spool takes no more: {error}"
            if problem != self._store_problem:
                log.error("%s; the broker has to keep what comes", problem)
            self._store_problem = problem
            return False
        self._acknowledge_held(len(self._held))
        return True

    def _acknowledge_held(self, count: int) -> None:
        self._done.extend(self._held[:count])
        del self._held[:count]
        self._link.wake()

    def _take(self, messages: Sequence[Message]) -> None:
        try:
            self._requests.extend(self._pipeline.take(messages))
        except (StoreError, sqlite3.Error) as error:
            self._note_rejection(error)
            raise
        except Exception as error:  # a defect of ours met by some message must neither lose it nor stop those beside it
            if len(messages) == 1:
                log.exception("A message could not be processed; it goes to quarantine")
                self._pipeline.refuse(messages[0], f"{type(error).__name__}: {error}")
                return
            for message in messages:
                self._take([message])

    def _note_rejection(self, error: Exception) -> None:
        if isinstance(error, StoreRejected):
            self._store_problem = str(error)

    # In the network's thread

    def _network(self) -> None:
        try:
            while not self._ending.is_set():
                self._one_connection()
                self._ending.wait(self._connect_backoff.next_wait())
        except Exception as defect:  # told to the worker, which ends with it
            log.exception("The MQTT thread met a defect")
            self._defect = defect
        finally:
            self._link.close()

    def _one_connection(self) -> None:
        """Connect, and serve the connection until it ends."""
        link = self._link
        try:
            link.connect()
            while True:
                link.serve(_ACK_S)
                ending = self._ending.is_set()  # asked first: what was done before it was set is acknowledged below
                self._acknowledge()
                self._ask()
                if ending:
                    self._leave()
                    return
        except LinkLost as error:
            self._link_problem = str(error)
            if not self._ending.is_set():
                log.warning("%s; connecting again", error)

    def _leave(self) -> None:
        # Closing a socket while something unread waits in it resets the connection, and the broker then loses the
        # acknowledgements that it has not read yet: it is given the time.
        end = time.monotonic() + _LEAVE_S
        while time.monotonic() < end:
            self._link.serve(_ACK_S)
        self._link.disconnect()

    def _acknowledge(self) -> None:
        packets = []
        while self._done:
            done = self._done.popleft()
            # An old connection's packet ids mean nothing to the new one, or something else.
            if done.packet and done.connection == self._connection:
                packets.append(done.packet)
        if packets:
            self._link.acknowledge(packets)

    def _ask(self) -> None:
        while self._requests:
            topic, payload = self._requests.popleft()
            self._link.publish(topic, payload)  # if it is lost, the reason to ask comes again

    # A ``Listener``, in the network's thread

    def connected(self, session_kept: bool) -> None:
        """Note that the broker takes us."""
        self._connection += 1
        self._link_problem = ""
        self._connect_backoff.reset()
        log.info("Connected to the broker; it %s our session", "kept" if session_kept else "opened")

    def refused(self, why: str) -> None:
        """Note why the broker does not."""
        self._link_problem = why
        log.error("%s", why)

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        """Put messages into the window."""
        for delivery in deliveries:
            delivery.connection = self._connection
        self._window.put_all([(delivery, len(delivery.message.payload) + 500) for delivery in deliveries])


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles of garbage seldom, while it lasts; what is in no cycle goes at once, as always."""
    young, *older = gc.get_threshold()
    gc.set_threshold(max(young, _YOUNG), *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)
