"""Shelving and taking out of service, in the tables: what is kept back, what goes on, and what follows at the end."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome

from alerts.lifecycle.not_allowed import NotAllowed
from config.installation import Installation, load
from config.settings import Alerts, Notify, Support
from config.support import Tier

pytestmark = pytest.mark.usefixtures("tables")
NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
HOUR, DAYS = timedelta(hours=1), timedelta(days=1)
RAIL = Path(__file__).parents[2] / "config" / "rail"


def told(day: date = DAY, condition: bool | None = True, **given: Any) -> Any:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert

    said = diagnosis(day, condition, **given)
    DjangoLedger().record([outcome(said)])
    return Alert.objects.filter(asset_id=said.asset_id, failure_mode=said.failure_mode).last()


def tickets() -> list[str]:
    from alerts.models import Ticket

    return list(Ticket.objects.order_by("id").values_list("key", flat=True))


def shelved(alert: Any, until: datetime = NOW + 3 * DAYS, now: datetime = NOW) -> Any:
    from alerts.lifecycle import shelving

    return shelving.shelve(alert, until, "waiting for a part", None, now, Alerts())


@pytest.fixture
def installation() -> Installation:
    sample = load(RAIL)
    support = Support(tiers=(Tier(name="Desk", addresses=("desk@example.org",), minutes=60),))
    settings = sample.settings.model_copy(update={"support": support, "notify": Notify(host="127.0.0.1")})
    return replace(sample, settings=settings)


def attended(installation: Installation, now: datetime) -> None:
    from alerts.upkeep import attend

    attend(installation, None, now)


def notices() -> list[str]:
    from alerts.models import Notice

    return list(Notice.objects.order_by("id").values_list("reason", flat=True))


def test_a_shelved_alert_is_observed_and_counted_without_ticket_or_notice_until_the_shelf_ends(
    installation: Installation,
) -> None:
    alert = told(ticket="review")
    shelved(alert)
    told(DAY + DAYS, ticket="auto", severity="critical")
    alert = told(DAY + 2 * DAYS, ticket="auto")
    assert (alert.days_seen, alert.severity, alert.state) == (3, "critical", "unacknowledged")
    for hours in (0, 1, 71):
        attended(installation, NOW + hours * HOUR)
    assert (tickets(), notices()) == ([], [])
    for _ in range(2):
        attended(installation, NOW + 72 * HOUR)
    assert (tickets(), notices()) == (["EMU-01-A/AIR-LEAK/1"], ["hold-ended"])
    attended(installation, NOW + 80 * HOUR)
    assert notices() == ["hold-ended"]


def test_a_shelf_that_ends_over_a_sound_asset_asks_for_nothing(installation: Installation) -> None:
    alert = told(ticket="review")
    shelved(alert)
    told(DAY + DAYS, ticket="auto")
    for n in (2, 3, 4):
        told(DAY + n * DAYS, False)
    attended(installation, NOW + 3 * DAYS)
    assert tickets() == []


def test_a_ticket_that_is_not_sent_yet_waits_on_the_shelf_too(installation: Installation) -> None:
    from alerts.tickets.dispatch import sendable

    alert = told()
    assert tickets() == ["EMU-01-A/AIR-LEAK/1"]
    shelved(alert)
    attended(installation, NOW)
    assert sendable().count() == 0
    attended(installation, NOW + 3 * DAYS)
    assert sendable().count() == 1


def test_a_shelf_covers_the_next_episode_and_its_failure_mode_alone() -> None:
    alert = told(ticket="review")
    shelved(alert, NOW + 20 * DAYS)
    from alerts.lifecycle import review

    review.close_repaired("EMU-01-A", NOW, "repair")
    assert told(DAY + 5 * DAYS).episode == 2
    told(DAY + 5 * DAYS, failure_mode="DOOR-DRIVE")
    assert tickets() == ["EMU-01-A/DOOR-DRIVE/1"]


def test_an_asset_out_of_service_raises_no_work_with_any_failure_mode_until_it_is_put_back() -> None:
    from alerts.lifecycle import shelving

    hold = shelving.take_out_of_service("EMU-01-A", "", None, "rebuilt", None, NOW)
    told()
    door = told(failure_mode="DOOR-DRIVE", ticket="review")
    told(asset_id="EMU-01-B")
    assert tickets() == ["EMU-01-B/AIR-LEAK/1"]
    from alerts.lifecycle import review

    review.confirm(door.pk, None)
    assert tickets() == ["EMU-01-B/AIR-LEAK/1"]
    freed = shelving.end(hold.pk, None, NOW + 300 * DAYS)
    assert sorted(alert.failure_mode for alert in freed) == ["AIR-LEAK", "DOOR-DRIVE"]
    assert sorted(tickets()) == ["EMU-01-A/AIR-LEAK/1", "EMU-01-A/DOOR-DRIVE/1", "EMU-01-B/AIR-LEAK/1"]
    assert shelving.end(hold.pk, None, NOW + 301 * DAYS) == []


def test_what_two_decisions_keep_back_waits_for_the_end_of_both() -> None:
    from alerts.lifecycle import shelving

    alert = told(ticket="review")
    shelf = shelved(alert)
    out = shelving.take_out_of_service("EMU-01-A", "AIR-LEAK", None, "rebuilt", None, NOW)
    told(DAY + DAYS, ticket="auto")
    assert shelving.end(shelf.pk, None, NOW) == []
    assert tickets() == []
    assert len(shelving.end(out.pk, None, NOW)) == 1
    assert tickets() == ["EMU-01-A/AIR-LEAK/1"]


def test_a_shelf_needs_a_reason_and_an_end_that_is_not_far_off() -> None:
    from alerts.lifecycle import shelving

    alert = told()
    for until, reason in ((NOW, "past"), (NOW - HOUR, "past"), (NOW + 31 * DAYS, "too far off")):
        with pytest.raises(NotAllowed, match=reason):
            shelving.shelve(alert, until, "because", None, NOW, Alerts())
    with pytest.raises(NotAllowed, match="no reason"):
        shelving.shelve(alert, NOW + HOUR, "  ", None, NOW, Alerts())
    with pytest.raises(NotAllowed, match="past"):
        shelving.take_out_of_service("EMU-01-A", "", NOW, "x", None, NOW)


def test_a_new_decision_takes_the_place_of_the_old_one_which_stays_readable() -> None:
    from alerts.models import Hold

    alert = told(ticket="review")
    shelved(alert, NOW + DAYS)
    shelved(alert, NOW + 9 * DAYS, NOW + HOUR)
    ended, in_force = Hold.objects.order_by("id")
    assert (ended.ended_at, in_force.ended_at) == (NOW + HOUR, None)
    assert in_force.until == NOW + 9 * DAYS


def test_two_schedulers_that_end_a_shelf_at_once_ask_for_one_ticket_and_tell_once(installation: Installation) -> None:
    from django.db import connections

    alert = told(ticket="review")
    shelved(alert)
    told(DAY + DAYS, ticket="auto")
    together, errors = threading.Barrier(2), list[BaseException]()

    def look() -> None:
        try:
            together.wait(20)
            attended(installation, NOW + 4 * DAYS)
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert (tickets(), notices()) == (["EMU-01-A/AIR-LEAK/1"], ["hold-ended"])
