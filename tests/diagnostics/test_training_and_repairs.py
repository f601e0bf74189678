"""When a model begins, what it learns from, and what a repair means for the days around it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from memory_ledger import MemoryLedger
from small_fleet import BERLIN, BERLINERS, SHANGHAI, Fleet, closed, days

from config.operating_day import day_bounds
from diagnostics.records import AssetDay

NewFleet = Callable[..., tuple[Fleet, MemoryLedger]]
DAY = date(2026, 5, 4)
HOUR = 3600 * 10**9

SCORE_RULE = """\
- rule: strange
  asset_type: pump
  when: score("robust_z") > 0.99
  for: 3 of 3 days
  failure_mode: NOISY
  severity: major
  act_within: 48h
  text: {en: Strange., zh: 异常。}
"""
LONG_RULE = """\
- rule: hot-for-long
  asset_type: pump
  when: mean(temp.mean, days=3) > 80
  for: 2 of 2 days
  failure_mode: HOT
  severity: major
  act_within: 48h
  text: {en: Hot., zh: 热。}
"""


def versions(ledger: MemoryLedger) -> dict[date, set[str]]:
    found: dict[date, set[str]] = {}
    for key, outcome in sorted(ledger.outcomes.items()):
        found.setdefault(key.day, set()).add(outcome.model_version)
    return found


def condition(ledger: MemoryLedger, asset_id: str, day: date, failure_mode: str = "HOT") -> bool | None:
    outcome = ledger.outcomes[AssetDay(asset_id, day)]
    return next(d.condition for d in outcome.diagnoses if d.failure_mode == failure_mode)


def test_a_model_begins_when_enough_days_are_recorded_and_scores_from_then_on(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=10)
    for day in days(DAY, 14):
        fleet.all_arrive(day)
    fleet.run(closed(DAY + timedelta(days=13)))
    by_day = list(versions(ledger).values())
    assert by_day[:10] == [{""}] * 10
    assert by_day[10] != {""}
    assert by_day[10:] == [by_day[10]] * 4
    scored = {key.day for key, outcome in ledger.outcomes.items() if outcome.scores}
    assert scored == set(days(DAY + timedelta(days=10), 4))


def test_days_with_little_data_do_not_count_for_training(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=10)
    for number, day in enumerate(days(DAY, 14)):
        for asset_id in BERLINERS:
            fleet.arrive(asset_id, day, hours=range(6) if number in (2, 3, 4) else None)
    fleet.run(closed(DAY + timedelta(days=13)))
    assert [bool(next(iter(found))) for found in versions(ledger).values()] == [False] * 13 + [True]


def test_a_restart_goes_on_with_the_registered_model(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=10)
    for day in days(DAY, 13):
        fleet.all_arrive(day)
        if day == DAY + timedelta(days=10):
            fleet.run(closed(day))
            fleet.restart()
    fleet.run(closed(DAY + timedelta(days=12)))
    after = list(versions(ledger).values())[10:]
    assert after[0] != {""}
    assert after == [after[0]] * 3
    assert len(list((fleet.folder / "registry" / "pump").glob("2*"))) == 1


def test_a_restart_before_the_first_model_loses_no_day_of_what_is_known(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=10)
    for day in days(DAY, 11):
        fleet.all_arrive(day)
        fleet.run(closed(day))
        fleet.restart()
    assert [bool(next(iter(found))) for found in versions(ledger).values()] == [False] * 10 + [True]


def test_which_site_is_done_first_does_not_decide_when_the_model_begins(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=10)
    for day in days(DAY, 11):
        fleet.all_arrive(day)
        fleet.all_arrive(day, ("S-1", "S-2"))
        fleet.run(closed(day, SHANGHAI))
        fleet.run(closed(day, BERLIN))
    assert [len(found) for found in versions(ledger).values()] == [1] * 11
    assert versions(ledger)[DAY + timedelta(days=9)] == {""}
    assert versions(ledger)[DAY + timedelta(days=10)] != {""}


def test_without_models_nothing_is_fitted(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for day in days(DAY, 12):
        fleet.all_arrive(day)
    fleet.run(closed(DAY + timedelta(days=11)))
    assert set().union(*versions(ledger).values()) == {""}
    assert not (fleet.folder / "registry").exists()


def test_a_model_speaks_after_its_own_persistence_where_no_rule_looks_back(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet("[]", min_training_days=10, persistence="3 of 4")
    for number, day in enumerate(days(DAY, 16)):
        for asset_id in BERLINERS:
            fleet.arrive(asset_id, day, temp=200 if asset_id == "B-3" and number in (12, 13, 15) else 50)
    fleet.run(closed(DAY + timedelta(days=15)))
    assert condition(ledger, "B-3", DAY + timedelta(days=13), "ANOMALY") is not True
    assert condition(ledger, "B-3", DAY + timedelta(days=15), "ANOMALY") is True
    assert condition(ledger, "B-2", DAY + timedelta(days=15), "ANOMALY") is False
    health = {key: outcome.health.get("ANOMALY", -1.0) for key, outcome in ledger.outcomes.items()}
    assert health[AssetDay("B-3", DAY + timedelta(days=13))] >= 50
    assert 0 <= health[AssetDay("B-3", DAY + timedelta(days=15))] < 50
    assert 50 <= health[AssetDay("B-2", DAY + timedelta(days=15))] <= 100


@pytest.mark.parametrize("restarts", [False, True])
def test_a_rule_may_ask_for_several_days_of_one_detectors_score(new_fleet: NewFleet, restarts: bool) -> None:
    fleet, ledger = new_fleet(SCORE_RULE, min_training_days=10)
    for number, day in enumerate(days(DAY, 15)):
        for asset_id in BERLINERS:
            fleet.arrive(asset_id, day, temp=200 if asset_id == "B-3" and number >= 11 else 50)
        if restarts:
            fleet.run(closed(day))
            fleet.restart()
    fleet.run(closed(DAY + timedelta(days=14)))
    said = [condition(ledger, "B-3", day, "NOISY") for day in days(DAY + timedelta(days=10), 5)]
    assert said[3:] == [True, True]
    assert True not in said[:3]
    held = ledger.outcomes[AssetDay("B-3", DAY + timedelta(days=14))].scores
    assert [score.detector for score in held] == ["ensemble", "robust_z"]


def test_after_a_repair_days_whose_windows_reach_before_it_decide_nothing(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(LONG_RULE)
    for day in days(DAY, 12):
        fleet.all_arrive(day, ("B-1", "B-2"), temp=95)
    start = day_bounds(BERLIN.zone, DAY + timedelta(days=6))[0]
    ledger.repairs.append(("B-1", start + 9 * HOUR, "maintenance"))
    fleet.run(closed(DAY + timedelta(days=11)))
    said = [condition(ledger, "B-1", day) for day in days(DAY, 12)]
    # Three days of the mean and two of "for" look at four days: the repair's day and three after it are mute.
    assert said[:6] == [condition(ledger, "B-2", day) for day in days(DAY, 6)]
    assert said[2:] == [True, True, True, True, None, None, None, None, True, True]
    assert [condition(ledger, "B-2", day) for day in days(DAY, 12)][3:] == [True] * 9


def test_a_repair_on_the_stroke_of_midnight_belongs_to_the_day_that_begins(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for day in days(DAY, 3):
        fleet.arrive("B-1", day, temp=95)
    midnight = day_bounds(BERLIN.zone, DAY + timedelta(days=1))[0]
    ledger.repairs.append(("B-1", midnight, "failures"))
    fleet.run(closed(DAY + timedelta(days=2)))
    assert [condition(ledger, "B-1", day) for day in days(DAY, 3)] == [True, None, True]
    assert [until for _, until in ledger.closing] == [day_bounds(BERLIN.zone, day)[1] - 1 for day in days(DAY, 3)]


def test_late_data_of_the_days_before_a_repair_that_is_done_with_raises_nothing(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for number, day in enumerate(days(DAY, 5)):
        fleet.arrive("B-1", day, hours=range(3) if number == 1 else None)
    repaired = day_bounds(BERLIN.zone, DAY + timedelta(days=2))[0] + HOUR
    fleet.run(closed(DAY + timedelta(days=1)))
    ledger.repairs.append(("B-1", repaired, "maintenance"))
    fleet.run(closed(DAY + timedelta(days=4)))
    fleet.arrive("B-1", DAY + timedelta(days=1), hours=range(3, 24), temp=120)
    assert fleet.run(closed(DAY + timedelta(days=4))).revisions == 1
    assert ledger.outcomes[AssetDay("B-1", DAY + timedelta(days=1))].log.completeness == 1.0
    assert condition(ledger, "B-1", DAY + timedelta(days=1)) is None


def test_a_model_does_not_learn_from_the_days_around_a_failure(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet(min_training_days=16)
    for number, day in enumerate(days(DAY, 18)):
        for asset_id in BERLINERS:
            fleet.arrive(asset_id, day, temp=140 if asset_id == "B-6" and number >= 12 else 50)
    ledger.repairs.append(("B-6", day_bounds(BERLIN.zone, DAY + timedelta(days=16))[0] + 20 * HOUR, "failures"))
    fleet.run(closed(DAY + timedelta(days=17)))
    held = fleet.trainer._registry.active("pump")
    assert held is not None
    assert held.metrics["asset_days"] == 16 * 6
    # The failure was not known yet when the model was fitted on the days before it.
    assert held.metrics["healthy_asset_days"] == 16 * 6
    again = fleet.trainer.fit(fleet.register.asset_types["pump"], DAY + timedelta(days=17), closed(DAY + timedelta(17)))
    assert again is not None
    assert fleet.trainer._registry.describe("pump", again.version).metrics["healthy_asset_days"] == 18 * 6 - 16
