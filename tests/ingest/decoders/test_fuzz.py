"""Bytes of any kind, to every decoder there is: nothing is raised, what is read is sound, and memory is bounded.

``make fuzz`` gives each 100,000 inputs; here it is ``FLEETDX_FUZZ`` or 2,000.
"""

from __future__ import annotations

import json
import math
import os
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sparkplug_messages import BOOLEAN, DOUBLE, INT8, bd_seq, double, field, metric, payload, rebirth_control

from config.settings import Ingest, Mqtt
from config.source import ConfigError
from ingest import aemp
from ingest.decoders.decoder import Decoded, Reject
from ingest.memory import Memory
from ingest.routes import Routes, decoder_names

INPUTS = int(os.environ.get("FLEETDX_FUZZ", "2000"))
MEASURED_EACH = 20
"""Of so many inputs, one is watched for the memory that it takes: watching costs more than reading."""
TS = 1_790_000_000_000
NOW = (TS + 86_400_000) * 1_000_000
MAX_DETAIL = 500

Input = tuple[str, bytes]
"""Where a message comes in, below its prefix, and its payload."""
TEMPERATURE = metric(double(88.1), name="Oil Temp", alias=7, datatype=DOUBLE)
CORPUS: dict[str, list[Input]] = {
    "json": [
        ("bus-1/telemetry", b'{"ts": 1790000000000, "seq": 1, "signals": {"rpm": 1500, "oil_temp": 88.1}}'),
        ("bus-1/telemetry", b'{"seq": 2, "samples": [{"ts": "2026-09-21T14:13:20Z", "signals": {"rpm": 1}}, {}]}'),
        ("bus-1/faults", b'{"ts": 1790000000000, "code": "F1", "state": "set", "context": {"speed": 62.0}}'),
        ("bus-1/status", b'{"online": true, "ts": 1790000000000, "asset_id": "bus-1"}'),
    ],
    "line": [
        ("bus-1/telemetry", b'telemetry,asset_id=bus-1,a\\ b=x rpm=15,oil_temp=88i,n="a, b\\"" 1790000000000000000'),
        ("bus-1/telemetry", b"cpu value=.5 1790000000\n# x\n\ncpu,host=a value=7u,other=-3e-2 1790000000000"),
        ("bus-1/faults", b'faults,code=F1,occurrence=2 state="clear",speed=3e1 1790000000000'),
        ("bus-1/status", b"online online=true 1790000000"),
    ],
    "j1939": [
        ("bus-1/faults", bytes.fromhex("04FFB804030AFFFF")),
        ("bus-1/faults", bytes.fromhex("00FF64000101070005FF")),
        ("bus-1/faults", b'{"ts": 1790000000000, "seq": 3, "source": 1, "dm1": "04ffb804030affff"}'),
    ],
    "sparkplug": [
        ("g/NBIRTH/bus-1", payload([bd_seq(1), rebirth_control(), TEMPERATURE], seq=0, ts=TS)),
        ("g/NDATA/bus-1", payload([metric(double(88), alias=7)], seq=1, ts=TS)),
        ("g/DBIRTH/n/bus-1", payload([metric(field(14, 1), name="Faults/F1", datatype=BOOLEAN)], seq=2, ts=TS)),
        ("g/DDATA/n/bus-1", payload([metric(field(10, 7), name="x", datatype=INT8)], seq=3, ts=TS)),
        ("g/NDEATH/bus-1", payload([bd_seq(1)], seq=None, ts=None)),
    ],
    "aemp": [
        (
            "faults.xml",
            b'<?xml version="1.0" encoding="UTF-8"?><F xmlns="http://standards.iso.org/iso/15143/-3"><EquipmentHeader>'
            b"<EquipmentID>L-1</EquipmentID></EquipmentHeader><FaultCode datetime='2026-03-04T05:06:07Z'>"
            b"<CodeIdentifier>SPN 190 FMI 2</CodeIdentifier><CodeSeverity>low</CodeSeverity>"
            b"<AirTemperature>21.5</AirTemperature></FaultCode></F>",
        )
    ],
}  # fmt: skip
PIECES: list[bytes] = [
    *(bytes([letter]) for letter in b'"{}[],:\\=<>& \n\0\xff'),
    b"1e999", b"NaN", b"-0", b"null", b"true", b"9" * 50, b'"\\ud800"', b"\xc0\x80", b"\xed\xa0\x80", b"1790000000000",
    b'"samples":[', b'{"ts":1,', b"</FaultCode>", b"<FaultCode>", b"<!DOCTYPE a>", b"&#0;", b"\x12\xff\xff\xff\xff\x0f",
    b"\x80" * 10, b"\x09", b"\x7f\xf0\0\0\0\0\0\0",
]  # fmt: skip
BOMBS: dict[str, list[Input]] = {
    "json": [
        ("bus-1/telemetry", b"[" * 999_999),
        ("bus-1/telemetry", b'{"a":' * 199_999),
        ("bus-1/telemetry", b'{"samples":[' + b"{}," * 333_000 + b"{}]}"),
        ("bus-1/telemetry", b'{"ts":1,"signals":{' + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}}"),
        ("bus-1/telemetry", b'{"ts":1,"signals":{' + b",".join([b'"a":1'] * 150_000) + b"}}"),
        ("bus-1/telemetry", b'"' * 999_999),
        ("bus-1/faults", b'{"ts":' + b"9" * 999_000 + b"}"),
        ("bus-1/faults", b'{"code":"' + b"\\u0041" * 166_000 + b'"}'),
    ],
    "line": [
        ("bus-1/telemetry", b"a b=1 1\n" * 124_999),
        ("bus-1/telemetry", b"\n" * 999_999),
        ("bus-1/telemetry", b"a " + b",".join(b"f%d=1" % n for n in range(110_000)) + b" 1790000000"),
        ("bus-1/telemetry", b'a b="' + b"\\" * 999_000),
        ("bus-1/telemetry", b"," * 999_999),
    ],
    "j1939": [
        ("bus-1/faults", b"\x04\xff" + b"\xb8\x04\x03\x0a" * 249_000),
        ("bus-1/faults", b'{"ts":1790000000000,"dm1":"' + b"0" * 999_000 + b'"}'),
        ("bus-1/faults", b"[" * 999_999),
    ],
    "sparkplug": [
        ("g/NBIRTH/bus-1", b"\x12\x00" * 499_999),
        ("g/NBIRTH/bus-1", payload([metric(double(1), name=b"%d" % n, datatype=9) for n in range(9_999)], seq=0, ts=1)),
        ("g/NBIRTH/bus-1", payload([metric(double(1), name=b"n" * 999_000, datatype=DOUBLE)], seq=0, ts=TS)),
        ("g/NBIRTH/bus-1", b"\x4b" * 999_999),
        ("g/NDATA/bus-1", b"\x12\xff\xff\xff\xff\x07" * 166_000),
    ],
    "aemp": [
        ("faults.xml", b"<a>" * 333_000),
        ("faults.xml", b"<FaultCode><CodeIdentifier>" + b"1" * 999_000),
        ("faults.xml", b"<a " + b" ".join(b'a%d="1"' % n for n in range(90_000)) + b"/>"),
        ("faults.xml", b"<a>" + b"<FaultCode datetime='2026-03-04T05:06:07Z'/>" * 20_000 + b"</a>"),
    ],
}  # fmt: skip
PER_BYTE = 100
"""What reading may take for each byte of a payload: the object of a small number takes as much."""
MOST_MB = 64


class Feed:
    """Takes input after input, as the pipeline would: what is remembered is settled after each."""

    def __init__(self, name: str, folder: Path) -> None:
        self._file = folder / "faults.xml" if name == "aemp" else None
        decoders = {} if name in ("json", "aemp") else {"p": name}
        self._routes = Routes.from_settings(Mqtt(prefix="p", decoders=decoders), Ingest())

    @property
    def memory(self) -> Memory:
        return self._routes.memory

    def take(self, path: str, content: bytes) -> list[Decoded]:
        if self._file is not None:
            self._file.write_bytes(content)
            found: list[Decoded] = []
            with suppress(ConfigError):  # which is how a file is refused
                found.extend(map(aemp._decoded, aemp.read(self._file)))
            return found
        routed = self._routes.find(f"p/{path}")
        assert not isinstance(routed, Reject)
        self.memory.begin()
        decoded, _ = self._routes.decode(routed, content, NOW, known=True)
        self.memory.settle()
        return [decoded]


def expect_sound(found: Decoded) -> bool:
    """Check what was read; return whether anything was."""
    values = [value for sample in found.samples for value in sample.values.values()]
    values += [value for fault in found.faults for value in fault.context.values()]
    assert all(type(value) in (float, int) and math.isfinite(value) for value in values)
    assert all(type(value) is float for sample in found.samples for value in sample.values.values())
    assert found.rejected >= 0
    assert found.lost >= 0
    assert bool(found.rejects) >= bool(found.rejected)
    for reject in found.rejects:
        assert reject.reason
        assert reject.field
        assert len(str(reject)) < MAX_DETAIL
    str(found.rejects).encode()
    return bool(found.samples or found.faults or found.online is not None)


def mutated(seeded: random.Random, seeds: list[Input]) -> Input:
    path, content = seeded.choice(seeds)
    if seeded.random() < 0.05:
        return path, seeded.randbytes(seeded.randint(0, 400))
    data = bytearray(content)
    for _ in range(seeded.choice([0, 1, 1, 1, 2, 3, 6])):
        at = seeded.randrange(len(data) + 1)
        match seeded.randrange(6):
            case 0:
                data[at:at] = seeded.randbytes(seeded.randint(1, 5))
            case 1:
                del data[at : at + seeded.randint(1, 8)]
            case 2:
                data[at : at + seeded.randrange(3)] = seeded.choice(PIECES)
            case 3:
                data[at:at] = data[seeded.randrange(len(data) + 1) :][:40]
            case 4:
                data[at:at] = seeded.choice(seeds)[1][:80]
            case _:
                if at < len(data):
                    data[at] ^= 1 << seeded.randrange(8)
    return path, bytes(data)


@contextmanager
def bounded(content: bytes) -> Iterator[None]:
    """Expect that memory for a payload is bounded, by its size and at all."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < min(MOST_MB * 1_000_000, 2_000_000 + PER_BYTE * len(content)), (
        f"{peak / 1e6:.1f} MB for {content[:80]!r}"
    )


def test_every_decoder_that_there_is_takes_part() -> None:
    assert sorted(CORPUS) == sorted(BOMBS) == sorted([*decoder_names(), "aemp"])
    assert len(CORPUS) == 5


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_no_bytes_make_a_decoder_raise(name: str, tmp_path: Path) -> None:
    seeded, feed, readable = random.Random(20261126), Feed(name, tmp_path), 0
    for number in range(INPUTS):
        path, content = mutated(seeded, CORPUS[name])
        if number % MEASURED_EACH == 0:
            with bounded(content):
                found = feed.take(path, content)
        else:
            found = feed.take(path, content)
        readable += sum(map(expect_sound, found)) > 0
    assert INPUTS // 20 < readable < INPUTS  # neither all noise nor all harmless
    assert feed.memory._held_bytes < 5_000_000


INPUT = st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), INPUT | st.sampled_from(PIECES)), max_size=4)
KEYS = ["ts", "seq", "signals", "samples", "code", "context", "state", "online", "dm1", "source", "a"]
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_no_sequence_of_messages_makes_a_decoder_raise(name: str, tmp_path: Path) -> None:
    @settings(
        max_examples=max(100, INPUTS // 20), deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(st.tuples(st.sampled_from(CORPUS[name]), EDITS | VALUE.map(json.dumps)), min_size=1, max_size=5))
    def feed_all(messages: list[tuple[Input, object]]) -> None:
        feed = Feed(name, tmp_path)
        for (path, content), change in messages:
            data = bytearray(content)
            if isinstance(change, str):
                data = bytearray(change.encode())
            else:
                for where, gone, piece in change:  # type: ignore[attr-defined]
                    at = int(where * len(data))
                    data[at : at + gone] = piece
            for found in feed.take(path, bytes(data)):
                expect_sound(found)

    feed_all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in sorted(BOMBS) for number in range(len(BOMBS[name]))]
)
def test_no_payload_takes_more_memory_than_its_size_allows(name: str, number: int, tmp_path: Path) -> None:
    path, content = BOMBS[name][number]
    feed = Feed(name, tmp_path)
    with bounded(content):
        for found in feed.take(path, content):
            expect_sound(found)
