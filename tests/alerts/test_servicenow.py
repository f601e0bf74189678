"""ServiceNow's Table API against its recorded contract; never run against the real service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from recorded_service import RecordedService
from ticket_drafts import draft

from alerts.connectors.connector import Permanent, Retryable, Standing, TellsChanges, connector_class
from alerts.connectors.servicenow import ServiceNowConnector
from config.settings import Tickets

KEY, AGAIN = "EMU-01-A/AIR-LEAK/1", "EMU-01-A/AIR-LEAK/2"
NUMBER = "9d385017c611228701d22104cc95c371"
OTHER = "emu-01-a/AIR-LEAK/1"


@pytest.fixture
def service() -> Iterator[RecordedService]:
    with RecordedService("servicenow") as running:
        yield running


@pytest.fixture
def connector(service: RecordedService) -> Iterator[ServiceNowConnector]:
    chosen = Tickets(connector="servicenow", url=service.url, queue="Depot North", user="bot", timeout_s=20)
    with closing(ServiceNowConnector.from_settings(chosen, "password")) as made:
        yield made


def play(service: RecordedService, *names: str) -> None:
    wanted = draft(KEY)
    service.play(*names, key=KEY, again=AGAIN, other=OTHER, title=wanted.title, body=wanted.body)


def test_it_is_found_by_its_name_and_tells_changes() -> None:
    assert connector_class("servicenow") is ServiceNowConnector
    assert issubclass(ServiceNowConnector, TellsChanges)


def test_it_searches_creates_and_reads_back(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "not found", "create", "read open")
    filed = connector.create(draft(KEY))
    assert service.played()
    assert (filed.key, filed.external_key, filed.standing) == (KEY, NUMBER, Standing.OPEN)
    assert filed.url == f"{service.url}/incident.do?sys_id={NUMBER}"
    assert filed.changed_at == datetime(2026, 5, 4, 2, tzinfo=UTC)
    assert filed.fields == {"number": "INC0010023", "u_downtime": "12.5 h"}
    assert service.headers["authorization"].startswith("Basic ")


def test_what_is_there_is_not_created_again(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "found")
    assert connector.create(draft(KEY)).external_key == NUMBER
    assert service.played()


def test_a_key_in_another_case_is_another(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "found only in another case")
    assert connector.search(KEY) is None


def test_a_query_that_was_ignored_is_noticed(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "query ignored")
    with pytest.raises(Permanent, match="does not search incident by correlation_id"):
        connector.search(KEY)


def test_a_record_without_its_key_is_not_believed(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "not found", "create drops the key", "read without key")
    with pytest.raises(Permanent, match="dropped its key"):
        connector.create(draft(KEY))


def test_a_key_that_would_end_the_condition_is_not_asked_for(connector: ServiceNowConnector) -> None:
    with pytest.raises(Permanent, match="ends a condition"):
        connector.search("A/B/1^ORactive=true")


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        ("read open", Standing.OPEN),
        ("read in progress", Standing.OPEN),
        ("read resolved", Standing.CLOSED),
        ("read wont fix", Standing.WONT_FIX),
    ],
)
def test_what_is_closed_is_told_by_its_number(
    service: RecordedService, connector: ServiceNowConnector, state: str, standing: Standing
) -> None:
    play(service, state)
    assert connector.read(NUMBER).standing is standing


def test_a_failure_that_is_back_is_a_work_note_and_sets_it_in_progress(
    service: RecordedService, connector: ServiceNowConnector
) -> None:
    play(service, "read resolved", "follow up", "read in progress")
    assert connector.follow_up(NUMBER, draft(AGAIN)).standing is Standing.OPEN
    play(service, "read open", "follow up open", "read in progress")
    assert connector.follow_up(NUMBER, draft(AGAIN)).standing is Standing.OPEN
    assert service.played()


def test_it_is_said_once(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "read resolved and told")
    assert connector.follow_up(NUMBER, draft(AGAIN)).standing is Standing.CLOSED
    assert service.played()


def test_what_changed_is_told_whatever_the_zone_of_the_account(
    service: RecordedService, connector: ServiceNowConnector
) -> None:
    play(service, "changed")
    told = list(connector.changed(datetime(2026, 5, 4, 2, tzinfo=UTC)))
    assert [(one.key, one.standing) for one in told] == [("A/B/2", Standing.OPEN), ("A/B/3", Standing.CLOSED)]
    assert service.played()


def test_a_record_that_is_gone_is_permanent(service: RecordedService, connector: ServiceNowConnector) -> None:
    play(service, "no record")
    with pytest.raises(Permanent, match="No Record found"):
        connector.read(NUMBER)


def test_a_token_in_place_of_user_and_password(service: RecordedService) -> None:
    chosen = Tickets(connector="servicenow", url=service.url)
    play(service, "not found")
    with closing(ServiceNowConnector.from_settings(chosen, "token")) as connector:
        assert connector.search(KEY) is None
    assert service.headers["authorization"] == "Bearer token"


def test_it_says_what_is_missing_and_that_a_server_is_away() -> None:
    with pytest.raises(Permanent, match="needs url"):
        ServiceNowConnector.from_settings(Tickets(), "x")
    with closing(ServiceNowConnector("http://127.0.0.1:1", "incident", None, "x")) as away, pytest.raises(Retryable):
        away.search(KEY)
