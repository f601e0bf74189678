"""A real mosquitto for tests, on a free port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import missing

from fleetdx.servers import mosquitto
from fleetdx.servers.mosquitto import MosquittoServer
from fleetdx.servers.process import free_port


@contextmanager
def running_mosquitto(folder: Path) -> Iterator[MosquittoServer]:
    """Run a broker whose state lies in ``folder``; skip the test where none is installed."""
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    broker = MosquittoServer(folder, free_port())
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
