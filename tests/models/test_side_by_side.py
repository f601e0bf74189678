"""Pieces on threads: in their order, each alone with its thread, and an error is the first piece's that fails."""

from __future__ import annotations

import threading

import pytest
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from models import side_by_side as threads_of
from models.side_by_side import MOST_THREADS, side_by_side, usable_threads


def test_results_stand_in_the_order_of_the_pieces_whichever_ends_first() -> None:
    last_began = threading.Event()

    def work(piece: int) -> int:
        if piece == 3:
            last_began.set()
        elif piece == 0:
            assert last_began.wait(20), "the last piece was not begun beside the first"
        return piece * piece

    assert side_by_side(work, range(4), threads=2) == [0, 1, 4, 9]


@pytest.mark.parametrize("threads", [1, 2])
def test_no_piece_is_shared_among_threads_of_a_library(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert side_by_side(lambda _: _openmp_effective_n_threads(), range(4), threads) == [1, 1, 1, 1]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_piece_that_fails_says_so(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda piece: 1 // piece, [2, 0, 1], threads)


def test_no_piece_gives_no_result() -> None:
    assert side_by_side(lambda piece: piece, []) == []


@pytest.mark.parametrize(("asked", "least", "most"), [("1", 1, 1), ("64", 1, MOST_THREADS), ("two", 1, MOST_THREADS)])
def test_a_fit_takes_no_more_threads_than_it_is_told(
    asked: str, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(threads_of.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert least <= usable_threads() <= most
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert usable_threads() == MOST_THREADS
