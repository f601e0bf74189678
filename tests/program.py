"""The program as its users start it: a process of its own, its answer read from standard output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import typer.main
import typer.testing

from fleetdx.cli import app

command_of = cache(typer.main.get_command)
"""All commands of an app, put together once as in a process: that takes longer than to run most of them."""
typer.testing._get_command = command_of  # what its runner does before each call


class Answer(NamedTuple):
    """How a command ended, and all it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the one JSON object that stands on standard output, which holds nothing else."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1, self.out
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def fleetdx(*arguments: object, within: float = 60.0, **environment: str) -> Answer:
    """Run a command to its end."""
    done = subprocess.run(
        _command(arguments), capture_output=True, text=True, timeout=within, env=os.environ | environment
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def here(*arguments: object, **environment: str) -> Answer:
    """Run a command in this process: quicker, for those that take no signals and end by themselves."""
    result = typer.testing.CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def started(*arguments: object, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a command whose output goes to a file; the caller ends it."""
    with log.open("ab") as out:
        return subprocess.Popen(_command(arguments), stdout=out, stderr=out, env=os.environ | environment)


def wait_until(holds: Callable[[], object], *, within: float = 30.0, every: float = 0.05) -> None:
    """Wait for something to become true; fail where it does not."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"did not come true within {within} s"
        time.sleep(every)


def processes_on(folder: Path) -> list[str]:
    """Return the command lines of all living processes that name a folder, or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(process / "cwd")
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
        if line and (str(folder) in line or place.startswith(str(folder))):
            found.append(line)
    return found


def _command(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "fleetdx", *map(str, arguments)]
