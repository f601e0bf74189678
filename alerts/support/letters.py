"""Letters to the people of support: all that there is to tell one person, in one letter, at most one in a while.

When a person was last written to stands in the tables, and whoever moves it on first writes: so two processes, a
crash and a server that fails all keep the limit. What could not be sent waits for the next letter.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage

from django.db.models import Count, F, Q, Sum

from alerts.connectors.connector import Permanent, Retryable
from alerts.lifecycle.shelving import Holds
from alerts.models import Mailbox, Notice
from alerts.support.letter_text import letter
from alerts.support.mail import Post
from config.installation import Installation

log = logging.getLogger(__name__)
_MOST = 5000
"""Notices in one letter; what is more is in the next."""


def send_letters(post: Post, installation: Installation, now: datetime) -> int:
    """Write to everybody for whom something waits and whose turn it is at ``now``; return how many letters went.

    A letter that is under way counts as written, and the time to the next one runs from its end.
    """
    began, sent, holds = time.monotonic(), 0, Holds()
    waiting = Notice.objects.filter(sent_at=None, refused="")
    for address in list(waiting.values_list("address", flat=True).distinct().order_by("address")):
        at = now + timedelta(seconds=time.monotonic() - began)
        notices = list(waiting.filter(address=address).select_related("alert__group").order_by("id")[:_MOST])
        notices = [notice for notice in notices if not holds.by_people(notice.alert, at)]  # these wait on the shelf
        if notices and _turn(address, at - installation.settings.notify.every, at):
            sent += _send(post, address, notices, letter(address, notices, installation), at)
    return sent


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """Letters that were sent and attempts that failed; and notices, which letters take along.

    Of the notices that are not told, ``held_back`` are those to people who were written to within the limit,
    ``refused`` those that no letter will take any more, ``waiting`` the others.
    """

    sent: int
    failed: int
    told: int
    waiting: int
    held_back: int
    refused: int


def letter_counts(every: timedelta, now: datetime) -> LetterCounts:
    """Count what became of letters and notices; ``every`` is the limit, ``notify.every``."""
    letters = Mailbox.objects.aggregate(sent=Sum("sent"), failed=Sum("failed"))
    written = Mailbox.objects.filter(last_sent_at__gt=now - every).values("address")
    untold = Q(sent_at=None, refused="")
    notices = Notice.objects.aggregate(
        told=Count("pk", filter=Q(sent_at__isnull=False)),
        waiting=Count("pk", filter=untold & ~Q(address__in=written)),
        held_back=Count("pk", filter=untold & Q(address__in=written)),
        refused=Count("pk", filter=~Q(refused="")),
    )
    return LetterCounts(sent=letters["sent"] or 0, failed=letters["failed"] or 0, **notices)


def _turn(address: str, not_since: datetime, at: datetime) -> bool:
    """Take the turn to write to somebody, who was not written to after an instant; False where another took it."""
    box, new = Mailbox.objects.get_or_create(address=address, defaults={"last_sent_at": at})
    if new:
        return True
    return Mailbox.objects.filter(pk=box.pk, last_sent_at__lte=not_since).update(last_sent_at=at) == 1


def _send(post: Post, address: str, notices: Sequence[Notice], message: EmailMessage, at: datetime) -> bool:
    began, error, refused = time.monotonic(), "", ""
    try:
        post.send(message)
    except Retryable as problem:
        error = str(problem)[:500]
        log.warning("The letter to %s waits for the next one: %s", address, error)
    except Permanent as problem:
        error = refused = str(problem)[:500]
        log.error("Letters to %s are refused, a person has to act: %s", address, error)
    at += timedelta(seconds=time.monotonic() - began)
    if refused:
        Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(refused=refused)
    elif not error:
        Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(sent_at=at)
    counted = {"failed": F("failed") + 1} if error else {"sent": F("sent") + 1}
    Mailbox.objects.filter(address=address).update(last_sent_at=at, last_error=error, **counted)
    return not error
