"""The daily fault log against expectations written by hand."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from small_fleet import PUMP, at

from diagnostics.fault_log import daily_fault_log
from diagnostics.records import DailyFaultLog, FaultLogEntry
from telemetry.memory import fault_frame

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600
Event = tuple[str, str, str]


def ns(text: str) -> int:
    return int(at(text).timestamp()) * 10**9


def log(day: date, events: list[Event], *, severity: str = "", context: dict[str, Any] | None = None) -> DailyFaultLog:
    """``events`` are (instant, code, state), as the store gives them: by code and time, a set before its clear."""
    rows = [
        ("B-1", code, ns(moment), 0 if state == "set" else 1, state, severity, json.dumps(context or {}))
        for moment, code, state in events
    ]
    frame = fault_frame(sorted(rows, key=lambda row: row[1:4]))
    return daily_fault_log(PUMP, "B-1", BERLIN, day, frame, {"completeness": 1.0, "exposure.hours": 20.0})


def only(found: DailyFaultLog) -> FaultLogEntry:
    assert len(found.entries) == 1
    return found.entries[0]


DAY = date(2026, 5, 4)


def test_set_and_cleared() -> None:
    entry = only(log(DAY, [("2026-05-04T10:00+02:00", "P1", "set"), ("2026-05-04T12:30+02:00", "P1", "clear")]))
    assert (entry.count, entry.duration, entry.severity) == (1, 2.5 * HOUR, "minor")
    assert entry.first == entry.last == ns("2026-05-04T10:00+02:00")
    assert entry.new
    assert not entry.recurring


def test_a_clear_without_a_set_is_no_fault() -> None:
    assert log(DAY, [("2026-05-04T12:30+02:00", "P1", "clear")]).entries == ()


def test_a_fault_set_twice_stands_from_its_first_set() -> None:
    events = [
        ("2026-05-04T10:00+02:00", "P1", "set"),
        ("2026-05-04T11:00+02:00", "P1", "set"),
        ("2026-05-04T12:00+02:00", "P1", "clear"),
    ]
    entry = only(log(DAY, events))
    assert (entry.count, entry.duration) == (2, 2 * HOUR)
    assert entry.last - entry.first == HOUR * 10**9


def test_a_code_that_never_clears_is_an_event_without_duration() -> None:
    entry = only(log(DAY, [("2026-05-04T10:00+02:00", "P1", "set"), ("2026-05-04T11:00+02:00", "P1", "set")]))
    assert (entry.count, entry.duration) == (2, None)


def test_set_and_cleared_in_the_same_instant_stood_for_no_time() -> None:
    entry = only(log(DAY, [("2026-05-04T10:00+02:00", "P1", "set"), ("2026-05-04T10:00+02:00", "P1", "clear")]))
    assert (entry.count, entry.duration) == (1, 0.0)


OVER_MIDNIGHT: list[Event] = [
    ("2026-05-01T08:00+02:00", "P1", "set"),
    ("2026-05-01T09:00+02:00", "P1", "clear"),
    ("2026-05-03T22:00+02:00", "P1", "set"),
    ("2026-05-05T01:00+02:00", "P1", "clear"),
]


@pytest.mark.parametrize(
    ("day", "count", "hours"), [(date(2026, 5, 3), 1, 2), (date(2026, 5, 4), 0, 24), (date(2026, 5, 5), 0, 1)]
)
def test_a_fault_that_stands_over_midnight_is_on_each_days_log(day: date, count: int, hours: int) -> None:
    entry = only(log(day, OVER_MIDNIGHT))
    assert (entry.count, entry.duration) == (count, hours * HOUR)
    assert not entry.new
    if not count:
        assert entry.first == entry.last == ns(f"{day}T00:00+02:00")


def test_after_it_cleared_it_is_on_no_log() -> None:
    assert log(date(2026, 5, 6), OVER_MIDNIGHT).entries == ()


@pytest.mark.parametrize(
    ("day", "offset_before", "offset_after", "hours"),
    [(date(2026, 3, 29), "+01:00", "+02:00", 23), (date(2026, 10, 25), "+02:00", "+01:00", 25)],
)
def test_a_fault_that_stands_through_a_change_of_clocks(
    day: date, offset_before: str, offset_after: str, hours: int
) -> None:
    before, after = date.fromordinal(day.toordinal() - 1), date.fromordinal(day.toordinal() + 1)
    events = [
        (f"{before}T23:00{offset_before}", "P1", "set"),
        (f"{after}T01:00{offset_after}", "P1", "clear"),
    ]
    assert only(log(before, [*events, (f"{before}T01:00{offset_before}", "P1", "clear")])).duration == 1 * HOUR
    assert only(log(day, [*events, (f"{before}T01:00{offset_before}", "P1", "clear")])).duration == hours * HOUR
    assert only(log(after, events)).duration == 1 * HOUR


def test_what_happened_on_the_next_day_is_not_known_yet() -> None:
    events = [("2026-05-04T23:00+02:00", "P1", "set"), ("2026-05-05T00:00+02:00", "P2", "set")]
    assert [entry.code for entry in log(DAY, events).entries] == ["P1"]


def test_two_days_before_make_it_recurring_and_one_makes_it_known() -> None:
    today = ("2026-05-04T10:00+02:00", "P1", "set")
    once = [("2026-05-01T10:00+02:00", "P1", "set"), ("2026-05-01T23:59+02:00", "P1", "set")]
    twice = [*once, ("2026-05-02T00:01+02:00", "P1", "set")]
    assert [(e.new, e.recurring) for e in (only(log(DAY, [*b, today])) for b in ([], once, twice))] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_the_severity_that_the_gateway_says_goes_before_the_types_own() -> None:
    event = [("2026-05-04T10:00+02:00", "P1", "set")]
    assert only(log(DAY, event)).severity == "minor"
    assert only(log(DAY, event, severity="critical")).severity == "critical"
    assert only(log(DAY, event, severity="dreadful")).severity == "minor"
    assert only(log(DAY, [("2026-05-04T10:00+02:00", "X9", "set")])).severity == "minor"


def test_the_freeze_frame_and_the_exposure_are_kept() -> None:
    found = log(DAY, [("2026-05-04T10:00+02:00", "P1", "set")], context={"speed": 62})
    assert only(found).context == {"speed": 62.0}
    assert (found.exposure_hours, found.exposure_distance, found.completeness) == (20.0, None, 1.0)
