"""Pieces of a fit that know nothing of each other, on several cores, to the same numbers as on one.

Threads, as numpy and scikit-learn compute without the interpreter's lock and all read one panel. Each piece is computed
by one thread from beginning to end, and results stand in the order of the pieces: what comes out does not depend on how
many threads there were, which it would if threads shared one sum. Threads that share one piece also wait for each other
by spinning, which on a busy machine costs more than they bring.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

MOST_THREADS = 4
"""Each takes memory for its piece: a copy of most of the rows."""

_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")


def usable_threads() -> int:
    """Return as many as the cores this process may use, or ``OMP_NUM_THREADS`` where that says fewer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, MOST_THREADS, int(asked) if asked.isdecimal() else MOST_THREADS))


def side_by_side(
    work: Callable[[_Piece], _Result], pieces: Sequence[_Piece], threads: int | None = None
) -> list[_Result]:
    """Return ``work`` of each piece, in order; what it writes, no other piece may read or write.

    ``threads``: as many at most, ``usable_threads`` if not given. Raises what ``work`` raises for the first piece that
    fails; pieces that are not begun then are dropped.
    """
    threads = min(len(pieces), threads or usable_threads())
    with threadpool_limits(1):
        if threads < 2:
            return [work(piece) for piece in pieces]
        with ThreadPoolExecutor(threads, "fit", initializer=_alone) as pool:
            return list(pool.map(work, pieces))


def _alone() -> None:
    threadpool_limits(1, user_api="openmp")  # of BLAS the limit is the process's, of OpenMP each thread has its own
