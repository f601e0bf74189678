"""Two batches at once: while the store takes one, the next is read.

The store is waited for about as long as everything else takes. What is written, accounted for and acknowledged keeps
its order; two batches at most are at hand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ingest.decoders.decoder import Request
from ingest.link import Delivery
from ingest.pipeline import Pipeline, ReadBatch
from ingest.window import Window


class ReadAhead:
    """Brings what is in a window through a pipeline, in batches of up to ``most`` messages and ``most_bytes``.

    ``close`` it: the store is written to in a thread of its own.
    """

    def __init__(self, pipeline: Pipeline, window: Window[Delivery], most: int, most_bytes: int) -> None:
        self._pipeline, self._window, self._most, self._most_bytes = pipeline, window, most, most_bytes
        self._storing = ThreadPoolExecutor(1, "store")
        self._again = False  # something failed: what is held is tried again by itself, or it would grow with each try

    def close(self) -> None:
        """End the thread, when it is done with its batch."""
        self._storing.shutdown()

    def run(self, held: list[Delivery], ended: Callable[[int, list[Request]], None], stop: threading.Event) -> None:
        """Bring ``held`` to its end, and batch after batch behind it while a whole one is there, until ``stop``.

        After ``stop`` nothing new is written, and what was taken already stays in ``held``. What is taken from the
        window joins ``held``. ``ended`` is told of each batch how many messages it had, the first ones there, which it
        has to take away, and what is to be published.

        Raises what ``Pipeline.take`` does: nothing of what is in ``held`` by then is accounted for, and nothing is
        being written any more.
        """
        count = len(held)
        batch = self._pipeline.read([delivery.message for delivery in held])
        writing = self._begin(batch)
        try:
            while True:
                following = self._following(writing, stop)
                held += following
                ahead = None
                if following:
                    ahead = self._pipeline.read([delivery.message for delivery in following], behind=True)
                writing.result()
                over = ahead is None or stop.is_set()
                if ahead is not None and not over:
                    writing = self._begin(ahead)
                ended(count, self._pipeline.account(batch))
                self._again = False
                if ahead is None or over:
                    return
                batch, count = ahead, len(following)
        except BaseException:
            self._again = True
            raise
        finally:
            wait([writing])
            del writing  # it holds the exception, which holds this frame: a cycle about two batches

    def _begin(self, batch: ReadBatch) -> Future[None]:
        writing = self._storing.submit(self._pipeline.store, batch)
        writing.add_done_callback(lambda _: self._window.wake())
        return writing

    def _following(self, writing: Future[None], stop: threading.Event) -> list[Delivery]:
        """Return a whole batch, or nothing: a part of one is better waited for once the store is free."""
        if stop.is_set() or self._again or self._pipeline.changing:
            return []
        return self._window.take_full(self._most, most_bytes=self._most_bytes, until=writing.done)
