"""Nothing that a gateway, a rule's author or a ticket system wrote is taken for part of a page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from console_pages import CAR, Console, day_of
from diagnoses import DAY, diagnosis
from django.conf import settings

from config.register import Text
from diagnostics.records import Evidence, FaultLogEntry

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = '"><img src=x onerror=alert(2)>'
TEMPLATE = "{{ settings.SECRET_KEY }}{% debug %}"
HOSTILE = SCRIPT + ATTRIBUTE + TEMPLATE + "'\x1b[31m\u202e&amp;"


class Elements(HTMLParser):
    """Collects the elements and attributes that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _elements(response: Any) -> list[tuple[str, dict[str, str | None]]]:
    assert response.status_code == 200
    parser = Elements()
    parser.feed(response.content.decode())
    return parser.found


def _is_harmless(response: Any) -> None:
    found = _elements(response)
    assert len(found) > 10
    assert not [tag for tag, _ in found if tag in ("script", "iframe", "object", "embed", "base")]
    assert not [name for _, attributes in found for name in attributes if name.startswith("on") or name == "style"]
    assert not [a for tag, a in found if tag == "img" and not (a["src"] or "").startswith("/")]
    for _, attributes in found:
        for name in ("href", "src", "action"):
            assert urlsplit(attributes.get(name) or "").scheme in ("", "http", "https")


def test_hostile_text_is_shown_and_does_nothing(console: Console) -> None:
    from alerts.models import Alert, Ticket

    entry = FaultLogEntry(HOSTILE[:64], "minor", 1, 0, 0, None, True, False, {HOSTILE: 1.0})
    console.change_asset(CAR, attributes={HOSTILE: HOSTILE, "maker": SCRIPT})
    said = diagnosis(
        asset_id=CAR, failure_mode="X-Y", text=Text(en=HOSTILE, zh=HOSTILE), source=f"rule:{SCRIPT}@1",
        evidence=(Evidence(HOSTILE, 1.0, 2.0),),
    )  # fmt: skip
    from alerts.ledger import DjangoLedger

    outcome = day_of(CAR, DAY, said)
    DjangoLedger().record([replace(outcome, log=replace(outcome.log, entries=(entry,)))])
    alert = Alert.objects.get()
    Alert.objects.update(suppressed_by=HOSTILE, closed_reason=HOSTILE)
    Ticket.objects.update(last_error=HOSTILE, status=Ticket.Status.DEAD)
    browser = console.client(user="<i>anna</i>")
    for address in ("/", f"/alerts/{alert.pk}/", f"/alerts/{alert.pk}/?days={ATTRIBUTE}"):
        for language in ("en", "zh-CN"):
            page = browser.get(address, headers={"accept-language": language})
            _is_harmless(page)
            assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.content.decode()
            assert settings.SECRET_KEY not in page.content.decode()
            assert not [tag for tag, _ in _elements(page) if tag in ("i", "b")]
    Alert.objects.update(state=Alert.State.CLOSED)
    _is_harmless(browser.get("/"))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//evil.example/x"])
def test_a_ticket_systems_address_that_is_none_of_the_web_is_no_link(console: Console, alert: int, url: str) -> None:
    from alerts.models import Ticket

    Ticket.objects.update(url=url, external_key="T-1", status=Ticket.Status.DELIVERED)
    for address in ("/", f"/alerts/{alert}/"):
        page = console.client().get(address)
        assert "T-1" in page.content.decode()
        assert url not in [attributes.get("href") for _, attributes in _elements(page)]
    Ticket.objects.update(url="https://tickets.example.org/T-1")
    links = [attributes.get("href") for _, attributes in _elements(console.client().get("/"))]
    assert "https://tickets.example.org/T-1" in links


def test_every_answer_carries_the_policy_and_its_companions(console: Console, alert: int) -> None:
    browser, stranger = console.client(), console.client(user=None)
    answers = [
        browser.get("/"),
        browser.get(f"/alerts/{alert}/"),
        browser.get(f"/alerts/{alert}/chart.svg"),
        browser.get("/alerts/999/"),
        browser.get(f"/alerts/{alert}/confirm"),
        browser.post(f"/alerts/{alert}/acknowledge"),
        console.client(csrf=True).post(f"/alerts/{alert}/acknowledge"),
        stranger.get("/"),
        stranger.get("/login/"),
        stranger.get("/health"),
    ]
    assert {answer.status_code for answer in answers} == {200, 302, 403, 404, 405}
    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
        assert ("unsafe" in policy) == answer.headers["Content-Type"].startswith("image/svg")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"


def test_the_pages_ask_no_other_server_for_anything(console: Console, alert: int) -> None:
    for address in ("/", f"/alerts/{alert}/", "/login/"):
        browser = console.client(user=None if address == "/login/" else "anna")
        for tag, attributes in _elements(browser.get(address)):
            if tag == "a" and "noreferrer" in (attributes.get("rel") or ""):
                continue  # a procedure elsewhere, for a person to follow: nothing is asked for, and nobody is told
            for name in ("src", "href", "action", "srcset", "poster"):
                assert not urlsplit(attributes.get(name) or "").netloc, (tag, attributes)


def test_pages_are_not_kept_by_shared_caches(console: Console, alert: int) -> None:
    chart = console.client().get(f"/alerts/{alert}/chart.svg")
    assert "private" in chart.headers["Cache-Control"]
    assert "Cookie" in console.client().get("/").headers["Vary"]


def test_cookies_of_a_session_are_out_of_reach_of_scripts(console: Console, password: str) -> None:
    answer = console.client(user=None).post("/login/", {"username": "anna", "password": password})
    session = answer.cookies["sessionid"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
