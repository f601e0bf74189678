"""What was found of all alerts that one ticket stands for: of which of them it can be.

A ticket of a group names many assets, and each is to be looked at. Unless a finding says that it is of all, it is of
one.
"""

from __future__ import annotations

from datetime import UTC, timedelta

import msgspec
from django.db.models import Q, QuerySet

from alerts.models import Alert, Outcome
from alerts.outcomes.finding import Finding


def companions(alert: Alert) -> QuerySet[Alert]:
    """Return the other alerts of its failure mode that the alert's ticket stands for."""
    ticket = getattr(alert, "case", None)
    if ticket is None:
        return Alert.objects.none()
    carrier = ticket.carrier or ticket
    of_ticket = Q(case=carrier) | Q(case__carrier=carrier)
    return Alert.objects.filter(of_ticket, failure_mode=alert.failure_mode).exclude(pk=alert.pk).order_by("pk")


def shared(alert: Alert, finding: Finding) -> list[tuple[int, Finding]]:
    """Return the companions on which a finding for the whole group is to be recorded, with what is recorded there.

    An alert that has a finding of its own keeps it, and one that began after it was found is not meant. Downtime and
    cost stand with the alert on which they were told: repeated, their sums would be wrong.
    """
    own = Outcome.objects.filter(superseded_at=None, told_on=None)
    began = finding.at.astimezone(UTC).date() + timedelta(days=1)
    meant = companions(alert).filter(first_day__lte=began).exclude(pk__in=own.values("alert"))
    the_same = msgspec.structs.replace(finding, whole_group=False, downtime_hours=None, cost=None, currency="")
    return [(number, the_same) for number in meant.values_list("pk", flat=True)]
