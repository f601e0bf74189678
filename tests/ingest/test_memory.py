"""What decoders remember: tentative until it is recorded, bounded, and the same after a crash."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.accounting import Accounting
from ingest.batch import Batch
from ingest.memory import Memory


class Note(msgspec.Struct, frozen=True):
    text: str


class Other(msgspec.Struct, frozen=True):
    number: int


def test_what_was_not_recorded_is_forgotten_by_the_next_try() -> None:
    memory = Memory()
    memory.put("a", Note("first"))
    memory.settle()
    memory.begin()
    memory.put("a", Note("second"))
    memory.put("b", Note("new"))
    assert memory.get("a", Note) == Note("second")
    memory.begin()
    assert (memory.get("a", Note), memory.get("b", Note), memory.changes()) == (Note("first"), None, {})
    memory.forget("a")
    assert (memory.get("a", Note), memory.changes()) == (None, {"a": None})
    memory.begin()
    assert memory.get("a", Note) == Note("first")


def test_a_batch_that_is_read_before_the_one_ahead_is_settled_sees_it_and_is_settled_by_itself() -> None:
    memory = Memory()
    memory.begin()
    memory.put("a", Note("first"))
    memory.put("b", Note("first"))
    memory.go_on()
    assert memory.get("a", Note) == Note("first")
    memory.put("a", Note("second"))
    memory.forget("b")
    assert (memory.get("a", Note), memory.get("b", Note)) == (Note("second"), None)
    assert set(memory.changes()) == {"a", "b"}
    assert memory.changes()["b"] is not None  # of the first
    memory.settle()
    assert (memory.get("a", Note), memory.get("b", Note)) == (Note("second"), None)
    assert memory.changes()["b"] is None  # of the second
    memory.begin()  # which is not recorded
    assert (memory.get("a", Note), memory.get("b", Note), memory.changes()) == (Note("first"), Note("first"), {})


def test_what_was_recorded_is_there_after_a_restart(accounting: Accounting) -> None:
    memory = Memory(accounting.remembered)
    memory.put("a", Note("kept"))
    memory.put("gone", Note("x"))
    accounting.record(Batch(memory=memory.changes(), memory_at=1))
    memory.settle()
    memory.forget("gone")
    memory.put("lost", Note("never recorded"))
    again = Memory(accounting.remembered)
    assert [again.get(key, Note) for key in ("a", "gone", "lost")] == [Note("kept"), Note("x"), None]
    accounting.record(Batch(memory=memory.changes() | {"lost": None}, memory_at=2))
    assert [Memory(accounting.remembered).get(key, Note) for key in ("a", "gone")] == [Note("kept"), None]


def test_what_an_older_version_wrote_in_another_shape_is_as_nothing() -> None:
    memory = Memory({"a": msgspec.msgpack.encode(["x"]), "b": b"\xc1"}.get)
    assert memory.get("a", Note) is None
    assert memory.get("b", Note) is None
    memory.put("c", Other(1))
    assert memory.get("c", Note) is None


def test_only_so_much_is_held_and_the_rest_is_read_again() -> None:
    recorded: dict[str, bytes | None] = {}
    asked: list[str] = []

    def recall(key: str) -> Any:
        asked.append(key)
        return recorded.get(key)

    memory = Memory(recall, held_bytes=20_000)
    for number in range(200):
        memory.put(f"key-{number}", Note("x" * 100))
        recorded |= memory.changes()
        memory.settle()
    assert len(memory._held) < 30
    assert all(memory.get(f"key-{number}", Note) == Note("x" * 100) for number in range(200))
    assert len(asked) > 150
    for number in range(10_000):
        memory.get(f"unknown-{number}", Note)
    assert len(memory._held) < 100


@pytest.mark.slow
def test_the_account_keeps_the_newest_memories_only(accounting: Accounting) -> None:
    big = b"x" * 1_000_000
    for number in range(300):
        accounting.record(Batch(memory={f"key-{number}": big if number else b"oldest"}, memory_at=number))
    kept = [number for number in range(300) if accounting.remembered(f"key-{number}")]
    assert kept[-1] == 299
    assert 0 not in kept
    assert sum(1 for _ in kept) < 285
