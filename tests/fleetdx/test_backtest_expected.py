"""Whether failures came when tickets said: of the right tickets, as they were opened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diagnostics.records import Expected
from fleetdx.backtest_expected import expected_figures, with_expected

DAY = 86_400 * 10**9
NOON = 1_700_000_000 * 10**9


def _tickets(*rows: tuple[str, str, float | None]) -> pd.DataFrame:
    """Tickets all known at one time: asset, kind, days to the failure."""
    return pd.DataFrame(
        {
            "asset_id": [asset for asset, _, _ in rows],
            "failure_mode": "LEAK",
            "known_at": NOON,
            "kind": [kind for _, kind, _ in rows],
            "failure": pd.array([None if d is None else NOON + int(d * DAY) for _, _, d in rows], dtype="Int64"),
        }
    )


SAID = {("A", "LEAK", NOON): Expected(0.5, 1.0, 2.0), ("B", "LEAK", NOON): Expected(1.0, 2.0, 4.0)} | {
    ("A", "LEAK", NOON + DAY): Expected(9.0, 9.0, 9.0),  # said of a later day
    ("A", "SEIZED", NOON): Expected(9.0, 9.0, 9.0),
}


def test_what_was_said_on_the_tickets_first_day_is_what_counts() -> None:
    told = with_expected(_tickets(("A", "true", 1.5), ("B", "true", 5.0), ("C", "true", 1.0)), SAID)
    assert ((told["expected_from"] - NOON) / DAY).tolist()[:2] == pytest.approx([0.5, 1.0])
    assert ((told["expected_by"] - NOON) / DAY).tolist()[:2] == pytest.approx([2.0, 4.0])
    assert np.isnan(told["expected_by"].iloc[2])
    assert expected_figures(told) == pytest.approx({"tickets": 2, "held": 0.5, "days": 2.25})


def test_a_ticket_that_was_not_right_says_nothing_of_when() -> None:
    told = with_expected(_tickets(("A", "false", None), ("B", "early", 12.0)), SAID)
    assert expected_figures(told) is None
    assert expected_figures(with_expected(_tickets(), SAID)) is None
