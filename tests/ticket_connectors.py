"""Connectors built from settings, against whatever listens on a port of loopback."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from ticket_desk import SECRET

from alerts.connectors.connector import Connector, connector_class
from config.settings import Tickets
from fleetdx.servers.redmine import PROJECT
from fleetdx.servers.roundup import PASSWORD, USER
from fleetdx.servers.rt import QUEUE

if TYPE_CHECKING:
    from alerts.tickets.outbox import DeliveryReport


def counts(report: DeliveryReport) -> dict[str, int]:
    """What a round of delivery did, without what it did not."""
    return {name: count for name, count in asdict(report).items() if count}


def built(name: str, port: int, *, timeout_s: float = 20.0, user: str | None = USER) -> Connector:
    path, queue, secret = {
        "redmine": ("", PROJECT, PASSWORD),
        "roundup": ("/fleet", None, PASSWORD),
        "rt": ("", QUEUE, PASSWORD),
        "webhook": ("/tickets", None, SECRET),
    }[name]
    url = f"http://127.0.0.1:{port}{path}"
    chosen = Tickets(connector=name, url=url, queue=queue, user=user, timeout_s=timeout_s)
    return connector_class(name).from_settings(chosen, secret)
