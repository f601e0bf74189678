"""What the pages need beside the tables: the installation and the telemetry store, provided by the program."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from config.installation import Installation
from ingest.accounting import Accounting
from telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class Provided:
    """The installation in force, the store that holds its telemetry, and what ingest counted.

    Whoever provides them has opened them; without ``accounting`` the pages know nothing of ingest. ``held_back`` are
    the rules that would open tickets and may not.
    """

    installation: Installation
    store: TelemetryStore
    accounting: Accounting | None = None
    held_back: Collection[str] = ()


_provided: Provided | None = None


def provide(
    installation: Installation,
    store: TelemetryStore,
    accounting: Accounting | None = None,
    held_back: Collection[str] = (),
) -> None:
    """Let the pages speak of this installation from now on; called again when its files change."""
    global _provided
    _provided = Provided(installation, store, accounting, held_back)


def provided() -> Provided:
    """Return what was provided. Raises ``RuntimeError`` where nothing was: the pages are served by ``fleetdx``."""
    if _provided is None:
        raise RuntimeError("the console is served by `fleetdx run` or `fleetdx demo`, which provide the installation")
    return _provided
