"""A real Roundup for tests, on a free port of loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import missing

from fleetdx.servers import roundup
from fleetdx.servers.process import free_port
from fleetdx.servers.roundup import RoundupServer


@contextmanager
def running_roundup() -> Iterator[RoundupServer]:
    """Run a tracker in a folder of its own; skip the test where Roundup is not installed."""
    if not roundup.installed():
        missing("roundup", "pip install 'fleetdx[demo]'")
    # Not below pytest's folder: each run of pytest closes that to other accounts, and under root Roundup needs one.
    with tempfile.TemporaryDirectory(prefix="fleetdx-roundup-") as folder:
        server = RoundupServer(Path(folder), free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
