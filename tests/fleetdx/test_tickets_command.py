"""The operator's view of the outbox: what waits, what is dead and why, and the way back after mending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from program import Answer, fleetdx, here

from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational, disconnect_relational

pytestmark = pytest.mark.slow

NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
WHY = "POST http://desk/issue answers 422: [bold]no such[/bold] queue \x1b[31m"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two dead letters, one ticket that waits for its next attempt, one never tried, one delivered."""
    folder = tmp_path / "data"
    connect_relational(DataFolder(folder))
    from alerts.models import Alert, Ticket

    said = {
        "A": {"status": "dead", "attempts": 3, "last_error": WHY},
        "B": {"status": "dead", "attempts": 1, "last_error": "another reason"},
        "C": {"attempts": 2, "next_attempt_at": NOW + timedelta(minutes=1), "last_error": "answers 503"},
        "D": {},
        "E": {"status": "delivered", "attempts": 1, "connector": "desk", "external_key": "7", "url": "http://desk/7"},
    }
    for asset, given in said.items():
        alert = Alert.objects.create(
            asset_id=asset, failure_mode="LEAK", episode=1, state="unacknowledged", severity="major", act_by=NOW,
            first_day=NOW.date(), last_day=NOW.date(), last_true_day=NOW.date(), known_at=NOW,
        )  # fmt: skip
        Ticket.objects.create(alert=alert, key=f"{asset}/LEAK/1", created_at=NOW, **given)
    disconnect_relational()
    return folder


def keys(answer: Answer) -> list[str]:
    assert answer.code == 0, answer.err
    return [one["key"][0] for one in answer.json()["tickets"]]


def test_what_is_not_delivered_is_listed_dead_first(data: Path) -> None:
    answer = fleetdx("tickets", "list", "-d", data, "--json")
    assert keys(answer) == list("BADC")
    found = answer.json()
    assert (found["total"], found["pending"], found["dead"], found["delivered"]) == (4, 2, 2, 1)
    assert found["tickets"][1] == {
        "key": "A/LEAK/1", "status": "dead", "wanted": "2026-05-05T08:00:00+00:00", "attempts": 3, "next_attempt": None,
        "last_error": WHY, "connector": "", "external_key": "", "url": "",
    }  # fmt: skip
    assert found["tickets"][3]["next_attempt"] == "2026-05-05T08:01:00+00:00"


@pytest.mark.parametrize(("status", "which"), [("pending", "DC"), ("dead", "BA"), ("delivered", "E")])
def test_a_status_may_be_chosen(data: Path, status: str, which: str) -> None:
    assert keys(here("tickets", "list", "-d", data, "--json", "--status", status)) == list(which)
    assert keys(here("tickets", "list", "-d", data, "--json", "--status", status, "--limit", 1)) == [which[0]]


def test_a_person_reads_the_reason_as_it_is_without_its_escapes(data: Path) -> None:
    answer = fleetdx("tickets", "list", "-d", data, COLUMNS="250")
    assert answer.out == ""
    assert "[bold]no such[/bold] queue" in answer.err
    assert "\x1b" not in answer.err
    assert "2026-05-05 08:01:00" in answer.err
    counted = answer.err.splitlines()[-1]
    assert all(count in counted for count in ("2 pending", "1 delivered", "2 dead", "0 held back", "0 grouped")), (
        counted
    )


def test_a_dead_letter_is_put_back_and_due_at_once(data: Path) -> None:
    answer = fleetdx("tickets", "retry", "A/LEAK/1", "-d", data, "--json")
    assert (answer.code, answer.json()) == (0, {"put_back": ["A/LEAK/1"], "reasons": []})
    waiting = {one["key"]: one for one in here("tickets", "list", "-d", data, "--json").json()["tickets"]}
    back = waiting["A/LEAK/1"]
    assert (back["status"], back["attempts"], back["next_attempt"]) == ("pending", 0, None)
    assert back["last_error"] == WHY
    assert waiting["B/LEAK/1"]["status"] == "dead"


def test_all_dead_letters_are_put_back_at_once_and_nothing_else(data: Path) -> None:
    answer = here("tickets", "retry", "--dead", "-d", data, "--json")
    assert (answer.code, answer.json()["put_back"]) == (0, ["A/LEAK/1", "B/LEAK/1"])
    found = here("tickets", "list", "-d", data, "--json").json()
    assert (found["pending"], found["dead"], found["delivered"]) == (4, 0, 1)
    assert [one["next_attempt"] for one in found["tickets"] if one["key"] == "C/LEAK/1"] != [None]
    assert here("tickets", "retry", "--dead", "-d", data, "--json").json()["put_back"] == []


def test_what_is_no_dead_letter_is_said_and_left_alone(data: Path) -> None:
    before = here("tickets", "list", "-d", data, "--json", "--status", "pending").json()
    answer = here("tickets", "retry", "C/LEAK/1", "E/LEAK/1", "Z/LEAK/1", "-d", data, "--json")
    assert (answer.code, answer.json()["put_back"]) == (1, [])
    assert answer.json()["reasons"] == [
        "C/LEAK/1 is pending, neither dead nor held back", "E/LEAK/1 is delivered, neither dead nor held back",
        "there is no ticket Z/LEAK/1",
    ]  # fmt: skip
    assert here("tickets", "list", "-d", data, "--json", "--status", "pending").json() == before


def test_retry_wants_to_know_which(data: Path) -> None:
    for which in ((), ("A/LEAK/1", "--dead")):
        answer = here("tickets", "retry", *which, "-d", data)
        assert (answer.code, "say which" in answer.err) == (3, True)


def test_without_a_data_folder_nothing_is_made(tmp_path: Path) -> None:
    for command in (("list",), ("retry", "--dead")):
        answer = here("tickets", *command, "-d", tmp_path / "none")
        assert (answer.code, "holds no tickets" in answer.err) == (3, True)
    assert not (tmp_path / "none").exists()
