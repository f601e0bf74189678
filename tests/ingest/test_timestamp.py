"""Times as gateways write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.timestamp import WrongTime, nanoseconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-11-23T04:05:06Z", 1_795_406_706_000_000_000),
        ("2026-11-23T04:05:06.789Z", 1_795_406_706_789_000_000),
        ("2026-11-23T04:05:06.789123Z", 1_795_406_706_789_123_000),
        ("2026-11-23T04:05:06.789123999Z", 1_795_406_706_789_123_000),
        ("2026-11-23t04:05:06z", 1_795_406_706_000_000_000),
        ("2026-11-23 04:05:06Z", 1_795_406_706_000_000_000),
        ("2026-11-23T12:05:06+08:00", 1_795_406_706_000_000_000),
        ("2026-11-22T23:35:06-04:30", 1_795_406_706_000_000_000),
        ("2026-11-23T04:05:06-00:00", 1_795_406_706_000_000_000),
        (1_795_406_706_789, 1_795_406_706_789_000_000),
        (1, 1_000_000),
        (4_102_444_799_999, 4_102_444_799_999_000_000),
    ],
)
def test_a_time_of_either_form_is_read_exactly(text: str | int, ns: int) -> None:
    assert nanoseconds(text) == ns


@given(
    st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001
    st.integers(-23 * 60 - 59, 23 * 60 + 59),  # RFC 3339 knows offsets of whole minutes
)
def test_any_time_of_any_zone_is_exact_to_the_microsecond(local: datetime, minutes: int) -> None:
    at = local.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert nanoseconds(at.isoformat()) == (at - EPOCH) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "now", "2026", "2026-11-23", "2026-11-23T04:05:06", "2026-02-30T00:00:00Z", "2026-11-23T25:00:00Z",
        "2026-11-23T04:05:60Z", "23.11.2026 04:05", "1795406706789", "2026-11-23T04:05:06+99:00", "Z", "\x00",
        "T" * 5000, "2100-01-01T00:00:00Z",
        "٢٠٢٦-11-23T04:05:06Z", "1970-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
        0, -1, 4_102_444_800_000, 1_795_406_706_789_000, 12345678901234567890, 10**400,
    ],
)  # fmt: skip
def test_what_is_no_time_says_why(value: str | int) -> None:
    with pytest.raises(WrongTime) as wrong:
        nanoseconds(value)
    assert 10 < len(str(wrong.value)) < 200


@given(st.text() | st.integers())
def test_nothing_else_is_raised(value: str | int) -> None:
    try:
        ns = nanoseconds(value)
    except WrongTime:
        return
    assert 0 < ns < 4_102_531_200 * 10**9
