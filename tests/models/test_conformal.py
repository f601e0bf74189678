"""The interval: the usual quantile where each unit has one row, units and not rows that count, the promise kept."""

from __future__ import annotations

import numpy as np
import pytest

from models.conformal import ConformalInterval


def test_with_one_row_a_unit_it_is_the_usual_quantile() -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 31.0))
    found = ConformalInterval.fit(np.full(30, 50.0), 50.0 - errors, np.arange(30))
    assert found.reach[0] == pytest.approx(28)  # the ceil(31 x 0.9)-th smallest
    low, high = found.around(np.array([50.0]))
    assert (low[0], high[0]) == (pytest.approx(22), pytest.approx(78))


def test_a_unit_counts_once_however_many_rows_it_has() -> None:
    errors = np.arange(1.0, 31.0)
    once = ConformalInterval.fit(np.zeros(30), errors, np.arange(30))
    rows = np.where(np.arange(30) < 5, 40, 1)  # the five best have many
    often = ConformalInterval.fit(np.zeros(rows.sum()), np.repeat(errors, rows), np.repeat(np.arange(30), rows))
    assert often.reach[0] == pytest.approx(once.reach[0])


@pytest.mark.parametrize(("units", "known"), [(8, False), (9, True)])
def test_too_few_units_promise_nothing(units: int, known: bool) -> None:
    found = ConformalInterval.fit(np.zeros(units), np.arange(1.0, units + 1), np.arange(units))
    assert np.isfinite(found.reach).all() == known


def test_it_is_as_wide_as_it_has_to_be_where_it_stands() -> None:
    rng = np.random.default_rng(1)
    predicted = rng.uniform(0, 120, 6000)
    true = predicted + rng.normal(0, 1 + predicted / 10)
    found = ConformalInterval.fit(predicted, true, np.arange(6000))
    fresh = rng.uniform(0, 120, 6000)
    low, high = found.around(fresh)
    held = (low <= (truth := fresh + rng.normal(0, 1 + fresh / 10))) & (truth <= high)
    for third in (fresh < 40, (fresh >= 40) & (fresh < 80), fresh >= 80):
        assert 0.87 < held[third].mean() < 0.93


def test_the_promise_is_kept_for_units_that_each_err_in_their_own_way() -> None:
    rng = np.random.default_rng(2)
    held, pooled = [], []
    for _ in range(400):
        units = np.repeat(np.arange(15), 30)
        predicted = rng.uniform(0, 1, len(units))
        errors = rng.normal(0, 1, 15)[units] + rng.normal(0, 0.1, len(units))
        new = rng.normal(0, 1) + rng.normal(0, 0.1)
        low, high = ConformalInterval.fit(predicted, predicted + errors, units).around(np.array([0.5]))
        held.append(low[0] <= 0.5 + new <= high[0])
        pooled.append(abs(new) <= np.quantile(np.abs(errors), 0.9))
    assert np.mean(held) > 0.88
    assert np.mean(pooled) < np.mean(held)


def test_predictions_that_are_all_right_have_an_interval_too() -> None:
    found = ConformalInterval.fit(np.zeros(20), np.zeros(20), np.arange(20))
    assert (found.reach < 1e-6).all()
