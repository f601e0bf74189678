"""A refit scores in shadow first, and becomes active by itself only where nothing speaks against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from memory_ledger import MemoryLedger
from small_fleet import Fleet, closed, days

from config.settings import Models
from diagnostics.shadow import SHADOW, shadow_objection
from models.candidate import candidate_of
from models.registry import Registry

pytestmark = pytest.mark.slow

NewFleet = Callable[..., tuple[Fleet, MemoryLedger]]
DAY = date(2026, 5, 4)
REFIT, SHADOWED = 15, 6
LIFE = {"min_training_days": 12, "refit_days": REFIT, "shadow_days": SHADOWED}


def walked(fleet: Fleet, first: int, last: int, **means: float) -> None:
    """Days ``first`` to ``last`` arrive and are scored one by one, as in service."""
    for day in days(DAY + timedelta(days=first), last - first + 1):
        fleet.all_arrive(day, **means)
        fleet.run(closed(day))


def registry(fleet: Fleet) -> Registry:
    return Registry(fleet.folder / "registry")


def spoke(ledger: MemoryLedger, day: int) -> set[str]:
    at = DAY + timedelta(days=day)
    return {outcome.model_version for key, outcome in ledger.outcomes.items() if key.day == at}


def shadowed(ledger: MemoryLedger) -> dict[int, set[str]]:
    """By day, which versions scored in shadow."""
    found: dict[int, set[str]] = {}
    for key, outcome in ledger.outcomes.items():
        for score in outcome.scores:
            if score.detector == SHADOW:
                found.setdefault((key.day - DAY).days, set()).add(score.version)
    return found


def test_a_candidate_scores_in_shadow_and_then_takes_over(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(**LIFE)
    walked(fleet, 0, 40)
    kept = registry(fleet)
    first, second = kept.versions("pump")[:2]
    begun = 12 + REFIT + 1  # the first model speaks from day 12 on
    assert shadowed(ledger) == {day: {second} for day in range(begun, begun + SHADOWED)}
    assert spoke(ledger, begun + SHADOWED - 1) == {first}
    assert spoke(ledger, begun + SHADOWED) == {second}
    assert [entry.version for entry in kept.activations("pump")] == [first, second]
    assert candidate_of(kept, "pump") is None


def test_after_a_stop_the_same_models_come_about(new_fleet: NewFleet) -> None:
    steady, seen = new_fleet(**LIFE)
    walked(steady, 0, 36)
    stopped, caught_up = new_fleet(**LIFE)
    for day in days(DAY, 37):
        stopped.all_arrive(day)
    for reached in (4, 20, 29, 36):
        stopped.restart()
        stopped.run(closed(DAY + timedelta(days=reached)))
    assert [spoke(caught_up, n) for n in range(37)] == [spoke(seen, n) for n in range(37)]


def test_late_data_of_a_learned_day_keeps_the_newest_day_out_of_no_shadow(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(**LIFE)
    begun = 12 + REFIT + 1
    walked(fleet, 0, begun + 1)
    fleet.arrive("B-2", DAY + timedelta(days=3))
    walked(fleet, begun + 2, begun + 2)
    assert sorted(shadowed(ledger)) == [begun, begun + 1, begun + 2]


def test_a_signal_that_fell_silent_leaves_the_candidate_to_a_person(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(**LIFE)
    walked(fleet, 0, 11)
    walked(fleet, 12, 40, current=float("nan"))
    kept = registry(fleet)
    candidate = candidate_of(kept, "pump")
    assert candidate is not None
    assert "fell silent" in candidate.held
    assert "current" in candidate.held
    assert len(kept.activations("pump")) == 1
    kept.activate("pump", candidate.version, now=datetime.now(UTC), by="anna", why="the sensor was taken out")
    fleet.restart()
    walked(fleet, 41, 41, current=float("nan"))
    assert spoke(ledger, 41) == {candidate.version}
    assert candidate_of(kept, "pump") is None


def test_a_candidate_that_would_flood_or_that_nobody_saw_score_is_held() -> None:
    def speaking_above(level: float) -> Any:
        return SimpleNamespace(ensemble=SimpleNamespace(threshold_levels={"ensemble": level}))

    active, candidate = speaking_above(0.98), speaking_above(0.95)
    level = (np.arange(1000) + 0.5) / 1000
    alike = pd.DataFrame({"score.ensemble": level, "score.shadow": level})
    settings = Models(false_tickets_per_100_asset_days=0.5)
    assert "5.0 of 100 asset-days anomalous where the active one finds 2.0" in shadow_objection(
        alike, active, candidate, settings.model_copy(update={"false_tickets_per_100_asset_days": 0.4})
    )
    assert shadow_objection(alike, active, speaking_above(0.96), settings) == ""
    assert "only 15 asset-days" in shadow_objection(alike.tail(15), active, candidate, settings)
    assert "only 0 asset-days" in shadow_objection(alike[["score.ensemble"]], active, candidate, settings)


def test_no_refit_where_none_is_wanted(new_fleet: NewFleet) -> None:
    fleet, _ = new_fleet(**(LIFE | {"refit_days": 0}))
    walked(fleet, 0, 40)
    assert len(registry(fleet).versions("pump")) == 1
