"""How often an alert came back, and that its severity does not flap."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome
from hypothesis import given
from hypothesis import strategies as st

from alerts.lifecycle.recurrence import times_back


def day(n: int) -> date:
    return DAY + timedelta(days=n)


@pytest.mark.parametrize(
    ("openings", "returns", "last", "days", "times"),
    [
        ([0], [], 0, 90, 0),
        ([0, 10], [], 10, 90, 1),
        ([0, 10], [5, 20], 20, 90, 3),
        ([0, 100], [], 100, 90, 1),  # the first is long ago, the second came back all the same
        ([0, 100], [], 200, 90, 0),
        ([0, 10], [], 5, 90, 0),  # as of a day on which the second had not been
    ],
)
def test_what_counts(openings: list[int], returns: list[int], last: int, days: int, times: int) -> None:
    assert times_back(map(day, openings), map(day, returns), day(last), days) == times


@given(
    st.lists(st.integers(0, 400), max_size=20),
    st.lists(st.integers(0, 400), max_size=20),
    st.integers(0, 400),
    st.integers(1, 400),
)
def test_more_days_never_count_less(openings: list[int], returns: list[int], last: int, days: int) -> None:
    counted = times_back(map(day, openings), map(day, returns), day(last), days)
    assert 0 <= counted <= times_back(map(day, openings), map(day, returns), day(last), days + 1)
    assert counted <= len(openings) + len(returns)


@pytest.mark.usefixtures("tables")
def test_an_alert_that_chatters_is_counted_and_keeps_its_severity() -> None:
    from alerts.ledger import DjangoLedger
    from alerts.lifecycle.recurrence import recurrences
    from alerts.models import Alert

    # Holds one day, is clear for three: as told by a rule that cannot make up its mind how bad it is.
    seen: list[Any] = []
    for n in range(17):
        holds = n % 4 == 0
        said = diagnosis(day(n), holds, severity="critical" if n == 4 else "minor")
        DjangoLedger().record([outcome(said)])
        seen.append(Alert.objects.get().severity)
    alert = Alert.objects.get()
    assert alert.came_back_on == [str(day(n)) for n in (4, 8, 12, 16)]
    assert recurrences([alert], 90) == {alert.pk: 4}
    assert recurrences([alert], 8) == {alert.pk: 2}
    assert seen == ["minor"] * 4 + ["critical"] * 13
