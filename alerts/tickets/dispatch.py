"""Puts alerts of one cause into groups, and their tickets into one; then lets tickets go to the outbox, not too many.

A ticket is wished for in the transaction of its alert. Before it is sent, here is decided whether it goes alone, or is
carried by another: no ticket is ever taken back, and each alert's is either sent or named in one that is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, QuerySet

from alerts.lifecycle.shelving import Holds
from alerts.models import Alert, AlertGroup, Ticket
from alerts.tickets.grouping import Cause, Group, Known, grouped
from config.knowledge import ANOMALY
from config.register import Register
from config.settings import Alerts

MOST_CARRIED = 500
"""Alerts that one ticket names beside its own; what is more goes into the group's next ticket."""
_HOUR = timedelta(hours=1)


@transaction.atomic
def arrange(register: Register, settings: Alerts, now: datetime) -> None:
    """Group what is new, and release the tickets that may be sent. Doing it twice changes nothing.

    Safe under two processes at once: the second waits for the rows of the first, and finds them done.
    """
    _group(register, settings, now)
    _release(register, settings, now)


def sendable() -> QuerySet[Ticket]:
    """Return the tickets that may be sent: no other carries them, and they were released."""
    return Ticket.objects.exclude(status=Ticket.Status.GROUPED).filter(released_at__isnull=False)


def _group(register: Register, settings: Alerts, now: datetime) -> None:
    opened = Alert.objects.exclude(state=Alert.State.CLOSED)
    new = list(opened.select_for_update().filter(looked_at=None))
    if not new:
        return
    # What no failure mode explains names no cause that could be one and the same.
    causes = {cause for a in new if a.failure_mode != ANOMALY.code and (cause := _cause(a, register, settings))}
    modes = {cause.failure_mode for cause in causes}
    since = min(alert.known_at for alert in new) - settings.group_window
    near = opened.filter(failure_mode__in=modes, known_at__gte=since, group=None)
    alone = {a.pk: (a, c) for a in near if (c := _cause(a, register, settings)) in causes and c is not None}
    before = [
        Group(Cause(row.failure_mode, row.asset_type, row.site), row.first_at, row.pk)
        for row in AlertGroup.objects.filter(kind=AlertGroup.Kind.CAUSE, failure_mode__in=modes, first_at__gte=since)
    ]
    known = [Known(alert.known_at, number, cause) for number, (alert, cause) in alone.items()]
    for group in grouped(known, before, settings.group_from, settings.group_window):
        _join(group)
    Alert.objects.filter(pk__in=[alert.pk for alert in new]).update(looked_at=now)


def _cause(alert: Alert, register: Register, settings: Alerts) -> Cause | None:
    asset = register.assets.get(alert.asset_id)
    if asset is None:
        return None
    return Cause(alert.failure_mode, asset.asset_type, asset.site if settings.group_scope == "site" else "")


def _join(group: Group) -> None:
    last_at = group.joined[-1].at
    if group.number is None:
        mode, asset_type, site = group.cause
        row = AlertGroup.objects.create(
            kind=AlertGroup.Kind.CAUSE,
            failure_mode=mode,
            asset_type=asset_type,
            site=site,
            first_at=group.first_at,
            last_at=last_at,
        )
    else:
        row = AlertGroup.objects.get(pk=group.number)
        row.last_at = max(row.last_at, last_at)
        row.save(update_fields=["last_at"])
    Alert.objects.filter(pk__in=[known.alert for known in group.joined]).update(group=row)


def _release(register: Register, settings: Alerts, now: datetime) -> None:
    """Let a ticket go alone, or with its group; with others of its site where that was sent enough in an hour."""
    unsent = Ticket.objects.filter(status=Ticket.Status.PENDING, attempts=0)
    waiting = list(unsent.select_for_update().order_by("id"))
    if not waiting:
        return
    alerts = {a.pk: a for a in Alert.objects.filter(case__in=unsent).select_related("group")}
    holds = Holds({alert.asset_id for alert in alerts.values()})
    free = [t for t in waiting if t.released_at is not None or not holds.by_people(alerts[t.alert_id], now)]
    sent = _sent_by_site(register, now - _HOUR)
    together: defaultdict[int, list[Ticket]] = defaultdict(list)
    flooded: dict[str, AlertGroup] = {}
    for ticket in free:
        alert = alerts[ticket.alert_id]
        site = register.assets[alert.asset_id].site if alert.asset_id in register.assets else ""
        if alert.group is None and ticket.released_at is None and sent[site] >= settings.tickets_per_hour:
            flooded[site] = flooded.get(site) or _flood(site, now)
            alert.group = flooded[site]
            alert.save(update_fields=["group"])
        if alert.group is not None:
            together[alert.group.pk].append(ticket)
        elif ticket.released_at is None:
            ticket.released_at = now
            ticket.save(update_fields=["released_at"])
            sent[site] += 1
    for tickets in together.values():
        group = alerts[tickets[0].alert_id].group
        assert group is not None
        _put_together(group, tickets, settings, now)


def _sent_by_site(register: Register, since: datetime) -> Counter[str]:
    sent = Ticket.objects.filter(released_at__gt=since, carrier=None).values_list("alert__asset_id", flat=True)
    return Counter(register.assets[asset_id].site if asset_id in register.assets else "" for asset_id in sent)


def _flood(site: str, now: datetime) -> AlertGroup:
    """Return the group of what is too much at a site in this hour."""
    row = AlertGroup.objects.filter(kind=AlertGroup.Kind.FLOOD, site=site, first_at__gt=now - _HOUR).first()
    if row is None:
        return AlertGroup.objects.create(kind=AlertGroup.Kind.FLOOD, site=site, first_at=now, last_at=now)
    row.last_at = now
    row.save(update_fields=["last_at"])
    return row


def _put_together(group: AlertGroup, tickets: Iterable[Ticket], settings: Alerts, now: datetime) -> None:
    """Let the first ticket of a group that is not sent yet carry the others.

    Each further ticket of one group waits twice as long for members as the one before, up to an hour: however long a
    group goes on growing, its tickets stay few.
    """
    carried = dict(
        Ticket.objects.filter(carrier__in=[t.pk for t in tickets])
        .values_list("carrier")
        .annotate(n=Count("pk"))
        .values_list("carrier", "n")
    )
    carriers = [ticket for ticket in tickets if carried.get(ticket.pk)]
    room = {ticket.pk: MOST_CARRIED - carried[ticket.pk] for ticket in carriers}
    into: defaultdict[int, list[int]] = defaultdict(list)
    for ticket in tickets:
        if ticket.pk in room:
            continue
        carrier = next((one for one in carriers if room[one.pk] > 0), None)
        if carrier is not None:
            room[carrier.pk] -= 1
            into[carrier.pk].append(ticket.pk)
            continue
        carriers.append(ticket)
        room[ticket.pk] = MOST_CARRIED
        if ticket.released_at is None:
            ticket.released_at, ticket.next_attempt_at = now, now + _wait(group, settings)
            ticket.save(update_fields=["released_at", "next_attempt_at"])
    for number, members in into.items():
        Ticket.objects.filter(pk__in=members).update(
            status=Ticket.Status.GROUPED, carrier=number, released_at=None, next_attempt_at=None
        )


def _wait(group: AlertGroup, settings: Alerts) -> timedelta:
    sent = Ticket.objects.filter(alert__group=group, carrier=None, attempts__gt=0).count()
    if group.kind == AlertGroup.Kind.CAUSE:
        sent = max(0, sent - (settings.group_from - 1))  # those went alone, before there was a group
    doubled = 1 << min(sent, 20)
    return min(settings.group_wait * doubled, max(settings.group_wait, _HOUR))
