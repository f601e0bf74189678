"""Ingest beside other work of the same process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ingest.mqtt import Subscriber


class IngestThread(threading.Thread):
    """Runs a subscriber until ``finish``. ``on_failure`` is called, in this thread, if it ends by itself."""

    def __init__(self, subscriber: Subscriber, on_failure: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="ingest", daemon=True)
        self._subscriber, self._on_failure = subscriber, on_failure
        self._ending = threading.Event()
        self._last = time.monotonic()
        self.messages = 0
        """Messages that were brought to their end so far."""
        self.failure: Exception | None = None

    def run(self) -> None:
        """Take messages; what ends the subscriber is kept for whoever waits."""
        try:
            self._subscriber.run(self._ending, self._took)
        except Exception as error:  # noqa: BLE001 - handed on by finish
            self.failure = error
            self._on_failure()

    @property
    def idle_seconds(self) -> float:
        """How long nothing has come."""
        return time.monotonic() - self._last

    def finish(self) -> None:
        """Stop taking messages and wait for the batch at hand. Raises what ended the subscriber, if anything did."""
        self._ending.set()
        self.join(timeout=60)
        if self.failure is not None:
            raise self.failure

    def _took(self, messages: int) -> None:
        self.messages += messages
        self._last = time.monotonic()
