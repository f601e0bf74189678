"""Diagnoses, scores and fault logs as plain JSON values, for the tables; a number that is not known is null."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from diagnostics.records import AnomalyScore, DailyFaultLog, Diagnosis

Json = dict[str, Any]


def number(value: float | None) -> float | None:
    """Return a finite number, or ``None``: JSON has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def plain_diagnosis(diagnosis: Diagnosis) -> Json:
    """Return what a reviewer and a ticket need of a diagnosis."""
    return {
        "source": diagnosis.source,
        "severity": diagnosis.severity,
        "act_within_hours": diagnosis.act_within_hours,
        "text": diagnosis.text.model_dump(),
        "iso14224": diagnosis.iso14224,
        "probability": number(diagnosis.probability),
        "expected": _expected(diagnosis),
        "advise": list(diagnosis.advise),
        "evidence": [
            {"feature": item.feature, "value": number(item.value), "normal": number(item.normal)}
            for item in diagnosis.evidence
        ],
        "ranking": [
            {
                "failure_mode": one.failure_mode,
                "probability": number(one.probability),
                "cases": one.cases,
                "voices": list(one.voices),
            }
            for one in diagnosis.ranking
        ],
        **{
            name: [{"code": c.code, "probability": number(c.probability), "cases": c.cases} for c in some]
            for name, some in (
                ("causes", diagnosis.causes),
                ("repairs", diagnosis.repairs),
                ("parts", diagnosis.parts),
            )
        },
    }


def _expected(diagnosis: Diagnosis) -> Json | None:
    """Return when the failure is expected, if it comes, as instants (ISO 8601, UTC): ``from``, ``at`` and ``by``."""
    if diagnosis.expected is None:
        return None
    days = {"from": diagnosis.expected.low, "at": diagnosis.expected.days, "by": diagnosis.expected.high}
    return {
        name: (diagnosis.known_at + timedelta(days=value)).isoformat(timespec="seconds") for name, value in days.items()
    }


def plain_contributions(score: AnomalyScore) -> list[Json]:
    """Return the contributions to a score, largest first."""
    return [
        {"feature": part.feature, "value": number(part.value), "share": number(part.share)}
        for part in score.contributions
    ]


def plain_fault_log(log: DailyFaultLog) -> Json:
    """Return a daily fault log; times stay integers (ns, UTC)."""
    return {
        "exposure_hours": number(log.exposure_hours),
        "exposure_distance": number(log.exposure_distance),
        "entries": [
            {
                "code": entry.code,
                "severity": entry.severity,
                "count": entry.count,
                "first": entry.first,
                "last": entry.last,
                "duration": number(entry.duration),
                "new": entry.new,
                "recurring": entry.recurring,
                "context": {name: number(value) for name, value in entry.context.items()},
            }
            for entry in log.entries
        ],
    }
