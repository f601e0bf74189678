"""The page that says how data comes in, in both languages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from console_pages import CAR, Console, day_of

from console.context import provide
from ingest.accounting import Accounting, Intake
from ingest.pipeline import Message, Pipeline
from ingest.silence import Verdict


@pytest.fixture
def accounting(console: Console, tmp_path: Path) -> Iterator[Accounting]:
    account = Accounting(tmp_path / "account.sqlite3")
    account.open()
    provide(console.installation, console.store, account)
    yield account
    account.close()


def test_each_asset_says_how_it_reports(console: Console, accounting: Accounting) -> None:
    from alerts.ledger import DjangoLedger

    settings, register = console.installation.settings, console.installation.register
    pipeline = Pipeline(console.store, accounting, register, settings=settings.ingest, clock=time.time_ns)
    signal = register.type_of(CAR).signals[0].name
    now = time.time_ns() // 1_000_000
    for age_ms in (7_200_000, -120_000):
        body = {"ts": now - age_ms, "signals": {signal: 1}}
        pipeline.take([Message(f"fleet/{CAR}/telemetry", json.dumps(body).encode())])
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    DjangoLedger().record([day_of(CAR, yesterday)])
    page = console.client().get("/data/").content.decode()
    assert "2 min ahead" in page
    assert '<rect x="108"' in page  # yesterday, of fourteen
    assert "never" in page
    assert "<dt>Late samples</dt><dd>1</dd>" in page
    chinese = console.client("zh-hans").get("/data/").content.decode()
    assert "超前 2 分钟" in chinese
    assert "从未" in chinese
    every = console.client().get("/data/?all=1").content.decode()
    assert all(asset_id in every for asset_id in register.assets)


def test_the_alert_about_ourselves_is_shown_and_acknowledged_there(console: Console, accounting: Accounting) -> None:
    from alerts.lifecycle import silence
    from alerts.models import Alert

    at, now = datetime.now(UTC), time.time_ns()
    accounting.note_intake(Intake(now, "no broker answers", now - 600 * 10**9))
    silence.tell(Verdict(False, problem="no broker answers", since=now), console.installation.register, at)
    alert, browser = Alert.objects.get(), console.client()
    for language, title in (("en", "No data is taken in"), ("zh-hans", "数据接收中断")):
        assert title in console.client(language).get("/").content.decode()
        assert title in console.client(language).get("/data/").content.decode()
    assert "Nothing is taken in, since 10 min: no broker answers" in browser.get("/data/").content.decode()
    assert browser.get(f"/alerts/{alert.pk}/")["Location"] == "/data/"
    browser.post(f"/alerts/{alert.pk}/acknowledge")
    alert.refresh_from_db()
    assert alert.state == Alert.State.ACKNOWLEDGED


def test_an_intake_that_gives_no_sign_is_told(console: Console, accounting: Accounting) -> None:
    accounting.note_intake(Intake(time.time_ns() - 7200 * 10**9, "", 0))
    assert "The intake gave no sign for 2 h." in console.client().get("/data/").content.decode()


def test_without_an_account_it_says_so(console: Console) -> None:
    assert "Nothing is taken in by this program." in console.client().get("/data/").content.decode()


def test_a_large_fleet_costs_no_more_questions(console: Console, accounting: Accounting, queries: object) -> None:
    browser = console.client()
    browser.get("/data/")
    with queries() as seen:  # type: ignore[operator]
        browser.get("/data/?all=1")
    assert len(seen) <= 6
