"""The messages in flight: taken from the network, not yet durable. Bounded in number and in bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Window(Generic[T]):
    """A first-in, first-out queue between the network's thread and the worker's."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._wanted = 1  # items for which it is worth to wake the worker: waking costs more than a message does
        self._closed = False

    def put(self, item: T, size: int) -> bool:
        """Add an item of ``size`` bytes, waiting for room; return False if the window was closed meanwhile."""
        return self.put_all([(item, size)])

    def put_all(self, items: Iterable[tuple[T, int]]) -> bool:
        """Do what ``put`` does with items and their sizes, in their order."""
        with self._changed:
            for item, size in items:
                # One item larger than the whole window is let in alone, or it would wait for ever.
                while not self._closed and self._items and not self._has_room(size):
                    self._changed.notify_all()
                    self._changed.wait()
                if self._closed:
                    return False
                self._items.append((item, size))
                self._bytes += size
            if len(self._items) >= self._wanted or not self._has_room(1):
                self._changed.notify_all()
            return True

    def _has_room(self, size: int) -> bool:
        return len(self._items) < self._max_items and self._bytes + size <= self._max_bytes

    def take(self, most: int, *, wait: float, fill: float) -> list[T]:
        """Return up to ``most`` items: waits ``wait`` seconds for the first and ``fill`` more for the others."""
        with self._changed:
            self._wanted = 1
            self._changed.wait_for(lambda: self._items or self._closed, wait)
            if not self._items:
                return []
            end = time.monotonic() + fill
            self._wanted = most
            while len(self._items) < most and not self._closed and self._has_room(1):
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            taken: list[T] = []
            while self._items and len(taken) < most:
                item, size = self._items.popleft()
                self._bytes -= size
                taken.append(item)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Let nobody wait any more; what is inside is dropped, since the broker still has it."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)
