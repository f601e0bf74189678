"""InfluxDB 2.x on loopback, for benchmarks and tests; a real installation runs its own."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx

from fleetdx.failure import CannotGoOn
from fleetdx.servers.process import ServerProcess

ORG, BUCKET, TOKEN = "fleetdx", "fleetdx", "token-on-loopback"
_PASSWORD = "password-on-loopback"  # noqa: S105
_READY_S = 20.0


def executable() -> str | None:
    """Return the path of ``influxd``; it is in no package index, so it has to be put there by hand."""
    return shutil.which("influxd")


class InfluxDBServer(ServerProcess):
    """A server with one organisation, one bucket and one token that may do everything.

    Raises ``FileNotFoundError`` where there is no ``influxd``.
    """

    def __init__(self, folder: Path, port: int) -> None:
        program = executable()
        if program is None:
            raise FileNotFoundError("there is no influxd on PATH")
        folder = folder.resolve()
        command = [
            program, "--reporting-disabled", "--http-bind-address", f"127.0.0.1:{port}", "--log-level", "error",
            "--bolt-path", str(folder / "bolt"), "--engine-path", str(folder / "engine"),
            "--sqlite-path", str(folder / "sqlite"),
        ]  # fmt: skip
        super().__init__("influxd", command, folder, port)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, within: float = 60.0) -> None:
        """Start it, and make organisation, bucket and token where it is new."""
        super().start(within=within)
        names = {"username": ORG, "password": _PASSWORD, "org": ORG, "bucket": BUCKET, "token": TOKEN}
        end = time.monotonic() + _READY_S
        while True:
            answer = httpx.post(f"{self.url}/api/v2/setup", json=names, timeout=_READY_S)
            if answer.is_success or answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:  # it was set up before
                return
            if time.monotonic() > end:
                self.stop()
                raise CannotGoOn(f"influxd answers {answer.status_code} to its set-up: {answer.text[:300]}")
            time.sleep(0.1)  # it listens a moment before it is ready
