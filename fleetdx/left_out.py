"""What a person is told of a history that is not taken in, before anything is made of the rest."""

from __future__ import annotations

from collections.abc import Iterable

from config.register import Register
from fleetdx.terminal import say
from ingest.history import History


def say_columns_left_out(history: History) -> None:
    """Name the columns of telemetry that measure nothing. Raises ``ConfigError`` where it is broken."""
    found = history.columns_left_out()
    if found:
        say(f"Columns of telemetry left out: {listed(f'{name} ({why})' for name, why in found.items())}.")


def say_assets_left_out(table: str, unknown: Iterable[str], register: Register) -> None:
    """Name the assets of a table that the register lacks, and some that it has: often the same, spelt otherwise."""
    names = [name or "no asset at all" for name in unknown]
    if names:
        known = listed(sorted(register.assets), 4)
        say(f"The register lacks assets that {table} names: {listed(names)}. It has {known}.")


def listed(texts: Iterable[str], most: int = 8) -> str:
    """Return texts as a list that ends after ``most``, with how many there are more."""
    every = list(texts)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
