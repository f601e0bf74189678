"""Whether failures came when tickets said: of the right tickets, as they were opened, by their own failure mode."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diagnostics.records import Expected
from fleetdx.backtest_expected import expected_figures, with_expected

DAY = 86_400 * 10**9
NOON = 1_700_000_000 * 10**9


def _tickets(*assets: str) -> pd.DataFrame:
    """Tickets for a leak, all known at one time and opened an hour later."""
    return pd.DataFrame(
        {"asset_id": assets, "failure_mode": "LEAK", "known_at": NOON, "opened": NOON + DAY // 24}
    ).astype({"asset_id": "str", "failure_mode": "str"})


def _failures(*rows: tuple[str, str, float]) -> pd.DataFrame:
    columns = {"asset_id": [r[0] for r in rows], "failure_mode": [r[1] for r in rows]}
    return pd.DataFrame(columns | {"time": [NOON + int(r[2] * DAY) for r in rows]}).astype(
        {"asset_id": "str", "failure_mode": "str", "time": "int64"}
    )


SAID = {("A", "LEAK", NOON): Expected(0.5, 1.0, 2.0), ("B", "LEAK", NOON): Expected(1.0, 2.0, 4.0)} | {
    ("A", "LEAK", NOON + DAY): Expected(9.0, 9.0, 9.0),  # said of a later day
    ("A", "SEIZED", NOON): Expected(9.0, 9.0, 9.0),
}


def test_what_was_said_on_the_tickets_first_day_is_what_counts() -> None:
    told = with_expected(_tickets("A", "B", "C"), SAID)
    assert ((told["expected_from"] - NOON) / DAY).tolist()[:2] == pytest.approx([0.5, 1.0])
    assert ((told["expected_by"] - NOON) / DAY).tolist()[:2] == pytest.approx([2.0, 4.0])
    assert np.isnan(told["expected_by"].iloc[2])
    came = _failures(("A", "LEAK", 1.5), ("B", "LEAK", 5.0), ("C", "LEAK", 1.0))
    assert expected_figures(told, came, 7) == pytest.approx({"tickets": 2, "held": 0.5, "days": 2.25})


def test_a_failure_of_another_mode_neither_holds_nor_breaks_what_was_said() -> None:
    told = with_expected(_tickets("A", "B"), SAID)
    came = _failures(("A", "SEIZED", 0.2), ("A", "LEAK", 1.5), ("B", "SEIZED", 2.0), ("B", "LEAK", 5.0))
    assert expected_figures(told, came, 7) == pytest.approx({"tickets": 2, "held": 0.5, "days": 2.25})


def test_a_ticket_that_was_not_right_says_nothing_of_when() -> None:
    told = with_expected(_tickets("A", "B"), SAID)
    assert expected_figures(told, _failures(("B", "LEAK", 12.0), ("A", "SEIZED", 1.0)), 7) is None
    assert expected_figures(with_expected(_tickets(), SAID), _failures(), 7) is None
