"""The bar that a rule or model must be able to reach, beside exact probabilities."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.outcomes.bar import below_bar, wilson
from config.settings import Outcomes

COUNTS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def test_wilson_by_hand() -> None:
    # z = 1.6449: the usual two-sided interval of 90 %; 8 of 10, R's prop.test(8, 10, conf.level=.9, correct=FALSE).
    assert wilson(8, 10, 0.95) == pytest.approx((0.541, 0.931), abs=0.001)
    assert wilson(0, 0, 0.9) == (0.0, 1.0)


@given(counts=COUNTS, confidence=st.floats(0.51, 0.999))
def test_the_bounds_hold_the_share_and_mirror_each_other(counts: tuple[int, int], confidence: float) -> None:
    right, judged = counts
    low, high = wilson(right, judged, confidence)
    assert 0 <= low <= right / judged + 1e-12
    assert right / judged - 1e-12 <= high <= 1
    mirrored = wilson(judged - right, judged, confidence)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


def test_a_version_at_the_bar_is_condemned_about_as_seldom_as_the_confidence_says() -> None:
    settings = Outcomes(min_judged=5, min_precision=0.5, confidence=0.9)
    for judged in (5, 10, 20, 50):
        wrongly = sum(comb(judged, n) for n in range(judged + 1) if below_bar(n, judged, settings)) / 2**judged
        assert wrongly < 0.2


def test_one_false_alarm_never_condemns() -> None:
    for judged in range(1, 5):
        assert not below_bar(0, judged, Outcomes(min_judged=5))
    assert below_bar(0, 5, Outcomes(min_judged=5))
    assert not below_bar(2, 5, Outcomes(min_judged=5))
