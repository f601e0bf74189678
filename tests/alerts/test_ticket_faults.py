"""Exactly one ticket, counted by asking the real server, whatever breaks between us and it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from diagnoses import diagnosis, outcome
from faulty_proxy import FaultyProxy
from ticket_connectors import built, counts
from ticket_drafts import draft
from ticket_people import People

from fleetdx.data_folder import DataFolder

pytestmark = pytest.mark.slow

NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
WORKER = Path(__file__).parents[1] / "ticket_worker.py"


@pytest.fixture
def before(server: Any) -> Iterator[FaultyProxy]:
    """What stands between us and the server."""
    with FaultyProxy(server.port, "POST") as proxy:
        yield proxy


def wanted(asset: str) -> Any:
    from alerts.ledger import DjangoLedger
    from alerts.models import Ticket

    DjangoLedger().record([outcome(diagnosis(asset_id=asset))])
    return Ticket.objects.get(alert__asset_id=asset)


def delivered(name: str, port: int, now: datetime, *, timeout_s: float = 20.0) -> dict[str, int]:
    from alerts.tickets.outbox import deliver

    with closing(built(name, port, timeout_s=timeout_s)) as connector:
        return counts(deliver(connector, lambda alert: draft(alert.case.key), now))


class Worker:
    """``ticket_worker.py`` as a process, which waits for ``go``."""

    def __init__(self, data: DataFolder, name: str, port: int, *tasks: str, assets: list[str]) -> None:
        command = [sys.executable, str(WORKER), str(data.root), name, str(port), *tasks, "--", *assets]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(self.process.communicate()[1])

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def reports(self) -> list[dict[str, int]]:
        out, errors = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, errors
        return [json.loads(line) for line in out.splitlines()]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_two_scorers_and_a_scheduler_started_twice_leave_one_ticket_each(
    name: str, server: Any, people: People, tables: DataFolder
) -> None:
    from alerts.models import Ticket

    assets = [uuid4().hex for _ in range(3)]
    workers = [
        Worker(tables, name, server.port, *tasks, assets=assets)
        for tasks in (("score",), ("score",), ("score", "deliver"), ("score", "deliver"))
    ]
    for worker in workers:
        worker.go()
    reports = [report for worker in workers for report in worker.reports()]
    # Redmine on SQLite answers 500 to one of two who write at once: that one is delivered later.
    later = delivered(name, server.port, datetime.now(UTC) + HOUR)
    assert sum(report["created"] for report in reports) + sum(later.values()) == 3
    assert sum(report["dead"] for report in reports) + later.get("dead", 0) == 0
    held = list(Ticket.objects.all())
    assert [ticket.status for ticket in held] == ["delivered"] * 3
    assert [people.count(ticket.key) for ticket in held] == [1] * 3


@pytest.mark.parametrize("fault", ["drop", "slow"])
def test_a_server_that_accepted_and_whose_answer_never_comes_holds_one_ticket(
    name: str, before: FaultyProxy, people: People, tables: DataFolder, asset: str, fault: str
) -> None:
    ticket = wanted(asset)
    before.path = "/issue" if name == "roundup" else ""  # its message goes before
    before.faults.append(fault)
    # Others than Roundup take seconds on a busy machine: what times out shall be the answer that is kept back.
    assert delivered(name, before.port, NOW, timeout_s=5.0 if name == "roundup" else 15.0) == {"postponed": 1}
    assert people.count(ticket.key) == 1
    before.release()
    assert delivered(name, before.port, NOW + HOUR) == {"found": 1}
    assert people.count(ticket.key) == 1


def test_a_server_that_is_down_for_an_hour_gets_one_ticket_when_it_is_back(
    name: str, server: Any, people: People, tables: DataFolder, asset: str
) -> None:
    ticket = wanted(asset)
    server.stop()
    try:
        now, attempts = NOW, 0
        while now < NOW + HOUR:
            assert delivered(name, server.port, now) == {"postponed": 1}
            ticket.refresh_from_db()
            assert ticket.status == "pending"
            now, attempts = ticket.next_attempt_at, attempts + 1
        assert 5 <= attempts <= 9  # 30 s, doubled each time
    finally:
        server.start()
    assert delivered(name, server.port, now) == {"created": 1}
    assert people.count(ticket.key) == 1


def test_a_deliverer_that_is_killed_between_creating_and_noting_it_leaves_one_ticket(
    name: str, server: Any, before: FaultyProxy, people: People, tables: DataFolder, asset: str
) -> None:
    ticket = wanted(asset)
    before.path = "/issue" if name == "roundup" else ""
    before.faults.append("slow")
    worker = Worker(tables, name, before.port, "deliver", assets=[])
    worker.go()
    end = time.monotonic() + 60
    while people.count(ticket.key) == 0:
        assert time.monotonic() < end
        time.sleep(0.1)
    worker.kill()
    ticket.refresh_from_db()
    assert (ticket.status, ticket.external_key) == ("pending", "")
    restarted = Worker(tables, name, server.port, "restart", "deliver", assets=[])
    restarted.go()
    [report] = restarted.reports()
    assert (report["created"], report["found"]) == (0, 1)
    ticket.refresh_from_db()
    assert ticket.status == "delivered"
    assert people.count(ticket.key) == 1
