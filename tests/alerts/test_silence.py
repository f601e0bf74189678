"""Alerts about silence in the tables: opened once, a day at a time, and closed by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.operating_day import NS
from config.register import Asset, AssetType, Register, Signal, Site, Text
from ingest.silence import Silence, Verdict

pytestmark = pytest.mark.usefixtures("tables")
NOW = datetime(2026, 9, 21, 22, 30, tzinfo=UTC)
AT = int(NOW.timestamp()) * NS
TITLE = Text(en="x", zh="x")


def register(*asset_ids: str) -> Register:
    kind = AssetType(id="bus", title=TITLE, signals=(Signal(name="rpm", unit="rpm", period=60.0),))
    site = Site(id="madrid", title="Madrid", time_zone="Europe/Madrid")
    return Register((site,), (kind,), tuple(Asset(id=a, asset_type="bus", site="madrid") for a in asset_ids))


FLEET = register(*(f"bus-{n}" for n in range(2000)))


def silent(*asset_ids: str) -> tuple[Silence, ...]:
    return tuple(Silence(a, AT - 7200 * NS, 3600 * NS) for a in asset_ids)


def tell(verdict: Verdict, now: datetime = NOW, of: Register = FLEET) -> None:
    from alerts.lifecycle import silence

    silence.tell(verdict, of, now)


def alerts() -> list[tuple[str, str, int, str, str]]:
    from alerts.models import Alert

    return [(a.asset_id, a.failure_mode, a.episode, a.state, a.closed_reason) for a in Alert.objects.order_by("id")]


def words(asset_id: str) -> dict[str, Any]:
    from alerts.models import AlertDay

    found = AlertDay.objects.filter(alert__asset_id=asset_id).order_by("-id").first()
    assert found is not None
    text: dict[str, Any] = found.diagnosis["text"]
    return text


def test_a_silent_asset_has_one_alert_that_closes_when_data_comes_and_opens_again() -> None:
    from alerts.lifecycle.silence import known_silent
    from alerts.models import Alert, Ticket

    for _ in range(3):
        tell(Verdict(True, silent("bus-1"), frozenset({"bus-2"}), 2))
    assert alerts() == [("bus-1", "NO-DATA", 1, "unacknowledged", "")]
    assert known_silent() == {"bus-1"}
    assert words("bus-1")["en"].startswith("No data since 2026-09-21 22:30, local time; 60 minutes")
    assert "无数据" in words("bus-1")["zh"]
    alert = Alert.objects.get()
    assert (alert.severity, alert.ticket, str(alert.first_day)) == ("minor", "review", "2026-09-22")  # Madrid's day
    tell(Verdict(True, silent("bus-1"), frozenset(), 2), NOW + timedelta(days=1))
    alert.refresh_from_db()
    assert (alert.days_seen, str(alert.last_day), alert.days.count()) == (2, "2026-09-23", 2)
    tell(Verdict(True, (), frozenset({"bus-1"}), 2), NOW + timedelta(days=1, hours=1))
    assert alerts() == [("bus-1", "NO-DATA", 1, "closed", "data came again")]
    tell(Verdict(True, silent("bus-1"), frozenset(), 2), NOW + timedelta(days=1, hours=3))  # on the same day
    assert alerts()[1] == ("bus-1", "NO-DATA", 2, "unacknowledged", "")
    assert not Ticket.objects.exists()


def test_while_we_cannot_hear_nothing_opens_and_nothing_closes() -> None:
    tell(Verdict(True, silent("bus-1"), frozenset(), 1))
    tell(Verdict(False))
    tell(Verdict(True))  # we hear again, and nothing is known of it yet
    assert alerts() == [("bus-1", "NO-DATA", 1, "unacknowledged", "")]
    tell(Verdict(True), of=register("bus-2"))
    assert alerts() == [("bus-1", "NO-DATA", 1, "closed", "no longer in the register")]


def test_when_the_broker_is_away_there_is_one_alert_about_ourselves() -> None:
    away = Verdict(False, problem="no broker answers at 10.0.0.1:8883", since=AT - 600 * NS)
    for minutes in range(3):
        tell(away, NOW + timedelta(minutes=minutes))
    assert alerts() == [("fleetdx", "NO-INTAKE", 1, "unacknowledged", "")]
    assert "since 2026-09-21 22:20 UTC: no broker answers at 10.0.0.1:8883" in words("fleetdx")["en"]
    tell(Verdict(False))  # away again for a moment
    assert alerts()[0][3] == "unacknowledged"
    tell(Verdict(True, (), frozenset({"bus-1"}), 2000))
    assert alerts() == [("fleetdx", "NO-INTAKE", 1, "closed", "data came again")]


def test_two_thousand_that_fall_silent_together_are_one_alert() -> None:
    everybody = silent(*FLEET.assets)
    tell(Verdict(True, silent("bus-1"), frozenset(), 2000))
    tell(Verdict(True, everybody, frozenset(), 2000, together=True, since=AT - 7200 * NS))
    assert [row[:2] for row in alerts()] == [("bus-1", "NO-DATA"), ("fleetdx", "NO-INTAKE")]
    assert "2000 of 2000 assets fell silent together" in words("fleetdx")["en"]
    tell(Verdict(True, (), frozenset(FLEET.assets), 2000))
    assert {row[3] for row in alerts()} == {"closed"}


def test_that_the_program_was_away_is_noted_once_it_is_back() -> None:
    from alerts.lifecycle.silence import tell_absence

    tell_absence(NOW - timedelta(hours=3), NOW)
    assert alerts() == [("fleetdx", "NO-INTAKE", 1, "closed", "data came again")]
    assert "did not run from 2026-09-21 19:30 to 2026-09-21 22:30 UTC" in words("fleetdx")["en"]
    tell(Verdict(False, problem="no broker answers", since=AT))
    tell_absence(NOW, NOW + timedelta(hours=1))  # one is open: it says enough
    assert len(alerts()) == 2


def test_silence_explains_no_anomaly() -> None:
    from diagnoses import DAY, diagnosis, outcome

    from alerts.ledger import DjangoLedger
    from alerts.models import Alert

    said = diagnosis(DAY, failure_mode="ANOMALY")
    tell(Verdict(True, (Silence(said.asset_id, AT, NS),), frozenset(), 1), of=register(said.asset_id))
    DjangoLedger().record([outcome(said)])
    assert Alert.objects.get(failure_mode="ANOMALY").suppressed_by == ""
