"""Repeat offenders: a failure mode that is back on an asset soon after the workshop had it in hand."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, Subquery

from alerts.models import Alert, Outcome


def mark_repeats(within_days: int) -> int:
    """Mark and hold every open alert that is one; return how many are new. Doing it twice changes nothing.

    One is: an earlier episode on the same asset has an outcome, found at most ``within_days`` before this one began.
    """
    if within_days <= 0:
        return 0
    current = Outcome.objects.filter(superseded_at=None)
    found = current.filter(
        alert__asset_id=OuterRef("asset_id"),
        alert__failure_mode=OuterRef("failure_mode"),
        alert__episode__lt=OuterRef("episode"),
        at__gte=OuterRef("known_at") - timedelta(days=within_days),
        at__lte=OuterRef("known_at"),
    ).order_by("-at")
    explained = current.filter(Q(alert=OuterRef("pk")) & ~Q(root_cause=""))
    back = (
        Alert.objects.exclude(state=Alert.State.CLOSED)
        .filter(episode__gt=1, repeat_of=None)
        .annotate(earlier=Subquery(found.values("alert_id")[:1]), explained=Exists(explained))
        .exclude(earlier=None)
    )
    for alert in back:
        Alert.objects.filter(pk=alert.pk).update(repeat_of=alert.earlier, held=not alert.explained)
    return len(back)
