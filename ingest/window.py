"""The messages in flight: taken from the network, not yet durable. Bounded in number and in bytes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Window(Generic[T]):
    """A first-in, first-out queue between the network's thread and the worker's."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        # For so many items or bytes it is worth to wake the worker: waking costs more than a message does.
        self._wanted, self._wanted_bytes = 1, max_bytes
        self._closed = False

    def put(self, item: T, size: int) -> bool:
        """Add an item of ``size`` bytes, waiting for room; return False if the window was closed meanwhile."""
        return self.put_all([(item, size)])

    def put_all(self, items: Sequence[tuple[T, int]]) -> bool:
        """Do what ``put`` does with items and their sizes, in their order."""
        with self._changed:
            total = sum([size for _, size in items])
            if not self._closed and self._has_room(total, len(items)):  # as there mostly is
                self._items.extend(items)
                self._bytes += total
                items = ()
            for item, size in items:
                # One item larger than the whole window is let in alone, or it would wait for ever.
                while not self._closed and self._items and not self._has_room(size):
                    self._changed.notify_all()
                    self._changed.wait()
                if self._closed:
                    return False
                self._items.append((item, size))
                self._bytes += size
            if self._enough() or not self._has_room(1):
                self._changed.notify_all()
            return True

    def _has_room(self, size: int, items: int = 1) -> bool:
        return len(self._items) + items <= self._max_items and self._bytes + size <= self._max_bytes

    def _enough(self) -> bool:
        return len(self._items) >= self._wanted or self._bytes >= self._wanted_bytes

    def take(self, most: int, *, wait: float, fill: float, most_bytes: int | None = None) -> list[T]:
        """Return up to ``most`` items: waits ``wait`` seconds for the first and ``fill`` more for the others.

        With them no more are taken than ``most_bytes`` hold (but one), nor waited for where they are there.
        """
        most_bytes = self._max_bytes if most_bytes is None else most_bytes
        with self._changed:
            self._wanted = 1
            self._changed.wait_for(lambda: self._items or self._closed, wait)
            if not self._items:
                return []
            end = time.monotonic() + fill
            self._wanted, self._wanted_bytes = most, most_bytes
            while not self._enough() and not self._closed and self._has_room(1):
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._pop(most, most_bytes)

    def take_full(self, most: int, *, most_bytes: int, until: Callable[[], bool]) -> list[T]:
        """Return ``most`` items, or so many as ``most_bytes`` hold; nothing where ``until`` is true before.

        Whoever makes it true calls ``wake``.
        """
        with self._changed:
            self._wanted, self._wanted_bytes = most, most_bytes
            self._changed.wait_for(lambda: self._enough() or not self._has_room(1) or self._closed or until())
            if self._items and (self._enough() or not self._has_room(1)):
                return self._pop(most, most_bytes)
            return []

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def _pop(self, most: int, most_bytes: int) -> list[T]:
        taken: list[T] = []
        taken_bytes = 0
        while self._items and len(taken) < most:
            item, size = self._items[0]
            if taken and taken_bytes + size > most_bytes:
                break
            self._items.popleft()
            taken_bytes += size
            taken.append(item)
        self._bytes -= taken_bytes
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
