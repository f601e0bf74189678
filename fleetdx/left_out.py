"""What a person is told of a history that is not taken in, before anything is made of the rest."""

from __future__ import annotations

from collections.abc import Iterable

from fleetdx.terminal import say
from ingest.history import History


def say_columns_left_out(history: History) -> None:
    """Name the columns of telemetry that measure nothing. Raises ``ConfigError`` where it is broken."""
    found = history.columns_left_out()
    if found:
        say(f"Columns of telemetry left out: {listed(f'{name} ({why})' for name, why in found.items())}.")


def listed(texts: Iterable[str], most: int = 8) -> str:
    """Return texts as a list that ends after ``most``, with how many there are more."""
    every = list(texts)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
