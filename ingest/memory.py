"""What decoders remember from one message to the next, kept with the account: a crash loses and doubles nothing of it.

What a batch changes is tentative until ``settle``; ``begin`` forgets it. So a batch that is tried again, because the
store was away, is read as the first time. A batch may be read before the one ahead of it is settled (``go_on``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

HELD_BYTES = 64_000_000
"""Of what is remembered, so much is held here; the rest is read from the account when it is needed."""
_OVERHEAD = 300  # bytes, of an entry whatever it holds
_Entry = tuple[msgspec.Struct | None, bytes | None]  # the same, as an object and in writing
_NOTHING: _Entry = (None, None)


def _recall_nothing(_key: str) -> bytes | None:
    """Remember nothing of an earlier run."""
    return None


class Memory:
    """Frozen structs by key. ``recall`` returns what was recorded under a key (MessagePack), or ``None``.

    ``recall`` may raise ``sqlite3.Error``, and so may ``get``.
    """

    def __init__(self, recall: Callable[[str], bytes | None] = _recall_nothing, held_bytes: int = HELD_BYTES) -> None:
        self._recall, self._most = recall, held_bytes
        self._held: OrderedDict[str, _Entry] = OrderedDict()
        self._held_bytes = 0
        self._tentative: list[dict[str, _Entry]] = [{}]  # of each batch that is not settled, the oldest first

    def get(self, key: str, kind: type[T]) -> T | None:
        """Return what is remembered under a key; ``None`` where nothing is, or where an older version wrote it."""
        entry = next((batch[key] for batch in reversed(self._tentative) if key in batch), None) or self._held.get(key)
        if entry is None:
            written = self._recall(key)
            entry = (_read(written, kind), written) if written is not None else _NOTHING
            self._hold(key, entry)
        elif key in self._held:
            self._held.move_to_end(key)
        value = entry[0]
        return value if isinstance(value, kind) else None

    def put(self, key: str, value: msgspec.Struct) -> None:
        """Remember a frozen struct from now on, unless ``begin`` comes before ``settle``."""
        self._tentative[-1][key] = (value, msgspec.msgpack.encode(value))

    def forget(self, key: str) -> None:
        """Remember nothing under a key from now on, as for ``put``."""
        self._tentative[-1][key] = _NOTHING

    def begin(self) -> None:
        """Forget what changed since the last ``settle``."""
        self._tentative = [{}]

    def go_on(self) -> None:
        """Settle what changes from now on by itself, after what changed before."""
        self._tentative.append({})

    def changes(self) -> dict[str, bytes | None]:
        """Return what is to be settled next, to be recorded; ``None`` where nothing is remembered any more."""
        return {key: written for key, (_, written) in self._tentative[0].items()}

    def settle(self) -> None:
        """Keep what ``changes`` returned: it is recorded."""
        for key, entry in self._tentative.pop(0).items():
            self._hold(key, entry)
        self._tentative = self._tentative or [{}]

    def _hold(self, key: str, entry: _Entry) -> None:
        old = self._held.pop(key, None)
        if old is not None:
            self._held_bytes -= _size(key, old)
        self._held[key] = entry
        self._held_bytes += _size(key, entry)
        while self._held_bytes > self._most and len(self._held) > 1:
            gone, old = self._held.popitem(last=False)
            self._held_bytes -= _size(gone, old)


def _read(written: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(written, type=kind)
    except msgspec.MsgspecError:
        return None


def _size(key: str, entry: _Entry) -> int:
    # An object takes several times its writing.
    return _OVERHEAD + len(key) + 6 * len(entry[1] or b"")
