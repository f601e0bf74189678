"""A ticket system, as the outbox sees it.

    ConnectorError
    ├── Retryable   away, busy, too many requests, log-in refused: the same call may succeed later
    └── Permanent   refused: a person has to act; the ticket becomes a dead letter

A connector is one file here with a class of this shape and ``from_settings``; the outbox finds it by its file's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

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


class Standing(StrEnum):
    """What a status comes to, whatever each system calls it."""

    OPEN = "open"
    CLOSED = "closed"
    WONT_FIX = "wont_fix"
    """Closed by people who decided to live with it: no new ticket for it while that stands."""


@dataclass(frozen=True, slots=True)
class FiledTicket:
    """A ticket as its system holds it.

    ``status`` is the system's own word. ``changed_at`` (UTC) is when anything of it last changed, ``None`` where the
    system does not say. ``fields`` holds what else people may fill in, by the system's name of the field, as text.
    """

    external_key: str
    url: str
    key: str
    status: str = ""
    standing: Standing = Standing.OPEN
    changed_at: datetime | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


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

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Say on a ticket that its failure is back, and open it again where it was closed; change no other field.

        What is said carries ``draft.key`` and is said once for it, however often this is called. Returns the ticket
        as it then stands, still under the key with which it was filed.
        """

    def close(self) -> None:
        """Release connections."""


@runtime_checkable
class TellsChanges(Protocol):
    """A connector whose system can be asked what people did with the tickets."""

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the tickets that carry a key and changed at ``since`` or later, each once, in order of change.

        Pages are read as they are needed. To go on later, ask for the last ``changed_at`` that was seen: the ticket
        of that instant comes once more.
        """


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
