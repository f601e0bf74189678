"""What the pages show and do, asked as a browser asks."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from console_pages import CAR, PASSWORD, Console, day_of, with_register
from diagnoses import DAY, diagnosis

from config.stock import Stock
from diagnostics.records import Candidate, Expected, RankedMode


def _text(response: Any) -> str:
    """Return a page's text as a person reads it."""
    without_tags = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(without_tags).split())


def test_every_page_asks_for_a_log_in_but_the_log_in_itself_and_health(console: Console, alert: int) -> None:
    from console.urls import urlpatterns

    stranger = console.client(user=None)
    asked = []
    for pattern in urlpatterns:
        address = "/" + re.sub(r"<int:\w+>", str(alert), str(pattern.pattern))
        response = stranger.get(address)
        if pattern.name == "health":
            assert (response.status_code, response.json()) == (200, {"status": "ok"})
        elif pattern.name == "login":
            assert response.status_code == 200
        elif pattern.name == "inbound":
            assert response.status_code == 405  # it asks for a signature instead
        elif pattern.name == "metrics":
            assert response.status_code == 403  # a machine that asks is not helped by a page to log in on
        else:
            asked.append(pattern.name)
            assert response.status_code == 302, pattern.name
            assert response["Location"].startswith("/login/?next="), pattern.name
    assert len(asked) >= 6


def test_a_person_logs_in_and_out_and_a_wrong_password_says_nothing_of_what_was_wrong(
    console: Console, password: str
) -> None:
    browser = console.client(user=None)
    for name in ("anna", "nobody"):
        refused = browser.post("/login/", {"username": name, "password": "wrong"})
        assert refused.status_code == 200
        assert "This name and password do not go together." in _text(refused)
    entered = browser.post("/login/", {"username": "anna", "password": password, "next": "/alerts/7/"})
    assert (entered.status_code, entered["Location"]) == (302, "/alerts/7/")
    elsewhere = browser.post("/login/", {"username": "anna", "password": password, "next": "https://example.org/"})
    assert elsewhere["Location"] == "/"
    assert browser.get("/").status_code == 200
    assert browser.post("/logout/").status_code == 302
    assert browser.get("/").status_code == 302


def test_a_console_without_alerts_says_when_one_appears(console: Console) -> None:
    assert "No alert is open. An alert appears here when a closed day" in _text(console.client().get("/"))


def test_the_list_names_the_rules_that_may_not_open_tickets(console: Console) -> None:
    from console.context import provide

    assert "Rules that run as review" not in console.client().get("/").content.decode()
    provide(console.installation, console.store, held_back=["door-drive-firm"])
    assert "door-drive-firm" in console.client().get("/").content.decode()
    assert "以人工审核方式运行的规则" in console.client("zh-hans").get("/").content.decode()


def test_the_list_puts_the_most_urgent_first_and_suppressed_ones_last(console: Console, alert: int) -> None:
    console.raise_alert("EMU-02-A", act_within_hours=6.0, severity="critical")
    console.raise_alert("EMU-03-A", failure_mode="HVAC-COOL", act_within_hours=1.0)
    from alerts.models import Alert

    Alert.objects.filter(asset_id="EMU-03-A").update(suppressed_by="explained by AIR-LEAK")
    page = _text(console.client().get("/"))
    assert page.index("EMU-02-A") < page.index(CAR) < page.index("EMU-03-A")
    assert "3 alerts, most urgent first" in page
    assert "explained by: Air supply leak" in page


def test_the_page_of_an_alert_shows_value_and_normal_advice_and_warranty(console: Console, alert: int) -> None:
    page = _text(console.client().get(f"/alerts/{alert}/"))
    assert f"{CAR} · Air supply leak" in page
    assert "It leaks." in page
    assert "Compressor duty cycle, daily mean compressor_duty.mean 51.24 % 24.5 %" in page
    assert "What makes up the anomaly score of 2026-05-04" in page
    assert "compressor_duty.mean.own +7.2 σ 60 %" in page
    assert "compressor_temp.p95 71 °C 20 %" in page
    assert "Isolate the main reservoir and vent it to 0 bar" in page
    assert "Find and mend a leak in the air supply AIR-017" in page
    assert "DRY-4711" in page
    assert "AIR-D-204" in page
    # 36 months from commissioning on 2019-03-18.
    assert "ended on 2022-03-18" in page or "ended on 2022-03-17" in page
    assert "The maker bears parts and labour for 36 months" in page
    assert "maker Example Rolling Stock" in page
    assert "A2102 Compressor running too long new 3" in page
    assert "speed 61.5" in page


def ranked(console: Console) -> int:
    """An alert of which rules and cases say what it may be and what mends it."""
    knowledge = console.installation.knowledge
    stock = {"madrid": {"HOS-1102": Stock(0, date(2026, 1, 2), "R3-14"), "DRY-4711": Stock(6, date.max, "R3-12")}}
    console.use(replace(console.installation, knowledge=replace(knowledge, stock=stock)))
    return console.raise_alert(
        probability=0.83,
        expected=Expected(0.4, 1.6, 3.2),
        ranking=(
            RankedMode("AIR-LEAK", 0.83, 12, ("rule", "casebase")),
            RankedMode("HVAC-COOL", 0.04, 0, ("casebase",)),
        ),
        causes=(Candidate("hose-chafed", 0.61, 5), Candidate("<b>rust</b>", 0.2, 1)),
        repairs=(Candidate("hose-renewed", 0.7, 6), Candidate("dryer-renewed", 0.2, 0)),
        parts=(Candidate("HOS-1102", 0.62, 5), Candidate("DRY-4711", 0.2, 0)),
    )


def test_the_page_ranks_what_it_may_be_and_what_mends_it(console: Console) -> None:
    page = console.client().get(f"/alerts/{ranked(console)}/")
    text = _text(page)
    assert "Probability 83 % 12 cases" in text
    assert (
        "Failure expected between 2026-05-05 and 2026-05-08, most likely on 2026-05-06 (90 % of such failures)" in text
    )
    assert "What it may be Air supply leak rule, case base · 12 cases 83 %" in text
    assert "Loss of refrigerant case base · no case yet 4 %" in text
    assert "Candidate causes Hose chafed through at a clamp 5 cases 61 %" in text
    assert "1. Renew the hose AIR-017 6 cases 70 %" in text
    assert "2. Renew the dryer cartridge AIR-021 20 %" in text
    assert "HOS-1102 in stock: 0 (R3-14), counted 2026-01-02 – count is old, ask the store; delivery 5 days" in text
    assert "DRY-4711 in stock: 6 (R3-12), counted 9999-12-31 20 %" in text
    assert text.index("HOS-1102") < text.index("DRY-4711") < text.index("SEA-0330")
    body = page.content.decode()
    assert '<a href="https://drawings.example.org/AIR-D-204" rel="noreferrer noopener">' in body
    assert "<b>rust</b>" not in body
    assert "<script" not in body


def test_the_page_ranks_in_chinese_too(console: Console) -> None:
    text = _text(console.client("zh-hans").get(f"/alerts/{ranked(console)}/"))
    assert "概率 83 % 12 个案例" in text
    assert "预计故障时间 2026-05-05 至 2026-05-08，最可能在 2026-05-06（此类故障的 90 %）" in text
    assert "可能的故障模式 供风系统泄漏 规则, 案例库 · 12 个案例 83 %" in text
    assert "可能原因 软管在管夹处磨破 5 个案例 61 %" in text
    assert "1. 更换软管 AIR-017 6 个案例 70 %" in text
    assert "库存: 0 (R3-14), 盘点日期 2026-01-02 – 盘点已久，请向库房核实; 交货期 5 天" in text


@pytest.mark.parametrize(
    ("asset_id", "zone", "act_by", "fault"),
    [
        # Known at midnight UTC after DAY, to be acted on within 48 hours; a fault at 12:00 UTC.
        ("EMU-01-A", "Europe/Madrid", "2026-05-07 02:00", "14:00 – 15:00"),
        ("EMU-07-A", "Asia/Shanghai", "2026-05-07 08:00", "20:00 – 21:00"),
        ("EMU-05-A", "America/Sao_Paulo", "2026-05-06 21:00", "09:00 – 10:00"),
    ],
)
def test_times_are_those_of_the_depot(console: Console, asset_id: str, zone: str, act_by: str, fault: str) -> None:
    assert console.installation.register.site_of(asset_id).zone.key == zone
    number = console.raise_alert(asset_id)
    page = _text(console.client().get(f"/alerts/{number}/"))
    assert f"Act by {act_by} {zone}" in page
    assert fault in page
    assert act_by in _text(console.client().get("/"))


def test_chinese_readers_read_chinese(console: Console, alert: int) -> None:
    page = console.client("zh-CN").get(f"/alerts/{alert}/")
    text = _text(page)
    assert '<html lang="zh-hans">' in page.content.decode()
    for words in (
        "供风系统泄漏",
        "泄漏。",
        "空压机负载率",
        "供风系统泄漏的查找与处理",
        "隔离总风缸",
        "空压机运转时间过长",
    ):
        assert words in text
    for english in ("Acknowledge", "What was seen", "Fault log", "Warranty", "Act by", "Isolate", "Known since"):
        assert english not in text
    listed = _text(console.client("zh-CN").get("/"))
    assert "供风系统泄漏" in listed
    assert "Severity" not in listed


def test_acknowledging_is_noted_with_name_and_local_time(console: Console, alert: int) -> None:
    from alerts.models import Alert

    browser = console.client()
    answer = browser.post(f"/alerts/{alert}/acknowledge")
    assert (answer.status_code, answer["Location"]) == (302, f"/alerts/{alert}/")
    noted = Alert.objects.get(pk=alert)
    assert (noted.state, str(noted.acknowledged_by)) == ("acknowledged", "anna")
    page = browser.get(f"/alerts/{alert}/")
    assert re.search(r"Acknowledged 20\d\d-\d\d-\d\d \d\d:\d\d \(Europe/Madrid\), anna", _text(page))
    assert "/acknowledge" not in page.content.decode()
    first = noted.acknowledged_at
    console.client(user="bert").post(f"/alerts/{alert}/acknowledge")
    assert (Alert.objects.get(pk=alert).acknowledged_at, str(Alert.objects.get(pk=alert).acknowledged_by)) == (
        first, "anna",
    )  # fmt: skip


def test_confirming_asks_for_the_one_ticket(console: Console) -> None:
    from alerts.models import Ticket

    number = console.raise_alert(ticket="review")
    browser = console.client()
    assert "after review" in _text(browser.get("/"))
    assert Ticket.objects.count() == 0
    for _ in range(2):
        assert browser.post(f"/alerts/{number}/confirm").status_code == 302
    assert [t.key for t in Ticket.objects.all()] == [f"{CAR}/AIR-LEAK/1"]
    page = browser.get(f"/alerts/{number}/")
    assert "/confirm" not in page.content.decode()
    assert "due; no ticket system is configured" in _text(page)


@pytest.mark.parametrize("action", ["acknowledge", "confirm"])
def test_what_changes_something_is_done_by_post_with_the_token_of_the_page(console: Console, action: str) -> None:
    from alerts.models import Alert

    alert = console.raise_alert(ticket="review")
    before = Alert.objects.values().get(pk=alert)
    assert console.client().get(f"/alerts/{alert}/{action}").status_code == 405
    browser = console.client(csrf=True)
    assert browser.post(f"/alerts/{alert}/{action}").status_code == 403
    assert console.client(user=None).post(f"/alerts/{alert}/{action}").status_code == 302
    assert Alert.objects.values().get(pk=alert) == before
    page = browser.get(f"/alerts/{alert}/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    assert browser.post(f"/alerts/{alert}/{action}", {"csrfmiddlewaretoken": token[1]}).status_code == 302
    assert Alert.objects.values().get(pk=alert) != before


def test_an_alert_that_nobody_knows_is_not_found(console: Console, alert: int) -> None:
    browser = console.client()
    for address in ("", "chart.svg"):
        assert browser.get(f"/alerts/{alert + 1}/{address}").status_code == 404
    for action in ("acknowledge", "confirm"):
        assert browser.post(f"/alerts/{alert + 1}/{action}").status_code == 404
    for address in ("/alerts/x/", "/alerts/-1/", "/alerts/99999999999999999999/", "/no-such-page", "/%00"):
        assert browser.get(address).status_code == 404


def test_an_asset_that_was_taken_out_of_the_register_is_said_to_be_gone(console: Console, alert: int) -> None:
    register = console.installation.register
    left = tuple(asset for asset in register.assets.values() if asset.id != CAR)
    console.use(with_register(console.installation, left))
    browser = console.client()
    assert "no longer in the register" in _text(browser.get("/"))
    answer = browser.get(f"/alerts/{alert}/", follow=True)
    assert answer.status_code == 200
    assert "This asset is no longer in the register." in _text(answer)
    assert browser.get(f"/alerts/{alert}/chart.svg").status_code == 404
    assert browser.post(f"/alerts/{alert}/acknowledge").status_code == 302


def test_knowledge_that_is_gone_since_leaves_the_page_readable(console: Console) -> None:
    number = console.raise_alert(advise=("procedure:AIR-017", "part:GONE-1"), failure_mode="GONE-MODE")
    knowledge = replace(console.installation.knowledge, procedures={}, failure_modes={})
    console.use(replace(console.installation, knowledge=knowledge))
    answer = console.client().get(f"/alerts/{number}/")
    assert answer.status_code == 200
    assert "GONE-MODE" in _text(answer)
    assert "No procedure is known for this failure mode" in _text(answer)


def test_a_closed_alert_says_why_and_offers_nothing_more(console: Console, alert: int) -> None:
    from alerts.ledger import DjangoLedger

    at = 1_000_000_000 * 1_778_000_000  # 2026-05-05
    ledger = DjangoLedger()
    ledger.note_field_records([(CAR, at, "failure", "AIR-LEAK")])
    assert ledger.close_repaired([CAR], 0, at) == 1
    browser = console.client()
    page = browser.get(f"/alerts/{alert}/").content.decode()
    assert "failure: Air supply leak" in page
    assert "/acknowledge" not in page
    assert "/confirm" not in page
    listed = _text(browser.get("/"))
    assert "Lately closed" in listed
    assert "failure: Air supply leak" in listed


def test_hundreds_of_alerts_take_as_many_queries_as_one(console: Console, queries: Any) -> None:
    from alerts.ledger import DjangoLedger

    browser = console.client()
    console.raise_alert()
    with queries() as one:
        browser.get("/")
    template = next(iter(console.installation.register.assets.values()))
    cars = [template.model_copy(update={"id": f"CAR-{n:03}"}) for n in range(300)]
    console.use(with_register(console.installation, (*console.installation.register.assets.values(), *cars)))
    DjangoLedger().record([day_of(car.id, DAY, diagnosis(DAY, asset_id=car.id)) for car in cars])
    with queries() as many:
        page = browser.get("/")
    assert page.content.decode().count("Air supply leak") >= 300
    assert len(many) == len(one) <= 9


def test_the_page_of_an_alert_takes_as_many_queries_after_weeks_as_on_its_first_day(
    console: Console, alert: int, queries: Any
) -> None:
    from alerts.ledger import DjangoLedger

    browser = console.client()
    with queries() as first:
        browser.get(f"/alerts/{alert}/")
    days = [DAY + timedelta(days=n) for n in range(1, 40)]
    DjangoLedger().record([day_of(CAR, day, diagnosis(day, asset_id=CAR)) for day in days])
    with queries() as later:
        page = browser.get(f"/alerts/{alert}/?days=60")
    assert "2026-06-12" in _text(page)
    assert len(later) == len(first) <= 17


def test_health_says_no_when_the_tables_cannot_be_read(console: Console) -> None:
    from django.db import connections

    connections.close_all()
    connections.databases["default"]["NAME"] = console.data.root / "no such folder" / "tables"
    answer = console.client(user=None).get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "the database does not answer"})


def test_only_the_host_names_that_are_set_are_answered(console: Console) -> None:
    from django.test import Client

    assert Client(headers={"host": "evil.example"}).get("/health").status_code == 400


def test_the_password_is_not_kept_as_it_is(console: Console, password: str) -> None:
    assert PASSWORD.encode() not in console.data.relational.read_bytes()
