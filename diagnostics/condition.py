"""The health of an asset, and of each of its failure modes: one number a day from models and rules.

A model's is how far its risk or its standing anomaly is from the threshold (``models.health``): below 50 exactly where
it would raise an alert. A rule says yes or no: while one holds, the health of its failure mode is at most what its
severity makes it. What is not known that day has no health: what was known before stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from config.register import Severity
from diagnostics.records import Diagnosis

WHILE_A_RULE_HOLDS: Mapping[Severity, float] = {"info": 45.0, "minor": 40.0, "major": 25.0, "critical": 10.0}


def healths(by_models: Mapping[str, float], diagnoses: Iterable[Diagnosis]) -> dict[str, float]:
    """Return the health of each failure mode, from what models say of it and which rules hold."""
    found = {mode: value for mode, value in by_models.items() if value == value}  # not NaN
    for diagnosis in diagnoses:
        if diagnosis.condition and diagnosis.source.startswith("rule:"):
            most = WHILE_A_RULE_HOLDS[diagnosis.severity]
            found[diagnosis.failure_mode] = min(most, found.get(diagnosis.failure_mode, most))
    return found


def of_asset(by_mode: Mapping[str, float]) -> float | None:
    """Return the health of the asset, that of its worst failure mode; ``None`` where nothing is known."""
    return min(by_mode.values(), default=None)
