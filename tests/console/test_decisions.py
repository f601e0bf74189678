"""Shelving, out of service, escalation, the factory and groups, as people meet them on the pages."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from console_pages import CAR, Console, day_of, with_register
from diagnoses import DAY, diagnosis

from config.settings import Support
from config.support import Tier

TIERS = (
    Tier(name="Depot desk", addresses=("desk@example.org",), minutes=60),
    Tier(name="Technical support", addresses=("support@example.org",), minutes=240),
)


def _text(response: Any) -> str:
    without_tags = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(without_tags).split())


def attended(console: Console, now: datetime | None = None) -> None:
    from alerts.upkeep import attend

    attend(console.installation, None, now or datetime.now(UTC))


def support_person(name: str = "sun") -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    from alerts.support.handover import TECHNICAL_SUPPORT

    user = get_user_model().objects.get_or_create(username=name)[0]
    user.groups.add(Group.objects.get(name=TECHNICAL_SUPPORT))


def test_a_shelf_is_shown_with_its_reason_and_end_and_can_be_ended(console: Console) -> None:
    from alerts.models import Ticket

    alert = console.raise_alert(ticket="review")
    browser = console.client()
    said = browser.post(f"/alerts/{alert}/shelve", {"days": "3", "why": "part is <ordered>"}, follow=True)
    assert "Shelved: it is observed as before" in _text(said)
    page = _text(said)
    assert re.search(
        r"shelved until 20\d\d-\d\d-\d\d \d\d:\d\d · anna, 20\d\d-\d\d-\d\d \d\d:\d\d: part is <ordered>", page
    )
    assert "part is <ordered>" not in said.content.decode()
    assert re.search(r"shelved until 20\d\d", _text(browser.get("/")))
    assert browser.post(f"/alerts/{alert}/confirm").status_code == 302
    assert Ticket.objects.count() == 0
    number = re.search(r'name="hold" value="(\d+)"', said.content.decode())
    assert number
    ended = browser.post(f"/alerts/{alert}/end-hold", {"hold": number[1]}, follow=True)
    assert "Ended: what still holds is ready work again." in _text(ended)
    assert Ticket.objects.count() == 1
    assert "shelved until" not in _text(browser.get("/"))


@pytest.mark.parametrize(
    ("action", "given", "refusal"),
    [
        ("shelve", {"days": "3", "why": " "}, "A reason is needed."),
        ("shelve", {"days": "365", "why": "x"}, "The end lies in the past."),
        ("shelve", {"days": "-1", "why": "x"}, "The end lies in the past."),
        ("shelve", {}, "The end lies in the past."),
        ("out-of-service", {"what": "asset"}, "A reason is needed."),
        ("out-of-service", {"what": "asset", "why": "x", "until": "2001-01-01"}, "The end lies in the past."),
        ("out-of-service", {"what": "asset", "why": "x", "until": "soon"}, "The end lies in the past."),
        ("out-of-service", {"what": "asset", "why": "x", "until": "9999-12-31"}, "The end is too far off."),
        ("pass-on", {}, "A reason is needed."),
        ("verify", {"why": "x"}, "The case is not where this could be done."),
        ("send-back", {"why": "x"}, "The case is not where this could be done."),
    ],
)
def test_what_is_not_allowed_changes_nothing_and_says_why(
    console: Console, action: str, given: dict[str, str], refusal: str
) -> None:
    from alerts.models import Alert, Handover, Hold

    alert = console.raise_alert()
    before = Alert.objects.values().get(pk=alert)
    assert refusal in _text(console.client().post(f"/alerts/{alert}/{action}", given, follow=True))
    assert (Alert.objects.values().get(pk=alert), Hold.objects.count(), Handover.objects.count()) == (before, 0, 0)


@pytest.mark.parametrize("hold", ["", "x", "-1", "999999", "9" * 40])
def test_a_decision_that_nobody_made_is_not_found(console: Console, alert: int, hold: str) -> None:
    assert console.client().post(f"/alerts/{alert}/end-hold", {"hold": hold}).status_code == 404


def test_the_decision_on_another_asset_is_not_ended_from_here(console: Console) -> None:
    from alerts.lifecycle import shelving
    from alerts.models import Hold

    alert = console.raise_alert()
    other = shelving.take_out_of_service("EMU-02-A", "", None, "x", None, datetime.now(UTC))
    assert console.client().post(f"/alerts/{alert}/end-hold", {"hold": str(other.pk)}).status_code == 404
    assert Hold.objects.get().ended_at is None


def test_an_asset_is_taken_out_of_service_up_to_the_end_of_a_day_of_its_site(console: Console) -> None:
    from alerts.models import Hold

    alert, browser = console.raise_alert(), console.client()
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    said = browser.post(
        f"/alerts/{alert}/out-of-service", {"what": "asset", "why": "rebuilt", "until": str(day)}, follow=True
    )
    assert f"The whole asset is out of service until {day + timedelta(days=1)} 00:00" in _text(said)
    hold = Hold.objects.get()
    assert (hold.asset_id, hold.failure_mode, hold.by_name) == (CAR, "", "anna")
    chinese = _text(console.client("zh-CN").get(f"/alerts/{alert}/"))
    assert "整台设备已停用" in chinese
    assert "恢复使用" in chinese


def test_the_page_says_who_was_called_since_when_and_who_is_next(console: Console) -> None:
    settings = console.installation.settings.model_copy(update={"support": Support(tiers=TIERS)})
    console.use(replace(console.installation, settings=settings))
    alert, browser = console.raise_alert(), console.client()
    assert "Called nobody yet" in _text(browser.get(f"/alerts/{alert}/"))
    attended(console, datetime(2026, 5, 5, 14, 30, tzinfo=UTC))  # 16:30 in Madrid
    page = _text(browser.get(f"/alerts/{alert}/"))
    assert "Called Depot desk, since 2026-05-05 16:30" in page
    assert "next: Technical support, 2026-05-06 08:30, unless somebody acknowledges" in page
    browser.post(f"/alerts/{alert}/acknowledge")
    assert "next: Technical support" not in _text(browser.get(f"/alerts/{alert}/"))


def test_only_support_is_offered_the_way_to_the_factory_and_only_once_confirmed(console: Console) -> None:
    alert = console.raise_alert()
    support_person()
    anna, sun = console.client(), console.client(user="sun")
    anna.post(f"/alerts/{alert}/pass-on", {"why": "seal fails again"})
    page = anna.get(f"/alerts/{alert}/").content.decode()
    assert "/pass-on" not in page
    assert "/verify" not in page
    page = sun.get(f"/alerts/{alert}/").content.decode()
    assert "/verify" in page
    assert "/pass-on" not in page
    said = sun.post(f"/alerts/{alert}/pass-on", {"why": "now"}, follow=True)
    assert "Technical support has to confirm the case first." in _text(said)
    sun.post(f"/alerts/{alert}/verify", {"why": "wrong grade of seal"})
    said = sun.post(f"/alerts/{alert}/pass-on", {"why": "for the maker"}, follow=True)
    text = _text(said)
    assert "Case lies with factory" in text
    assert re.search(r"confirmed: 20\d\d-\d\d-\d\d \d\d:\d\d, sun: wrong grade of seal", text)
    assert "anna: seal fails again" in text


def test_many_assets_of_one_cause_are_one_line_whose_page_names_them_all(console: Console) -> None:
    from alerts.models import Alert, Ticket

    register = console.installation.register
    model = register.assets[CAR]
    cars = tuple(model.model_copy(update={"id": f"CAR-{n:02}"}) for n in range(30))
    console.use(with_register(console.installation, (*register.assets.values(), *cars)))
    for car in cars:
        console.raise_alert(car.id, ticket="review")
    attended(console)
    browser = console.client()
    listed = _text(browser.get("/"))
    assert "Groups: many assets at once" in listed
    assert "CAR-07" not in listed
    group = Alert.objects.exclude(group=None).values_list("group", flat=True).distinct().get()
    page = browser.get(f"/groups/{group}/")
    assert {f"CAR-{n:02}" for n in range(30)} <= set(re.findall(r"CAR-\d\d", page.content.decode()))
    assert "Confirm all" in _text(page)
    browser.post(f"/groups/{group}/confirm")
    attended(console)
    assert sorted(Ticket.objects.values_list("status", flat=True)) == ["grouped"] * 29 + ["pending"]
    assert "Confirm all" not in _text(browser.get(f"/groups/{group}/"))
    browser.post(f"/groups/{group}/acknowledge")
    assert set(Alert.objects.values_list("state", flat=True)) == {"acknowledged"}
    member = Ticket.objects.filter(status="grouped").values_list("alert", flat=True)[0]
    assert "one of 30 alerts" in _text(browser.get(f"/alerts/{member}/"))
    assert browser.get(f"/groups/{group + 1}/").status_code == 404


def test_the_ticket_of_a_group_is_shown_at_each_of_its_alerts(console: Console) -> None:
    from alerts.models import Alert, Ticket

    first, second = console.raise_alert(), console.raise_alert("EMU-02-A")
    carrier, carried = Ticket.objects.get(alert=first), Ticket.objects.get(alert=second)
    Ticket.objects.filter(pk=carrier.pk).update(
        status="delivered", external_key="issue7", url="https://t.example/issue7"
    )
    Ticket.objects.filter(pk=carried.pk).update(status="grouped", carrier=carrier)
    assert 'href="https://t.example/issue7"' in console.client().get(f"/alerts/{second}/").content.decode()
    assert Alert.objects.count() == 2


def held_back(console: Console) -> tuple[int, int]:
    """Two episodes of one failure: people closed the ticket of the first as won't fix; the second's is held back."""
    from alerts.lifecycle.review import close_repaired
    from alerts.models import Alert, Ticket

    first = console.raise_alert()
    Ticket.objects.filter(alert=first).update(
        status="delivered", connector="desk", external_key="7", wont_fix_since=datetime.now(UTC)
    )
    close_repaired(CAR, datetime.now(UTC), "maintenance: valve")
    day = DAY + timedelta(days=20)
    from alerts.ledger import DjangoLedger

    DjangoLedger().record([day_of(CAR, day, diagnosis(day, asset_id=CAR))])
    second = Alert.objects.get(episode=2).pk
    Ticket.objects.filter(alert=second).update(
        status="held_back", connector="desk", next_attempt_at=datetime.now(UTC) + timedelta(days=1),
        last_error="EMU-01-A/AIR-LEAK/1 stands as won't fix (rejected), at the latest until 2027-01-01",
    )  # fmt: skip
    return first, second


def test_a_person_ends_a_wont_fix_with_a_reason_that_stays(console: Console) -> None:
    from alerts.models import Ticket

    first, second = held_back(console)
    browser = console.client()
    assert "Open a ticket all the same" in _text(browser.get(f"/alerts/{second}/"))
    assert "Open a ticket all the same" not in _text(browser.get(f"/alerts/{first}/"))
    assert "Say why" in _text(browser.post(f"/alerts/{second}/end-wont-fix", {"why": " "}, follow=True))
    assert Ticket.objects.get(alert=second).next_attempt_at is not None
    said = _text(browser.post(f"/alerts/{second}/end-wont-fix", {"why": "<now> it rains in"}, follow=True))
    assert "The ticket is on its way all the same." in said
    assert "Open a ticket all the same" not in said.replace("The ticket", "")
    assert re.search(r"Won't fix 7, seen 20\d\d-\S+ \S+ ended: 20\d\d-\S+ \S+, anna: <now> it rains in", said)
    assert "ended: 20" in _text(browser.get(f"/alerts/{first}/"))
    assert Ticket.objects.get(alert=second).next_attempt_at is None
    held = Ticket.objects.get(alert=first)
    assert (held.wont_fix_ended_by, held.wont_fix_ended_why) == ("anna", "<now> it rains in")
    chinese = _text(console.client("zh-hans").get(f"/alerts/{second}/"))
    assert "不予修复" in chinese


def test_where_nothing_is_held_back_there_is_nothing_to_end(console: Console) -> None:
    from alerts.models import Ticket

    alert, browser = console.raise_alert(), console.client()
    browser.post(f"/alerts/{alert}/end-wont-fix", {"why": "because"})
    assert Ticket.objects.get(alert=alert).wont_fix_ended_at is None
    assert browser.post("/alerts/99999/end-wont-fix", {"why": "because"}).status_code == 404
    assert browser.get(f"/alerts/{alert}/end-wont-fix").status_code == 405
