"""Versions of rules and models that were wrong too often: their alerts wait for a person until one lets them go on."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from alerts.models import Outcome, Probation
from alerts.outcomes.bar import below_bar, wilson
from alerts.outcomes.verdicts import said
from config.settings import Outcomes
from diagnostics.records import DayOutcome

log = logging.getLogger(__name__)


def on_probation() -> QuerySet[Probation]:
    """Return the probations that stand."""
    return Probation.objects.filter(ended_at=None)


def under_review(outcomes: Sequence[DayOutcome]) -> Sequence[DayOutcome]:
    """Return the outcomes, where diagnoses of versions on probation ask for a review instead of a ticket."""
    sources = set(on_probation().values_list("source", flat=True))
    if not sources:
        return outcomes
    return [
        replace(
            outcome,
            diagnoses=tuple(replace(d, ticket="review") if d.source in sources else d for d in outcome.diagnoses),
        )
        for outcome in outcomes
    ]


def judge(sources: Collection[str], settings: Outcomes, horizon_days: int, now: datetime) -> list[str]:
    """Put those of these versions on probation that are below their bar; return which.

    After a person has let one go on, only what was found since then counts.
    """
    standing = set(on_probation().filter(source__in=list(sources)).values_list("source", flat=True))
    judged = said(horizon_days, [source for source in sources if source not in standing])
    put = []
    for source in sorted({one.source for one in judged}):
        since = Probation.objects.filter(source=source).aggregate(last=Max("ended_at"))["last"]
        verdicts = [
            one.verdict
            for one in judged
            if one.source == source and one.known_at is not None and (since is None or one.known_at > since)
        ]
        confirmed = verdicts.count(Outcome.Verdict.CONFIRMED)
        if below_bar(confirmed, len(verdicts), settings):
            upper = wilson(confirmed, len(verdicts), settings.confidence)[1]
            why = (
                f"{confirmed} of {len(verdicts)} confirmed: at most {upper:.0%} with {settings.confidence:.0%} "
                f"confidence, below {settings.min_precision:.0%}"
            )
            if _put(source, why, now):
                log.warning("%s is on probation, its alerts wait for review: %s", source, why)
                put.append(source)
    return put


def _put(source: str, why: str, now: datetime) -> bool:
    try:
        with transaction.atomic():
            Probation.objects.create(source=source, since=now, why=why)
    except IntegrityError:  # another was first
        return False
    return True


def sources_on_probation(name: str) -> list[str]:
    """Return the versions on probation that a name means: a version as score cards call it, or a rule's name."""
    sources = on_probation().order_by("source").values_list("source", flat=True)
    return [source for source in sources if source == name or source.startswith(f"rule:{name}@")]


def releases() -> dict[str, Probation]:
    """Return of each version that is off probation by a person's word how that last came about."""
    ended = Probation.objects.exclude(ended_at=None).order_by("ended_at", "pk")
    return {one.source: one for one in ended}


def end(source: str, name: str, why: str, now: datetime) -> bool:
    """Let a version open tickets again; return whether it was on probation. Raises ``ValueError`` without a reason."""
    if not name.strip() or not why.strip():
        raise ValueError("a name and a reason are needed")
    ended = on_probation().filter(source=source).update(ended_at=now, ended_by=name[:120], ended_why=why[:500])
    if ended:
        log.warning("%s is off probation, %s: %s", source, name, why)
    return bool(ended)
