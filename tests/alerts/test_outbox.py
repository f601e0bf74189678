"""Each ticket ends filed exactly once or as a dead letter with its reason, whatever happens between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import uuid4

import httpx
import pytest
from diagnoses import diagnosis, outcome
from faulty_proxy import FaultyProxy

from alerts.connectors.connector import FiledTicket, Permanent, Retryable, TicketDraft
from alerts.connectors.roundup import RoundupConnector
from config.installation import Installation, load
from config.settings import Tickets
from fleetdx.data_folder import DataFolder
from fleetdx.servers.process import free_port
from fleetdx.servers.roundup import PASSWORD, USER, RoundupServer
from fleetdx.tickets import retry

pytestmark = pytest.mark.usefixtures("tables")
NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
RAIL = Path(__file__).parents[2] / "config" / "rail"


class Desk:
    """A ticket system in a list. ``trouble`` is raised in place of the next answers; ``filing`` is called on each."""

    name: ClassVar[str] = "desk"

    def __init__(self) -> None:
        self.tickets: list[TicketDraft] = []
        self.trouble: list[BaseException | None] = []
        self.filing: Callable[[TicketDraft], None] = lambda draft: None

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        return cls()

    def search(self, key: str) -> FiledTicket | None:
        if self.trouble and (trouble := self.trouble.pop(0)) is not None:
            raise trouble
        found = [number for number, ticket in enumerate(self.tickets) if ticket.key == key]
        assert len(found) <= 1
        return self.read(str(found[0])) if found else None

    def create(self, draft: TicketDraft) -> FiledTicket:
        self.tickets.append(draft)
        self.filing(draft)
        return FiledTicket(str(len(self.tickets) - 1), "", "")

    def read(self, external_key: str) -> FiledTicket:
        return FiledTicket(external_key, f"http://desk/{external_key}", self.tickets[int(external_key)].key, "new")

    def close(self) -> None:
        pass


@pytest.fixture
def desk() -> Desk:
    return Desk()


def wanted(*asset_ids: str) -> None:
    from alerts.ledger import DjangoLedger

    for asset_id in asset_ids:
        DjangoLedger().record([outcome(diagnosis(asset_id=asset_id))])


def delivered(desk: Any, now: datetime = NOW, **options: Any) -> tuple[int, int, int, int]:
    """Created, found, postponed, dead."""
    from alerts.tickets.outbox import deliver

    report = deliver(desk, brief, now, **options)
    return report.created, report.found, report.postponed, report.dead


def brief(alert: Any) -> TicketDraft:
    return TicketDraft(alert.case.key, "title", "body", alert.asset_id, alert.failure_mode, alert.severity, {})


def ticket(asset_id: str = "C-1") -> Any:
    from alerts.models import Ticket

    return Ticket.objects.get(alert__asset_id=asset_id)


def test_a_ticket_is_filed_once_and_then_left_alone(desk: Desk) -> None:
    wanted("C-1", "C-2")
    assert delivered(desk) == (2, 0, 0, 0)
    assert delivered(desk, NOW + 10 * HOUR) == (0, 0, 0, 0)
    held = ticket()
    assert (held.status, held.connector, held.external_key, held.url) == ("delivered", "desk", "0", "http://desk/0")


def test_a_crash_between_filing_and_noting_it_leaves_one_ticket(desk: Desk) -> None:
    def crash(draft: TicketDraft) -> None:
        raise KeyboardInterrupt

    wanted("C-1")
    desk.filing = crash
    with pytest.raises(KeyboardInterrupt):
        delivered(desk)
    assert ticket().status == "pending"
    assert delivered(desk, NOW + timedelta(minutes=4)) == (0, 0, 0, 0)  # leased by the deliverer that died
    assert delivered(desk, NOW + timedelta(minutes=6)) == (0, 1, 0, 0)
    assert len(desk.tickets) == 1
    assert ticket().external_key == "0"


def test_waits_double_up_to_an_hour_and_a_success_ends_them(desk: Desk) -> None:
    wanted("C-1")
    now, waits = NOW, []
    for _ in range(12):
        desk.trouble = [Retryable("busy")]
        assert delivered(desk, now, retry_after=timedelta(seconds=30)) == (0, 0, 1, 0)
        again = ticket().next_attempt_at
        waits.append((again - now).total_seconds())
        assert delivered(desk, again - timedelta(seconds=5)) == (0, 0, 0, 0)
        now = again + timedelta(seconds=1)
    for n, wait in enumerate(waits):
        expected = min(30 * 2**n, 3600)
        assert 0.69 * expected <= wait <= 1.31 * expected + 1
    assert len({round(wait / min(30 * 2**n, 3600), 3) for n, wait in enumerate(waits)}) > 1  # not all in step
    assert ticket().last_error == "busy"
    assert delivered(desk, now) == (1, 0, 0, 0)
    assert ticket().last_error == ""


def test_one_that_fails_keeps_no_other_waiting(desk: Desk) -> None:
    wanted("C-1", "C-2", "C-3", "C-4")
    desk.trouble = [Retryable("busy"), None, Permanent("no such queue")]
    assert delivered(desk) == (2, 0, 1, 1)
    assert [draft.asset_id for draft in desk.tickets] == ["C-2", "C-4"]


def test_a_ticket_that_is_refused_is_a_dead_letter_with_its_reason_and_not_tried_again(desk: Desk) -> None:
    wanted("C-1")
    desk.trouble = [Permanent("no such queue: " + "x" * 1000)]
    assert delivered(desk) == (0, 0, 0, 1)
    held = ticket()
    assert held.status == "dead"
    assert held.last_error.startswith("no such queue")
    assert delivered(desk, NOW + 1000 * HOUR) == (0, 0, 0, 0)


def test_a_dead_letter_that_is_put_back_is_delivered(desk: Desk, tables: DataFolder) -> None:
    wanted("C-1")
    desk.trouble = [Permanent("no such queue")]
    assert delivered(desk) == (0, 0, 0, 1)
    assert retry(tables.root, [ticket().key], every_dead=False, as_json=True) == 0
    assert delivered(desk) == (1, 0, 0, 0)
    assert (ticket().status, ticket().attempts, ticket().last_error) == ("delivered", 1, "")


def test_a_system_that_holds_another_key_than_was_sent_is_not_believed(desk: Desk) -> None:
    wanted("C-1")

    def mangle(draft: TicketDraft) -> None:
        desk.tickets[-1] = brief_with(draft, "mangled")

    def brief_with(draft: TicketDraft, key: str) -> TicketDraft:
        return TicketDraft(key, draft.title, draft.body, draft.asset_id, draft.failure_mode, draft.severity, {})

    desk.filing = mangle
    assert delivered(desk) == (0, 0, 0, 1)
    assert "holds the key 'mangled'" in ticket().last_error


def test_two_deliverers_at_once_file_each_ticket_once(desk: Desk) -> None:
    from django.db import connections

    wanted(*(f"C-{n}" for n in range(12)))
    together, counts, errors = threading.Barrier(2), list[tuple[int, ...]](), list[BaseException]()

    def work() -> None:
        try:
            together.wait(20)
            counts.append(delivered(desk))
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert sorted(draft.asset_id for draft in desk.tickets) == sorted(f"C-{n}" for n in range(12))
    assert sum(count[0] for count in counts) == 12


def test_a_ticket_that_another_took_meanwhile_is_left_to_it(desk: Desk) -> None:
    wanted("C-1", "C-2")
    other = Desk()

    def die(draft: TicketDraft) -> None:
        raise KeyboardInterrupt

    other.filing = die

    def meanwhile(done: int, total: int | None) -> None:
        if done == 1:  # C-2 is on our list; another deliverer takes it, and is not heard of again
            with pytest.raises(KeyboardInterrupt):
                delivered(other)

    assert delivered(desk, progress=meanwhile) == (1, 0, 0, 0)
    assert [draft.asset_id for draft in (*desk.tickets, *other.tickets)] == ["C-1", "C-2"]


def test_who_is_slow_is_not_overtaken_before_the_lease_ends(desk: Desk) -> None:
    wanted("C-1")
    overtaking = list[tuple[int, ...]]()
    desk.filing = lambda draft: overtaking.append(delivered(desk, NOW + timedelta(minutes=4)))
    assert delivered(desk) == (1, 0, 0, 0)
    assert overtaking == [(0, 0, 0, 0)]


def test_a_lease_outlasts_a_delivery_whose_every_answer_takes_as_long_as_is_allowed() -> None:
    from alerts.tickets.outbox import _LEASE

    [longest] = [limit.le for limit in Tickets.model_fields["timeout_s"].metadata if hasattr(limit, "le")]
    assert 8 * timedelta(seconds=longest) < _LEASE


def test_a_case_of_an_asset_that_left_the_register_is_a_dead_letter_and_stops_nobody(desk: Desk) -> None:
    from alerts.tickets.outbox import deliver
    from alerts.tickets.text import compose

    installation = load(RAIL)
    wanted("GONE-1", "EMU-01-A")
    report = deliver(desk, lambda alert: compose(alert, installation), NOW)
    assert (report.created, report.dead) == (1, 1)
    assert ticket("GONE-1").last_error == "asset 'GONE-1' is no longer in the register"
    assert ticket("EMU-01-A").status == "delivered"


# Against a real Roundup.


@pytest.fixture(scope="module")
def installation() -> Installation:
    return load(RAIL)


@pytest.fixture
def one_case(installation: Installation) -> Callable[[Any], TicketDraft]:
    """Writes the ticket of the one alert, under a key that no other test files."""
    from alerts.models import Ticket
    from alerts.tickets.text import compose

    wanted("EMU-01-A")
    key = f"{uuid4()}/AIR-LEAK/1"
    Ticket.objects.update(key=key)

    def write(alert: Any) -> TicketDraft:
        draft = compose(alert, installation)
        return TicketDraft(key, draft.title, draft.body, draft.asset_id, draft.failure_mode, draft.severity, draft.data)

    return write


@pytest.fixture
def connector(proxy: FaultyProxy) -> Iterator[RoundupConnector]:
    url = f"http://127.0.0.1:{proxy.port}/fleet"
    with closing(RoundupConnector(url, USER, PASSWORD, timeout_s=1.0)) as made:
        yield made


def issues(roundup: RoundupServer, key: str) -> int:
    address = f"{roundup.url}/rest/data/issue"
    answer = httpx.get(address, params={"external_id:": key}, auth=(USER, PASSWORD), timeout=20)
    return int(answer.json()["data"]["@total_size"])


@pytest.mark.parametrize("fault", ["drop", "slow"])
def test_an_answer_that_never_comes_after_the_server_accepted_makes_exactly_one_ticket(
    roundup: RoundupServer,
    proxy: FaultyProxy,
    connector: RoundupConnector,
    one_case: Callable[[Any], TicketDraft],
    fault: str,
) -> None:
    from alerts.tickets.outbox import deliver

    proxy.method, proxy.path = "POST", "/issue"
    proxy.faults.append(fault)
    report = deliver(connector, one_case, NOW)
    assert (report.created, report.postponed) == (0, 1)
    assert issues(roundup, ticket("EMU-01-A").key) == 1  # it is there, and we do not know
    proxy.release()
    report = deliver(connector, one_case, NOW + HOUR)
    assert (report.created, report.found) == (0, 1)
    held = ticket("EMU-01-A")
    assert held.status == "delivered"
    assert issues(roundup, held.key) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_gets_the_ticket_later(
    roundup: RoundupServer,
    proxy: FaultyProxy,
    connector: RoundupConnector,
    one_case: Callable[[Any], TicketDraft],
    status: int,
) -> None:
    from alerts.tickets.outbox import deliver

    proxy.faults.append(status)
    assert deliver(connector, one_case, NOW).postponed == 1
    assert str(status) in ticket("EMU-01-A").last_error
    assert issues(roundup, ticket("EMU-01-A").key) == 0
    assert deliver(connector, one_case, NOW + HOUR).created == 1
    assert issues(roundup, ticket("EMU-01-A").key) == 1


def test_while_the_server_is_down_nothing_is_lost(
    roundup: RoundupServer, one_case: Callable[[Any], TicketDraft]
) -> None:
    from alerts.tickets.outbox import deliver

    with closing(RoundupConnector(f"http://127.0.0.1:{free_port()}/fleet", USER, PASSWORD)) as away:
        for n in range(3):
            assert deliver(away, one_case, NOW + n * 2 * HOUR).postponed == 1
    with closing(RoundupConnector(roundup.url, USER, PASSWORD)) as back:
        assert deliver(back, one_case, NOW + 8 * HOUR).created == 1
    assert issues(roundup, ticket("EMU-01-A").key) == 1


def test_a_deliverer_that_dies_between_filing_and_noting_it_leaves_one_ticket_in_roundup(
    roundup: RoundupServer, one_case: Callable[[Any], TicketDraft]
) -> None:
    from alerts.tickets.outbox import deliver

    class Dying(RoundupConnector):
        def create(self, draft: TicketDraft) -> FiledTicket:
            super().create(draft)
            raise KeyboardInterrupt

    with closing(Dying(roundup.url, USER, PASSWORD)) as dying, pytest.raises(KeyboardInterrupt):
        deliver(dying, one_case, NOW)
    assert ticket("EMU-01-A").status == "pending"
    with closing(RoundupConnector(roundup.url, USER, PASSWORD)) as next_one:
        assert deliver(next_one, one_case, NOW + HOUR).found == 1
    assert issues(roundup, ticket("EMU-01-A").key) == 1
