"""Passing cases on, in the tables: who did it, when and why is kept for each step, and whoever is next is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from alerts.models import Alert, Handover, Notice
from alerts.support import destination
from alerts.support.destination import Case
from alerts.support.escalation import desk_of
from alerts.support.notification import notice
from config.register import Register
from config.settings import Settings

TECHNICAL_SUPPORT = "technical-support"
"""The group of users who may confirm a case and pass it on to the factory."""
_LONGEST = 500


def is_support(user: Any) -> bool:
    """Whether a user belongs to technical support."""
    return bool(user.groups.filter(name=TECHNICAL_SUPPORT).exists())


def confirm(alert_id: int, user: Any, note: str, now: datetime) -> None:
    """Confirm that a case is one for the factory. Raises ``NotAllowed``."""
    _step(alert_id, user, note, now, destination.confirmed, confirms=True)


def pass_on(alert_id: int, user: Any, note: str, now: datetime, register: Register, settings: Settings) -> None:
    """Pass a case on to technical support, or from there to the factory. Raises ``NotAllowed``."""
    with transaction.atomic():
        alert = _step(alert_id, user, note, now, destination.passed_on)
        if settings.notify.host is not None:
            to = Notice.Reason.HANDED_OVER
            notice(alert, to, _who_is_next(alert, register, settings), now, alert.destination)


def send_back(alert_id: int, user: Any, note: str, now: datetime) -> None:
    """Send a case back to the depot. Raises ``NotAllowed``."""
    _step(alert_id, user, note, now, destination.sent_back)


@transaction.atomic
def _step(
    alert_id: int, user: Any, note: str, now: datetime, step: Callable[..., Case], *, confirms: bool = False
) -> Alert:
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    before = Case(alert.destination, alert.verified_at is not None)  # type: ignore[arg-type]
    after = step(before, by_support=is_support(user), note=note)
    words = note.strip()[:_LONGEST]
    if after.confirmed and not before.confirmed:
        alert.verified_at, alert.verified_by, alert.verified_note = now, user, words
    elif not after.confirmed:
        alert.verified_at, alert.verified_by, alert.verified_note = None, None, ""
    alert.destination = after.destination
    alert.save(update_fields=["destination", "verified_at", "verified_by", "verified_note"])
    Handover.objects.create(
        alert=alert, destination=after.destination, confirms=confirms, at=now, by=user, by_name=str(user), note=words
    )
    return alert


def _who_is_next(alert: Alert, register: Register, settings: Settings) -> Iterable[str]:
    if alert.destination == Alert.Destination.FACTORY:
        return settings.support.factory
    if alert.asset_id not in register.assets:
        return ()
    tiers = desk_of(register.site_of(alert.asset_id), settings.support).tiers
    return tiers[1].addresses if len(tiers) > 1 else ()
