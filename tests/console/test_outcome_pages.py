"""Recording what was found, and the score cards, as people do and read it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from console_pages import CAR, Console
from diagnoses import DAY, diagnosis

from fleetdx.demo import SAMPLE
from fleetdx.scorecard import scorecard

FOUND = f"{DAY + timedelta(days=1)}T10:30"
FORM = {
    "verdict": "confirmed", "at": FOUND, "failure_mode": "", "cause": "hose chafed", "action": "hose replaced",
    "root_cause": "", "parts": "hose clip\r\n2 m of hose", "downtime_hours": "3.5", "cost": "120.30", "currency": "EUR",
}  # fmt: skip


def test_a_person_records_what_was_found_and_corrects_it(console: Console, alert: int) -> None:
    from alerts.models import Outcome

    browser = console.client()
    assert "Record what was found" in browser.get(f"/alerts/{alert}/").content.decode()
    answer = browser.post(f"/alerts/{alert}/outcome", FORM)
    assert (answer.status_code, answer["Location"]) == (302, f"/alerts/{alert}/")
    outcome = Outcome.objects.get()
    assert (outcome.by, outcome.source, outcome.parts) == ("anna", "console", ["hose clip", "2 m of hose"])
    assert outcome.at.isoformat() == f"{DAY + timedelta(days=1)}T08:30:00+00:00"  # Madrid in May
    page = browser.get(f"/alerts/{alert}/").content.decode()
    for shown in ("hose chafed", "hose clip; 2 m of hose", "120.30 EUR", "found: confirmed", "Correct it"):
        assert shown in page, shown
    form = browser.get(f"/alerts/{alert}/outcome").content.decode()
    assert f'value="{FOUND}"' in form
    assert '<option value="confirmed" selected>' in form
    browser.post(f"/alerts/{alert}/outcome", FORM | {"verdict": "no_trouble_found"})
    page = browser.get(f"/alerts/{alert}/").content.decode()
    assert "Said before: confirmed" in " ".join(page.split())
    assert Outcome.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("verdict", "", "Verdict"),
        ("verdict", "x", "Verdict"),
        ("at", "", "Found or repaired at"),
        ("at", "0001-01-01T00:00", "Found or repaired at"),
        ("at", "2099-01-01T00:00", "Found or repaired at"),
        ("downtime_hours", "long", "Downtime in hours"),
        ("cost", "-1", "Cost"),
        ("currency", "", "Currency, such as EUR"),
        ("failure_mode", "NO-SUCH", "What it was, if something else"),
        ("parts", "part:NO-SUCH", "Parts"),
        ("cause", "x" * 1001, "Cause"),
        ("cause", "a\x00b", "Cause"),
    ],
)
def test_a_field_that_is_wrong_is_named_and_what_was_entered_stays(
    console: Console, alert: int, field: str, value: str, named: str
) -> None:
    from alerts.models import Outcome

    answer = console.client().post(f"/alerts/{alert}/outcome", FORM | {field: value})
    assert answer.status_code == 400
    assert f"This cannot be taken as it is: {named}" in answer.content.decode()
    if field != "action":
        assert "hose replaced" in answer.content.decode()
    assert Outcome.objects.count() == 0


def test_the_pages_speak_chinese(console: Console, alert: int) -> None:
    browser = console.client("zh-hans")
    assert "处理结果" in browser.get(f"/alerts/{alert}/outcome").content.decode()
    assert "结论" in browser.post(f"/alerts/{alert}/outcome", FORM | {"verdict": ""}).content.decode()
    browser.post(f"/alerts/{alert}/outcome", FORM)
    assert "处理结果：属实" in browser.get(f"/alerts/{alert}/").content.decode()
    assert "记分卡" in browser.get("/scorecard/").content.decode()


def test_hostile_findings_are_shown_as_text(console: Console, alert: int) -> None:
    script = "<script>alert(1)</script>"
    browser = console.client()
    assert browser.post(f"/alerts/{alert}/outcome", FORM | {"cause": script, "parts": script}).status_code == 302
    for address in (f"/alerts/{alert}/", f"/alerts/{alert}/outcome"):
        assert script not in browser.get(address).content.decode()
    wrong = browser.post(f"/alerts/{alert}/outcome", FORM | {"cost": script, "currency": script})
    assert script not in wrong.content.decode()


def test_a_repeat_offender_is_shown_and_told_in_its_ticket(console: Console, alert: int) -> None:
    from alerts.models import Alert
    from alerts.tickets.text import compose

    browser = console.client()
    browser.post(f"/alerts/{alert}/outcome", FORM)
    from console_pages import day_of

    from alerts.ledger import DjangoLedger

    DjangoLedger().record([day_of(CAR, DAY + timedelta(days=9), diagnosis(DAY + timedelta(days=9), asset_id=CAR))])
    back = Alert.objects.get(episode=2)
    assert "Repeat offender" in browser.get("/").content.decode()
    page = browser.get(f"/alerts/{back.pk}/").content.decode()
    assert "back after episode 1" in page
    assert "It stays open until its root cause is recorded." in page
    draft = compose(back, console.installation)
    assert (
        f"Repeat offender: it is back after {CAR}/AIR-LEAK/1 ({DAY + timedelta(days=1)}: confirmed; hose" in draft.body
    )
    assert draft.data["repeat_of"] == f"{CAR}/AIR-LEAK/1"


def raise_false_alarms(browser: Any, console: Console, count: int = 5) -> None:
    cars = sorted(a for a in console.installation.register.assets if a != CAR)[:count]
    for car in cars:
        number = console.raise_alert(car)
        answer = browser.post(f"/alerts/{number}/outcome", FORM | {"verdict": "false_alarm"})
        assert answer.status_code == 302


def test_a_rule_on_probation_says_so_until_a_person_lets_it_go_on(
    console: Console, alert: int, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = console.client()
    raise_false_alarms(browser, console)
    page = browser.get("/scorecard/").content.decode()
    assert "on probation" in page
    assert "0 of 5 confirmed" in page
    assert "is on probation and opens no ticket by itself" in browser.get(f"/alerts/{alert}/").content.decode()
    source = "rule:air-leak-firm@1"
    unreasoned = browser.post("/scorecard/release", {"source": source, "why": " "}, follow=True)
    assert "Say why" in unreasoned.content.decode()
    assert "on probation" in unreasoned.content.decode()
    freed = browser.post("/scorecard/release", {"source": source, "why": "one hall was being painted"}, follow=True)
    assert "It opens tickets by itself again." in freed.content.decode()
    assert "0 of 5 confirmed" not in freed.content.decode()


def test_the_command_shows_the_same_cards_for_people_and_machines(
    console: Console, alert: int, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = console.client("zh-hans")
    raise_false_alarms(browser, console)
    assert "5 条结论中 0 条属实：以 90% 的置信度至多为 25%，低于 50%" in browser.get("/scorecard/").content.decode()
    scorecard(SAMPLE, console.data.root, as_json=True)
    (card,) = json.loads(capsys.readouterr().out)["score_cards"]
    assert (card["source"], card["raised"], card["false_alarm"], card["precision"]) == (
        "rule:air-leak-firm@1",
        6,
        5,
        0.0,
    )
    assert card["probation"].startswith("0 of 5 confirmed")
    scorecard(SAMPLE, console.data.root, as_json=False)
    said = capsys.readouterr().err
    assert "rule:air-leak-firm@1 is on probation, its alerts wait for review: 0 of 5 confirmed" in said
    assert "1 versions of rules and models; 1 on probation." in said


def test_a_finding_for_the_whole_group_is_one_step(console: Console, alert: int) -> None:
    from alerts.models import Ticket

    browser = console.client()
    assert "other alerts of this failure mode" not in browser.get(f"/alerts/{alert}/outcome").content.decode()
    others = [console.raise_alert(car) for car in ("EMU-01-B", "EMU-02-A")]
    carrier = Ticket.objects.get(alert=alert)
    Ticket.objects.filter(alert__in=others).update(status="grouped", carrier=carrier)
    form = browser.get(f"/alerts/{alert}/outcome").content.decode()
    assert "Each of the 2 other alerts of this failure mode in the same ticket was looked at" in form
    assert (
        "同一工单中同一故障模式的其他 2 个告警"
        in console.client("zh-hans").get(f"/alerts/{alert}/outcome").content.decode()
    )
    answer = browser.post(f"/alerts/{alert}/outcome", FORM | {"whole_group": "true"}, follow=True).content.decode()
    assert "Recorded for 3 alerts." in answer
    assert "For the whole group" in answer
    assert 'value="true" checked' in browser.get(f"/alerts/{alert}/outcome").content.decode()
    shown = browser.get(f"/alerts/{others[0]}/").content.decode()
    assert f"said of its whole group, on {CAR}" in shown
    assert "120.30" not in shown
