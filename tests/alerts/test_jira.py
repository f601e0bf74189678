"""Jira Service Management against its recorded contract; never run against the real service."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from recorded_service import RecordedService
from ticket_drafts import draft

from alerts.connectors.connector import Permanent, Retryable, Standing, TellsChanges, connector_class
from alerts.connectors.jira import JiraConnector
from config.settings import Tickets

KEY = "EMU-01-A/AIR-LEAK/1"
WORDS = {"key": KEY, "label": f"fleetdx:{KEY}", "other": "fleetdx:emu-01-a/AIR-LEAK/1"}


@pytest.fixture
def service() -> Iterator[RecordedService]:
    with RecordedService("jira") as running:
        yield running


@pytest.fixture
def connector(service: RecordedService) -> Iterator[JiraConnector]:
    chosen = Tickets(
        connector="jira", url=service.url, queue="FLEET", kind="[System] Incident", user="bot@example.org", timeout_s=20
    )
    with closing(JiraConnector.from_settings(chosen, "token")) as made:
        yield made


def play(service: RecordedService, *names: str, **given: str) -> None:
    wanted = draft(KEY)
    service.play(*names, **(WORDS | {"title": wanted.title, "body": wanted.body} | given))


def test_it_is_found_by_its_name_and_tells_changes() -> None:
    assert connector_class("jira") is JiraConnector
    assert issubclass(JiraConnector, TellsChanges)


def test_it_searches_by_the_label_alone_and_creates_with_it(service: RecordedService, connector: JiraConnector) -> None:
    play(service, "cloud", "not found", "create", "read open")
    filed = connector.create(draft(KEY))
    assert service.played()
    assert (filed.key, filed.external_key, filed.url) == (KEY, "FLEET-24", f"{service.url}/browse/FLEET-24")
    assert (filed.status, filed.standing) == ("Öffnen", Standing.OPEN)
    assert filed.changed_at == datetime(2026, 5, 4, 2, 0, 0, 123000, UTC)
    assert filed.fields == {"Outcome": "确认", "Parts": "valve, hose", "Downtime": "12.5"}
    assert service.headers["authorization"] == f"Basic {base64.b64encode(b'bot@example.org:token').decode()}"


def test_what_is_there_is_not_created_again_and_a_key_in_another_case_is_another(
    service: RecordedService, connector: JiraConnector
) -> None:
    play(service, "cloud", "found", "read open")
    assert connector.create(draft(KEY)).external_key == "FLEET-24"
    assert service.played()


def test_data_center_is_searched_by_its_own_path_and_takes_a_token(service: RecordedService) -> None:
    chosen = Tickets(connector="jira", url=service.url, queue="FLEET", kind="Incident")
    play(service, "data center", "not found on data center")
    with closing(JiraConnector.from_settings(chosen, "personal")) as connector:
        assert connector.search(KEY) is None
    assert service.played()
    assert service.headers["authorization"] == "Bearer personal"


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("read open", Standing.OPEN),
        ("read done", Standing.CLOSED),
        ("read done without resolution", Standing.CLOSED),
        ("read wont fix", Standing.WONT_FIX),
    ],
)
def test_what_is_done_is_told_by_its_category_and_wont_fix_by_its_resolution(
    service: RecordedService, connector: JiraConnector, state: str, standing: Standing
) -> None:
    play(service, state)
    assert connector.read("FLEET-24").standing is standing


def test_a_failure_that_is_back_is_a_comment_and_a_transition_by_where_it_leads(
    service: RecordedService, connector: JiraConnector
) -> None:
    again = "EMU-01-A/AIR-LEAK/2"
    play(service, "no comment of ours", "comment", "read done", "transitions", "transition", "read open", key=again)
    assert connector.follow_up("FLEET-24", draft(again)).standing is Standing.OPEN
    assert service.played()


def test_it_is_said_once(service: RecordedService, connector: JiraConnector) -> None:
    again = "EMU-01-A/AIR-LEAK/2"
    play(service, "comment of ours", "read open", key=again)
    assert connector.follow_up("FLEET-24", draft(again)).standing is Standing.OPEN
    assert service.played()


@pytest.mark.parametrize("way", [("no transition",), ("transitions", "transition refused", "read done")])
def test_an_issue_that_cannot_be_opened_again_is_told_as_it_is(
    service: RecordedService, connector: JiraConnector, way: tuple[str, ...]
) -> None:
    again = "EMU-01-A/AIR-LEAK/2"
    play(service, "comment of ours", "read done", *way, key=again)
    assert connector.follow_up("FLEET-24", draft(again)).standing is Standing.CLOSED
    assert service.played()


def test_what_changed_is_read_page_by_page_whatever_the_zone_of_the_account(
    service: RecordedService, connector: JiraConnector
) -> None:
    play(service, "cloud")
    service.play("changed in two pages")
    told = list(connector.changed(datetime(2026, 5, 4, 2, tzinfo=UTC)))
    assert [(one.key, one.standing) for one in told] == [("A/B/2", Standing.OPEN), ("A/B/3", Standing.CLOSED)]
    assert service.played()


def test_a_refused_issue_is_permanent_and_says_why(service: RecordedService, connector: JiraConnector) -> None:
    play(service, "cloud", "not found", "create refused")
    with pytest.raises(Permanent, match="Specify a valid issue type"):
        connector.create(draft(KEY))


@pytest.mark.parametrize("key", ['a "b" \\c/X/1', "车 1/X/1", "A+B&C/X-_.:/1"])
def test_a_key_of_odd_characters_is_one_label_without_blanks(
    service: RecordedService, connector: JiraConnector, key: str
) -> None:
    from alerts.connectors.jira import _key, _label

    label = _label(key)
    assert not set(label) & set(' "\\')
    issue: dict[str, Any] = {"fields": {"labels": ["x", label]}}
    assert _key(issue) == key


def test_it_says_what_is_missing_and_that_a_server_is_away() -> None:
    with pytest.raises(Permanent, match="needs url, queue and kind"):
        JiraConnector.from_settings(Tickets(), "x")
    with closing(JiraConnector("http://127.0.0.1:1", "F", "T", None, "x")) as away, pytest.raises(Retryable):
        away.search(KEY)
