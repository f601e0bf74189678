"""Times as strangers write them."""

from __future__ import annotations

import pandas as pd
import pytest

from config.instants import instants, without_hours

MIDNIGHT = "2025-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-01-01T00:00:00Z", MIDNIGHT),
        ("2025-01-01 01:00+01:00", MIDNIGHT),
        ("2025-01-01 00:00", MIDNIGHT),
        ("2025-01-01T00:00:00.000000999Z", MIDNIGHT),
        ("1735689600", MIDNIGHT),
        ("1735689600.75", "2025-01-01T00:00:00.750000+00:00"),
        ("1735689600.", MIDNIGHT),
        ("1735689600000.5", "2025-01-01T00:00:00.000500+00:00"),
        ("999999999", "2001-09-09T01:46:39+00:00"),
        ("1735689600000", MIDNIGHT),
        ("1735689600000000", MIDNIGHT),
        ("1735689600000000000", MIDNIGHT),
        ("2025-01-01", "2025-01-01T12:00:00+00:00"),
        ("20250101", "2025-01-01T12:00:00+00:00"),
        ("9999-12-31", "9999-12-31T12:00:00+00:00"),
    ],
)
def test_a_time_is_iso_a_count_or_a_date(text: str, instant: str) -> None:
    assert instants(pd.Series(["none", text], dtype="str"))[1].isoformat() == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "12", "01/02/2025", "31.12.2025 10:00", "9223372036854775807", "9" * 30, "2024", "2024-06",
        "2099063014", "202406301405", "20240630140500", "99999999999",
    ],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert instants(pd.Series([text], dtype="str")).isna().all()


def test_rows_may_each_be_written_in_their_own_way() -> None:
    texts = pd.Series(["2025-01-01", "1735689600000", "2025-01-01T00:00:00Z"], dtype="str", index=[7, 8, 9])
    assert instants(texts).dt.hour.to_dict() == {7: 12, 8: 0, 9: 0}


def test_times_without_hours() -> None:
    day = 86_400 * 10**9
    assert without_hours(pd.Series([day, 3 * day]))
    assert not without_hours(pd.Series([day, 3 * day + 1]))
    assert not without_hours(pd.Series([], dtype="int64"))
