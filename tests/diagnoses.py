"""Diagnoses and outcomes as a daily cycle would leave them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from config.register import Text
from diagnostics.records import DailyFaultLog, DayOutcome, Diagnosis, Evidence, FaultLogEntry

DAY = date(2026, 5, 4)


def diagnosis(day: date = DAY, condition: bool | None = True, asset_id: str = "EMU-01-A", **given: Any) -> Diagnosis:
    """``AIR-LEAK`` on a car of the sample installation, unless something else is given."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    values: dict[str, Any] = {
        "failure_mode": "AIR-LEAK",
        "source": "rule:air-leak-firm@1",
        "severity": "major",
        "act_within_hours": 48.0,
        "known_at": midnight,
        "text": Text(en="It leaks.", zh="泄漏。"),
        "ticket": "auto",
        "iso14224": "ELU",
        "evidence": (Evidence("compressor_duty.mean", 51.24, 24.5),),
    }
    return Diagnosis(asset_id=asset_id, day=day, condition=condition, **(values | given))


def outcome(*diagnoses: Diagnosis, entries: tuple[FaultLogEntry, ...] = (), **given: Any) -> DayOutcome:
    """The outcome of the asset-day that the diagnoses speak of."""
    log = DailyFaultLog(diagnoses[0].asset_id, diagnoses[0].day, entries, 18.0, None, 1.0)
    values: dict[str, Any] = {
        "arrivals_revision": 1,
        "features": {"completeness": 1.0},
        "scores": (),
        "model_version": "",
        "rules_version": "1",
    }
    return DayOutcome(log=log, diagnoses=diagnoses, **(values | given))
