"""Outcomes that a ticket system sends: signed, each signature once, and all that is wrong with one is said and counted.

The signature is that of outgoing webhooks: ``X-Fleetdx-Signature: t=<unix seconds>,v1=<hex>``.
"""

from __future__ import annotations

import hmac
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F

from alerts.connectors.webhook import signature
from alerts.models import Outcome, Refusal, SeenSignature, Ticket
from alerts.outcomes.finding import BadFinding, checked, decoded
from alerts.outcomes.record import record
from config.knowledge import Knowledge
from config.settings import Outcomes, Settings

log = logging.getLogger(__name__)

Reason = Literal[
    "not-configured", "too-large", "unsigned", "wrong-signature", "stale", "replayed", "malformed", "unknown-ticket",
    "refused-by-poll",
]  # fmt: skip
STATUS: dict[Reason, int] = {
    "not-configured": 404, "too-large": 413, "unsigned": 401, "wrong-signature": 401, "stale": 401, "replayed": 409,
    "malformed": 400, "unknown-ticket": 404,
}  # fmt: skip
"""HTTP's status for each reason."""
_HEADER = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-f]{64})")


class Refused(Exception):
    """An outcome was refused, and nothing was changed."""

    def __init__(self, reason: Reason, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.field = field


def receive(
    header: str, body: bytes, secret: str, settings: Settings, knowledge: Knowledge, now: datetime
) -> tuple[str, bool]:
    """Take a signed request; return the ticket's key, and whether the outcome says anything new.

    Raises ``Refused``.
    """
    most = settings.outcomes.max_body_bytes
    if len(body) > most:
        raise Refused("too-large", f"more than {most:,} bytes")
    given, expires_at = _verified(header, body, secret, settings.outcomes, now)
    try:
        told = decoded(body)
        ticket = Ticket.objects.select_related("alert").filter(key=told.ticket).first()
        if ticket is None:
            raise Refused("unknown-ticket", f"there is no ticket {told.ticket!r}", "ticket")
        checked(told, knowledge, now, ticket.alert.first_day)
    except BadFinding as error:
        raise Refused("malformed", str(error), error.field) from None
    with transaction.atomic():
        SeenSignature.objects.filter(expires_at__lt=now).delete()
        try:
            with transaction.atomic():
                SeenSignature.objects.create(signature=given, expires_at=expires_at)
        except IntegrityError:
            raise Refused("replayed", "this request was taken before") from None
        return ticket.key, record(ticket.alert_id, told, Outcome.Source.WEBHOOK, settings, now)


def _verified(header: str, body: bytes, secret: str, settings: Outcomes, now: datetime) -> tuple[str, datetime]:
    """Return the signature and when it is of no more use."""
    if not header:
        raise Refused("unsigned", "the header X-Fleetdx-Signature is missing")
    match = _HEADER.fullmatch(header)
    if match is None or not hmac.compare_digest(signature(secret, int(match[1]), body), header):
        raise Refused("wrong-signature", "the signature is not that of this body under the key")
    signed_at, window = datetime.fromtimestamp(int(match[1]), UTC), timedelta(seconds=settings.window_s)
    if abs(now - signed_at) > window:
        raise Refused("stale", f"signed at {signed_at.isoformat()}, and it is {now.isoformat(timespec='seconds')} here")
    return match[2], signed_at + window + timedelta(seconds=1)


def count_refusal(reason: Reason, now: datetime, times: int = 1) -> None:
    """Count a refusal, or several; where that cannot be done it is logged, and the refusal stands."""
    try:
        Refusal.objects.get_or_create(reason=reason, defaults={"last_at": now})
        Refusal.objects.filter(reason=reason).update(count=F("count") + times, last_at=now)
    except DatabaseError as error:
        log.error("A refused outcome (%s) could not be counted: %s", reason, error)


def refusals() -> dict[str, int]:
    """Return how often outcomes were refused, by reason."""
    return dict(Refusal.objects.order_by("reason").values_list("reason", "count"))
