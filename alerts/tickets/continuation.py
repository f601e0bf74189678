"""Whether the ticket of an episode goes on in the one of an earlier episode, or is held back by it.

the earlier ticket      what follows
open or closed          within the reopen window: it is told that the failure is back, and opened again
won't fix               no ticket, while that stands: until a set time, a person's word, or its being opened again
anything else           a ticket of its own
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from alerts.connectors.connector import Connector, FiledTicket, Permanent, Standing, TicketDraft
from alerts.models import Alert, Ticket

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Continuation:
    """How long after an episode's end the next one is the same case, and how long people's *won't fix* is kept."""

    reopen_within: timedelta = timedelta(days=7)
    wont_fix_lasts: timedelta = timedelta(days=90)


DEFAULT = Continuation()


@dataclass(frozen=True, slots=True)
class HeldBack:
    """No ticket for now: why, and until when at the latest."""

    reason: str
    until: datetime


def continued(
    connector: Connector, ticket: Ticket, compose: Callable[[Alert], TicketDraft], now: datetime, rules: Continuation
) -> FiledTicket | HeldBack | None:
    """Return the earlier ticket in which this one goes on, or why it is held back; ``None``: file one of its own.

    Asking twice says nothing twice. Raises ``ConnectorError``.
    """
    earlier = _earlier(ticket, connector.name)
    if earlier is None:
        return None
    try:
        held = connector.read(earlier.external_key)
    except Permanent as error:
        log.warning("Ticket %s is filed anew, since %s can't be read: %s", ticket.key, earlier.external_key, error)
        return None
    if held.standing is Standing.WONT_FIX:
        return _held_back(earlier, held, now, rules)
    if earlier.wont_fix_since is not None:  # people opened it again
        Ticket.objects.filter(pk=earlier.pk).update(
            wont_fix_since=None, wont_fix_ended_at=None, wont_fix_ended_by="", wont_fix_ended_why=""
        )
    ended = earlier.alert.closed_at
    if ended is None or ticket.alert.known_at - ended > rules.reopen_within:
        return None
    held = connector.follow_up(earlier.external_key, compose(ticket.alert))
    if held.standing is not Standing.OPEN:
        log.warning("Ticket %s is filed anew, since %s could not be opened again", ticket.key, held.external_key)
        return None
    return held


def held_back_by(ticket: Ticket) -> Ticket | None:
    """Return the earlier episode's ticket, which people will not fix; ``None`` where nothing holds this one back."""
    return _earlier(ticket, ticket.connector) if ticket.status == Ticket.Status.HELD_BACK else None


@transaction.atomic
def end_wont_fix(ticket: Ticket, who: str, why: str, now: datetime) -> bool:
    """Let a ticket be filed although people will not fix it; return whether it was held back.

    Raises ``ValueError`` without a name and a reason.
    """
    if not who.strip() or not why.strip():
        raise ValueError("a name and a reason are needed")
    earlier = held_back_by(ticket)
    if earlier is None:
        return False
    Ticket.objects.filter(pk=earlier.pk).update(
        wont_fix_ended_at=now, wont_fix_ended_by=who[:150], wont_fix_ended_why=why.strip()[:500]
    )
    log.warning("Ticket %s is filed although %s stands as won't fix, %s: %s", ticket.key, earlier.key, who, why)
    Ticket.objects.filter(pk=ticket.pk, status=Ticket.Status.HELD_BACK).update(next_attempt_at=None)
    return True


def _earlier(ticket: Ticket, connector: str) -> Ticket | None:
    """Return the ticket of the fingerprint's last episode before that has one in this system."""
    alert = ticket.alert
    same = Ticket.objects.filter(alert__asset_id=alert.asset_id, alert__failure_mode=alert.failure_mode)
    filed = same.filter(alert__episode__lt=alert.episode, status=Ticket.Status.DELIVERED, connector=connector)
    return filed.select_related("alert").order_by("-alert__episode").first()


def _held_back(earlier: Ticket, held: FiledTicket, now: datetime, rules: Continuation) -> HeldBack | None:
    since = earlier.wont_fix_since
    if since is None:
        since = now
        Ticket.objects.filter(pk=earlier.pk).update(wont_fix_since=now)
    until = since + rules.wont_fix_lasts
    if earlier.wont_fix_ended_at is not None or now >= until:
        return None
    return HeldBack(f"{earlier.key} stands as won't fix ({held.status}), at the latest until {until:%Y-%m-%d}", until)
