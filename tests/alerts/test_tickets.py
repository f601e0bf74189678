"""What a ticket says, line by line, in the depot's language and in its time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from diagnoses import DAY, diagnosis, outcome

from alerts.tickets.expected import expected_time
from alerts.tickets.text import Case, FaultLine, draft, local_time, warranty
from config.installation import Installation, load
from config.knowledge import FailureMode, Knowledge, Warranty
from config.register import Asset, Text
from config.settings import Console
from config.stock import Stock
from config.validity import Validity, Versions
from diagnostics.records import FaultLogEntry

RAIL = Path(__file__).parents[2] / "config" / "rail"


STOCK = {
    "HOS-1102": Stock(0, date(2026, 3, 20), "R3-14"),
    "DRY-4711": Stock(6, date(2026, 3, 28), "R3-12"),
}


@pytest.fixture(scope="module")
def installation() -> Installation:
    found = load(RAIL)
    return replace(found, knowledge=replace(found.knowledge, stock={"madrid": STOCK}))


def case(installation: Installation, asset_id: str, **given: Any) -> Case:
    register = installation.register
    values: dict[str, Any] = {
        "asset": register.assets[asset_id],
        "asset_type": register.type_of(asset_id),
        "site": register.site_of(asset_id),
        "failure_mode": installation.knowledge.failure_modes["AIR-LEAK"],
        "episode": 1,
        "severity": "major",
        "known_at": datetime(2026, 3, 28, 23, tzinfo=UTC),
        "act_by": datetime(2026, 3, 30, 23, tzinfo=UTC),
        "first_day": date(2026, 3, 27),
        "diagnosis": {
            "text": {"en": "It leaks.", "zh": "泄漏。"},
            "source": "rule:air-leak-firm@1",
            "advise": ["part:DRY-4711", "procedure:AIR-017", "part:GONE-1"],
            "iso14224": "ELU",
            "probability": 0.83,
            "ranking": [
                {"failure_mode": "AIR-LEAK", "probability": 0.83, "cases": 12, "voices": ["rule", "casebase"]},
                {"failure_mode": "GONE", "probability": 0.04, "cases": 0, "voices": ["casebase"]},
            ],
            "causes": [{"code": "hose-chafed", "probability": 0.61, "cases": 5}],
            "repairs": [
                {"code": "dryer-renewed", "probability": 0.7, "cases": 6},
                {"code": "air supply: leak mended", "probability": 0.3, "cases": 1},
            ],
            "parts": [
                {"code": "HOS-1102", "probability": 0.62, "cases": 5},
                {"code": "DRY-4711", "probability": 0.2, "cases": 0},
                {"code": "SEA-0330", "probability": 0.001, "cases": 0},
            ],
            "evidence": [
                {"feature": "compressor_duty.mean", "value": 51.24, "normal": 24.5},
                {"feature": "main_reservoir_pressure.p05.own", "value": -4.21, "normal": 0.0},
                {"feature": "compressor_temp.max", "value": 88.0, "normal": None},
            ],
        },
        "faults": [FaultLine(date(2026, 3, 27), "A2102", 3, {"speed": 62.0}), FaultLine(date(2026, 3, 26), "X1", 1)],
        "console_url": "https://fleet.example.org/alerts/7/",
    }
    return Case(**(values | given))


def lines(installation: Installation, asset_id: str, **given: Any) -> list[str]:
    return draft(case(installation, asset_id, **given), installation.knowledge).body.split("\n")


def test_an_english_ticket_from_top_to_bottom(installation: Installation) -> None:
    found = draft(case(installation, "EMU-01-A"), installation.knowledge)
    assert found.key == "EMU-01-A/AIR-LEAK/1"
    assert found.title == "EMU-01-A: Air supply leak (major)"
    body = found.body.split("\n")
    assert body[:17] == [
        "It leaks.",
        "",
        "Act by: 2026-03-31 01:00 (Europe/Madrid)",  # summer time began the day before
        "Severity: major",
        "Probability: 83 % (12 cases)",
        "Asset: EMU-01-A, EMU car",
        "Site: Madrid Fuencarral depot",
        "",
        "What was seen:",
        "  Compressor duty cycle, daily mean: 51.24 % (normal: 24.5 %)",
        "  Main reservoir pressure, low end of the day (5th percentile), against its own past: -4.2 σ (normal: 0 σ)",
        "  Compressor temperature, highest of the day: 88 °C (normal: not reported)",
        "Said by: rule:air-leak-firm@1",
        "",
        "Fault log of the last days:",
        "  2026-03-27 A2102 Compressor running too long: 3 ×; freeze frame: speed=62",
        "  2026-03-26 X1: 1 ×",
    ]
    assert body[18].startswith("Safety: Isolate the main reservoir")
    assert body[19:31] == [
        "",
        "Failure modes that come into question:",
        "  Air supply leak [AIR-LEAK]: 83 %, 12 cases; rule, case base",
        "  GONE [GONE]: 4 %, no case yet; case base",
        "",
        "Candidate causes:",
        "  Hose chafed through at a clamp: 61 %, 5 cases",
        "",
        "Repairs, the most probable first:",
        "  1. Renew the dryer cartridge [AIR-021]: 70 %, 6 cases",
        "  2. air supply: leak mended: 30 %, 1 case",
        "",
    ]
    # What the rule advises comes first, then the procedures of the repairs in their order.
    assert body[31] == (
        "What to do: Find and mend a leak in the air supply [AIR-017]; https://docs.example.org/air/AIR-017"
    )
    assert body[32].startswith("  1. Fill the main reservoir to 10 bar")
    assert body[36].startswith("  5. Repeat the first step")
    assert body[38] == "What to do: Renew the dryer cartridge [AIR-021]"
    assert body[42:51] == [
        "",
        "Probable parts:",
        "  Hose, compressor to dryer, DN 25 [HOS-1102]: 62 %, 5 cases; "
        "in stock: 0 (R3-14), counted 2026-03-20 – count is old, ask the store; delivery 5 days",
        "  Dryer cartridge [DRY-4711]: 20 %; in stock: 6 (R3-12), counted 2026-03-28",
        "  Set of seals, air supply unit [SEA-0330]; stock not known",
        "",
        "Drawings:",
        "  Air supply unit, pipework and torques [AIR-D-204]; sheet 2 of 5; https://drawings.example.org/AIR-D-204",
        "",
    ]
    assert body[51] == "Maintenance level needed (EN 13306): 2"
    assert body[52].startswith("Warranty at the first symptom: ended on 2022-03-18; The maker bears")
    assert body[53:] == ["Evidence with charts: https://fleet.example.org/alerts/7/"]
    assert "----" not in body


def test_a_chinese_depot_reads_chinese_first_and_english_below(installation: Installation) -> None:
    shanghai = next(a.id for a in installation.register.assets.values() if a.site == "shanghai")
    found = draft(case(installation, shanghai), installation.knowledge)
    assert found.title == f"{shanghai}: 供风系统泄漏 (严重)"
    chinese, english = found.body.split("\n\n----\n\n")
    assert chinese.split("\n")[:13] == [
        "泄漏。",
        "",
        "处理期限: 2026-03-31 07:00 (Asia/Shanghai)",
        "严重程度: 严重",
        "概率: 83 % (12 个案例)",
        f"设备: {shanghai}, 动车组车辆",
        "段所: 上海虹桥动车所",
        "",
        "观察到的情况:",
        "  空压机负载率，日均值: 51.24 % (正常值: 24.5 %)",
        "  总风缸压力，当日低位（第 5 百分位），与自身历史相比: -4.2 σ (正常值: 0 σ)",
        "  空压机温度，当日最高: 88 °C (正常值: 未上报)",
        "诊断来源: rule:air-leak-firm@1",
    ]
    assert "  1. 更换干燥器滤芯 [AIR-021]: 70 %, 6 个案例" in chinese
    assert english.startswith("It leaks.\n\nAct by: 2026-03-31 07:00 (Asia/Shanghai)")
    assert english.count("\n") == chinese.count("\n")


def test_what_does_not_hold_for_an_assets_build_is_left_out(installation: Installation) -> None:
    knowledge = installation.knowledge

    def told(**valid: Any) -> str:
        procedure = knowledge.procedures["AIR-017"].model_copy(update={"valid": Validity(**valid)})
        changed = replace(knowledge, procedures={**knowledge.procedures, "AIR-017": procedure})
        return draft(case(installation, "EMU-01-A"), changed).body

    assert "[AIR-017]" in told(attributes={"car": ("driving trailer",)})
    assert "[AIR-017]" not in told(attributes={"car": ("motor car",)})
    assert "[AIR-017]" not in told(versions={"software": Versions(since="4.0")})
    unknown = next(line for line in told(attributes={"dryer": ("new",)}).split("\n") if "[AIR-017]" in line)
    assert "; check whether it holds here; " in unknown


def test_a_diagnosis_from_before_there_was_advice_is_written_all_the_same(installation: Installation) -> None:
    old = {key: value for key, value in case(installation, "EMU-01-A").diagnosis.items() if key in _OF_OLD}
    body = lines(installation, "EMU-01-A", diagnosis=old)
    assert not any(line.startswith(("Probability", "Failure expected", "Candidate")) for line in body)
    assert "Probable parts:" in body


@pytest.mark.parametrize(
    ("expected", "english", "chinese"),
    [
        (
            {"from": "2026-03-29T20:00:00+00:00", "at": "2026-03-30T23:00:00+00:00", "by": "2026-04-01T10:00:00+00:00"},
            "between 2026-03-29 and 2026-04-01, most likely on 2026-03-31 (90 % of such failures)",
            "2026-03-29 至 2026-04-01，最可能在 2026-03-31（此类故障的 90 %）",
        ),
        (
            {"from": "2026-03-29T23:00:00+00:00", "at": "2026-03-30T08:00:00+00:00", "by": "2026-03-30T22:00:00+00:00"},
            "on 2026-03-30 (90 % of such failures)",
            "2026-03-30（此类故障的 90 %）",
        ),
    ],
)
def test_when_the_failure_is_expected_is_said_in_the_sites_days(
    installation: Installation, expected: dict[str, str], english: str, chinese: str
) -> None:
    diagnosis = dict(case(installation, "EMU-01-A").diagnosis) | {"expected": expected}
    found = draft(case(installation, "EMU-01-A", diagnosis=diagnosis), installation.knowledge)
    assert f"Failure expected: {english}" in found.body.split("\n")
    assert found.data["expected"] == expected
    assert expected_time(diagnosis, ZoneInfo("Europe/Madrid"), "zh") == chinese


_OF_OLD = ("text", "source", "advise", "iso14224", "evidence")


def test_the_same_content_stands_in_it_for_machines(installation: Installation) -> None:
    data = draft(case(installation, "EMU-01-A"), installation.knowledge).data
    assert data["probability"] == 0.83
    assert data["failure_modes"][0]["voices"] == ["rule", "casebase"]
    assert data["causes"] == [{"code": "hose-chafed", "probability": 0.61, "cases": 5}]
    assert data["repairs"][0]["code"] == "dryer-renewed"
    assert data["parts"][0] == {
        "code": "HOS-1102", "probability": 0.62, "cases": 5, "in_stock": 0, "counted": "2026-03-20"
    }  # fmt: skip
    assert "in_stock" not in data["parts"][2]
    assert data["skill_level"] == 2
    assert data["act_by"] == "2026-03-30T23:00:00+00:00"
    assert (data["iso14224"], data["site"], data["episode"]) == ("ELU", "madrid", 1)
    assert data["evidence"][0] == {"feature": "compressor_duty.mean", "value": 51.24, "normal": 24.5}
    assert data["faults"] == [
        {"day": "2026-03-27", "code": "A2102", "count": 3},
        {"day": "2026-03-26", "code": "X1", "count": 1},
    ]


@pytest.mark.parametrize(
    ("instant", "zone", "said"),
    [
        ("2026-03-29T00:59:59+00:00", "Europe/Madrid", "2026-03-29 01:59 (Europe/Madrid)"),
        ("2026-03-29T01:00:00+00:00", "Europe/Madrid", "2026-03-29 03:00 (Europe/Madrid)"),
        ("2026-10-25T00:30:00+00:00", "Europe/Madrid", "2026-10-25 02:30 (Europe/Madrid)"),
        ("2026-10-25T02:30:00+00:00", "Europe/Madrid", "2026-10-25 03:30 (Europe/Madrid)"),
        ("2026-10-25T02:30:00+00:00", "America/Sao_Paulo", "2026-10-24 23:30 (America/Sao_Paulo)"),
    ],
)
def test_an_instant_is_said_as_the_clock_on_the_wall_says_it(instant: str, zone: str, said: str) -> None:
    from zoneinfo import ZoneInfo

    assert local_time(datetime.fromisoformat(instant), ZoneInfo(zone)) == said


def test_a_repair_above_the_sites_level_says_so(installation: Installation) -> None:
    hard = installation.knowledge.failure_modes["AIR-LEAK"].model_copy(update={"skill_level": 3})
    sao_paulo = next(a.id for a in installation.register.assets.values() if a.site == "sao-paulo")
    needed = "Maintenance level needed (EN 13306): 3"
    assert f"{needed} (above this site's own; ask technical support)" in lines(
        installation, sao_paulo, failure_mode=hard
    )
    assert needed in lines(installation, "EMU-01-A", failure_mode=hard)


TERMS = Text(en="The maker pays.", zh="制造商承担。")
LEAP = date(2024, 2, 29)


@pytest.mark.parametrize(
    ("asset", "mode_months", "on", "says"),
    [
        ({"commissioned": LEAP}, 12, date(2025, 2, 28), "in force until 2025-02-28; The maker pays."),
        ({"commissioned": LEAP}, 12, date(2025, 3, 1), "ended on 2025-02-28; The maker pays."),
        ({"warranty_until": date(2026, 1, 1)}, 12, date(2025, 3, 1), "not recorded"),
        ({"warranty_until": date(2026, 1, 1)}, None, date(2026, 1, 1), "in force until 2026-01-01; The maker pays."),
        ({"warranty_until": date(2026, 1, 1)}, 0, date(2026, 1, 2), "ended on 2026-01-01"),
        ({}, 0, date(2026, 1, 2), "not recorded"),
    ],
)
def test_the_state_of_the_warranty_on_the_day_of_the_first_symptom(
    asset: dict[str, date], mode_months: int | None, on: date, says: str
) -> None:
    """``mode_months`` 0: the failure mode has no terms of its own."""
    terms = None if mode_months == 0 else Warranty(months=mode_months, terms=TERMS)
    mode = FailureMode(code="X", title=Text(en="x", zh="x"), warranty=terms)
    assert warranty(Asset(id="A", asset_type="t", site="s", **asset), mode, on, "en") == says  # type: ignore[arg-type]


@pytest.mark.usefixtures("tables")
def test_a_ticket_is_written_from_the_tables(installation: Installation) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert
    from alerts.tickets.text import compose

    at = int(datetime(2026, 5, 4, 10, tzinfo=UTC).timestamp()) * 10**9
    entry = FaultLogEntry("A2102", "minor", 3, at, at, None, True, False, {"speed": 62.0})
    standing = replace(entry, code="A2101", count=0)
    ledger = DjangoLedger()
    for n in range(10):
        text = Text(en=f"Day {n}.", zh=f"第{n}天。")
        day = DAY + timedelta(days=n)
        ledger.record([outcome(diagnosis(day, n <= 8 or None, text=text), entries=(entry, standing))])
    settings = installation.settings.model_copy(update={"console": Console(base_url="https://fleet.example.org")})
    alert = Alert.objects.get()
    body = compose(alert, replace(installation, settings=settings)).body.split("\n")
    assert body[0] == "Day 8."  # the last day on which it held, not the silent one after it
    assert body[2] == "Act by: 2026-05-07 02:00 (Europe/Madrid)"  # of the first day: urgency does not slip
    log = [line for line in body if "A2102" in line]
    assert log[0] == "  2026-05-12 A2102 Compressor running too long: 3 ×; freeze frame: speed=62"
    assert len(log) == 7
    assert not any("A2101" in line for line in body)
    assert body[-1] == f"Evidence with charts: https://fleet.example.org/alerts/{alert.pk}/"


@pytest.mark.usefixtures("tables")
def test_what_the_knowledge_base_has_lost_since_stops_no_ticket(installation: Installation) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert
    from alerts.tickets.text import compose

    DjangoLedger().record([outcome(diagnosis(advise=("procedure:AIR-017", "part:DRY-4711")))])
    found = compose(Alert.objects.get(), replace(installation, knowledge=Knowledge()))
    assert found.title == "EMU-01-A: AIR-LEAK (major)"
    assert "AIR-017" not in found.body
