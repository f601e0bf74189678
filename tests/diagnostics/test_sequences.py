"""Sequences against the events themselves: what is certain is true; with two codes and their times, all is certain."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_scope import FIRST, SCOPE

from diagnostics.expression import Frame, compile_expression
from models.panel import panel_index

Events = list[dict[str, list[float]]]
"""Of each day, the hours at which each code was set."""

HOURS = st.lists(st.integers(0, 8).map(float), max_size=3).map(sorted)
DAYS = st.lists(st.fixed_dictionaries({"F1": HOURS, "F2": HOURS, "F3": HOURS}), min_size=1, max_size=6)


def truth(events: Events, codes: list[str], today: int, days: int) -> bool:
    """Whether one event of each code can be chosen so that each is later than the one before."""
    last = -math.inf
    for code in codes:
        times = [24 * day + hour for day in range(max(0, today - days + 1), today + 1) for hour in events[day][code]]
        later = [time for time in times if time > last]
        if not later:
            return False
        last = min(later)
    return True


def panel(events: Events, timed: list[bool], unknown: list[bool]) -> Frame:
    columns: dict[str, list[float]] = {}
    for code in ("F1", "F2", "F3"):
        hours = [day[code] for day in events]
        columns[f"faults.{code}.count"] = [
            math.nan if gone and not h else len(h) for h, gone in zip(hours, unknown, strict=True)
        ]
        for what, pick in (("first", min), ("last", max)):
            columns[f"faults.{code}.{what}"] = [
                pick(h) if h and known else math.nan for h, known in zip(hours, timed, strict=True)
            ]
    index = panel_index(["A"] * len(events), [FIRST + day for day in range(len(events))])
    return Frame(pd.DataFrame(columns, index=index, dtype="float64"))


def answers(frame: Frame, codes: list[str], days: int) -> list[bool | None]:
    text = f"sequence({', '.join(map(repr, codes))}, days={days})"
    found = frame.gather_condition(compile_expression(text, SCOPE).evaluate(frame))
    return [None if answer is pd.NA else bool(answer) for answer in found]


@settings(max_examples=150, deadline=None)
@given(DAYS, st.lists(st.sampled_from(["F1", "F2", "F3"]), min_size=2, max_size=4), st.integers(1, 4), st.data())
def test_it_is_never_wrong_and_of_two_codes_with_times_always_known(
    events: Events, codes: list[str], days: int, data: st.DataObject
) -> None:
    length = len(events)
    flags = st.lists(st.booleans(), min_size=length, max_size=length)
    timed, unknown = data.draw(flags), data.draw(flags)
    for today, answer in enumerate(answers(panel(events, timed, unknown), codes, days)):
        expected = truth(events, codes, today, days)
        assert answer in (expected, None)
        if answer is None:
            window = range(max(0, today - days + 1), today + 1)
            two_with_times = len(codes) == 2 and all(timed[day] for day in window)
            today_unknown = unknown[today] and any(not events[today][code] for code in codes)
            assert not (two_with_times and not today_unknown)
            if two_with_times:
                assert not expected


@pytest.mark.parametrize(
    ("events", "days", "expected"),
    [
        ([{"F1": [9.0]}, {"F2": [8.0]}], 2, [False, True]),
        ([{"F1": [9.0]}, {"F2": [8.0]}], 1, [False, False]),
        ([{"F2": [9.0]}, {"F1": [8.0]}], 2, [False, False]),
        ([{"F1": [9.0], "F2": [8.0]}], 1, [False]),
        ([{"F1": [8.0], "F2": [9.0]}], 1, [True]),
        ([{"F1": [8.0], "F2": [8.0]}], 1, [False]),
        ([{"F1": [9.0], "F2": [8.0, 10.0]}], 1, [True]),
        ([{"F1": [9.0]}, {}, {}, {"F2": [1.0]}], 3, [False, False, False, False]),
    ],
)
def test_the_order_is_by_day_and_on_one_day_by_time(
    events: list[dict[str, list[float]]], days: int, expected: list[bool]
) -> None:
    whole = [{"F1": [], "F2": [], "F3": []} | day for day in events]
    length = len(events)
    assert answers(panel(whole, [True] * length, [False] * length), ["F1", "F2"], days) == expected
    reversed_codes = answers(panel(whole, [True] * length, [False] * length), ["F2", "F1"], days)
    for today, answer in enumerate(reversed_codes):
        assert answer is truth(whole, ["F2", "F1"], today, days)


def test_without_times_two_codes_of_one_day_have_no_order() -> None:
    day = {"F1": [8.0], "F2": [9.0], "F3": []}
    assert answers(panel([day], [False], [False]), ["F1", "F2"], 1) == [None]
    assert answers(panel([day], [False], [False]), ["F1", "F3"], 1) == [False]
