"""Five hundred assets fail together: few tickets that name them all, few letters, and nothing is dropped."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from diagnoses import diagnosis, outcome
from mail_sink import MailSink, running_mail_sink

from alerts.connectors.roundup import RoundupConnector
from alerts.support.mail import MailServer
from config.installation import Installation, load
from config.register import Register
from config.settings import Alerts, Support, Tickets
from config.support import Tier
from fleetdx.servers.roundup import PASSWORD, USER, RoundupServer

pytestmark = pytest.mark.usefixtures("tables")
RAIL = Path(__file__).parents[2] / "config" / "rail"
BEGIN = datetime(2026, 5, 5, 7, tzinfo=UTC)
LOOK = timedelta(seconds=15)
MINUTE, TEN_MINUTES = timedelta(minutes=1), timedelta(minutes=10)
MODES = ("AIR-LEAK", "DOOR-DRIVE", "HVAC-COOL")


class Clock:
    """The simulated time of a walk."""

    now = BEGIN

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fleet(assets: int, sites: Sequence[str], sink: MailSink, letter: str = "C", **alerts: object) -> Installation:
    """A fleet spread over sites, each with a desk of two people, and technical support behind all of them."""
    sample = load(RAIL)
    model = next(iter(sample.register.assets.values()))
    tiers = {
        site: (
            Tier(name="Desk", addresses=(f"a@{site}.example.org", f"b@{site}.example.org"), minutes=60),
            Tier(name="Technical support", addresses=("support@example.org",), minutes=120),
        )
        for site in sites
    }
    named = tuple(sample.register.sites[s].model_copy(update={"support": tiers[s]}) for s in sites)
    cars = tuple(
        model.model_copy(update={"id": f"{letter}-{n:03}", "site": sites[n % len(sites)]}) for n in range(assets)
    )
    settings = sample.settings.model_copy(
        update={"alerts": Alerts(**alerts), "notify": sink.settings, "support": Support()}  # type: ignore[arg-type]
    )
    return replace(
        sample, settings=settings, register=Register(named, tuple(sample.register.asset_types.values()), cars)
    )


def named_in(body: str, letter: str) -> set[str]:
    return {word.strip(":,()") for word in body.split() if word.startswith(f"{letter}-")}


def letters_by_person(sink: MailSink) -> dict[str, list[datetime]]:
    by_person: defaultdict[str, list[datetime]] = defaultdict(list)
    for at, address, _ in sink.letters:
        by_person[address].append(at)
    return by_person


@pytest.mark.slow
@pytest.mark.parametrize(("modes", "letter"), [(MODES[:1], "C"), (MODES, "D")], ids=["one cause", "three causes"])
def test_500_assets_that_fail_together_are_few_tickets_and_few_letters(
    roundup: RoundupServer, clock: Clock, modes: tuple[str, ...], letter: str
) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, Notice, Ticket
    from alerts.tickets.dispatch import arrange, sendable
    from alerts.tickets.outbox import deliver
    from alerts.tickets.text import compose
    from alerts.upkeep import attend

    tracker = Tickets(connector="roundup", url=roundup.url, user=USER)
    sites = ("madrid", "shanghai", "sao-paulo")
    with running_mail_sink(clock) as sink, closing(RoundupConnector.from_settings(tracker, PASSWORD)) as connector:
        installation = fleet(500, sites, sink, letter)
        days = [
            diagnosis(asset_id=f"{letter}-{n:03}", failure_mode=modes[n // len(sites) % len(modes)]) for n in range(500)
        ]
        # The sweep records them in portions while deliveries and letters go on; then an hour and a half passes.
        portions = [days[n : n + 25] for n in range(0, 500, 25)]
        for step in range(100):
            if step < len(portions):
                DjangoLedger().record([outcome(one) for one in portions[step]])
            attend(installation, MailServer(sink.settings), clock.now)
            arrange(installation.register, installation.settings.alerts, clock.now)
            deliver(connector, lambda alert: compose(alert, installation), clock.now, among=sendable())
            clock.now += LOOK if step < 2 * len(portions) else MINUTE

        clock.now += TEN_MINUTES
        attend(installation, MailServer(sink.settings), clock.now)

        # Every alert is there, in a group or alone, and in exactly one ticket that was filed.
        assert Alert.objects.count() == Ticket.objects.count() == 500
        filed = list(Ticket.objects.filter(status="delivered"))
        carried = Ticket.objects.filter(status="grouped")
        assert len(filed) + carried.count() == 500
        assert set(carried.values_list("carrier__status", flat=True)) == {"delivered"}
        held = [connector.read(ticket.external_key) for ticket in filed]
        assert sorted(ticket.key for ticket in held) == sorted(ticket.key for ticket in filed)
        texts = [compose(ticket.alert, installation).body for ticket in filed]
        assert set().union(*(named_in(text, letter) for text in texts)) == {f"{letter}-{n:03}" for n in range(500)}
        groups = Counter(Alert.objects.values_list("group", flat=True))
        assert sum(groups.values()) == 500
        # Of each cause at each site: those that went before there was a group, and a few tickets of the group.
        assert len(filed) <= len(sites) * len(modes) * (4 + 3)

        # Each person has at most one letter in any ten minutes, and each thing told reached everybody it was for.
        assert not Notice.objects.filter(sent_at=None).exists()
        for address, times in letters_by_person(sink).items():
            assert all(later - earlier >= TEN_MINUTES for earlier, later in pairwise(times)), address
        people = letters_by_person(sink)
        assert max(map(len, people.values())) <= 8  # in 80 minutes
        assert {f"{who}@{site}.example.org" for who in "ab" for site in sites} <= set(people)


def test_more_than_a_site_is_sent_in_an_hour_goes_into_one_ticket_and_none_is_dropped(clock: Clock) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, AlertGroup, Ticket
    from alerts.tickets.dispatch import arrange

    with running_mail_sink(clock) as sink:
        installation = fleet(60, ("madrid",), sink, tickets_per_hour=10, group_from=1000)
    for n in range(60):
        DjangoLedger().record([outcome(diagnosis(asset_id=f"C-{n:03}", failure_mode=MODES[n % 3]))])
        arrange(installation.register, installation.settings.alerts, clock.now)
        clock.now += timedelta(seconds=10)
    alone = Ticket.objects.filter(status="pending", alert__group=None)
    assert alone.count() == 10
    (flood,) = AlertGroup.objects.all()
    assert (flood.kind, flood.site, flood.alerts.count()) == ("flood", "madrid", 50)
    (carrier,) = Ticket.objects.filter(status="pending", alert__group=flood)
    assert carrier.carried.count() == 49
    assert Alert.objects.filter(case__isnull=True).count() == 0
    clock.now += timedelta(hours=1)  # after the hour there is room again
    DjangoLedger().record([outcome(diagnosis(asset_id="C-000", failure_mode="DOOR-DRIVE"))])
    arrange(installation.register, installation.settings.alerts, clock.now)
    assert Ticket.objects.filter(status="pending", alert__group=None).count() == 11


def test_two_that_arrange_and_deliver_at_once_put_each_alert_into_one_ticket(clock: Clock) -> None:
    from django.db import connections

    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, AlertGroup, Ticket
    from alerts.tickets.dispatch import arrange

    with running_mail_sink(clock) as sink:
        installation = fleet(40, ("madrid",), sink)
    together, errors = threading.Barrier(2), list[BaseException]()

    def look(half: int) -> None:
        try:
            for n in range(half, 40, 2):
                together.wait(60)
                DjangoLedger().record([outcome(diagnosis(asset_id=f"C-{n:03}"))])
                arrange(installation.register, installation.settings.alerts, clock.now)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look, args=(half,)) for half in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert errors == []
    group = AlertGroup.objects.get()
    assert group.alerts.count() == Alert.objects.count() == 40
    (carrier,) = Ticket.objects.exclude(status="grouped")
    assert carrier.carried.count() == 39
