"""A server as a child process: it dies with us, and what an earlier run left behind is stopped first."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleetdx.failure import CannotGoOn

_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Run in a child before its program: ask the kernel to end it when we end, however we end."""
    # Linux alone has it; elsewhere the pid file of the next run does the cleaning.
    if hasattr(ctypes, "CDLL") and os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ServerProcess:
    """One child process that listens on ``port`` of loopback; its output goes to ``folder/<name>.log``.

    ``environment`` is all that it has of variables; our own where none is given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        port: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._command, self._folder, self.port = name, list(command), folder, port
        self._environment_of_child = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, within: float = 20.0) -> None:
        """Start it and wait until it listens.

        Raises:
            CannotGoOn: it ended, or does not listen ``within`` so many seconds; says the end of its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stop_stale()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent, env=self._environment_of_child,
            )  # fmt: skip
        self._pid_file.write_text(f"{self._process.pid} {Path(self._command[0]).name}")
        end = time.monotonic() + within
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        tail = self._log.read_text(errors="replace")[-800:].strip()
        raise CannotGoOn(f"{self._name} did not start on port {self.port}. The end of {self._log}:\n{tail}")

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / f"{self._name}.log"

    @property
    def _pid_file(self) -> Path:
        return self._folder / f"{self._name}.pid"

    def _stop_stale(self) -> None:
        """Stop the server of an earlier run on this folder that was killed before it could clean up."""
        try:
            pid_text, program = self._pid_file.read_text().split(maxsplit=1)
            command_line = Path(f"/proc/{int(pid_text)}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if program.encode() in command_line and str(self._folder).encode() in command_line:
            os.kill(int(pid_text), signal.SIGKILL)
            time.sleep(0.2)
