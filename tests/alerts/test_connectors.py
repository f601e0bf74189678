"""One suite for every connector, each against a real server; then what is each one's own."""

from __future__ import annotations

import base64
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import sleep
from uuid import uuid4

import httpx
import pytest
from faulty_proxy import FaultyProxy
from ticket_connectors import built
from ticket_desk import SECRET, TicketDesk, genuine
from ticket_drafts import draft
from ticket_people import CLOSED, WONT_FIX, People, people_before

import alerts.connectors
from alerts.connectors.connector import Connector, Permanent, Retryable, Standing, TellsChanges, connector_class
from alerts.connectors.http import MAX_ANSWER, send
from alerts.connectors.roundup import RoundupConnector
from alerts.connectors.rt import RtConnector
from alerts.connectors.webhook import WebhookConnector, signature
from config.settings import Tickets
from fleetdx.servers.process import free_port
from fleetdx.servers.roundup import PASSWORD, USER, RoundupServer
from fleetdx.servers.rt import QUEUE, RtServer

HELPERS = {"__init__", "connector", "http", "paging", "standing"}
ELSEWHERE = {"jira": "test_jira", "servicenow": "test_servicenow", "smtp": "test_smtp"}
"""Those whose service cannot run here, or is asked nothing, have a suite of their own."""
ALL = sorted(path.stem for path in Path(alerts.connectors.__path__[0]).glob("*.py") if path.stem not in HELPERS)
NAMES = [name for name in ALL if name not in ELSEWHERE]


def test_all_connectors_are_here_and_in_the_documents() -> None:
    assert ALL == ["jira", "redmine", "roundup", "rt", "servicenow", "smtp", "webhook"]
    assert all((Path(__file__).parent / f"{suite}.py").is_file() for suite in ELSEWHERE.values())
    text = (Path(__file__).parents[2] / "docs" / "connectors.md").read_text(encoding="utf-8")
    assert re.findall(r"^## ([a-z]+)$", text, re.MULTILINE) == ALL


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(name: str, request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    """The connector's server, behind a proxy that can be told to fail."""
    with ExitStack() as opened:
        server = opened.enter_context(TicketDesk()) if name == "webhook" else request.getfixturevalue(name)
        yield opened.enter_context(FaultyProxy(server.port))


@pytest.fixture
def connector(name: str, served: FaultyProxy) -> Iterator[Connector]:
    with closing(built(name, served.port)) as made:
        yield made


# What every connector does.


def test_it_is_built_from_settings_without_a_connection(name: str) -> None:
    connector = built(name, free_port())
    assert type(connector).name == name
    assert not inspect.isabstract(type(connector))
    connector.close()
    connector.close()


def test_without_an_address_it_says_what_is_missing(name: str) -> None:
    with pytest.raises(Permanent, match=f"{name} needs .*url"):
        connector_class(name).from_settings(Tickets(), "secret")


def test_a_ticket_that_was_never_filed_is_not_found(connector: Connector) -> None:
    assert connector.search(f"{uuid4()}/AIR-LEAK/1") is None


def test_what_was_filed_is_found_and_read_back_under_its_key(connector: Connector) -> None:
    wanted = draft()
    filed = connector.create(wanted)
    assert filed.key == wanted.key
    assert filed.external_key
    assert filed.url.startswith("http://")
    assert connector.search(wanted.key) == filed
    assert connector.read(filed.external_key) == filed


def test_filing_twice_leaves_one_ticket(connector: Connector) -> None:
    wanted = draft()
    assert connector.create(wanted).external_key == connector.create(wanted).external_key


def test_a_key_is_found_whole_and_not_by_its_beginning(connector: Connector) -> None:
    whole = draft(f"{uuid4()}/AIR-LEAK/11")
    connector.create(whole)
    assert connector.search(whole.key[:-1]) is None
    assert connector.search(whole.key.lower()) is None or whole.key == whole.key.lower()


@pytest.mark.parametrize("key", ["a b+c&d=e#f%20g/X/1", "A:1.2_3-4/X-_.Y/1", "it's\\'\"{1}/X/1"])
def test_a_key_of_odd_characters_is_one_key(connector: Connector, key: str) -> None:
    key = f"{uuid4()}{key}"
    filed = connector.create(draft(key))
    assert connector.search(key) == filed


def test_a_server_that_is_away_may_be_asked_again(name: str) -> None:
    with closing(built(name, free_port())) as connector:
        for call in calls(connector):
            with pytest.raises(Retryable):
                call()


def test_what_may_pass_is_retryable_and_what_is_refused_is_permanent(connector: Connector, served: FaultyProxy) -> None:
    told: dict[type[Exception], tuple[int, ...]] = {
        Retryable: (401, 403, 408, 429, 500, 502, 503, 504),
        Permanent: (302, 400, 410, 422),
    }
    for kind, statuses in told.items():
        for status in statuses:
            for call in calls(connector):
                served.faults.append(status)
                with pytest.raises(kind, match=str(status)):
                    call()


def test_an_answer_that_is_lost_is_retryable_and_the_ticket_is_found_after(
    connector: Connector, served: FaultyProxy
) -> None:
    wanted = draft()
    served.method, served.path = "POST", "/issue" if connector.name == "roundup" else ""
    served.faults.append("drop")
    with pytest.raises(Retryable):
        connector.create(wanted)
    found = connector.search(wanted.key)
    assert found is not None
    assert connector.create(wanted).external_key == found.external_key


def test_a_server_that_takes_too_long_is_retryable(name: str, served: FaultyProxy) -> None:
    with closing(built(name, served.port, timeout_s=1.0)) as connector:
        served.faults.append("slow")
        with pytest.raises(Retryable, match="Timeout"):
            connector.search("A/B/1")


def calls(connector: Connector) -> list[Callable[[], object]]:
    return [lambda: connector.search("A/B/1"), lambda: connector.create(draft()), lambda: connector.read("1")]


# What every connector does whose system people work in.

WITH_PEOPLE = [name for name in NAMES if name in CLOSED]


@pytest.fixture
def people(name: str, connector: Connector, request: pytest.FixtureRequest) -> Iterator[People]:
    with closing(people_before(name, request.getfixturevalue(name))) as before:
        yield before


def test_those_that_tell_what_people_did() -> None:
    assert [name for name in NAMES if issubclass(connector_class(name), TellsChanges)] == WITH_PEOPLE


@pytest.mark.parametrize("name", WITH_PEOPLE, indirect=True)
def test_what_people_closed_or_will_not_fix_is_told_apart(name: str, connector: Connector, people: People) -> None:
    filed = connector.create(draft())
    assert filed.standing is Standing.OPEN
    for status, standing in ((CLOSED[name], Standing.CLOSED), (WONT_FIX[name], Standing.WONT_FIX)):
        people.set_status(filed.external_key, status)
        held = connector.search(filed.key)
        assert held is not None
        assert (held.external_key, held.status, held.standing) == (filed.external_key, status, standing)
        assert connector.read(filed.external_key) == held


@pytest.mark.parametrize("name", WITH_PEOPLE, indirect=True)
def test_a_failure_that_is_back_opens_its_ticket_again_and_leaves_what_people_wrote(
    name: str, connector: Connector, people: People
) -> None:
    filed = connector.create(draft())
    people.rename(filed.external_key, "渗漏 at the valve")
    people.set_status(filed.external_key, CLOSED[name])
    again = draft(filed.key.removesuffix("1") + "2", body="It is back: 53 %\n\n又出现了")
    for _ in range(2):
        held = connector.follow_up(filed.external_key, again)
        assert (held.external_key, held.key, held.standing) == (filed.external_key, filed.key, Standing.OPEN)
    assert people.title(filed.external_key) == "渗漏 at the valve"
    said = people.said(filed.external_key)
    assert len(said) == 2
    assert "It is back: 53 %" in said[1]
    assert "又出现了" in said[1]
    assert connector.search(again.key) is None


@pytest.mark.parametrize("name", WITH_PEOPLE, indirect=True)
def test_a_reply_whose_answer_was_lost_is_not_said_twice(
    connector: Connector, people: People, served: FaultyProxy
) -> None:
    filed = connector.create(draft())
    again = draft(filed.key.removesuffix("1") + "2")
    for method in ("POST", "PUT", "PATCH"):
        served.method = method
        served.faults.clear()
        served.faults.append("drop")
        with suppress(Retryable):
            connector.follow_up(filed.external_key, again)
    served.faults.clear()
    connector.follow_up(filed.external_key, again)
    assert len(people.said(filed.external_key)) == 2


@pytest.mark.parametrize("name", WITH_PEOPLE, indirect=True)
def test_what_changed_is_told_in_order_and_each_once(name: str, connector: Connector, people: People) -> None:
    assert isinstance(connector, TellsChanges)
    first, second = connector.create(draft()), connector.create(draft())
    assert first.changed_at is not None
    sleep(1.1)  # these systems write down seconds
    people.set_status(first.external_key, CLOSED[name])
    told = [one for one in connector.changed(first.changed_at) if one.key in (first.key, second.key)]
    assert [one.key for one in told] == [second.key, first.key]
    assert told[1].standing is Standing.CLOSED
    assert told[1].changed_at is not None
    assert told[1].changed_at > first.changed_at
    assert [one.key for one in connector.changed(told[1].changed_at)][-1:] == [first.key]
    assert list(connector.changed(told[1].changed_at + timedelta(seconds=5))) == []


# The protocol's own.


@pytest.mark.parametrize("unknown", ["jira_cloud", "http", "connector"])
def test_a_connector_that_is_none_is_told(unknown: str) -> None:
    with pytest.raises(Permanent, match=f"no ticket connector '{unknown}'"):
        connector_class(unknown)


def test_an_answer_without_end_is_not_read() -> None:
    def endless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=(b"x" * 100_000 for _ in range(10**9)))

    with (
        httpx.Client(transport=httpx.MockTransport(endless)) as client,
        pytest.raises(Permanent, match=f"{MAX_ANSWER:,}"),
    ):
        send(client, "GET", "http://desk/")


# Roundup.


@pytest.fixture
def direct(roundup: RoundupServer) -> Iterator[httpx.Client]:
    """Roundup's own interface, without the connector."""
    with httpx.Client(base_url=f"{roundup.url}/rest/data/", auth=(USER, PASSWORD), timeout=20) as client:
        yield client


def test_roundup_holds_what_was_sent(roundup: RoundupServer, direct: httpx.Client) -> None:
    wanted = draft()
    with closing(RoundupConnector(roundup.url, USER, PASSWORD)) as connector:
        filed = connector.create(wanted)
    assert filed.url == f"{roundup.url}/issue{filed.external_key}"
    assert filed.status == "unread"
    issue = direct.get(f"issue/{filed.external_key}").json()["data"]["attributes"]
    assert (issue["title"], issue["external_id"]) == (wanted.title, wanted.key)
    (message,) = issue["messages"]
    text = direct.get(f"msg/{message['id']}/content").json()["data"]["data"]
    assert text.split() == wanted.body.split()
    page = httpx.get(filed.url, timeout=20)
    assert page.status_code == 200


def test_roundup_itself_refuses_a_second_ticket_of_one_key(roundup: RoundupServer, direct: httpx.Client) -> None:
    wanted = draft()
    with closing(RoundupConnector(roundup.url, USER, PASSWORD)) as connector:
        connector.create(wanted)
    headers = {"X-Requested-With": "rest", "Origin": roundup.url.removesuffix("/fleet")}
    answer = direct.post("issue", json={"title": "again", "external_id": wanted.key}, headers=headers)
    assert answer.status_code == 409


def test_a_ticket_that_somebody_closed_is_still_the_ticket(roundup: RoundupServer, direct: httpx.Client) -> None:
    wanted = draft()
    with closing(RoundupConnector(roundup.url, USER, PASSWORD)) as connector:
        filed = connector.create(wanted)
        tag = direct.get(f"issue/{filed.external_key}").headers["etag"]
        headers = {"X-Requested-With": "rest", "Origin": roundup.url.removesuffix("/fleet"), "If-Match": tag}
        answer = direct.patch(f"issue/{filed.external_key}", json={"status": "resolved"}, headers=headers)
        assert answer.status_code == 200, answer.text
        found = connector.search(wanted.key)
        assert found is not None
        assert (found.external_key, found.status) == (filed.external_key, "resolved")
        assert connector.create(wanted).external_key == filed.external_key


def test_a_wrong_password_may_be_mended(roundup: RoundupServer) -> None:
    with closing(RoundupConnector(roundup.url, USER, "wrong")) as connector, pytest.raises(Retryable, match=r"401|403"):
        connector.create(draft())


def test_roundup_needs_a_user() -> None:
    with pytest.raises(Permanent, match="needs url and user"):
        RoundupConnector.from_settings(Tickets(connector="roundup", url="http://127.0.0.1:1/fleet"), "x")


# Request Tracker.


@pytest.fixture
def desk_of_rt(rt: RtServer) -> Iterator[httpx.Client]:
    """RT's own interface, without the connector."""
    with httpx.Client(base_url=f"{rt.url}/REST/2.0/", auth=(USER, PASSWORD), timeout=20) as client:
        yield client


def test_rt_holds_what_was_sent(rt: RtServer, desk_of_rt: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    wanted = replace(draft(), data={"act_by": "2026-05-06T23:30:00+08:00"})
    with closing(RtConnector(rt.url, QUEUE, USER, PASSWORD)) as connector:
        filed = connector.create(wanted)
    assert (filed.url, filed.status) == (f"{rt.url}/Ticket/Display.html?id={filed.external_key}", "new")
    held = desk_of_rt.get(f"ticket/{filed.external_key}").json()
    assert (held["Subject"], held["Due"]) == (wanted.title, "2026-05-06T15:30:00Z")
    [attached] = desk_of_rt.get(f"ticket/{filed.external_key}/attachments").json()["items"]
    message = desk_of_rt.get(f"attachment/{attached['id']}").json()
    assert message["ContentType"] == "text/plain"
    assert base64.b64decode(message["Content"]).decode() == wanted.body
    assert caplog.text == ""


def test_rt_takes_a_long_title_of_several_lines_as_far_as_it_keeps_one(
    rt: RtServer, desk_of_rt: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(RtConnector(rt.url, QUEUE, USER, PASSWORD)) as connector:
        filed = connector.create(draft(title="one\ntwo " + "字" * 300))
    assert caplog.text == ""  # nothing is lost without a word
    assert desk_of_rt.get(f"ticket/{filed.external_key}").json()["Subject"] == "one two " + "字" * 64


def test_rt_takes_a_token_in_place_of_user_and_password(rt: RtServer) -> None:
    chosen = Tickets(connector="rt", url=rt.url, queue=QUEUE, timeout_s=20)
    wanted = draft()
    with closing(RtConnector.from_settings(chosen, rt.token)) as connector:
        assert connector.create(wanted) == connector.search(wanted.key)
    with closing(RtConnector.from_settings(chosen, "1-2-3")) as connector, pytest.raises(Retryable, match="401"):
        connector.search(wanted.key)


def test_a_ticket_that_somebody_resolved_or_moved_is_still_the_ticket(rt: RtServer, desk_of_rt: httpx.Client) -> None:
    wanted = draft()
    with closing(RtConnector(rt.url, QUEUE, USER, PASSWORD)) as connector:
        filed = connector.create(wanted)
        for change in ({"Status": "resolved"}, {"Queue": "General"}):
            answer = desk_of_rt.put(f"ticket/{filed.external_key}", json=change)
            assert "changed" in answer.text, answer.text
        found = connector.search(wanted.key)
        assert found is not None
        assert (found.external_key, found.status) == (filed.external_key, "resolved")
        assert connector.create(wanted).external_key == filed.external_key


def test_a_queue_may_be_named_by_its_number(rt: RtServer, desk_of_rt: httpx.Client) -> None:
    number = str(desk_of_rt.get(f"queue/{QUEUE}").json()["id"])
    with closing(RtConnector(rt.url, number, USER, PASSWORD)) as connector:
        filed = connector.create(draft())
    assert desk_of_rt.get(f"ticket/{filed.external_key}").json()["Queue"]["id"] == number


def test_a_queue_that_rt_does_not_have_is_told_before_anything_is_filed(rt: RtServer) -> None:
    connector = RtConnector(rt.url, "No such", USER, PASSWORD)
    with closing(connector), pytest.raises(Permanent, match="queue/No%20such answers 404"):
        connector.create(draft())


def test_without_the_field_of_keys_rt_gets_no_ticket(
    rt: RtServer, desk_of_rt: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        return int(desk_of_rt.get("tickets", params={"query": "id > 0"}).json()["total"])

    before = count()
    monkeypatch.setattr("alerts.connectors.rt.FIELD", "Nowhere")
    with closing(RtConnector(rt.url, QUEUE, USER, PASSWORD)) as connector:
        with pytest.raises(Permanent, match="no ticket field Nowhere"):
            connector.create(draft())
        assert count() == before
        # And where the field was there and went, RT's silence is not believed.
        connector._field_is_there = True
        with pytest.raises(Permanent, match="dropped its key"):
            connector.create(draft())


def test_a_merged_ticket_leads_to_the_one_that_took_it_up(rt: RtServer, desk_of_rt: httpx.Client) -> None:
    with closing(RtConnector(rt.url, QUEUE, USER, PASSWORD)) as connector:
        merged, kept = connector.create(draft()), connector.create(draft())
        answer = desk_of_rt.put(f"ticket/{merged.external_key}", json={"MergeInto": kept.external_key})
        assert "Merge Successful" in answer.text
        assert connector.search(merged.key) is None  # as the document says
        assert connector.search(kept.key) == connector.read(merged.external_key) == kept


def test_the_process_of_rt_names_its_folder_so_that_the_next_run_can_end_it(rt: RtServer) -> None:
    pid, program = (rt._home / "rt.pid").read_text().split()
    command_line = Path(f"/proc/{pid}/cmdline").read_text()
    assert program in command_line
    assert str(rt._home) in command_line


def test_rt_needs_a_queue() -> None:
    with pytest.raises(Permanent, match="needs url and queue"):
        RtConnector.from_settings(Tickets(connector="rt", url="http://127.0.0.1:1"), "x")


# Webhook.


@pytest.fixture
def desk() -> Iterator[TicketDesk]:
    with TicketDesk() as running:
        yield running


def test_a_webhook_carries_the_ticket_signed(desk: TicketDesk) -> None:
    wanted = draft()
    with closing(WebhookConnector(desk.url, SECRET)) as connector:
        connector.create(wanted)
    held = desk.tickets[wanted.key]
    assert (held["title"], held["body"], held["asset_id"]) == (wanted.title, wanted.body, "EMU-01-A")


def test_a_webhook_signed_with_another_key_is_refused(desk: TicketDesk) -> None:
    with closing(WebhookConnector(desk.url, "another key")) as connector, pytest.raises(Permanent, match="signature"):
        connector.create(draft())
    assert desk.tickets == {}


def test_the_signature_is_of_the_time_and_of_every_byte() -> None:
    import time

    now = int(time.time())
    header = signature(SECRET, now, b'{"a": 1}')
    assert genuine(header, b'{"a": 1}')
    assert not genuine(header, b'{"a": 2}')
    assert not genuine(header.replace(str(now), str(now + 1)), b'{"a": 1}')
    # By another program: printf '0.x' | openssl dgst -sha256 -hmac key
    assert signature("key", 0, b"x") == "t=0,v1=01648d624c0b511b0449a63394418e2d5b018e4cc2f753e42127d445f3ca5dd0"


@pytest.mark.parametrize(
    "says", [b"", b"ok", b"<html></html>", b"[]", b'{"status": "queued"}', b'{"external_key": null}']
)
def test_a_receiver_may_answer_anything_and_keep_no_record(desk: TicketDesk, says: bytes) -> None:
    desk.says, desk.keeps_record, wanted = says, False, draft()
    with closing(WebhookConnector(desk.url, SECRET)) as connector:
        assert connector.search(wanted.key) is None
        filed = connector.create(wanted)
        assert (filed.key, filed.external_key, filed.url) == (wanted.key, wanted.key, "")
        assert connector.read(filed.external_key) == filed


def test_an_answer_that_names_no_ticket_is_not_taken_for_one() -> None:
    def greets(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="welcome")

    connector = WebhookConnector("http://desk/", SECRET)
    connector._client = httpx.Client(transport=httpx.MockTransport(greets))
    assert connector.search("A/B/1") is None
    connector.close()


def test_a_link_that_is_no_web_address_is_left_out(desk: TicketDesk) -> None:
    desk.says = b'{"external_key": "T-1", "url": "javascript:alert(1)"}'
    with closing(WebhookConnector(desk.url, SECRET)) as connector:
        assert connector.create(draft()).url == ""
