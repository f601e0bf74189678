"""Health: one scale for whatever watches an asset, and what stands while nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.health import health
from models.persistence import Persistence

LEVELS = st.floats(0, 1)


@given(LEVELS, st.floats(0.01, 0.9999))
def test_it_is_below_fifty_exactly_beyond_the_threshold(level: float, threshold: float) -> None:
    value = float(health(level, threshold))
    assert 0 <= value <= 100
    if abs(level - threshold) > 1e-9:
        assert (value < 50) == (level > threshold)


def test_it_halves_with_every_step_as_rare_as_the_threshold() -> None:
    assert health([0.0, 0.99, 0.9999, 0.999999], 0.99) == pytest.approx([100, 50, 25, 12.5])
    assert np.isnan(health(np.nan, 0.99))


@given(
    st.lists(st.one_of(st.just(np.nan), LEVELS), min_size=1, max_size=12),
    st.integers(1, 4).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))),
    st.floats(0.05, 0.95),
)
def test_what_stands_is_above_a_threshold_exactly_where_that_persists(
    levels: list[float], k_of_n: tuple[int, int], threshold: float
) -> None:
    persistence = Persistence(*k_of_n)
    days = np.array([levels])
    standing = persistence.standing(days)
    held = persistence.over(np.where(np.isnan(days), np.nan, (days > threshold).astype(float)))
    today = ~np.isnan(days)
    assert np.isnan(standing[~today]).all()
    np.testing.assert_array_equal(standing[today] > threshold, held[today] == 1)


def test_a_gap_neither_lowers_nor_raises_what_stands() -> None:
    standing = Persistence(2, 3).standing(np.array([[0.9, 0.8, np.nan, np.nan, 0.2, 0.7]]))
    np.testing.assert_array_equal(standing, [[np.nan, 0.8, np.nan, np.nan, np.nan, 0.2]])
