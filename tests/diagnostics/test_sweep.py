"""Which days are due, and that nothing depends on when a sweep runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest
from memory_ledger import MemoryLedger
from small_fleet import BERLIN, BERLINERS, HOUR, MANAUS, SHANGHAI, Fleet, at, closed, days

from diagnostics.records import AssetDay, DayOutcome

NewFleet = Callable[..., tuple[Fleet, MemoryLedger]]
DAY = date(2026, 5, 4)


def conditions(ledger: MemoryLedger, asset_id: str, failure_mode: str) -> dict[date, bool | None]:
    return {
        key.day: diagnosis.condition
        for key, outcome in sorted(ledger.outcomes.items())
        if key.asset_id == asset_id
        for diagnosis in outcome.diagnoses
        if diagnosis.failure_mode == failure_mode
    }


def told(outcomes: dict[AssetDay, DayOutcome]) -> list[str]:
    """All that was found, as text: unknown numbers are equal to themselves there."""
    return [repr(outcomes[key]) for key in sorted(outcomes)]


def test_nothing_is_due_before_local_midnight_and_the_allowance(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    fleet.arrive("B-1", DAY)
    assert fleet.run(at("2026-05-04T23:59:59+02:00")).asset_days == 0
    assert fleet.run(at("2026-05-05T00:59:59+02:00")).asset_days == 0
    assert fleet.run(at("2026-05-05T01:00:00+02:00")).asset_days == 1
    assert list(ledger.outcomes) == [("B-1", DAY)]


def test_a_poor_link_is_waited_for_longer(new_fleet: NewFleet) -> None:
    fleet, _ = new_fleet()
    fleet.arrive("M-1", DAY)
    assert fleet.run(at("2026-05-05T05:59:59-04:00")).asset_days == 0
    assert fleet.run(at("2026-05-05T06:00:00-04:00")).asset_days == 1


@pytest.mark.parametrize(
    ("day", "hours", "midnight"),
    [
        (date(2026, 3, 29), 23, "2026-03-30T00:00:00+02:00"),
        (date(2026, 3, 28), 24, "2026-03-29T00:00:00+01:00"),
        (date(2026, 10, 25), 25, "2026-10-26T00:00:00+01:00"),
    ],
)
def test_a_day_on_which_clocks_change_is_closed_and_complete_at_its_own_length(
    new_fleet: NewFleet, day: date, hours: int, midnight: str
) -> None:
    fleet, ledger = new_fleet()
    fleet.arrive("B-1", day)
    allowance = timedelta(minutes=60)
    assert fleet.run(at(midnight) + allowance - timedelta(seconds=1)).asset_days == 0
    assert fleet.run(at(midnight) + allowance).asset_days == 1
    outcome = ledger.outcomes[AssetDay("B-1", day)]
    assert outcome.log.completeness == 1.0
    assert outcome.log.exposure_hours == pytest.approx(hours)
    assert {d.known_at for d in outcome.diagnoses} == {at(midnight)}


def test_twice_does_nothing(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for day in days(DAY, 3):
        fleet.all_arrive(day)
    now = closed(DAY + timedelta(days=2))
    assert fleet.run(now).asset_days == 18
    assert fleet.run(now).asset_days == 0
    fleet.restart()
    assert fleet.run(now + timedelta(hours=5)).asset_days == 0
    assert len(ledger.recorded) == 3


def scenario(fleet: Fleet, day: date, number: int) -> None:
    """One day of all three sites: pump B-2 grows hot, B-3 wears, B-4 is silent for days, B-5 half a day."""
    for asset_id in BERLINERS:
        if asset_id == "B-4" and 8 <= number <= 11:
            continue
        means = {"temp": 50.0 + 4 * max(0, number - 8)} if asset_id == "B-2" else {}
        faults = {"P1": [3.5, 7.5]} if asset_id == "B-3" and number >= 10 else {}
        hours = range(6) if asset_id == "B-5" and number % 4 == 0 else None
        fleet.arrive(asset_id, day, hours=hours, faults=faults, **means)
    fleet.all_arrive(day, ("M-1", "S-1", "S-2"))
    if number >= 5:
        fleet.arrive("M-2", day)


@pytest.mark.slow
def test_catching_up_after_a_stop_gives_what_running_every_day_gives(new_fleet: NewFleet) -> None:
    models = {"min_training_days": 9, "false_tickets_per_100_asset_days": 2.0}
    daily, by_day = new_fleet(**models)
    late, at_once = new_fleet(**models)
    for number, day in enumerate(days(DAY, 18)):
        scenario(daily, day, number)
        scenario(late, day, number)
        for site in (SHANGHAI, BERLIN, MANAUS):
            daily.run(closed(day, site, 361))
        if number == 6:
            daily.restart()
        if number in (4, 12):  # before there is a model, and with one
            late.run(closed(day, MANAUS, 361))
            late.restart()
    late.run(closed(DAY + timedelta(days=17), MANAUS, 361) + timedelta(days=40))
    assert len(by_day.outcomes) == 18 * 9 + 13
    versions = {outcome.model_version for outcome in by_day.outcomes.values()}
    assert len(versions) == 2  # none, then one
    # A model's name says when it was made, and which site's day came first may differ; nothing else may.
    assert told(_nameless(by_day)) == told(_nameless(at_once))
    assert any(d.condition for o in by_day.outcomes.values() for d in o.diagnoses if d.failure_mode == "ANOMALY")
    assert any(conditions(by_day, "B-2", "HOT").values())
    assert any(conditions(by_day, "B-3", "WORN").values())


def _nameless(ledger: MemoryLedger) -> dict[AssetDay, DayOutcome]:
    def name(text: str, version: str) -> str:
        return text.replace(version, "THE-MODEL") if version else text

    return {
        key: replace(
            o,
            model_version=name(o.model_version, o.model_version),
            scores=tuple(replace(s, version="THE-MODEL") for s in o.scores),
            diagnoses=tuple(replace(d, source=name(d.source, o.model_version)) for d in o.diagnoses),
        )
        for key, o in ledger.outcomes.items()
    }


@pytest.mark.parametrize(("most", "days_read"), [(1_000_000, [6]), (2 * 24 * len(BERLINERS), [2, 2, 2]), (1, [1] * 6)])
def test_days_are_read_together_as_far_as_their_samples_fit(
    new_fleet: NewFleet, monkeypatch: pytest.MonkeyPatch, most: int, days_read: list[int]
) -> None:
    fleet, _ = new_fleet()
    for day in days(DAY, 6):
        fleet.all_arrive(day)
    monkeypatch.setattr("diagnostics.sweep.SAMPLES_AT_ONCE", most)
    spans: list[int] = []
    read = fleet.store.read_measurements

    def watched(assets: Sequence[str], signals: Sequence[str], start: int, end: int) -> Iterator[pd.DataFrame]:
        spans.append((end - start) // (24 * HOUR))
        return read(assets, signals, start, end)

    monkeypatch.setattr(fleet.store, "read_measurements", watched)
    assert fleet.run(closed(days(DAY, 6)[-1])).asset_days == 6 * len(BERLINERS)
    assert spans == days_read


def test_what_came_late_of_one_asset_reads_no_day_again_that_is_done(
    new_fleet: NewFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, ledger = new_fleet()
    spans = days(DAY, 9)
    for day in spans[:-1]:
        fleet.all_arrive(day)
    fleet.run(closed(spans[-2]))
    fleet.arrive("B-2", spans[0], temp=90.0)
    fleet.all_arrive(spans[-1])
    asked: list[tuple[list[str], int]] = []
    read = fleet.store.read_measurements

    def watched(assets: Sequence[str], signals: Sequence[str], start: int, end: int) -> Iterator[pd.DataFrame]:
        asked.append((list(assets), (end - start) // (24 * HOUR)))
        return read(assets, signals, start, end)

    monkeypatch.setattr(fleet.store, "read_measurements", watched)
    report = fleet.run(closed(spans[-1]))
    assert (report.asset_days, report.revisions) == (1 + len(BERLINERS), 1)
    assert asked == [(["B-2"], 1), (sorted(BERLINERS), 1)]
    assert conditions(ledger, "B-2", "HOT")[spans[0]] is True


def test_late_data_makes_a_revision_of_its_day_and_of_its_asset_alone(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    fleet.all_arrive(DAY)
    fleet.all_arrive(DAY + timedelta(days=1))
    fleet.arrive("B-1", DAY + timedelta(days=2), hours=range(12))
    now = closed(DAY + timedelta(days=2))
    fleet.run(now)
    before = ledger.outcomes[AssetDay("B-1", DAY + timedelta(days=2))]
    assert before.log.completeness == pytest.approx(0.5)

    fleet.arrive("B-1", DAY + timedelta(days=2), hours=range(12, 24), temp=130)
    report = fleet.run(now)
    assert (report.asset_days, report.revisions) == (1, 1)
    after = ledger.outcomes[AssetDay("B-1", DAY + timedelta(days=2))]
    assert after.arrivals_revision > before.arrivals_revision
    assert after.log.completeness == 1.0
    assert conditions(ledger, "B-1", "HOT")[DAY + timedelta(days=2)] is True
    assert fleet.run(now).asset_days == 0


def test_a_revision_sees_the_same_peers_as_the_first_time(new_fleet: NewFleet) -> None:
    warmer = RULES_OF_PEERS
    fleet, ledger = new_fleet(warmer)
    whole, expected = new_fleet(warmer)
    for day in days(DAY, 12):
        fleet.all_arrive(day)
        whole.all_arrive(day)
    now = closed(DAY + timedelta(days=11))
    fleet.run(now)
    for day in days(DAY + timedelta(days=9), 3):  # three days in a row of one asset are done again
        fleet.arrive("B-1", day, temp=75)
        whole.arrive("B-1", day, temp=75)
    fleet.run(now)
    whole.run(now)
    assert conditions(ledger, "B-1", "HOT") == conditions(expected, "B-1", "HOT")
    assert conditions(ledger, "B-1", "HOT")[DAY + timedelta(days=11)] is True


RULES_OF_PEERS = """\
- rule: warmer
  asset_type: pump
  when: temp.mean.peers > 4
  failure_mode: HOT
  severity: major
  act_within: 48h
  text: {en: Warmer., zh: 更热。}
"""


def test_a_silent_asset_among_others_has_days_without_data_that_decide_nothing(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for number, day in enumerate(days(DAY, 8)):
        fleet.arrive("B-1", day)
        if number < 4:
            fleet.arrive("B-2", day, temp=95, faults={"P1": [1, 2]})
    report = fleet.run(closed(DAY + timedelta(days=7)))
    assert report.asset_days == 16
    hot, worn = conditions(ledger, "B-2", "HOT"), conditions(ledger, "B-2", "WORN")
    assert list(hot.values()) == [True] * 4 + [None] * 4
    assert list(worn.values()) == [None, *[True] * 3, *[None] * 4]
    silent = ledger.outcomes[AssetDay("B-2", DAY + timedelta(days=5))]
    assert silent.log.completeness == 0
    assert silent.log.entries == ()
    assert "temp.mean" not in silent.features
    assert "faults.P1.count" not in silent.features


def test_a_day_with_too_little_data_says_nothing_of_faults_that_were_not_seen(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for number, day in enumerate(days(DAY, 6)):
        fleet.arrive("B-1", day, hours=range(3) if number >= 3 else None, faults={"P1": [1, 2]} if number < 3 else {})
    fleet.arrive("B-1", DAY + timedelta(days=6), hours=range(3), faults={"P1": [1, 2]})
    fleet.run(closed(DAY + timedelta(days=6)))
    assert list(conditions(ledger, "B-1", "WORN").values()) == [None, True, True, None, None, None, None]
    assert ledger.outcomes[AssetDay("B-1", DAY + timedelta(days=6))].log.entries[0].count == 2


def test_days_after_the_last_arrival_of_a_whole_site_are_not_made_up(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    fleet.arrive("B-1", DAY)
    fleet.arrive("S-1", DAY + timedelta(days=5))
    fleet.run(closed(DAY + timedelta(days=30)))
    assert sorted(ledger.outcomes) == [("B-1", DAY), ("S-1", DAY + timedelta(days=5))]


def test_an_asset_that_left_the_register_is_left_alone(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    fleet.arrive("B-1", DAY)
    fleet.arrive("B-2", DAY)
    fleet.register.assets = {k: v for k, v in fleet.register.assets.items() if k != "B-2"}
    fleet.run(closed(DAY))
    assert list(ledger.outcomes) == [("B-1", DAY)]


def test_a_sweep_ends_between_two_groups_and_goes_on_later(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for day in days(DAY, 4):
        fleet.arrive("B-1", day)
    now, stop = closed(DAY + timedelta(days=3)), threading.Event()
    assert fleet.run(now, until=DAY).last_day == DAY
    assert fleet.run(now, stop=stop, progress=lambda done, total: stop.set()).asset_days == 1
    assert len(ledger.outcomes) == 2
    assert fleet.run(now).asset_days == 2


def test_what_could_not_be_recorded_is_computed_again_from_what_was(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    for day in days(DAY, 3):
        fleet.all_arrive(day)
    record, broken = ledger.record, True

    def failing(outcomes: list[DayOutcome]) -> None:
        if broken and outcomes[0].log.day == DAY + timedelta(days=1):
            raise OSError("disk full")
        record(outcomes)

    ledger.record = failing  # type: ignore[assignment,method-assign]
    now = closed(DAY + timedelta(days=2))
    with pytest.raises(OSError, match="disk full"):
        fleet.run(now)
    assert {key.day for key in ledger.outcomes} == {DAY}
    broken = False
    assert fleet.run(now).asset_days == 12
