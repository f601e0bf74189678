"""How each version of a rule or model did: what it raised, what was found of it, and what it missed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from alerts.models import Alert, Outcome, Probation, Speaker
from alerts.outcomes.bar import wilson
from alerts.outcomes.probation import on_probation, releases
from alerts.outcomes.verdicts import Said, reported_failures, said
from config.settings import Outcomes

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Release:
    """A person's word that ended a probation."""

    at: datetime
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """One version. Counts are alerts; ``missed`` are failures that came without an alert of their failure mode.

    ``unjudged`` were closed without anybody recording what was found. ``lead_*_days`` are from the end of the first
    day on which it said so to when it was found, over confirmed ones; ``None`` without any. ``at_least`` and
    ``at_most`` bound the share of confirmed among judged ones (Wilson, one-sided). ``probation`` is why it is on
    probation, empty where it is not; ``release`` is how the last one ended.
    """

    source: str
    failure_modes: tuple[str, ...]
    first_day: date
    last_day: date
    raised: int
    confirmed: int
    false_alarm: int
    no_trouble_found: int
    open: int
    unjudged: int
    missed: int
    lead_median_days: float | None
    lead_p10_days: float | None
    at_least: float
    at_most: float
    probation: str = ""
    release: Release | None = None

    @property
    def judged(self) -> int:
        """Alerts of which it is known what was found."""
        return self.confirmed + self.false_alarm + self.no_trouble_found

    @property
    def precision(self) -> float | None:
        """Share of confirmed among judged ones."""
        return self.confirmed / self.judged if self.judged else None


def score_cards(settings: Outcomes, horizon_days: int, asset_types: Mapping[str, str]) -> list[ScoreCard]:
    """Return the card of every version that ever spoke; ``asset_types`` gives each asset's type."""
    by_source: defaultdict[str, list[Said]] = defaultdict(list)
    for one in said(horizon_days):
        by_source[one.source].append(one)
    speakers: defaultdict[str, list[Speaker]] = defaultdict(list)
    for speaker in Speaker.objects.order_by("source", "failure_mode"):
        speakers[speaker.source].append(speaker)
    probations: dict[str, Probation] = {one.source: one for one in on_probation()}
    released = releases()
    unforeseen = _unforeseen(horizon_days)
    return [
        _card(
            source,
            by_source[source],
            speakers[source],
            sum(_missed(speaker, unforeseen, asset_types) for speaker in speakers[source]),
            settings,
            probations[source].why if source in probations else "",
            _release(released.get(source)),
        )
        for source in sorted({*by_source, *speakers})
    ]


def _release(ended: Probation | None) -> Release | None:
    if ended is None or ended.ended_at is None:
        return None
    return Release(ended.ended_at, ended.ended_by, ended.ended_why)


def _card(
    source: str,
    words: Sequence[Said],
    speakers: Sequence[Speaker],
    missed: int,
    settings: Outcomes,
    probation: str,
    release: Release | None,
) -> ScoreCard:
    verdicts = [one.verdict for one in words]
    confirmed = verdicts.count(Outcome.Verdict.CONFIRMED)
    judged = sum(1 for verdict in verdicts if verdict)
    leads = [
        max(0.0, (one.found_at - one.said_at) / _DAY)
        for one in words
        if one.verdict == Outcome.Verdict.CONFIRMED and one.found_at is not None
    ]
    at_least, at_most = wilson(confirmed, judged, settings.confidence)
    days = [day for speaker in speakers for day in (speaker.first_day, speaker.last_day)]
    days += [one.said_at.date() - _DAY for one in words] if not days else []
    return ScoreCard(
        source=source,
        failure_modes=tuple(sorted({s.failure_mode for s in speakers} | {one.failure_mode for one in words})),
        first_day=min(days),
        last_day=max(days),
        raised=len(words),
        confirmed=confirmed,
        false_alarm=verdicts.count(Outcome.Verdict.FALSE_ALARM),
        no_trouble_found=verdicts.count(Outcome.Verdict.NO_TROUBLE_FOUND),
        open=sum(1 for one in words if one.open and not one.verdict),
        unjudged=sum(1 for one in words if not one.open and not one.verdict),
        missed=missed,
        lead_median_days=float(np.median(leads)) if leads else None,
        lead_p10_days=float(np.quantile(leads, 0.1)) if leads else None,
        at_least=at_least,
        at_most=at_most,
        probation=probation,
        release=release,
    )


def _unforeseen(horizon_days: int) -> list[tuple[str, str, date]]:
    """Return (asset, failure mode, day in UTC) of failures before which no alert of it was open in the horizon."""
    horizon = timedelta(days=horizon_days)
    alerts: defaultdict[tuple[str, str], list[Alert]] = defaultdict(list)
    for alert in Alert.objects.all():
        alerts[alert.asset_id, alert.failure_mode].append(alert)
    return [
        (asset_id, mode, at.date())
        for (asset_id, mode), instants in reported_failures().items()
        for at in instants
        if not any(
            alert.known_at <= at and (alert.closed_at is None or alert.closed_at >= at - horizon)
            for alert in alerts[asset_id, mode]
        )
    ]


def _missed(speaker: Speaker, unforeseen: Sequence[tuple[str, str, date]], asset_types: Mapping[str, str]) -> int:
    """Count those that this version could have foreseen: it spoke of that failure mode on such assets by then."""
    return sum(
        1
        for asset_id, mode, day in unforeseen
        if mode == speaker.failure_mode
        and speaker.asset_type in ("", asset_types.get(asset_id, ""))
        and speaker.first_day < day <= speaker.last_day + _DAY
    )
