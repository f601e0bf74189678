"""The window between network and worker: bounded in number and bytes, in order, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ingest.window import Window


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_items_come_out_in_order_and_no_more_than_asked_for() -> None:
    window: Window[int] = Window(100, 1000)
    for n in range(10):
        assert window.put(n, 1)
    assert window.take(4, wait=0, fill=0) == [0, 1, 2, 3]
    assert window.take(100, wait=0, fill=0) == [4, 5, 6, 7, 8, 9]
    assert window.take(1, wait=0, fill=0) == []


def test_put_waits_while_the_window_is_full() -> None:
    for window, size in ((Window[int](3, 1000), 1), (Window[int](100, 30), 10)):
        for n in range(3):
            window.put(n, size)
        putting = in_thread(lambda window=window, size=size: window.put(3, size))  # type: ignore[misc]
        putting.join(0.1)
        assert putting.is_alive()
        assert len(window) == 3
        assert window.take(1, wait=0, fill=0) == [0]
        putting.join(5)
        assert not putting.is_alive()
        assert window.take(10, wait=0, fill=0) == [1, 2, 3]


def test_one_item_larger_than_the_whole_window_passes_alone() -> None:
    window: Window[int] = Window(10, 100)
    assert window.put(1, 5000)
    putting = in_thread(lambda: window.put(2, 1))
    putting.join(0.1)
    assert putting.is_alive()
    assert window.take(10, wait=0, fill=0) == [1]
    putting.join(5)
    assert window.take(10, wait=0, fill=0) == [2]


def test_a_full_batch_is_taken_or_none_once_it_is_waited_for_no_more() -> None:
    window: Window[int] = Window(100, 1000)
    for n in range(4):
        window.put(n, 10)
    done = threading.Event()
    found: list[list[int]] = []
    taking = in_thread(lambda: found.append(window.take_full(5, most_bytes=1000, until=done.is_set)))
    taking.join(0.1)
    assert taking.is_alive()
    window.put(4, 10)
    taking.join(5)
    assert found == [[0, 1, 2, 3, 4]]
    window.put_all([(n, 10) for n in range(3)])
    assert window.take_full(5, most_bytes=20, until=done.is_set) == [0, 1]
    taking = in_thread(lambda: found.append(window.take_full(5, most_bytes=1000, until=done.is_set)))
    taking.join(0.1)
    assert taking.is_alive()
    done.set()
    window.wake()
    taking.join(5)
    assert (found[1:], len(window)) == ([[]], 1)


def test_a_window_that_is_full_is_taken_from_though_no_whole_batch_fits_into_it() -> None:
    window: Window[int] = Window(3, 1000)
    for n in range(3):
        window.put(n, 1)
    assert window.take_full(5, most_bytes=1000, until=lambda: False) == [0, 1, 2]


def test_a_batch_is_bounded_in_bytes_and_not_waited_for_when_they_are_there() -> None:
    window: Window[int] = Window(100, 1000)
    window.put_all([(n, 30) for n in range(5)])
    began = time.monotonic()
    assert window.take(100, wait=5, fill=5, most_bytes=75) == [0, 1]
    assert time.monotonic() - began < 3
    assert window.take(100, wait=0, fill=0, most_bytes=10) == [2]  # one always goes
    assert window.take(100, wait=0, fill=0) == [3, 4]


def test_what_does_not_fit_at_once_goes_in_piece_by_piece() -> None:
    window: Window[int] = Window(3, 1000)
    putting = in_thread(lambda: window.put_all([(n, 1) for n in range(8)]))
    got: list[int] = []
    while len(got) < 8:
        got += window.take(3, wait=5, fill=0)
    putting.join(5)
    assert got == list(range(8))


def test_take_waits_for_a_batch_to_fill_and_then_goes_with_what_there_is() -> None:
    window: Window[int] = Window(100, 1000)
    window.put(0, 1)
    later = threading.Timer(0.05, lambda: window.put(1, 1))
    later.start()
    began = time.monotonic()
    assert window.take(3, wait=5, fill=0.3) == [0, 1]
    assert 0.25 < time.monotonic() - began < 3
    later.join()


def test_a_full_window_is_taken_at_once() -> None:
    window: Window[int] = Window(5, 1000)
    for n in range(5):
        window.put(n, 1)
    began = time.monotonic()
    assert window.take(500, wait=5, fill=5) == [0, 1, 2, 3, 4]
    assert time.monotonic() - began < 1


def test_closing_frees_everybody_who_waits() -> None:
    window: Window[int] = Window(1, 1000)
    window.put(1, 1)
    results: list[object] = []
    putting = in_thread(lambda: results.append(window.put(2, 1)))
    time.sleep(0.05)
    window.close()
    putting.join(5)
    assert results == [False]
    assert window.put(3, 1) is False
    began = time.monotonic()
    assert window.take(1, wait=5, fill=5) == []
    assert time.monotonic() - began < 1


def test_everything_put_by_one_thread_is_taken_by_another_once_and_in_order() -> None:
    window: Window[int] = Window(7, 50)
    sizes = [1 + n % 13 for n in range(3000)]
    putting = in_thread(lambda: [window.put(n, size) for n, size in enumerate(sizes)])
    taken: list[int] = []
    while len(taken) < 3000:
        batch = window.take(5, wait=5, fill=0)
        assert 0 < len(batch) <= 5
        taken += batch
    putting.join(5)
    assert taken == list(range(3000))
