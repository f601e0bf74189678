"""InfluxDB line protocol: what our own store writes is read back, and what others write is read or named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders.decoder import Decoded, Limits
from ingest.decoders.line import LineDecoder
from telemetry.lineprotocol import fault_line, measurement_text
from telemetry.records import FaultEvent, Measurements

SECOND = 1_790_000_000
NS = SECOND * 10**9
LIMITS = Limits(payload_bytes=100_000, samples=50, signals=20)


def decode(text: str | bytes, kind: str = "telemetry") -> Decoded:
    payload = text if isinstance(text, bytes) else text.encode()
    return LineDecoder(LIMITS).decode(kind, payload)  # type: ignore[arg-type]


def values(found: Decoded) -> list[tuple[int, dict[str, float]]]:
    return [(sample.time, dict(sample.values)) for sample in found.samples]


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='\\"#'), min_size=1)
NAMES |= st.sampled_from(["oil temp", "a,b", "x=y", "rpm"])


@settings(max_examples=200, deadline=None)
@given(
    NAMES,
    st.dictionaries(
        NAMES.filter(lambda name: name != "value"),
        st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=5,
    ),
    st.integers(10**15, 4_000_000_000_000_000),
)
def test_what_the_store_writes_is_read_back(asset_id: str, told: dict[str, float], microseconds: int) -> None:
    found = decode(measurement_text([Measurements.at(asset_id, microseconds * 1000, told)]))
    assert (found.asset_id, values(found), len(found.rejects)) == (asset_id, [(microseconds * 1000, told)], 0)


@pytest.mark.parametrize(("state", "occurrence"), [("set", 0), ("clear", 1), ("set", 12)])
@pytest.mark.parametrize("kind", ["telemetry", "faults"])
def test_faults_that_the_store_writes_are_read_back(state: str, occurrence: int, kind: str) -> None:
    written = FaultEvent("bus-1", "F1", NS, occurrence, state, "major", {"speed": 62.5})  # type: ignore[arg-type]
    found = decode(fault_line(written), kind)
    [fault] = found.faults
    # The store writes the freeze frame as text, and text is passed over.
    assert tuple(fault) == (NS, "F1", state, occurrence, "major", {})
    assert (found.asset_id, found.samples, len(found.rejects)) == ("bus-1", [], 0)


def test_what_telegraf_writes_is_read() -> None:
    found = decode(
        'modbus,host=gw1,slave_id=3 oil_temp=88.1,rpm=1500i,running=true,name="pump, left" 1790000000000000000\n'
        "pressure value=2.5 1790000001\r\n"
        "\n# a comment\n"
        "pressure value=2.6,low=1u 1790000002000\n"
        "pressure value=2.7 1790000003000000\n"
    )
    assert values(found) == [
        (NS, {"oil_temp": 88.1, "rpm": 1500.0, "running": 1.0}),
        (NS + 10**9, {"pressure": 2.5}),
        (NS + 2 * 10**9, {"pressure": 2.6, "low": 1.0}),
        (NS + 3 * 10**9, {"pressure": 2.7}),
    ]
    assert len(found.rejects) == 0


def test_a_fault_may_be_told_with_fields_and_its_numbers_are_the_freeze_frame() -> None:
    [fault] = decode('faults code="F9",severity="minor",speed=62,gear="R" 1790000000', "faults").faults
    assert tuple(fault) == (NS, "F9", "set", 0, "minor", {"speed": 62.0})


def test_status_is_a_field_called_online() -> None:
    assert decode("status online=true 1790000000", "status").online is True
    assert decode("status,asset_id=bus-1 online=0i 1790000000", "status").online is False
    assert [r.reason for r in decode("status up=true 1790000000", "status").rejects] == ["missing"]


T = " 1790000000"
WRONG = [
    ("", "missing", "payload"),
    ("\n# only\n", "missing", "payload"),
    (b"rpm\xff value=1", "not-utf8", "payload"),
    ("x" * 100_001, "too-large", "payload"),
    ("a b=1 1790000000\n" * 51, "too-many", "payload"),
    ("rpm", "not-line", "line 1"),
    ("rpm ", "not-line", "line 1"),
    ('{"ts": 1, "signals": {}}', "not-line", "line 1"),
    (",a=b rpm=1" + T, "not-line", "line 1"),
    ("m,a rpm=1" + T, "not-line", "line 1"),
    ("m,a= rpm=1" + T, "not-line", "line 1"),
    ("m,a=1,a=2 rpm=1" + T, "duplicate-key", "line 1.a"),
    ("m rpm=" + T, "not-line", "line 1"),
    ("m rpm=1", "missing", "line 1.time"),
    ("m rpm=1 yesterday", "bad-time", "line 1.time"),
    ("m rpm=1 1790000000 x", "bad-time", "line 1.time"),
    ("m rpm=1 0", "bad-time", "line 1.time"),
    ("m rpm=1 -5", "bad-time", "line 1.time"),
    ("m rpm=1 99999999999999999999", "bad-time", "line 1.time"),
    ("m rpm=abc" + T, "wrong-type", "line 1.rpm"),
    ("m rpm=1.5i" + T, "wrong-type", "line 1.rpm"),
    ("m rpm=0x10" + T, "wrong-type", "line 1.rpm"),
    ("m rpm=1_000" + T, "wrong-type", "line 1.rpm"),
    ("m rpm=NaN" + T, "not-finite", "line 1.rpm"),
    ("m rpm=-Inf" + T, "not-finite", "line 1.rpm"),
    ("m rpm=1e999" + T, "not-finite", "line 1.rpm"),
    ('m rpm="fast"' + T, "missing", "line 1.fields"),
    ('m rpm="fast' + T, "missing", "line 1.time"),
    ("m " + ",".join(f"s{n}=1" for n in range(21)) + T, "too-many", "line 1.fields"),
    ("faults,x=y rpm=1" + T, "missing", "line 1.code"),
    ('faults,code=F1 state="on"' + T, "wrong-type", "line 1.state"),
    ('faults,code=F1 occurrence=1.5' + T, "wrong-type", "line 1.occurrence"),
    ('faults,code=F1 severity=1' + T, "wrong-type", "line 1.severity"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason", "field"), WRONG, ids=lambda value: str(value)[:30])
def test_what_is_wrong_is_refused_and_named(text: str | bytes, reason: str, field: str) -> None:
    found = decode(text)
    assert [(reject.reason, reject.field) for reject in found.rejects] == [(reason, field)]
    assert (found.rejected, list(found.samples), list(found.faults)) == (1, [], [])


def test_what_is_right_is_kept() -> None:
    found = decode("m a=1,b=x,c=2,c=3,d=nan 1790000000\nbroken\nm a=2 1790000001")
    assert values(found) == [(NS, {"a": 1.0}), (NS + 10**9, {"a": 2.0})]
    assert [reject.field for reject in found.rejects] == ["line 1.b", "line 1.c", "line 1.d", "line 2"]
    assert found.rejected == 1
    other = decode("m,asset_id=bus-1 a=1 1790000000\nm,asset_id=bus-2 a=2 1790000001")
    assert (other.asset_id, values(other)) == ("bus-1", [(NS, {"a": 1.0})])
    assert [reject.reason for reject in other.rejects] == ["other-asset"]


def test_hostile_text_takes_no_time() -> None:
    for text in (
        '"' * 100_000,
        "\\" * 100_000,
        "a" + ',b="' * 25_000,
        "m " + 'a="\\' * 20_000,
        " " * 99_999,
        "=" * 99_999,
    ):
        found = LineDecoder().decode("telemetry", text.encode())
        assert found.rejected == 1
        assert len(str(found.rejects)) < 500


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('ab,= \\"\n#1.ietT-'), max_size=60), st.sampled_from(["telemetry", "faults", "status"]))
def test_no_text_makes_it_raise(text: str, kind: str) -> None:
    found = decode(text.replace("T", " 1790000000"), kind)
    assert all(math.isfinite(v) for sample in found.samples for v in sample.values.values())
    assert found.samples or found.faults or found.rejected or found.online is not None
