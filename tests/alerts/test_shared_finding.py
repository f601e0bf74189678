"""One ticket for many assets: a finding is of one of them unless it says that it is of all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome

from alerts.outcomes.finding import BadFinding, Finding
from alerts.outcomes.polling import said_in
from config.knowledge import Knowledge
from config.settings import Outcomes, Settings

pytestmark = pytest.mark.usefixtures("tables")
SETTINGS = Settings()
NOW = datetime(2027, 1, 1, tzinfo=UTC)
FOUND = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC) + timedelta(days=1)


@pytest.fixture
def cars() -> list[Any]:
    """Four alerts in one ticket: three of one failure mode, of which the last began a week later; one of another."""
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, Ticket

    told = [diagnosis(asset_id="A"), diagnosis(asset_id="B"), diagnosis(asset_id="C", failure_mode="DOOR-DRIVE")]
    told.append(diagnosis(DAY + timedelta(days=7), asset_id="D"))
    DjangoLedger().record([outcome(one) for one in told])
    first, *others = Ticket.objects.order_by("pk")
    for ticket in others:
        Ticket.objects.filter(pk=ticket.pk).update(status="grouped", carrier=first)
    return list(Alert.objects.order_by("pk"))


def found(alert: Any, **said: Any) -> list[int]:
    from alerts.models import Outcome
    from alerts.outcomes.record import record_all

    finding = Finding(**({"verdict": "confirmed", "at": FOUND} | said))
    return record_all([(alert.pk, finding)], Outcome.Source.CONSOLE, SETTINGS, NOW)


def standing() -> dict[str, str]:
    from alerts.outcomes.record import current

    return dict(current().order_by("alert__asset_id").values_list("alert__asset_id", "verdict"))


def test_without_a_word_it_is_of_one(cars: list[Any]) -> None:
    assert found(cars[0], action="replaced") == [cars[0].pk]
    assert standing() == {"A": "confirmed"}


@pytest.mark.parametrize("on", [0, 1], ids=["the one that carries", "one that is carried"])
def test_for_the_whole_group_it_is_of_all_of_that_failure_mode_that_had_begun(cars: list[Any], on: int) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.outcomes.record import current

    said = {"action": "replaced", "cost": 12, "currency": "EUR", "downtime_hours": 3.0, "parts": ("clip",)}
    assert sorted(found(cars[on], whole_group=True, **said)) == [cars[0].pk, cars[1].pk]
    assert standing() == {"A": "confirmed", "B": "confirmed"}
    told, other = current().get(alert=cars[on]), current().get(alert=cars[1 - on])
    assert (told.cost, told.downtime_hours, told.told_on) == (12, 3.0, None)
    assert (other.cost, other.currency, other.downtime_hours, other.parts) == (None, "", None, ["clip"])
    assert (other.told_on_id, other.whole_group) == (cars[on].pk, False)
    for alert in cars:
        alert.refresh_from_db()
    assert [alert.state for alert in cars] == ["closed", "closed", "unacknowledged", "unacknowledged"]
    later = int(NOW.timestamp()) * 10**9
    failed = DjangoLedger().field_records(["A", "B", "C", "D"], later)["failures"]["asset_id"]
    assert sorted(failed) == ["A", "B"]
    assert found(cars[on], whole_group=True, **said) == []


def test_what_was_found_of_one_itself_stays_and_what_came_by_the_group_is_corrected_by_it(cars: list[Any]) -> None:
    from alerts.models import Outcome

    found(cars[0], whole_group=True, at=FOUND + timedelta(days=9))
    assert standing() == {"A": "confirmed", "B": "confirmed", "D": "confirmed"}
    found(cars[1], verdict="no_trouble_found", at=FOUND + timedelta(days=9))
    assert found(cars[0], verdict="false_alarm", whole_group=True, at=FOUND + timedelta(days=9)) == [
        cars[0].pk, cars[3].pk,
    ]  # fmt: skip
    assert standing() == {"A": "false_alarm", "B": "no_trouble_found", "D": "false_alarm"}
    assert Outcome.objects.count() == 6
    assert found(cars[1], verdict="confirmed", whole_group=True, at=FOUND + timedelta(days=9)) == [
        cars[1].pk, cars[3].pk,
    ]  # fmt: skip


def test_the_word_comes_after_the_verdict_too(cars: list[Any]) -> None:
    assert found(cars[0]) == [cars[0].pk]
    assert found(cars[0], whole_group=True) == [cars[0].pk, cars[1].pk]


@pytest.mark.parametrize(("word", "meant"), [("Yes", True), ("1", True), ("no", False), ("", None)])
def test_a_ticket_system_says_it_in_a_field(word: str, meant: bool | None) -> None:
    from alerts.connectors.connector import FiledTicket

    filed = FiledTicket("1", "", "k", fields={"verdict": "fixed", "Whole group": word})
    assert said_in(filed, Outcomes()).get("whole_group") is meant


def test_another_word_is_refused_and_an_alert_without_a_ticket_is_alone(cars: list[Any]) -> None:
    from alerts.connectors.connector import FiledTicket
    from alerts.models import Alert, Ticket

    with pytest.raises(BadFinding, match="whole_group: 'perhaps' is neither yes nor no"):
        said_in(FiledTicket("1", "", "k", fields={"verdict": "fixed", "whole_group": "perhaps"}), Outcomes())
    Ticket.objects.get(alert=cars[3]).delete()
    alone = Alert.objects.get(pk=cars[3].pk)
    assert found(alone, whole_group=True, at=FOUND + timedelta(days=9)) == [alone.pk]


def test_a_poll_carries_it_on(cars: list[Any]) -> None:
    from alerts.connectors.connector import FiledTicket, Standing
    from alerts.models import Ticket
    from alerts.outcomes.polling import poll

    Ticket.objects.filter(alert=cars[0]).update(status="delivered", connector="desk", external_key="7")
    fields = {"verdict": "fixed", "whole_group": "yes"}

    class Desk:
        name = "desk"

        def changed(self, since: datetime) -> Any:
            yield FiledTicket("7", "", cars[0].case.key, standing=Standing.CLOSED, fields=fields, changed_at=FOUND)

    assert poll(Desk(), SETTINGS, Knowledge(), NOW).recorded == 1  # type: ignore[arg-type]
    assert standing() == {"A": "confirmed", "B": "confirmed"}
