"""Groups of assets scored one after another here, or side by side in other processes, to the same numbers.

What is given away is a function of its arguments (``diagnostics.scoring``). All that is read from the stores or written
to the ledger stays in this process, in its order: a process that dies takes nothing with it, and what it was scoring is
scored again.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import Protocol

import pandas as pd
from threadpoolctl import threadpool_limits

from diagnostics.scoring import Scores, ToScore, score

log = logging.getLogger(__name__)
Scored = tuple[pd.DataFrame, Scores | None]


class ScoringLost(RuntimeError):
    """The processes that score died, and died again over the same days. Nothing of them is recorded."""


class Workers(Protocol):
    """Where groups are scored."""

    @property
    def ahead(self) -> int:
        """How many groups are worth beginning before the result of an earlier one is asked for."""

    def begin(self, task: ToScore) -> Callable[[], Scored]:
        """Begin with a group; what is returned waits for the result and returns it."""

    def close(self) -> None:
        """End the processes, if there are any."""


class ThisProcess:
    """Scores when the result is asked for."""

    ahead = 0

    def begin(self, task: ToScore) -> Callable[[], Scored]:
        """Return a call that scores."""
        return lambda: score(task)

    def close(self) -> None:
        """Nothing runs."""


class OtherProcesses:
    """Scores on an executor that ``make`` makes when it is first needed, and again when its processes died.

    ``ahead`` bounds the memory: so many groups are out at one time, and one more. ``lost`` are the errors by which the
    executor tells that a process died; one that takes more than ``longest`` seconds over a group counts as dead, where
    ``TimeoutError`` is among them.
    """

    def __init__(
        self,
        make: Callable[[], Executor],
        ahead: int,
        lost: tuple[type[BaseException], ...] = (BrokenExecutor,),
        longest: float | None = None,
    ) -> None:
        self._make, self._ahead, self._lost, self._longest = make, ahead, lost, longest
        self._executor: Executor | None = None

    @property
    def ahead(self) -> int:
        """How many groups are worth beginning ahead."""
        return self._ahead

    def begin(self, task: ToScore) -> Callable[[], Scored]:
        """Begin with a group. The call that is returned raises ``ScoringLost`` where processes died twice over it."""
        executor, future = self._given(task)

        def result() -> Scored:
            try:
                return future.result(self._longest)
            except self._lost as error:
                log.warning("A process died while it scored %s; its days are scored again: %r", task.group, error)
            self._replace(executor)
            again, second = self._given(task)
            try:
                return second.result(self._longest)
            except self._lost as error:
                self._replace(again)
                raise ScoringLost(
                    f"the processes that score died twice over {len(task.rows)} asset-days of {task.group}: "
                    "is there memory for so many?"
                ) from error

        return result

    def close(self) -> None:
        """End the processes; what they have not begun with is dropped."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None

    def _given(self, task: ToScore) -> tuple[Executor, Future[Scored]]:
        if self._executor is None:
            self._executor = self._make()
        try:
            return self._executor, self._executor.submit(_score, task)
        except self._lost:  # it broke since the last group
            self._replace(self._executor)
            self._executor = self._make()
            return self._executor, self._executor.submit(_score, task)

    def _replace(self, broken: Executor) -> None:
        """Forget an executor, if no other has taken its place."""
        if self._executor is broken:
            broken.shutdown(wait=False, cancel_futures=True)
            self._executor = None


def local_processes(number: int) -> OtherProcesses:
    """Return ``number`` processes of this machine, not started."""
    # Spawned: a fork would copy the locks of the threads that run here, of the broker's client and the scheduler.
    spawn = multiprocessing.get_context("spawn")
    return OtherProcesses(
        lambda: ProcessPoolExecutor(number, mp_context=spawn, initializer=_begin_process), ahead=number
    )


def _score(task: ToScore) -> Scored:
    # As in the parent while it scores; said with each task, as libraries come with the first that needs them.
    with threadpool_limits(1):
        return score(task)


def _begin_process() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # the processes share the cores, so none takes several
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End where the parent was killed: it can no longer tell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
