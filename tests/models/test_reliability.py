"""Calibration of probabilities, counted by hand and on a simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from models.reliability import Bin, reliability


def test_brier_and_bins_of_four_days() -> None:
    found = reliability(np.array([0.05, 0.0, 1.0, 0.95, np.nan]), np.array([False, False, True, False, True]))
    assert found is not None
    assert found.brier == pytest.approx((0.05**2 + 0 + 0 + 0.95**2) / 4)
    assert found.brier_of_base_rate == pytest.approx(0.25 * 0.75)
    assert found.bins == (
        Bin(0.0, 0.1, 2, pytest.approx(0.025), 0.0),
        Bin(0.9, 1.0, 2, pytest.approx(0.975), 0.5),
    )


def test_true_probabilities_lie_on_the_diagonal_and_beat_the_base_rate() -> None:
    rng = np.random.default_rng(3)
    probability = rng.beta(0.5, 3, 50_000)
    found = reliability(probability, rng.random(50_000) < probability)
    assert found is not None
    assert found.brier < found.brier_of_base_rate
    for one in found.bins:
        assert one.observed == pytest.approx(one.predicted, abs=4 * np.sqrt(0.25 / one.asset_days))


def test_nothing_said_is_nothing_to_judge() -> None:
    assert reliability(np.array([np.nan]), np.array([True])) is None
