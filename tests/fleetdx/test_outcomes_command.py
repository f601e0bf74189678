"""``fleetdx outcomes import`` as a person runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from program import fleetdx, here

from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational, disconnect_relational

pytestmark = pytest.mark.slow

RAIL = Path(__file__).parents[2] / "config/rail"
NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
HEADER = "ticket,verdict,at,cost,currency\n"
GOOD = "EMU-01-A/AIR-LEAK/1,confirmed,2026-05-06T10:00:00Z,,\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    connect_relational(DataFolder(folder))
    from alerts.models import Alert, Ticket

    alert = Alert.objects.create(
        asset_id="EMU-01-A", failure_mode="AIR-LEAK", episode=1, state="unacknowledged", severity="major", act_by=NOW,
        first_day=NOW.date(), last_day=NOW.date(), last_true_day=NOW.date(), known_at=NOW,
    )  # fmt: skip
    Ticket.objects.create(alert=alert, key="EMU-01-A/AIR-LEAK/1", created_at=NOW)
    disconnect_relational()
    return folder


def test_a_file_is_tried_then_taken_and_the_second_time_it_is_known(data: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.csv"
    found.write_text(HEADER + GOOD)
    tried = here("outcomes", "import", found, "-c", RAIL, "-d", data, "--dry-run", "--json")
    assert (tried.code, tried.json()) == (
        0, {"dry_run": True, "rows": 1, "new": 1, "known": 0, "refused": {}, "problems": []},
    )  # fmt: skip
    taken = fleetdx("outcomes", "import", found, "-c", RAIL, "-d", data)
    assert (taken.code, taken.out) == (0, "")
    assert "1 outcomes are new, 0 were known, refused: none." in taken.err
    assert here("outcomes", "import", found, "-c", RAIL, "-d", data, "--json").json()["known"] == 1


def test_what_is_refused_ends_with_no_and_is_told_by_line_and_field(data: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.csv"
    dear = GOOD.replace(",,", ",twelve,EUR")
    found.write_text(HEADER + dear + "X,confirmed,now,,\n" + GOOD)
    answer = fleetdx("outcomes", "import", found, "-c", RAIL, "-d", data)
    assert answer.code == 1
    assert "line 2: cost: " in answer.err
    assert "line 3: at: " in answer.err
    assert "1 outcomes are new, 0 were known, refused: 2 malformed." in answer.err


def test_a_file_that_is_no_table_of_findings_stops_it(data: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.csv"
    found.write_text("asset,verdict\n")
    answer = here("outcomes", "import", found, "-c", RAIL, "-d", data)
    assert answer.code == 3
    assert "line 1: 'asset' is no field of an outcome" in answer.err
    assert here("outcomes", "import", tmp_path / "none.csv", "-c", RAIL, "-d", data).code == 3
