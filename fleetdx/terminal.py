"""What a person at a terminal sees: progress on long work, errors that say what to do. Nothing of it on a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


def say(text: str) -> None:
    """Tell a person something."""
    console.print(text)


def print_json(result: Mapping[str, object]) -> None:
    """Print one JSON object on one line of standard output: the result, for machines."""
    sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()
