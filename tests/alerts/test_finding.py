"""What comes in as a finding: taken whole, or refused with the field that is wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from alerts.outcomes.finding import BadFinding, Finding, checked, converted, decoded
from config.installation import load
from fleetdx.demo import SAMPLE

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)
KNOWLEDGE = load(SAMPLE).knowledge
GOOD: dict[str, Any] = {
    "ticket": "EMU-01-A/AIR-LEAK/1",
    "verdict": "confirmed",
    "at": "2026-05-06T10:00:00+02:00",
    "by": "李工",
    "cause": "hose chafed",
    "action": "hose replaced",
    "parts": [next(f"part:{part}" for part in KNOWLEDGE.parts), "2 m of hose"],
    "downtime_hours": 3.5,
    "cost": 120.35,
    "currency": "EUR",
}


def taken(**changes: Any) -> Finding:
    body = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return checked(decoded(json.dumps(body).encode()), KNOWLEDGE, NOW, date(2026, 5, 4))


def test_a_whole_finding_is_taken() -> None:
    found = taken()
    assert found.at == datetime(2026, 5, 6, 8, tzinfo=UTC)
    assert (found.cost, found.currency, found.downtime_hours) == (Decimal("120.35"), "EUR", 3.5)
    assert found.parts[1] == "2 m of hose"


def test_a_verdict_and_a_time_are_enough() -> None:
    body = {name: GOOD[name] for name in ("ticket", "verdict", "at")}
    assert decoded(json.dumps(body).encode()).cause == ""


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("verdict", {"verdict": "maybe"}),
        ("verdict", {"verdict": ...}),
        ("ticket", {"ticket": ...}),
        ("ticket", {"ticket": 7}),
        ("ticket", {"ticket": "x" * 121}),
        ("at", {"at": "2026-05-06T10:00:00"}),
        ("at", {"at": "yesterday"}),
        ("at", {"at": 1_780_000_000}),
        ("at", {"at": "2026-05-10T12:06:00Z"}),
        ("at", {"at": "2026-05-02T10:00:00Z"}),
        ("at", {"at": "0001-01-01T00:00:00+23:59"}),
        ("at", {"at": "9999-12-31T23:59:59-12:00"}),
        ("cause", {"cause": "x" * 1001}),
        ("cause", {"cause": "a\u0000b"}),
        ("cause", {"cause": "\u202e"}),
        ("cause", {"cause": None}),
        ("by", {"by": ["me"]}),
        ("root_cause", {"root_cause": "\x1b[31m"}),
        ("failure_mode", {"failure_mode": "AIR-LEEK"}),
        ("parts", {"parts": "hose"}),
        ("parts", {"parts": ["x"] * 51}),
        ("parts[1]", {"parts": ["hose", 2]}),
        ("parts[0]", {"parts": ["part:NO-SUCH"]}),
        ("parts[0]", {"parts": ["a\u0007"]}),
        ("downtime_hours", {"downtime_hours": -1}),
        ("downtime_hours", {"downtime_hours": 1e9}),
        ("downtime_hours", {"downtime_hours": True}),
        ("downtime_hours", {"downtime_hours": "3"}),
        ("cost", {"cost": -0.01}),
        ("cost", {"cost": 1e12}),
        ("cost", {"cost": 1.005}),
        ("cost", {"cost": "NaN"}),
        ("cost", {"cost": "1e999999999"}),
        ("currency", {"currency": ...}),
        ("currency", {"currency": "euro"}),
        ("currency", {"cost": ...}),
        ("price", {"price": 3}),
    ],
)
def test_what_is_wrong_is_named(field: str, changes: dict[str, Any]) -> None:
    with pytest.raises(BadFinding) as refused:
        taken(**changes)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\xff\xfe",
        b"{",
        b"[" * 100_000,
        b'{"cause": "\\ud800"}',
        b'{"ticket": "a", "verdict": "confirmed", "at": "2026-05-06T08:00:00Z"} x',
    ],
)
def test_what_is_no_object_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(BadFinding) as refused:
        decoded(body)
    assert refused.value.field == ""


def test_text_of_a_form_becomes_values() -> None:
    at = "2026-05-06T08:00:00Z"
    found = converted({"verdict": "false_alarm", "at": at, "downtime_hours": "1.5", "cost": "", "parts": ()})
    assert (found.downtime_hours, found.cost, found.parts) == (1.5, None, ())
    with pytest.raises(BadFinding, match=r"^downtime_hours: "):
        converted({"verdict": "false_alarm", "at": at, "downtime_hours": "an hour"})
