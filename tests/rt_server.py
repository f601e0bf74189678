"""A real Request Tracker for tests, on a free port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import missing

from fleetdx.servers import rt
from fleetdx.servers.process import free_port
from fleetdx.servers.rt import RtServer


@contextmanager
def running_rt(folder: Path) -> Iterator[RtServer]:
    """Run an RT whose state lies in ``folder``; skip the test where it is not installed."""
    if not rt.installed():
        missing("rt", "apt install request-tracker5 rt5-standalone rt5-db-sqlite, or make test-tickets")
    server = RtServer(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
