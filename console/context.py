"""What the pages need beside the tables: the installation and the telemetry store, provided by the program."""

from __future__ import annotations

from dataclasses import dataclass

from config.installation import Installation
from telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class Provided:
    """The installation in force, and the store that holds its telemetry (opened by whoever provides it)."""

    installation: Installation
    store: TelemetryStore


_provided: Provided | None = None


def provide(installation: Installation, store: TelemetryStore) -> None:
    """Let the pages speak of this installation from now on; called again when its files change."""
    global _provided
    _provided = Provided(installation, store)


def provided() -> Provided:
    """Return what was provided. Raises ``RuntimeError`` where nothing was: the pages are served by ``fleetdx``."""
    if _provided is None:
        raise RuntimeError("the console is served by `fleetdx run` or `fleetdx demo`, which provide the installation")
    return _provided
