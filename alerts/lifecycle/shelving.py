"""Shelving and taking out of service, in the tables: by people, with a reason; and what follows when it ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from alerts.lifecycle import suppression
from alerts.lifecycle.not_allowed import NotAllowed
from alerts.lifecycle.ticket_request import want_ticket_if_ready
from alerts.models import Alert, Hold
from config.settings import Alerts

MOST_WORDS = 500


class Holds:
    """The decisions in force on some assets, read once."""

    def __init__(self, asset_ids: Iterable[str] | None = None) -> None:
        """Read those of these assets, or all."""
        rows = Hold.objects.filter(ended_at=None).order_by("id")
        wanted = None if asset_ids is None else set(asset_ids)
        self._of: defaultdict[str, list[Hold]] = defaultdict(list)
        for row in rows:
            if wanted is None or row.asset_id in wanted:
                self._of[row.asset_id].append(row)

    def on(self, alert: Alert, at: datetime) -> Sequence[Hold]:
        """Return what is in force on an alert at an instant."""
        return [row for row in self._of.get(alert.asset_id, ()) if _pure(row).covers(alert.failure_mode, at)]

    def withheld(self, alert: Alert, at: datetime) -> suppression.Withheld | None:
        """Return what keeps an alert back at an instant, by a person or by design."""
        rows = self._of.get(alert.asset_id, ())
        return suppression.withheld(alert.failure_mode, map(_pure, rows), alert.suppressed_by, at)

    def by_people(self, alert: Alert, at: datetime) -> bool:
        """Whether a person decided to leave the alert alone."""
        return self.withheld(alert, at) in ("shelved", "out-of-service")


@transaction.atomic
def shelve(alert: Alert, until: datetime, why: str, user: Any, now: datetime, settings: Alerts) -> Hold:
    """Shelve one failure mode of an asset; a shelf that is in force gets the new end and reason.

    Raises ``NotAllowed`` without a reason, or where the end is not after ``now`` or too far off.
    """
    if until > now + timedelta(days=settings.longest_shelf_days):
        raise NotAllowed("end too far off")
    return _begin(Hold.Kind.SHELVED, alert.asset_id, alert.failure_mode, until, why, user, now)


@transaction.atomic
def take_out_of_service(
    asset_id: str, failure_mode: str, until: datetime | None, why: str, user: Any, now: datetime
) -> Hold:
    """Take an asset (``failure_mode`` empty), or one failure mode of it, out of service until it is put back.

    Raises ``NotAllowed`` without a reason, or where the end is not after ``now``.
    """
    return _begin(Hold.Kind.OUT_OF_SERVICE, asset_id, failure_mode, until, why, user, now)


def _begin(
    kind: Hold.Kind, asset_id: str, failure_mode: str, until: datetime | None, why: str, user: Any, now: datetime
) -> Hold:
    if until is not None and until <= now:
        raise NotAllowed("end in the past")
    if not why.strip():
        raise NotAllowed("no reason")
    said = {"since": now, "until": until, "why": why.strip()[:MOST_WORDS], "by": user, "by_name": str(user or "")}
    place = {"kind": kind, "asset_id": asset_id, "failure_mode": failure_mode}
    before = Hold.objects.select_for_update().filter(**place, ended_at=None).first()
    if before is not None:  # the old decision stays readable beside the new one
        _end(before, now, str(user or ""))
    try:
        with transaction.atomic():
            return Hold.objects.create(**place, **said)
    except IntegrityError:  # somebody else decided in the same moment
        return Hold.objects.get(**place, ended_at=None)


@transaction.atomic
def end(hold_id: int, user: Any, now: datetime) -> Sequence[Alert]:
    """End a shelf, or put back into service; return the alerts that are ready work again. Twice does nothing."""
    hold = Hold.objects.select_for_update().get(pk=hold_id)
    if hold.ended_at is not None:
        return []
    _end(hold, now, str(user or ""))
    return _let_go(hold, now)


@transaction.atomic
def end_due(now: datetime) -> Sequence[Alert]:
    """End what has come to its end by itself; return the alerts that are ready work again."""
    freed: list[Alert] = []
    for hold in Hold.objects.select_for_update().filter(ended_at=None, until__lte=now).order_by("id"):
        _end(hold, now, "")
        freed += _let_go(hold, now)
    return freed


def _end(hold: Hold, now: datetime, name: str) -> None:
    hold.ended_at, hold.ended_by_name = now, name
    hold.save(update_fields=["ended_at", "ended_by_name"])


def _let_go(hold: Hold, now: datetime) -> list[Alert]:
    """Let alerts go on as if they were new: with their tickets, and with the first tier of support."""
    covered = Q(asset_id=hold.asset_id) & (Q(failure_mode=hold.failure_mode) if hold.failure_mode else Q())
    holds, freed = Holds([hold.asset_id]), []
    for alert in Alert.objects.exclude(state=Alert.State.CLOSED).filter(covered).order_by("id"):
        if holds.by_people(alert, now):
            continue  # another decision keeps it
        alert.tier = alert.tier_since = None
        alert.save(update_fields=["tier", "tier_since"])
        want_ticket_if_ready(alert, now)
        freed.append(alert)
    return freed


def _pure(row: Hold) -> suppression.Hold:
    return suppression.Hold(row.kind, row.failure_mode, row.since, row.until, row.ended_at)  # type: ignore[arg-type]
