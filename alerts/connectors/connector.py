"""A ticket system, as the outbox sees it.

    ConnectorError
    ├── Retryable   away, busy, too many requests, log-in refused: the same call may succeed later
    └── Permanent   refused: a person has to act; the ticket becomes a dead letter

A connector is one file here with a class of this shape and ``from_settings``; the outbox finds it by its file's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from config.settings import Tickets


class ConnectorError(Exception):
    """A ticket system did not do what was asked."""


class Retryable(ConnectorError):
    """Asking again later can help."""


class Permanent(ConnectorError):
    """Asking again cannot help."""


@dataclass(frozen=True, slots=True)
class TicketDraft:
    """What a ticket is to hold. ``key`` identifies it in every system; ``data`` is the same content for machines."""

    key: str
    title: str
    body: str
    asset_id: str
    failure_mode: str
    severity: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FiledTicket:
    """A ticket as its system holds it."""

    external_key: str
    url: str
    key: str
    status: str = ""


class Connector(Protocol):
    """Files tickets, each once. A constructor opens no connection. Every method raises ``ConnectorError``."""

    name: ClassVar[str]

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from the settings; ``secret`` is the password or signing key that they name."""

    def search(self, key: str) -> FiledTicket | None:
        """Return the ticket that carries this key, whatever its status, or ``None``."""

    def create(self, draft: TicketDraft) -> FiledTicket:
        """File the ticket, or return the one that already carries its key."""

    def read(self, external_key: str) -> FiledTicket:
        """Return the ticket as it now stands."""

    def close(self) -> None:
        """Release connections."""


def connector_class(name: str) -> type[Connector]:
    """Return the class of ``alerts/connectors/<name>.py``. Raises ``Permanent`` where there is none."""
    path = f"alerts.connectors.{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise  # it is there, and needs what is not installed
        raise Permanent(f"there is no ticket connector {name!r}") from None
    for value in vars(module).values():
        if isinstance(value, type) and getattr(value, "name", None) == name:
            return value
    raise Permanent(f"there is no ticket connector {name!r}")
