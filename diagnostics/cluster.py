"""Scoring on a Dask cluster, behind the seam that processes of this machine stand behind: ``fleetdx[cluster]``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import ParamSpec, TypeVar

from distributed import Client, KilledWorker

from diagnostics.fan_out import OtherProcesses

P = ParamSpec("P")
T = TypeVar("T")
CONNECT_SECONDS = 10
WORKER_SECONDS = 60
"""How long a worker is waited for where there is none: those that died are started again."""
LONGEST_SECONDS = 600
"""What a group may take: where no worker is left, Dask waits for one, and a sweep would wait with it."""
_LOST = (KilledWorker, CancelledError, OSError)
"""How Dask tells that workers died over a task, that the scheduler forgot it, and that nobody answers (in time)."""


class DaskExecutor(Executor):
    """Hands calls to the workers of the scheduler at an address. Raises ``OSError`` where nobody answers there."""

    def __init__(self, address: str) -> None:
        self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        self._executor = self._client.get_executor(pure=False)

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand over a call whose arguments may be large: they go to a worker, and not through the scheduler's graph."""
        held = self._client.scatter(list(args), hash=False, timeout=WORKER_SECONDS)
        future: Future[T] = self._executor.submit(call, *held, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which forgets what it was given. It goes on for others."""
        self._client.close()


def cluster(address: str, groups: int) -> OtherProcesses:
    """Return the workers of the scheduler at ``address``, with so many ``groups`` out ahead; connects when needed."""
    return OtherProcesses(lambda: DaskExecutor(address), ahead=groups, lost=_LOST, longest=LONGEST_SECONDS)
