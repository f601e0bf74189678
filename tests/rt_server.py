"""A real Request Tracker for tests, on a free port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import missing, required

from fleetdx.servers import rt
from fleetdx.servers.process import free_port
from fleetdx.servers.rt import RtServer


@contextmanager
def running_rt(folder: Path) -> Iterator[RtServer]:
    """Run an RT whose state lies in ``folder``; skip the test where it is not installed or not asked for."""
    if not rt.installed() or not required("rt"):  # it takes a minute to start, so it is asked for
        missing("rt", "make test-tickets installs and uses it")
    server = RtServer(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
