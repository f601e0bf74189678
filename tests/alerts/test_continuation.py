"""A failure that is back goes on in its ticket; what people will not fix gets none: on real ticket systems."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from diagnoses import diagnosis, outcome
from ticket_connectors import counts
from ticket_drafts import draft
from ticket_people import CLOSED, WONT_FIX, People

from alerts.connectors.connector import Connector, TicketDraft
from fleetdx.data_folder import DataFolder

pytestmark = pytest.mark.usefixtures("tables")
NOW = datetime(2026, 6, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def raised(asset: str, day: int, *, repaired: int | None = None) -> Any:
    """An episode that began on a day of May, and ended by a repair on another; its ticket."""
    from alerts.ledger import DjangoLedger
    from alerts.lifecycle.review import close_repaired
    from alerts.models import Ticket

    DjangoLedger().record([outcome(diagnosis(date(2026, 5, day), asset_id=asset))])
    if repaired is not None:
        assert close_repaired(asset, datetime(2026, 5, repaired, 12, tzinfo=UTC), "maintenance: valve") == 1
    return Ticket.objects.filter(alert__asset_id=asset).latest("alert__episode")


def delivered(connector: Connector, now: datetime = NOW) -> dict[str, int]:
    from alerts.tickets.outbox import deliver

    return counts(deliver(connector, brief, now))


def brief(alert: Any) -> TicketDraft:
    return replace(draft(alert.case.key), body=f"episode {alert.episode} 严重")


def test_within_the_window_a_closed_ticket_is_opened_again(
    name: str, connector: Connector, people: People, asset: str
) -> None:
    first = raised(asset, 4, repaired=6)
    assert delivered(connector) == {"created": 1}
    first.refresh_from_db()
    people.rename(first.external_key, "the valve again")
    people.set_status(first.external_key, CLOSED[name])
    second = raised(asset, 10)
    assert delivered(connector) == {"continued": 1}
    assert delivered(connector, NOW + DAY) == {}
    second.refresh_from_db()
    assert (second.status, second.external_key, second.url) == ("delivered", first.external_key, first.url)
    assert (people.count(first.key), people.count(second.key)) == (1, 0)
    assert connector.read(first.external_key).standing == "open"
    assert people.title(first.external_key) == "the valve again"
    assert ["episode 2" in text for text in people.said(first.external_key)] == [False, True]


def test_a_ticket_that_is_still_open_is_told_and_no_other_opened(
    connector: Connector, people: People, asset: str
) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    second = raised(asset, 10)
    assert delivered(connector) == {"continued": 1}
    first.refresh_from_db()
    assert (people.count(first.key), people.count(second.key)) == (1, 0)
    assert len(people.said(first.external_key)) == 2


def test_after_the_window_it_is_another_case(name: str, connector: Connector, people: People, asset: str) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, CLOSED[name])
    second = raised(asset, 14)  # known on the 15th: more than seven days after the 6th
    assert delivered(connector) == {"created": 1}
    assert (people.count(first.key), people.count(second.key)) == (1, 1)
    assert len(people.said(first.external_key)) == 1
    assert connector.read(first.external_key).status == CLOSED[name]


def test_who_dies_after_telling_and_before_noting_it_tells_it_once(
    name: str, connector: Connector, people: People, asset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, CLOSED[name])
    raised(asset, 10)
    tell = connector.follow_up

    def dies(external_key: str, draft: TicketDraft) -> None:
        tell(external_key, draft)
        raise KeyboardInterrupt

    monkeypatch.setattr(connector, "follow_up", dies)
    with pytest.raises(KeyboardInterrupt):
        delivered(connector)
    monkeypatch.setattr(connector, "follow_up", tell)
    assert delivered(connector, NOW + DAY) == {"continued": 1}
    assert len(people.said(first.external_key)) == 2


def test_what_people_will_not_fix_gets_no_ticket_until_it_ends(
    name: str, connector: Connector, people: People, asset: str, tables: DataFolder
) -> None:
    from fleetdx.tickets import retry

    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, WONT_FIX[name])
    second = raised(asset, 25)
    assert delivered(connector) == {"held_back": 1}
    second.refresh_from_db()
    assert second.status == "held_back"
    assert second.last_error == (
        f"{first.key} stands as won't fix ({WONT_FIX[name]}), at the latest until {NOW + 90 * DAY:%Y-%m-%d}"
    )
    assert delivered(connector, NOW + 0.5 * DAY) == {}
    assert delivered(connector, NOW + 2 * DAY) == {"held_back": 1}  # looked at again, each day
    assert (people.count(second.key), len(people.said(first.external_key))) == (0, 1)
    # A person ends it.
    assert retry(tables.root, [second.key], every_dead=False, as_json=True) == 0
    assert delivered(connector, NOW + 2.1 * DAY) == {"created": 1}
    first.refresh_from_db()
    assert first.wont_fix_ended_by
    assert people.count(second.key) == 1
    assert connector.read(first.external_key).status == WONT_FIX[name]


def test_the_memory_of_wont_fix_ends_by_itself(name: str, connector: Connector, people: People, asset: str) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, WONT_FIX[name])
    second = raised(asset, 25)
    assert delivered(connector) == {"held_back": 1}
    assert delivered(connector, NOW + 89.5 * DAY) == {"held_back": 1}
    assert delivered(connector, NOW + 90.01 * DAY) == {"created": 1}
    assert people.count(second.key) == 1


def test_a_wont_fix_that_people_took_back_holds_nothing_back(
    name: str, connector: Connector, people: People, asset: str
) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, WONT_FIX[name])
    second = raised(asset, 10)
    assert delivered(connector) == {"held_back": 1}
    people.set_status(first.external_key, CLOSED[name])
    assert delivered(connector, NOW + 1.5 * DAY) == {"continued": 1}
    first.refresh_from_db()
    assert first.wont_fix_since is None
    assert people.count(second.key) == 0


def test_an_alert_that_ended_while_its_ticket_was_held_back_gets_none(
    name: str, connector: Connector, people: People, asset: str
) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    first.refresh_from_db()
    people.set_status(first.external_key, WONT_FIX[name])
    raised(asset, 10)
    assert delivered(connector) == {"held_back": 1}
    from alerts.lifecycle.review import close_repaired

    close_repaired(asset, NOW, "maintenance: valve")
    assert delivered(connector, NOW + 200 * DAY) == {}


def test_a_ticket_that_is_gone_is_followed_by_one_of_its_own(connector: Connector, people: People, asset: str) -> None:
    first = raised(asset, 4, repaired=6)
    delivered(connector)
    from alerts.models import Ticket

    Ticket.objects.filter(pk=first.pk).update(external_key="987654")
    second = raised(asset, 10)
    assert delivered(connector) == {"created": 1}
    assert people.count(second.key) == 1
