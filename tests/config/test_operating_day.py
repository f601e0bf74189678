from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.operating_day import NS, day_bounds, operating_day

ZONES = [
    "UTC",
    "Europe/Madrid",
    "America/Sao_Paulo",
    "Asia/Shanghai",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Africa/Cairo",
]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_a_day_is_as_long_as_its_clock_changes_make_it(day, hours):
    start, end = day_bounds(ZoneInfo("Europe/Madrid"), day)
    assert (end - start) == hours * 3600 * NS


@given(st.sampled_from(ZONES), st.dates(date(1995, 1, 1), date(2037, 12, 30)))
def test_bounds_and_day_agree(zone_name, day):
    zone = ZoneInfo(zone_name)
    start, end = day_bounds(zone, day)
    if start == end:  # Apia skipped 30 December 2011 altogether
        return
    assert operating_day(zone, start) == day
    assert operating_day(zone, end - NS) == day
    assert operating_day(zone, end) > day


@given(st.sampled_from(ZONES), st.integers(800_000_000, 2_100_000_000))
def test_every_instant_belongs_to_exactly_one_day(zone_name, second):
    zone = ZoneInfo(zone_name)
    start, end = day_bounds(zone, operating_day(zone, second * NS))
    assert start <= second * NS < end
