"""What a person at a terminal sees: progress on long work, errors that say what to do. Nothing of it on a pipe."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True, highlight=False)
"""Everything said to a person goes to standard error; standard output is for results."""

Report = Callable[[int, int | None], None]
"""Called with how much is done in all, and how much there is to do (``None``: not known)."""


def _silent(_done: int, _total: int | None) -> None:
    """Report to nobody."""


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Show a bar for ``what`` while the block runs, and nothing where standard error is no terminal."""
    if not console.is_terminal:
        yield _silent
        return
    columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def say(text: str, heading: str = "", style: str = "bold") -> None:
    """Tell a person something: as it is, brackets included, and in lines of its own length."""
    console.print(Text.assemble((heading, style), harmless(text)), soft_wrap=True)


def harmless(text: str) -> str:
    """Return a text that came from outside without what would steer a terminal."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in text)


def log_to_person(level: int) -> None:
    """Let log messages go to standard error: coloured on a terminal, else one plain line each, for journals."""
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_path=False)
        logging.basicConfig(level=level, format="%(message)s", datefmt="%H:%M:%S", handlers=[handler])
    else:
        logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def print_json(result: Mapping[str, object]) -> None:
    """Print one JSON object on one line of standard output: the result, for machines."""
    sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()
