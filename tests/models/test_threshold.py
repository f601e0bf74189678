"""Levels that keep their meaning and their order, and thresholds that keep their budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.calibration import Calibration
from models.evaluation import Costs
from models.panel import panel_index
from models.persistence import Persistence, openings
from models.threshold import anomalous, budget_threshold, cheapest_threshold, opening_days

FIRST = np.datetime64("2026-01-01")


def fleet(assets: int, days: int) -> pd.MultiIndex:
    names = [f"A{a:03}" for a in range(assets) for _ in range(days)]
    return panel_index(names, [FIRST + d for _ in range(assets) for d in range(days)])


def test_a_level_is_the_share_of_training_days_that_scored_lower() -> None:
    scores = np.random.default_rng(0).gamma(2.0, size=20_000)
    calibration = Calibration.fit(scores)
    unseen = np.random.default_rng(1).gamma(2.0, size=200_000)
    levels = calibration.level(unseen)
    for level in (0.1, 0.5, 0.9, 0.95, 0.99, 0.999):
        assert (levels <= level).mean() == pytest.approx(level, abs=0.004 + 0.2 * (1 - level))


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e6, 1e6)))
def test_levels_are_shares_and_keep_the_order(scores: np.ndarray) -> None:
    calibration = Calibration.fit(scores)
    points = np.unique(np.concatenate([scores, np.linspace(scores.min() - 1, scores.max() * 1.5 + 1, 50)]))
    levels = calibration.level(points)
    assert (levels >= 0).all()
    assert (levels <= 1).all()
    assert (np.diff(levels) >= 0).all()


def test_beyond_all_of_training_order_is_kept() -> None:
    scores = np.random.default_rng(0).normal(size=1000)
    levels = Calibration.fit(scores).level(scores.max() + np.arange(40.0))
    assert (np.diff(levels) > 0).all()
    assert levels[0] > 0.99
    assert levels[-1] < 1


def test_score_is_the_inverse_of_level() -> None:
    calibration = Calibration.fit(np.random.default_rng(0).normal(size=5000))
    for level in (0.2, 0.9, 0.97, 0.985, 0.999, 0.99999):
        assert calibration.level(np.array([calibration.score(level)]))[0] == pytest.approx(level, abs=1e-9)


def test_unknown_stays_unknown() -> None:
    calibration = Calibration.fit(np.array([1.0, np.nan, 2.0]))
    assert np.isnan(calibration.level(np.array([np.nan]))[0])
    with pytest.raises(ValueError, match="no score"):
        Calibration.fit(np.array([np.nan]))


@pytest.mark.parametrize("persistence", [Persistence(1, 1), Persistence(2, 3)])
@pytest.mark.parametrize("budget", [0.2, 0.5, 2.0])
def test_the_budget_is_used_and_kept_in_training(persistence: Persistence, budget: float) -> None:
    index = fleet(50, 100)
    rng = np.random.default_rng(5)
    level = pd.Series(rng.random(len(index)), index=index).mask(rng.random(len(index)) < 0.05)
    healthy = pd.Series(rng.random(len(index)) < 0.9, index=index)
    threshold = budget_threshold(level, healthy, persistence, budget)
    counted = level.where(healthy)
    tickets = int(openings(anomalous(counted, threshold, persistence)).sum())
    allowed = budget / 100 * counted.notna().sum()
    assert 0.8 * allowed - 1 <= tickets <= allowed


def test_where_one_ticket_is_too_many_no_training_day_opens_one() -> None:
    index = fleet(3, 20)
    level = pd.Series(np.linspace(0, 1, len(index)), index=index)
    threshold = budget_threshold(level, pd.Series(True, index=index), Persistence(1, 1), 0.5)
    assert threshold == 1.0


def test_without_a_healthy_level_there_is_no_threshold() -> None:
    index = fleet(1, 5)
    with pytest.raises(ValueError, match="no healthy day"):
        budget_threshold(pd.Series(0.5, index=index), pd.Series(False, index=index), Persistence(1, 1), 1.0)


def test_anomalous_is_unknown_where_the_level_is() -> None:
    level = pd.Series([0.2, np.nan, 0.995, 0.99], index=fleet(1, 4))
    assert anomalous(level, 0.99, Persistence(1, 1)).tolist() == [False, pd.NA, True, False]


@pytest.mark.parametrize("persistence", [Persistence(1, 1), Persistence(2, 3)])
def test_the_next_lower_threshold_would_be_over_the_budget(persistence: Persistence) -> None:
    index = fleet(20, 60)
    rng = np.random.default_rng(9)
    level = pd.Series(rng.random(len(index)), index=index).mask(rng.random(len(index)) < 0.1)
    kept = rng.random(len(index)) < 0.9  # days that the panel does not hold are not known either
    level = level[kept]
    healthy = pd.Series(rng.random(len(level)) < 0.8, index=level.index)
    threshold = budget_threshold(level, healthy, persistence, 1.0)
    counted = level.where(healthy)
    allowed = 1.0 / 100 * counted.notna().sum()
    lower = counted[counted < threshold].max()
    assert openings(anomalous(counted, threshold, persistence)).sum() <= allowed
    assert openings(anomalous(counted, lower, persistence)).sum() > allowed


def failing(assets: int, days: int) -> tuple[pd.MultiIndex, np.ndarray]:
    """A panel whose assets all fail a quarter of a day after its end, and the days left."""
    return fleet(assets, days), np.tile(np.arange(days, 0, -1) - 0.75, assets)


def caught(risk: np.ndarray, left: np.ndarray, index: pd.MultiIndex, threshold: float, horizon: float) -> int:
    opens = opening_days(risk > threshold, index)
    return int((left[opens] <= horizon).sum())


def test_where_risk_grows_slowly_a_higher_threshold_is_crossed_in_time() -> None:
    index, left = failing(50, 60)
    noise = np.random.default_rng(0).normal(0, 0.05, len(left))
    risk = np.clip(1 - left / 50 + noise, 0, 1)  # at 0.5 crossed 25 days before, where the horizon is 10
    found = cheapest_threshold(risk, left, index, 0.5, 10)
    assert caught(risk, left, index, 0.5, 10) == 0
    assert caught(risk, left, index, found, 10) >= 48
    later = np.clip(1 - left / 50 + np.random.default_rng(1).normal(0, 0.05, len(left)), 0, 1)
    assert caught(later, left, index, found, 10) >= 45


def test_where_failures_announce_themselves_at_once_the_lowest_is_kept() -> None:
    index, left = failing(50, 60)
    risk = np.where(left < 2, np.random.default_rng(0).uniform(0.5, 1, len(left)), 0.1)
    assert cheapest_threshold(risk, left, index, 0.4, 7) == 0.4


def test_false_tickets_are_dear_or_cheap_as_it_is_said() -> None:
    index, left = failing(100, 20)
    left[: 50 * 20] = np.inf
    risk = np.full(len(left), 0.1)
    risk[np.arange(50) * 20 + 10] = 0.6  # fifty times for nothing
    risk[50 * 20 + np.arange(50) * 20 + 18] = np.repeat([0.55, 0.9], 25)  # the day before the last
    assert cheapest_threshold(risk, left, index, 0.5, 7) == 0.5
    dear = cheapest_threshold(risk, left, index, 0.5, 7, Costs(missed_failure=1, false_ticket=1))
    assert 0.6 <= dear < 0.9


@pytest.mark.parametrize(("days_before", "kept"), [(15, True), (25, False)])
def test_early_tickets_are_not_false_ones(days_before: int, kept: bool) -> None:
    index, left = failing(50, 60)
    risk = np.where(np.round(left) == days_before, np.random.default_rng(0).uniform(0.5, 1, len(left)), 0.1)
    early_is_free = Costs(early_replacement=0.0)
    assert (cheapest_threshold(risk, left, index, 0.4, 10, early_is_free) == 0.4) is kept


def test_without_a_risk_above_it_the_lowest_is_kept() -> None:
    index, left = failing(2, 10)
    assert cheapest_threshold(np.full(20, np.nan), left, index, 0.5, 7) == 0.5
    assert not opening_days(np.zeros(20, dtype=bool), index).any()


def test_an_alarm_that_is_silent_for_some_days_is_one_ticket() -> None:
    index = fleet(2, 10)
    alarmed = np.zeros(20, dtype=bool)
    alarmed[[1, 2, 5, 9, 10]] = True  # of the second asset the first day
    assert np.flatnonzero(opening_days(alarmed, index)).tolist() == [1, 9, 10]
