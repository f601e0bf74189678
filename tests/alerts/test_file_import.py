"""Findings from a file: each row is one ticket's, what is wrong is told by line and field, and twice is once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome
from hypothesis import given
from hypothesis import strategies as st

from alerts.outcomes import finding_file
from alerts.outcomes.finding import BadFinding
from alerts.outcomes.finding_file import BadFile, rows_of
from config.knowledge import Knowledge
from config.settings import Settings

SETTINGS = Settings()
NOW = datetime(2027, 1, 1, tzinfo=UTC)
FOUND = f"{DAY + timedelta(days=1)}T10:00:00+02:00"


@pytest.fixture
def cars(tables: object) -> list[str]:
    """Three assets, each with an alert and its ticket."""
    from alerts.ledger import DjangoLedger

    names = [f"EMU-0{number}-A" for number in (1, 2, 3)]
    DjangoLedger().record([outcome(diagnosis(asset_id=name)) for name in names])
    return names


def key(car: str) -> str:
    return f"{car}/AIR-LEAK/1"


def file(tmp_path: Path, content: str | bytes, suffix: str = "csv") -> Path:
    path = tmp_path / f"found.{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def taken(path: Path, *, dry_run: bool = False) -> Any:
    from alerts.outcomes.file_import import take_rows

    return take_rows(rows_of(path, 65_536), SETTINGS, Knowledge(), NOW, dry_run=dry_run)


def standing() -> dict[str, str]:
    from alerts.outcomes.record import current

    return dict(current().order_by("alert__asset_id").values_list("alert__asset_id", "verdict"))


def refused() -> dict[str, int]:
    from alerts.outcomes.inbound import refusals

    return refusals()


def test_a_table_becomes_outcomes_with_all_that_it_says(cars: list[str], tmp_path: Path) -> None:
    from alerts.models import Alert, Outcome

    path = file(
        tmp_path,
        "\ufeffticket,verdict,at,by,cause,action,parts,downtime_hours,cost,currency\r\n"
        f'{key(cars[0])},confirmed,{FOUND},Li,"hose\nchafed",replaced,clip; 2 m hose,3.5,120.35,EUR\r\n'
        f"{key(cars[1])},false_alarm,{FOUND},,,,,,,\r\n"
        ",,,,,,,,,\r\n",
    )
    report = taken(path)
    assert (report.rows, report.new, report.known, report.problems) == (2, 2, 0, [])
    found = Outcome.objects.get(alert__asset_id=cars[0])
    assert (found.source, found.by, found.cause, found.parts) == ("import", "Li", "hose\nchafed", ["clip", "2 m hose"])
    assert (found.downtime_hours, str(found.cost), found.currency) == (3.5, "120.35", "EUR")
    assert found.at == datetime.fromisoformat(FOUND)
    assert standing() == {cars[0]: "confirmed", cars[1]: "false_alarm"}
    assert dict(Alert.objects.values_list("asset_id", "state")) == {
        cars[0]: "closed", cars[1]: "acknowledged", cars[2]: "unacknowledged",
    }  # fmt: skip


def test_the_same_file_again_changes_nothing_even_after_a_correction(cars: list[str], tmp_path: Path) -> None:
    from alerts.models import Alert, Outcome
    from alerts.outcomes.finding import Finding
    from alerts.outcomes.record import record

    row = {"ticket": key(cars[0]), "verdict": "false_alarm", "at": FOUND}
    corrected = row | {"verdict": "no_trouble_found"}
    path = file(tmp_path, f"{json.dumps(row)}\n\n{json.dumps(row)}\n{json.dumps(corrected)}\n", "jsonl")
    first = taken(path)
    assert (first.new, first.known) == (2, 1)
    assert standing() == {cars[0]: "no_trouble_found"}
    alert = Alert.objects.get(asset_id=cars[0])
    record(alert.pk, Finding(verdict="confirmed", at=NOW), Outcome.Source.CONSOLE, SETTINGS, NOW)
    again = taken(path)
    assert (again.new, again.known) == (0, 3)
    assert standing() == {cars[0]: "confirmed"}
    assert Outcome.objects.count() == 3


def test_a_dry_run_says_what_would_be_and_writes_nothing(cars: list[str], tmp_path: Path) -> None:
    row = {"ticket": key(cars[0]), "verdict": "confirmed", "at": FOUND}
    path = file(tmp_path, f"{json.dumps(row)}\n{json.dumps(row)}\n{json.dumps(row | {'ticket': 'X/Y/1'})}\n", "jsonl")
    report = taken(path, dry_run=True)
    assert (report.new, report.known, dict(report.refused)) == (1, 1, {"unknown-ticket": 1})
    assert (standing(), refused()) == ({}, {})
    real = taken(path)
    assert (real.new, real.known, real.problems) == (report.new, report.known, report.problems)
    assert (standing(), refused()) == ({cars[0]: "confirmed"}, {"unknown-ticket": 1})


@pytest.mark.parametrize(
    ("change", "reason", "problem"),
    [
        ({"ticket": "EMU-09-A/AIR-LEAK/1"}, "unknown-ticket", "ticket: there is no ticket 'EMU-09-A/AIR-LEAK/1'"),
        ({"verdict": "perhaps"}, "malformed", "verdict: Invalid enum value 'perhaps'"),
        ({"verdict": ""}, "malformed", "verdict: is missing"),
        ({"at": "2027-02-01T00:00:00Z"}, "malformed", "at: lies in the future (2027-02-01T00:00:00+00:00)"),
        ({"at": f"{DAY - timedelta(days=3)}T00:00:00Z"}, "malformed", f"at: is before the alert began ({DAY})"),
        ({"at": f"{DAY}T10:00:00"}, "malformed", "at: Expected `datetime` with a timezone component"),
        ({"cost": "12.345", "currency": "EUR"}, "malformed", "cost: has more than two decimals"),
        ({"cost": "12"}, "malformed", "currency: is missing: a cost needs one, such as EUR"),
        ({"downtime_hours": "-1"}, "malformed", "downtime_hours: Expected `float` >= 0.0"),
        ({"parts": "part:NONE"}, "malformed", "parts[0]: unknown part 'NONE'"),
        ({"cause": "a\x1b[31m"}, "malformed", "cause: holds control characters"),
        ({"cause": "x" * 1001}, "malformed", "cause: Expected `str` of length <= 1000"),
        ({"cause": "x" * 70_000}, "malformed", "is longer than 65,536 bytes"),
    ],
)
def test_a_row_that_cannot_be_taken_is_told_by_line_and_field_and_keeps_no_other_waiting(
    cars: list[str], tmp_path: Path, change: dict[str, str], reason: str, problem: str
) -> None:
    columns = ("ticket", "verdict", "at", "cause", "parts", "downtime_hours", "cost", "currency")
    good = {"ticket": key(cars[1]), "verdict": "confirmed", "at": FOUND}
    bad = good | {"ticket": key(cars[0])} | change
    lines = [";".join(columns)] + [";".join(row.get(name, "") for name in columns) for row in (bad, good)]
    report = taken(file(tmp_path, "\n".join(lines)))
    assert report.problems == [f"line 2: {problem}"]
    assert (report.new, dict(report.refused), refused()) == (1, {reason: 1}, {reason: 1})
    assert standing() == {cars[1]: "confirmed"}


def test_the_line_is_that_of_the_file_also_after_cells_of_several_lines(cars: list[str], tmp_path: Path) -> None:
    path = file(
        tmp_path, f'ticket,verdict,at,cause\n{key(cars[0])},confirmed,{FOUND},"a\nb\nc"\n\nX,confirmed,{FOUND},\nX,Y\n'
    )
    assert taken(path).problems == [
        "line 6: ticket: there is no ticket 'X'",
        "line 7: 2 cells stand below 4 columns",
    ]


@pytest.mark.parametrize(
    ("content", "suffix", "problem"),
    [
        ("ticket,verdict\n", "csv", "line 1: column 'at' is missing"),
        ("", "csv", "line 1: column 'ticket' is missing"),
        ("ticket,verdict,at,casue\n", "csv", "line 1: 'casue' is no field of an outcome; did you mean 'cause'?"),
        ("ticket,verdict,at,at\n", "csv", "line 1: column 'at' is given twice"),
        (b"ticket,verdict,at\nA,confirmed,\xff\n", "csv", "line 2: is not UTF-8"),
        ('ticket,verdict,at\nA,"confirmed,x\n', "csv", "line 2: unexpected end of data"),
        ("ticket,verdict,at\nA,b,c\nA,b,c\nA,b,c\n", "csv", "has more than 2 rows"),
        ("[]\n", "xlsx", "is neither .csv nor .jsonl"),
        ("x" * 1001, "jsonl", "has more than 1,000 bytes"),
    ],
)
def test_a_file_that_is_none_is_refused_as_a_whole(
    tmp_path: Path, content: str | bytes, suffix: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding_file, "MAX_BYTES", 1_000)
    monkeypatch.setattr(finding_file, "MAX_ROWS", 2)
    with pytest.raises(BadFile) as error:
        rows_of(file(tmp_path, content, suffix), 65_536)
    assert problem in str(error.value)


@given(st.binary(max_size=400), st.sampled_from(["csv", "jsonl"]))
def test_whatever_stands_in_a_file_it_is_rows_or_a_bad_file(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("junk") / f"found.{suffix}"
    path.write_bytes(b"ticket,verdict,at\n" + junk if suffix == "csv" else junk)
    try:
        rows = rows_of(path, 200)
    except BadFile:
        return
    assert all(isinstance(row.told, BadFinding) or row.told.ticket for row in rows)


@pytest.mark.slow
def test_those_who_raised_them_are_judged_once_the_file_is_read(tables: object, tmp_path: Path) -> None:
    from alerts.ledger import DjangoLedger
    from alerts.models import Probation

    cars = [f"CAR-{number:04d}" for number in range(510)]
    DjangoLedger().record([outcome(diagnosis(asset_id=car)) for car in cars])
    lines = "".join(json.dumps({"ticket": key(car), "verdict": "false_alarm", "at": FOUND}) + "\n" for car in cars)
    report = taken(file(tmp_path, lines, "jsonl"))
    assert (report.new, len(standing())) == (510, 510)
    assert Probation.objects.count() == 1
