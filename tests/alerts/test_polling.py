"""What people leave in the ticket system comes back: on real Roundup, Request Tracker and Redmine, and word by word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from diagnoses import DAY, diagnosis, outcome
from ticket_people import People

from alerts.connectors.connector import Connector, FiledTicket, Retryable, Standing, TicketDraft
from alerts.outcomes.finding import BadFinding
from alerts.outcomes.polling import poll, said_in
from config.knowledge import Knowledge
from config.settings import Outcomes, Settings

pytestmark = pytest.mark.usefixtures("tables")
SETTINGS = Settings()


class Desk:
    """A connector whose tickets a test changes; it yields those that changed, as the protocol says."""

    name = "desk"

    def __init__(self) -> None:
        self.tickets: dict[str, FiledTicket] = {}
        self.asked: list[datetime] = []
        self.fails = False

    def put(self, number: str, key: str, at: datetime, **more: Any) -> None:
        self.tickets[number] = FiledTicket(number, "", key, **({"standing": Standing.CLOSED} | more), changed_at=at)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        self.asked.append(since)
        changed = [ticket for ticket in self.tickets.values() if ticket.changed_at and ticket.changed_at >= since]
        for number, ticket in enumerate(sorted(changed, key=lambda t: t.changed_at or since)):
            if self.fails and number:
                raise Retryable("away")
            yield ticket


def raised(asset_id: str = "EMU-01-A", days: int = 0, number: str = "7") -> Any:
    """An alert whose ticket the desk holds."""
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, Ticket

    DjangoLedger().record([outcome(diagnosis(DAY + timedelta(days=days), asset_id=asset_id))])
    alert = Alert.objects.order_by("-pk")[0]
    Ticket.objects.filter(alert=alert).update(status="delivered", connector="desk", external_key=number)
    return alert


def at(hours: float) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1, hours=hours)


def ask(desk: Any, hours: float = 1000) -> Any:
    return poll(desk, SETTINGS, Knowledge(), at(hours))


def outcomes() -> list[Any]:
    from alerts.models import Outcome

    return list(Outcome.objects.order_by("pk"))


def test_a_closed_ticket_with_a_verdict_becomes_an_outcome_once() -> None:
    desk, alert = Desk(), raised()
    fields = {"Verdict": "Fixed", "cause": "hose", "Downtime hours": "2.5", "parts": "clip; 2 m hose", "other": "x"}
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(5), fields=fields | {"action": "replaced"})
    assert ask(desk).recorded == 1
    (found,) = outcomes()
    assert (found.alert_id, found.verdict, found.source, found.at) == (alert.pk, "confirmed", "poll", at(5))
    assert (found.cause, found.downtime_hours, found.parts) == ("hose", 2.5, ["clip", "2 m hose"])
    alert.refresh_from_db()
    assert alert.state == "closed"
    assert ask(desk).recorded == 0
    assert desk.asked[1] == at(5)


def test_an_open_ticket_says_nothing_yet_and_one_of_another_installation_nothing_at_all() -> None:
    desk = Desk()
    raised()
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(5), fields={"verdict": "fixed"}, standing=Standing.OPEN)
    desk.put("8", "OTHER/AIR-LEAK/1", at(6), fields={"verdict": "fixed"})
    desk.put("9", "", at(7), fields={"verdict": "fixed"})
    assert (ask(desk).changed, outcomes()) == (3, [])


def test_what_changed_in_the_ticket_system_comes_again_and_what_a_person_corrected_here_stays() -> None:
    from alerts.models import Outcome
    from alerts.outcomes.finding import Finding
    from alerts.outcomes.record import record

    desk, alert = Desk(), raised()
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(5), fields={"verdict": "confirmed"})
    ask(desk)
    record(alert.pk, Finding(verdict="false_alarm", at=at(6)), Outcome.Source.CONSOLE, SETTINGS, at(7))
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(8), fields={"verdict": "confirmed"})  # somebody left a comment
    assert ask(desk).recorded == 0
    assert [o.verdict for o in outcomes() if o.superseded_at is None] == ["false_alarm"]
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(9), fields={"verdict": "ntf"})
    assert ask(desk).recorded == 1
    assert [o.verdict for o in outcomes() if o.superseded_at is None] == ["no_trouble_found"]


@pytest.mark.parametrize(
    "fields",
    [{"verdict": "perhaps"}, {"verdict": "fixed", "cost": "much"}, {"verdict": "fixed", "cause": "x" * 1001}],
)
def test_what_cannot_be_taken_is_counted_once_and_keeps_no_other_waiting(
    fields: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    from alerts.outcomes.inbound import refusals

    desk = Desk()
    raised()
    raised("EMU-02-A", number="8")
    desk.put("8", "EMU-02-A/AIR-LEAK/1", at(4), fields={"verdict": "fixed"})
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(5), fields=fields)
    for _ in range(3):
        ask(desk)
    assert [o.alert.asset_id for o in outcomes()] == ["EMU-02-A"]
    assert refusals() == {"refused-by-poll": 1}
    assert "cannot be taken" in caplog.text


def test_where_the_system_goes_away_the_next_round_goes_on_from_what_was_seen() -> None:
    desk = Desk()
    raised()
    raised("EMU-02-A", number="8")
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(4), fields={"verdict": "fixed"})
    desk.put("8", "EMU-02-A/AIR-LEAK/1", at(5), fields={"verdict": "fixed"})
    desk.fails = True
    assert ask(desk).recorded == 1
    desk.fails = False
    assert ask(desk).recorded == 1
    assert desk.asked[1] == at(4)


def test_a_ticket_that_was_opened_again_speaks_of_the_last_episode() -> None:
    desk = Desk()
    raised()
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(5), fields={"verdict": "fixed", "action": "replaced"})
    ask(desk)
    again = raised(days=9)
    desk.put("7", "EMU-01-A/AIR-LEAK/1", at(300), fields={"verdict": "fixed", "root_cause": "bracket"})
    assert ask(desk).recorded == 1
    assert outcomes()[-1].alert_id == again.pk


def test_names_and_words_are_the_settings() -> None:
    settings = Outcomes(
        fields={"verdict": "Lösung", "cause": "Ursache"},
        verdicts={"Behoben": "confirmed", "Kein_Befund": "false_alarm"},
    )
    filed = FiledTicket("1", "", "k", fields={"lösung": "kein befund", "URSACHE": "Schlauch", "cause": "x"})
    assert said_in(filed, settings) == {"verdict": "false_alarm", "cause": "Schlauch"}
    with pytest.raises(BadFinding, match="verdict"):
        said_in(replace(filed, fields={"Lösung": "fixed"}), settings)
    by_status = Outcomes(fields={"verdict": "status"}, verdicts={"resolved": "confirmed"})
    assert said_in(FiledTicket("1", "", "k", status="Resolved"), by_status) == {"verdict": "confirmed"}
    assert said_in(FiledTicket("1", "", "k", status="duplicate"), by_status) == {}


def test_a_connector_that_cannot_tell_is_not_asked() -> None:
    class Silent:
        name = "silent"

    assert poll(Silent(), SETTINGS, Knowledge(), at(0)).changed == 0  # type: ignore[arg-type]


# The whole loop, on the real servers.


def test_from_an_alert_over_a_real_ticket_system_to_the_score_card_and_the_labels(
    connector: Connector, people: People
) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert, Ticket
    from alerts.outcomes.scorecard import score_cards
    from alerts.tickets.outbox import deliver

    cars = [f"A-{uuid4().hex[:8]}", f"B-{uuid4().hex[:8]}"]
    DjangoLedger().record([outcome(diagnosis(asset_id=car)) for car in cars])

    def compose(alert: Alert) -> TicketDraft:
        return TicketDraft(
            alert.case.key, f"{alert.asset_id} leaks", "It leaks.", alert.asset_id, "AIR-LEAK", "major", {}
        )

    assert deliver(connector, compose, datetime.now(UTC)).created == 2
    confirmed, wrong = Ticket.objects.order_by("pk")
    now = datetime.now(UTC)
    assert poll(connector, SETTINGS, Knowledge(), now).recorded == 0
    people.conclude(
        confirmed.external_key,
        {"verdict": "confirmed", "cause": "hose chafed", "action": "hose replaced", "parts": "clip; hose",
         "downtime_hours": "3.5", "cost": "120.35", "currency": "EUR"},
    )  # fmt: skip
    people.conclude(wrong.external_key, {"verdict": "false alarm", "cause": "sensor"})
    assert poll(connector, SETTINGS, Knowledge(), datetime.now(UTC)).recorded == 2
    assert poll(connector, SETTINGS, Knowledge(), datetime.now(UTC)).recorded == 0
    first, second = Alert.objects.order_by("pk")
    found = first.outcomes.get()
    assert (found.verdict, found.source, found.cause, found.action) == (
        "confirmed", "poll", "hose chafed", "hose replaced",
    )  # fmt: skip
    assert (found.parts, found.downtime_hours, str(found.cost), found.currency) == (
        ["clip", "hose"], 3.5, "120.35", "EUR",
    )  # fmt: skip
    assert (first.state, second.state) == ("closed", "acknowledged")
    (card,) = score_cards(Outcomes(), 7, {})
    assert (card.raised, card.confirmed, card.false_alarm, card.missed) == (2, 1, 1, 0)
    later = int((datetime.now(UTC) + timedelta(days=1)).timestamp()) * 10**9
    records = DjangoLedger().field_records(cars, later)
    assert records["failures"][["asset_id", "what"]].values.tolist() == [[cars[0], "AIR-LEAK"]]
    assert records["maintenance"]["what"].tolist() == ["AIR-LEAK: hose replaced"]
    assert DjangoLedger().sound_days(cars, later)["asset_id"].tolist() == [cars[1]]
    # Looked at again, the sensor was right.
    people.conclude(wrong.external_key, {"verdict": "confirmed", "cause": "valve", "action": "valve cleaned"})
    assert poll(connector, SETTINGS, Knowledge(), datetime.now(UTC)).recorded == 1
    second.refresh_from_db()
    assert (second.state, second.outcomes.get(superseded_at=None).cause) == ("closed", "valve")
    assert DjangoLedger().sound_days(cars, later).empty
