"""Delivers tickets that alerts asked for: each ends as exactly one ticket, or as a dead letter with its reason.

What comes back soon goes on in the ticket that there is, and what people will not fix is held back: ``continuation``.

A ticket is leased before it is sent, searched before it is created, and read back after; so two deliverers, a crash
between create and record, and a timeout after the server accepted all end with one ticket.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q, QuerySet

from alerts.connectors.connector import Connector, FiledTicket, Permanent, Retryable, TicketDraft
from alerts.models import Alert, Ticket
from alerts.tickets.continuation import DEFAULT, Continuation, HeldBack, continued

log = logging.getLogger(__name__)

_LEASE = timedelta(minutes=5)
"""Longer than a delivery takes; after it a deliverer that died no longer holds the ticket."""
_LONGEST_WAIT = timedelta(hours=1)
_LOOK_AGAIN = timedelta(days=1)
"""How often is asked whether what holds a ticket back still stands."""
_OPEN = (Ticket.Status.PENDING, Ticket.Status.HELD_BACK)


@dataclass(slots=True)
class DeliveryReport:
    """What one round of delivery did, in tickets."""

    created: int = 0
    found: int = 0
    continued: int = 0
    held_back: int = 0
    postponed: int = 0
    dead: int = 0


def deliver(
    connector: Connector,
    compose: Callable[[Alert], TicketDraft],
    now: datetime,
    *,
    among: QuerySet[Ticket] | None = None,
    retry_after: timedelta = timedelta(seconds=30),
    continuation: Continuation = DEFAULT,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> DeliveryReport:
    """Deliver every ticket (of ``among``) that is due at ``now``; one that fails never keeps the others waiting."""
    report, began = DeliveryReport(), time.monotonic()
    wanted = Q(status=Ticket.Status.PENDING) | Q(status=Ticket.Status.HELD_BACK) & ~Q(alert__state=Alert.State.CLOSED)
    due = list(
        (Ticket.objects.all() if among is None else among)
        .filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now), wanted)
        .select_related("alert")
        .order_by("id")
    )
    for number, ticket in enumerate(due):
        at = now + timedelta(seconds=time.monotonic() - began)  # a round may outlast a lease
        if _leased(ticket, at):
            _deliver_one(connector, compose, ticket, at, retry_after, continuation, report)
        progress(number + 1, len(due))
    return report


def try_all_at_once() -> None:
    """End every wait, that of a deliverer which died included. Only for whoever knows that no other one is at work."""
    Ticket.objects.filter(status=Ticket.Status.PENDING).update(next_attempt_at=None)


def _leased(ticket: Ticket, now: datetime) -> bool:
    """Take the ticket for ourselves; False where another deliverer was first."""
    return (
        Ticket.objects.filter(pk=ticket.pk, status__in=_OPEN, attempts=ticket.attempts).update(
            attempts=F("attempts") + 1, next_attempt_at=now + _LEASE
        )
        == 1
    )


def _deliver_one(
    connector: Connector,
    compose: Callable[[Alert], TicketDraft],
    ticket: Ticket,
    now: datetime,
    retry_after: timedelta,
    continuation: Continuation,
    report: DeliveryReport,
) -> None:
    try:
        filed = connector.search(ticket.key)
        earlier = continued(connector, ticket, compose, now, continuation) if filed is None else None
        if filed is not None:
            report.found += 1
        elif isinstance(earlier, HeldBack):
            _hold_back(ticket, connector.name, earlier, now)
            report.held_back += 1
            return
        elif earlier is not None:
            filed = earlier
            report.continued += 1
        else:
            filed = connector.create(compose(ticket.alert))
            filed = _read_back(connector, filed, ticket.key)
            report.created += 1
    except Retryable as error:
        wait = min(retry_after * 2 ** min(ticket.attempts, 20), _LONGEST_WAIT) * random.uniform(0.7, 1.3)  # noqa: S311
        log.warning("Ticket %s: %s; trying again in %.0f s", ticket.key, error, wait.total_seconds())
        Ticket.objects.filter(pk=ticket.pk).update(next_attempt_at=now + wait, last_error=str(error)[:500])
        report.postponed += 1
    except Permanent as error:
        log.error("Ticket %s cannot be delivered, a person has to act: %s", ticket.key, error)
        Ticket.objects.filter(pk=ticket.pk).update(status=Ticket.Status.DEAD, last_error=str(error)[:500])
        report.dead += 1
    else:
        Ticket.objects.filter(pk=ticket.pk).update(
            status=Ticket.Status.DELIVERED,
            connector=connector.name,
            external_key=filed.external_key,
            url=filed.url,
            next_attempt_at=None,
            last_error="",
        )


def _hold_back(ticket: Ticket, connector: str, why: HeldBack, now: datetime) -> None:
    log.info("Ticket %s is held back: %s", ticket.key, why.reason)
    Ticket.objects.filter(pk=ticket.pk).update(
        status=Ticket.Status.HELD_BACK,
        connector=connector,
        next_attempt_at=min(why.until, now + _LOOK_AGAIN),
        last_error=why.reason[:500],
    )


def _read_back(connector: Connector, filed: FiledTicket, key: str) -> FiledTicket:
    """Make sure that what the system holds is what was sent. Raises ``Permanent`` where it is not."""
    held = connector.read(filed.external_key)
    if held.key != key:
        raise Permanent(f"filed as {filed.external_key}, which holds the key {held.key!r} and not {key!r}")
    return held
