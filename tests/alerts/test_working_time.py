"""Working time, and climbing through tiers by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.support.escalation import Called, Desk, climbed, next_call
from alerts.support.working_time import after, between
from config.support import WEEKDAYS, Tier, WorkingHours

MADRID, SHANGHAI = ZoneInfo("Europe/Madrid"), ZoneInfo("Asia/Shanghai")
OFFICE = WorkingHours()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("start", "minutes", "end"),
    [
        # 2026-05-04 is a Monday; Madrid is at +02:00.
        ("2026-05-04T10:00+02:00", 60, "2026-05-04T11:00+02:00"),
        ("2026-05-04T16:30+02:00", 60, "2026-05-05T08:30+02:00"),
        ("2026-05-04T03:00+02:00", 60, "2026-05-04T09:00+02:00"),
        ("2026-05-08T16:30+02:00", 60, "2026-05-11T08:30+02:00"),  # over the weekend
        ("2026-05-09T12:00+02:00", 540, "2026-05-11T17:00+02:00"),  # a whole day, up to its end
        ("2026-05-04T10:00+02:00", 0, "2026-05-04T10:00+02:00"),
        ("2026-05-09T10:00+02:00", 0, "2026-05-09T10:00+02:00"),
    ],
)
def test_office_hours(start: str, minutes: int, end: str) -> None:
    assert after(at(start), timedelta(minutes=minutes), OFFICE, MADRID) == at(end)


def test_the_same_instant_is_work_at_one_site_and_night_at_another() -> None:
    monday = at("2026-05-04T13:00+02:00")  # 19:00 in Shanghai
    assert after(monday, timedelta(hours=1), OFFICE, MADRID) == at("2026-05-04T14:00+02:00")
    assert after(monday, timedelta(hours=1), OFFICE, SHANGHAI) == at("2026-05-05T09:00+08:00")


def test_a_night_shift_is_as_long_as_it_is_when_the_clocks_change() -> None:
    night = WorkingHours(days=WEEKDAYS, begins="22:00", ends="06:00")
    spring, autumn, usual = (at(f"{day}T12:00Z") for day in ("2026-03-28", "2026-10-24", "2026-05-02"))
    lengths = [between(noon, noon + timedelta(days=1), night, MADRID) for noon in (spring, autumn, usual)]
    assert lengths == [timedelta(hours=7), timedelta(hours=9), timedelta(hours=8)]


def test_around_the_clock_is_plain_time() -> None:
    always = WorkingHours(days=WEEKDAYS, begins="00:00", ends="24:00")
    start = at("2026-03-28T12:34:56Z")
    assert after(start, timedelta(days=400, seconds=7), always, MADRID) == start + timedelta(days=400, seconds=7)


CLOCKS = st.integers(0, 47).map(lambda n: f"{n // 2:02}:{30 * (n % 2):02}")
VALID_HOURS = (
    st.tuples(st.sets(st.sampled_from(WEEKDAYS), min_size=1), CLOCKS, st.one_of(CLOCKS, st.just("24:00")))
    .filter(lambda given: given[1] != given[2])
    .map(lambda given: WorkingHours(days=tuple(given[0]), begins=given[1], ends=given[2]))
)
INSTANTS = st.integers(0, 2 * 366 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
ZONES = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Madrid",
            "Asia/Shanghai",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        )
    ]
)
MINUTES = st.integers(0, 6000).map(lambda minutes: timedelta(minutes=minutes))


@settings(max_examples=150, deadline=None)
@given(INSTANTS, MINUTES, MINUTES, VALID_HOURS, ZONES)
def test_exactly_the_working_time_passes_and_it_adds_up(
    start: datetime, one: timedelta, other: timedelta, hours: WorkingHours, zone: ZoneInfo
) -> None:
    end = after(start, one, hours, zone)
    assert end >= start
    assert between(start, end, hours, zone) == one
    if one:  # no earlier instant would do
        assert between(start, end - timedelta(seconds=1), hours, zone) < one
    whole = after(start, one + other, hours, zone)
    assert after(end, other, hours, zone) == (whole if other else end)
    assert after(start + other, one, hours, zone) >= end


DESKS = st.builds(
    lambda minutes, hours, zone: Desk([Tier(name=f"tier {n}", minutes=m) for n, m in enumerate(minutes)], hours, zone),
    st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    VALID_HOURS,
    ZONES,
)


@settings(max_examples=100, deadline=None)
@given(INSTANTS, DESKS, st.lists(st.integers(0, 20_000), max_size=8), st.integers(0, 30_000))
def test_however_often_it_is_asked_who_is_called_depends_on_the_instant_alone(
    start: datetime, desk: Desk, looks: list[int], end: int
) -> None:
    now = start + timedelta(minutes=end)
    begun = step = Called(0, start)
    for look in sorted(n for n in looks if n <= end):
        before, step = step, climbed(step, desk, start + timedelta(minutes=look))
        assert step.tier >= before.tier
        assert step.since <= start + timedelta(minutes=look)
    directly = climbed(begun, desk, now)
    assert climbed(step, desk, now) == directly
    assert climbed(directly, desk, now) == directly
    assert 0 <= directly.tier < len(desk.tiers)
    due = next_call(directly, desk)
    assert (due is None) == (directly.tier == len(desk.tiers) - 1)
    if due is not None:
        assert due > now
        assert climbed(directly, desk, due) == Called(directly.tier + 1, due)
    waited = sum((timedelta(minutes=tier.minutes) for tier in desk.tiers[: directly.tier]), timedelta(0))
    assert between(start, directly.since, desk.hours, desk.zone) == waited


def test_a_tier_that_the_settings_have_lost_calls_nobody_further() -> None:
    desk = Desk([Tier(name="only", minutes=1)], OFFICE, MADRID)
    called = Called(2, at("2026-05-04T10:00Z"))
    assert climbed(called, desk, at("2027-05-04T10:00Z")) == called
