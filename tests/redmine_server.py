"""A real Redmine for tests, on a free port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import missing, required

from fleetdx.servers import redmine
from fleetdx.servers.process import free_port
from fleetdx.servers.redmine import RedmineServer


@contextmanager
def running_redmine(folder: Path) -> Iterator[RedmineServer]:
    """Run a Redmine whose state lies in ``folder``; skip the test where it is not installed or not asked for."""
    if not redmine.installed() or not required("redmine"):  # it takes a minute to start, so it is asked for
        missing("redmine", "make test-tickets installs and uses it")
    server = RedmineServer(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
