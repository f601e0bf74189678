"""Persistence against a loop that says the same slowly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.panel import panel_index
from models.persistence import Persistence, openings

STATES = st.sampled_from([True, False, None, "absent"])


def column(states: dict[str, list[bool | str | None]]) -> pd.Series:
    rows = [
        (asset, np.datetime64("2026-03-01") + day, state)
        for asset, days in states.items()
        for day, state in enumerate(days)
        if state != "absent"
    ]
    index = panel_index([r[0] for r in rows], [r[1] for r in rows])
    return pd.Series([r[2] for r in rows], index=index, dtype="boolean")


@given(
    st.dictionaries(st.sampled_from(["A", "B", "C"]), st.lists(STATES, min_size=1, max_size=12), min_size=1),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_apply_agrees_with_a_loop(states: dict[str, list[bool | str | None]], k: int, more: int) -> None:
    states = dict(sorted(states.items()))
    persistence = Persistence(k, k + more)
    result = persistence.apply(column(states))
    for asset, days in states.items():
        for day, state in enumerate(days):
            if state == "absent":
                continue
            window = [days[d] if d >= 0 else None for d in range(day - persistence.n + 1, day + 1)]
            held = sum(s is True for s in window)
            possible = sum(s is not False for s in window)
            expected = True if held >= k else False if possible < k else pd.NA
            found = result[asset, pd.Timestamp("2026-03-01") + pd.Timedelta(days=day)]
            assert found is expected or found == expected


@given(st.lists(st.sampled_from([True, False, None]), max_size=15))
def test_openings_agree_with_a_loop(states: list[bool | str | None]) -> None:
    firing = False
    expected = []
    for state in states:
        expected.append(state is True and not firing)
        firing = firing if state is None else bool(state)
    assert list(openings(column({"A": states}))) == expected


def test_a_gap_neither_raises_nor_clears() -> None:
    found = Persistence(2, 3).apply(column({"A": [True, True, "absent", None, None, False, False, False]}))
    assert list(found) == [pd.NA, True, pd.NA, pd.NA, pd.NA, False, False]
    assert openings(column({"A": [True, None, "absent", True, False, True]})).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(("text", "k", "n"), [("2 of 3 days", 2, 3), ("1 of 1 day", 1, 1), (" 5  of 60 ", 5, 60)])
def test_parse(text: str, k: int, n: int) -> None:
    assert Persistence.parse(text) == Persistence(k, n)
    assert Persistence.parse(str(Persistence(k, n))) == Persistence(k, n)


@pytest.mark.parametrize(
    "text", ["", "2", "2 of", "3 of 2 days", "0 of 3 days", "2 of 61 days", "2 of 3 weeks", "-1 of 3"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="persistence"):
        Persistence.parse(text)


def test_days_of_one_asset_do_not_reach_into_another() -> None:
    found = Persistence(2, 2).apply(column({"A": [False, True], "B": [True, False]}))
    assert list(found) == [False, False, pd.NA, False]


def test_a_panel_in_any_order_is_answered_in_its_order() -> None:
    ordered = column({"A": [True, True, False], "B": [False, True, True]})
    shuffled = ordered.iloc[[4, 0, 5, 2, 1, 3]]
    pd.testing.assert_series_equal(
        Persistence(2, 2).apply(shuffled), Persistence(2, 2).apply(ordered).iloc[[4, 0, 5, 2, 1, 3]]
    )


def test_an_asset_day_twice_is_refused() -> None:
    twice = pd.concat([column({"A": [True]}), column({"A": [False]})])
    with pytest.raises(ValueError, match="twice"):
        Persistence(1, 1).apply(twice)
