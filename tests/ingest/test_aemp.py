"""ISO 15143-3 fault files: read by element names, bounded, imported once."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.register import Asset, AssetType, FaultCode, Register, Signal, Site, Text
from config.settings import Ingest
from config.source import ConfigError
from ingest.accounting import Accounting
from ingest.aemp import import_faults, read
from ingest.counters import Counters
from ingest.pipeline import Pipeline
from telemetry.memory import MemoryStore

TITLE = Text(en="x", zh="x")
LOADERS = Register(
    (Site(id="madrid", title="Madrid"),),
    (
        AssetType(
            id="loader",
            title=TITLE,
            signals=(Signal(name="rpm", unit="rpm"),),
            faults=tuple(FaultCode(code=code, title=TITLE) for code in ("1208-3", "190-2", "P-0420")),
        ),
    ),
    (
        Asset(id="L-1", asset_type="loader", site="madrid"),
        Asset(id="L-2", asset_type="loader", site="madrid", attributes={"serial_number": "SN2"}),
    ),
)
SECOND = 10**9
AT = int(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp()) * SECOND


def code(identifier: str, stamp: str = "2026-03-04T05:06:07Z", more: str = "") -> str:
    return f'<FaultCode datetime="{stamp}"><CodeIdentifier>{identifier}</CodeIdentifier>{more}</FaultCode>'


def header(**names: str) -> str:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in names.items())
    return f"<EquipmentHeader><OEMName>ACME</OEMName>{inside}</EquipmentHeader>"


def fleet(*parts: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<FaultCodeMessages xmlns="http://standards.iso.org/iso/15143/-3">\n'
        '<Links><rel>self</rel><href>/Fleet/1</href></Links>\n' + "\n".join(parts) + "\n</FaultCodeMessages>"
    )  # fmt: skip


class Office:
    def __init__(self, folder: Path, accounting: Accounting) -> None:
        self.file, self.accounting, self.store = folder / "faults.xml", accounting, MemoryStore()

    def bring(self, text: str | bytes, asset_id: str | None = None) -> Counters:
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        pipeline = Pipeline(
            self.store, self.accounting, LOADERS, settings=Ingest(), clock=lambda: AT + 86_400 * SECOND
        )  # fmt: skip
        return import_faults(self.file, LOADERS, pipeline, self.accounting, self.store, asset_id=asset_id)

    def faults(self) -> list[tuple[str, str, int, str, str]]:
        frame = self.store.read_faults(["L-1", "L-2"], 0, 2**62)
        columns = ("asset_id", "code", "time", "severity", "context")
        return sorted(zip(*(frame[name] for name in columns), strict=True))


@pytest.fixture
def office(tmp_path: Path, accounting: Accounting) -> Office:
    return Office(tmp_path, accounting)


def test_fault_codes_are_stored_under_their_machines_and_only_once(office: Office) -> None:
    text = fleet(
        f"<Equipment>{header(EquipmentID='L-1', SerialNumber='SN9')}",
        code("SPN 1208 FMI 3", more="<CodeDescription>Oil</CodeDescription><CodeSeverity>High</CodeSeverity>"),
        code("190/2", more="<AirTemperature>-12.5</AirTemperature><CodeSource>Engine</CodeSource>"),
        code("190/2", more="<CodeSource>Gearbox</CodeSource>"),
        f"</Equipment><Equipment>{header(EquipmentID='unheard of', SerialNumber='SN2')}",
        code("P 0420", "2026-03-04T06:06:08+01:00", "<CodeSeverity>7</CodeSeverity>"),
        "</Equipment>",
    )
    first, second = office.bring(text), office.bring(text)
    assert (first.stored, first.duplicates, first.quarantined) == (4, 0, 0)
    assert (second.stored, second.duplicates, second.quarantined) == (0, 4, 0)
    assert office.faults() == [
        ("L-1", "1208-3", AT, "critical", "{}"),
        ("L-1", "190-2", AT, "", '{"air_temperature": -12.5}'),
        ("L-1", "190-2", AT, "", "{}"),
        ("L-2", "P-0420", AT + SECOND, "", "{}"),
    ]


def test_whose_codes_these_are_can_be_said(office: Office) -> None:
    text = fleet(code("190-2"))
    refused = office.bring(text)
    assert (refused.stored, refused.reasons) == (0, {"unknown-asset": 1})
    assert office.bring(text, "L-2").stored == 1
    assert [row[0] for row in office.faults()] == ["L-2"]


def test_what_is_wrong_is_counted_by_reason_and_the_rest_is_stored(office: Office) -> None:
    machine = header(EquipmentID="L-1")
    counters = office.bring(
        fleet(machine, code("190-2"), code("190-2", "yesterday"), code("190-2", "2026-03-04T05:06:07"), code(""))
        .replace("</FaultCodeMessages>", code("999-9") + "</FaultCodeMessages>")
    )  # fmt: skip
    assert (counters.stored, counters.quarantined) == (1, 4)
    assert counters.reasons == {"bad-time": 2, "missing": 1, "unknown-code": 1}


def test_a_snapshot_without_fault_codes_brings_nothing(office: Office) -> None:
    assert office.bring("<Fleet><Equipment/></Fleet>").received == 0


LAUGHS = '<!DOCTYPE l [<!ENTITY a "lol"><!ENTITY b "' + "&a;" * 1000 + '">]><l>&b;</l>'
OUTSIDE = '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><l>&a;</l>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "faults.xml:1: is no XML: no element found"),
        ("<a>\n<b></a>", "faults.xml:2: is no XML: mismatched tag"),
        ('{"faultCode": []}', "faults.xml:1: is no XML: not well-formed"),
        (LAUGHS, "faults.xml:1: brings a document type, which is not taken"),
        (OUTSIDE, "faults.xml:1: brings a document type, which is not taken"),
        ("<a>" * 33, "faults.xml:1: is nested deeper than 32"),
        ("<a>" + "x" * 10_001, "faults.xml:1: an element holds more than 10000 characters"),
        (b"<a>\xff</a>", "faults.xml:1: is no XML: not well-formed"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "faults.xml:1: is in an encoding that is not read"),
        ('<?xml version="1.0" encoding="utf-7"?><a/>', "faults.xml:1: is in an encoding that is not read"),
        ("<a>&unknown;</a>", "faults.xml:1: is no XML: undefined entity"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_another_file_is_refused_with_its_line(office: Office, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        office.bring(text)
    assert str(caught.value).startswith(message)


def test_what_stands_before_a_mistake_is_told(tmp_path: Path) -> None:
    path = tmp_path / "faults.xml"
    path.write_text("<a>" + code("1-1") * 20_000 + "<b></a>")
    found = []
    with pytest.raises(ConfigError, match="mismatched tag"):
        found.extend(read(path))
    walk = read(path)
    assert next(walk).details["CodeIdentifier"] == "1-1"


def test_no_bytes_make_it_raise_anything_else(office: Office) -> None:
    seeded = random.Random(20260921)
    seed = fleet(
        header(EquipmentID="L-1"), code("190-2", more="<CodeSeverity>low</CodeSeverity>"), code("1208-3")
    ).encode()
    stored = refused = 0
    for number in range(500):
        content = bytearray(seed)
        for _ in range(seeded.randint(1, 3)):
            at = seeded.randrange(len(content))
            pick = seeded.choice(
                [b"", b"<", b">", b"&lt;", b"\xff", b"</FaultCode>", b"<FaultCode>", seed[at : at + 40]]
            )
            content[at : at + seeded.randrange(3)] = pick
        try:
            stored += office.bring(bytes(content), None if number % 2 else "L-1").received
        except ConfigError:
            refused += 1
    assert stored > 20
    assert refused > 20
