"""The CARE score on cases that can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from models.care import Care, care
from models.panel import panel_index

BEGIN = pd.Timestamp("2026-01-01T00:00Z")


def index(assets: int, days: int) -> pd.MultiIndex:
    first = np.datetime64("2026-01-01")
    names = [f"A{n}" for n in range(assets)]
    return panel_index([name for name in names for _ in range(days)], [first + d for _ in names for d in range(days)])


def at(*events: tuple[str, int], column: str) -> pd.DataFrame:
    times = [(BEGIN + pd.Timedelta(days=day, hours=1)).value for _, day in events]
    return pd.DataFrame({"asset_id": pd.Series([a for a, _ in events], dtype="str"), column: np.array(times, np.int64)})


def score(tickets: list[tuple[str, int]], failures: list[tuple[str, int]], days: int = 40) -> Care:
    return care(index(2, days), at(*tickets, column="opened"), at(*failures, column="time"), 4)


def test_a_ticket_at_the_horizons_first_day_is_perfect() -> None:
    found = score([("A0", 20)], [("A0", 24)])
    assert found == Care(1.0, 1.0, 1.0, 1.0, 1.0, 1, 8)


def test_silence_scores_nothing_although_it_is_accurate() -> None:
    found = score([], [("A0", 24)])
    assert (found.score, found.accuracy, found.coverage, found.earliness) == (0.0, 1.0, 0.0, 0.0)


def test_a_late_ticket_covers_less_and_earns_less() -> None:
    found = score([("A0", 22)], [("A0", 24)])
    # Two of four days, without a false one: F = 1.25 * 2 / (1.25 * 2 + 0.25 * 2); weights 1, 1, 2/3, 1/3.
    assert found.coverage == pytest.approx(2.5 / 3)
    assert found.earliness == pytest.approx(1 / 3)
    assert (found.reliability, found.accuracy) == (1.0, 1.0)
    assert found.score == pytest.approx((2.5 / 3 + 1 / 3 + 1 + 2) / 5)


def test_false_tickets_cost_accuracy_and_reliability() -> None:
    found = score([("A0", 20), ("A1", 0)], [("A0", 24)])
    # Of eight normal events of eight days, one has four predicted days.
    assert found.accuracy == pytest.approx(1 - 0.5 / 8)
    assert found.reliability == pytest.approx(1.25 / (1.25 + 1))


def test_whoever_always_cries_gets_no_more_than_its_accuracy() -> None:
    always = [(f"A{n}", day) for n in range(2) for day in range(0, 40, 4)]
    found = score(always, [("A0", 24)])
    assert found.score == found.accuracy < 0.1
    assert found.earliness == 1.0


def test_without_a_failure_or_a_quiet_stretch_there_is_no_score() -> None:
    assert math.isnan(score([("A0", 3)], []).score)
    assert math.isnan(score([("A0", 3)], [("A0", 6), ("A1", 6)], days=8).score)


def test_a_failure_just_after_the_last_day_counts() -> None:
    found = score([("A0", 38)], [("A0", 42)], days=40)
    assert (found.anomaly_events, found.coverage) == (1, 1.0)
