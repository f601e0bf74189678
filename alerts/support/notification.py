"""Calls the people of the support tiers: who is called is written down with what there is to tell them.

An alert that nobody acknowledged, and that nothing keeps back, calls the first tier once it is seen here, and the next
ones as working time passes. Called again, by another process, or after a stop, it calls nobody twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from alerts.lifecycle.shelving import Holds, end_due
from alerts.models import Alert, Notice
from alerts.support.escalation import Called, Desk, climbed, desk_of
from config.register import Register
from config.settings import Settings


@transaction.atomic
def end_holds(register: Register, settings: Settings, now: datetime) -> None:
    """End shelves, and what was out of service, that have come to their end; tell the first tier."""
    for alert in end_due(now):
        if alert.asset_id in register.assets and settings.notify.host is not None:
            tiers = desk_of(register.site_of(alert.asset_id), settings.support).tiers
            notice(alert, Notice.Reason.HOLD_ENDED, tiers[0].addresses if tiers else (), now)


def call(register: Register, settings: Settings, now: datetime) -> None:
    """Call whoever's turn it is at ``now``. Notices are written where mail is configured."""
    holds, due = Holds(), []
    for alert in Alert.objects.filter(state=Alert.State.UNACKNOWLEDGED, suppressed_by="").order_by("id"):
        if alert.asset_id not in register.assets or holds.by_people(alert, now):
            continue
        desk = desk_of(register.site_of(alert.asset_id), settings.support)
        before = _called(alert)
        if desk.tiers and (before is None or climbed(before, desk, now) != before):
            due.append((alert, desk))
    if due:
        with transaction.atomic():
            for alert, desk in due:
                _call(alert, desk, now, tell=settings.notify.host is not None)


def _called(alert: Alert) -> Called | None:
    return Called(alert.tier, alert.tier_since) if alert.tier is not None and alert.tier_since is not None else None


def _call(alert: Alert, desk: Desk, now: datetime, *, tell: bool) -> None:
    before = _called(alert)
    after = Called(0, now) if before is None else climbed(before, desk, now)
    mine = Alert.objects.filter(pk=alert.pk, state=Alert.State.UNACKNOWLEDGED, tier=alert.tier)
    if not mine.update(tier=after.tier, tier_since=after.since) or not tell:
        return  # another process called, or somebody acknowledged, or there is no mail
    if before is not None:
        for tier in desk.tiers[before.tier + 1 : after.tier + 1]:
            notice(alert, Notice.Reason.ESCALATED, tier.addresses, now, tier.name)
        return
    told = dict(alert.notices.order_by("id").values_list("reason", "at"))
    if told.get(Notice.Reason.HOLD_ENDED) != now:  # else that says it all
        reason = Notice.Reason.AGAIN if told or alert.came_back_on else Notice.Reason.NEW
        notice(alert, reason, desk.tiers[0].addresses, now)


def notice(alert: Alert, reason: Notice.Reason, addresses: Iterable[str], now: datetime, about: str = "") -> None:
    """Write down that people are to be told; ``now`` is when it was decided, which tells one telling from another."""
    rows = [Notice(alert=alert, address=a, reason=reason, about=about, at=now) for a in dict.fromkeys(addresses)]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
