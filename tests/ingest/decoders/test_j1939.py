"""SAE J1939 DM1: the bytes of the standard, events from what changed, and bytes of any kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.register import Register
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.decoders.decoder import Decoded, Limits, Place, Reject
from ingest.decoders.j1939 import J1939Decoder
from ingest.memory import Memory
from ingest.pipeline import Message, Pipeline
from telemetry.memory import MemoryStore

TS = 1_790_000_000_000
NS = TS * 1_000_000
LAMPS_OFF = b"\x00\xff"


def dtc(spn: int, fmi: int, count: int = 1, *, old: bool = False) -> bytes:
    """A code, its bits laid out as text: an independent way."""
    bits = f"{spn:019b}"
    high, middle, low = bits[:3], bits[3:11], bits[11:]
    return bytes(int(byte, 2) for byte in (low, middle, f"{high}{fmi:05b}", f"{int(old)}{count:07b}"))


class Unit:
    """A decoder to which a control unit speaks."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.decoder = J1939Decoder(Limits(), self.memory)

    def say(self, payload: bytes, now: int = NS, **options: Any) -> Decoded:
        self.memory.begin()
        found = self.decoder.read("bus-1/faults", payload, now, known=options.pop("known", True), **options)
        self.memory.settle()
        return found

    def json(self, data: bytes, ts: int = TS, **fields: Any) -> Decoded:
        return self.say(json.dumps({"ts": ts, "dm1": data.hex()} | fields).encode(), now=NS + 10**12)


def events(found: Decoded) -> list[tuple[str, str]]:
    return [(fault.code, fault.state) for fault in found.faults]


def reasons(found: Decoded) -> list[tuple[str, str]]:
    return [(reject.reason, reject.field) for reject in found.rejects]


def test_a_frame_as_it_is_on_the_bus_is_read() -> None:
    # Amber lamp on, the others off; SPN 1208 FMI 3, occurrence count 10; filled up to the eight bytes of a CAN frame.
    [fault] = Unit().say(bytes.fromhex("04FF B804030A FFFF")).faults
    assert (fault.code, fault.state, fault.time, fault.severity) == ("1208-3", "set", NS, "major")
    assert fault.context == {
        "lamp_protect": 0, "lamp_amber": 1, "lamp_red_stop": 0, "lamp_malfunction": 0,
        "source": 0, "occurrence_count": 10,
    }  # fmt: skip


@pytest.mark.parametrize(("spn", "fmi", "count"), [(1, 0, 1), (520_192, 31, 126), (524_286, 5, 0), (65_536, 1, 2)])
def test_every_bit_of_a_code_is_read(spn: int, fmi: int, count: int) -> None:
    [fault] = Unit().say(LAMPS_OFF + dtc(spn, fmi, count)).faults
    assert fault.code == f"{spn}-{fmi}"
    assert fault.context.get("occurrence_count", 0) == count


@pytest.mark.parametrize(
    ("lamps", "severity", "on"),
    [
        (0b00000000, "", []),
        (0b00000001, "minor", ["protect"]),
        (0b01000000, "major", ["malfunction"]),
        (0b00010100, "critical", ["amber", "red_stop"]),
    ],
)
def test_lamps_are_the_severity_of_a_single_code(lamps: int, severity: str, on: list[str]) -> None:
    unit = Unit()
    [fault] = unit.say(bytes([lamps, 0xFF]) + dtc(100, 1)).faults
    assert fault.severity == severity
    assert [name for name, state in fault.context.items() if name.startswith("lamp_") and state] == [
        f"lamp_{name}" for name in on
    ]
    two = Unit().say(bytes([lamps, 0xFF]) + dtc(100, 1) + dtc(101, 1)).faults
    assert {fault.severity for fault in two} == {""}  # nobody can say whose lamp it is
    unknown = Unit().say(b"\xee\xff" + dtc(100, 1)).faults[0]
    assert not any(name.startswith("lamp_") for name in unknown.context)  # error and not available


def test_only_what_changed_is_an_event() -> None:
    unit = Unit()
    a, b = dtc(100, 1, 3), dtc(190, 2, 1)
    told = [
        (LAMPS_OFF + a, [("100-1", "set")]),
        (LAMPS_OFF + a, []),
        (LAMPS_OFF + a + b, [("190-2", "set")]),
        (LAMPS_OFF + dtc(100, 1, 4) + b, [("100-1", "set")]),  # it went and came again between two messages
        (LAMPS_OFF + b, [("100-1", "clear")]),
        (LAMPS_OFF + bytes(4) + b"\xff\xff", [("190-2", "clear")]),
        (LAMPS_OFF + dtc(2**19 - 1, 31, 127), []),
    ]
    for number, (data, expected) in enumerate(told):
        assert events(unit.json(data, TS + 1000 * number)) == expected, number


def test_each_control_unit_speaks_for_itself() -> None:
    unit = Unit()
    unit.json(LAMPS_OFF + dtc(100, 1), source=0)
    assert events(unit.json(LAMPS_OFF + dtc(200, 1), TS + 1, source=3)) == [("200-1", "set")]
    assert unit.json(LAMPS_OFF + dtc(100, 1), TS + 2, source=0).faults == []
    assert events(unit.json(LAMPS_OFF + bytes(4), TS + 3, source=3)) == [("200-1", "clear")]


def test_what_is_late_says_nothing_new_and_raw_frames_of_one_moment_keep_their_order() -> None:
    unit = Unit()
    unit.json(LAMPS_OFF + dtc(100, 1), TS + 5)
    assert unit.json(LAMPS_OFF + dtc(100, 1), TS + 5).repeated
    assert unit.json(LAMPS_OFF + bytes(4), TS + 1).repeated
    raw = Unit()
    found = [raw.say(LAMPS_OFF + data) for data in (dtc(100, 1), bytes(4), dtc(100, 1, 2))]
    assert [events(one) for one in found] == [[("100-1", "set")], [("100-1", "clear")], [("100-1", "set")]]
    assert [one.faults[0].time for one in found] == [NS, NS + 1000, NS + 2000]


def test_a_clock_that_is_ahead_does_not_silence_what_follows() -> None:
    unit = Unit()
    ahead = unit.json(LAMPS_OFF + dtc(100, 1), TS + 10**10)
    assert (reasons(ahead), ahead.rejected) == ([("future", "ts")], 1)
    assert events(unit.json(LAMPS_OFF + dtc(100, 1), TS)) == [("100-1", "set")]


def test_what_came_out_of_quarantine_is_read_by_itself() -> None:
    unit = Unit()
    unit.json(LAMPS_OFF + dtc(100, 1), TS)
    before = dict(unit.memory._held)
    again = json.dumps({"ts": TS, "dm1": (LAMPS_OFF + dtc(100, 1)).hex()}).encode()
    assert events(unit.say(again, NS, again=True)) == [("100-1", "set")]
    assert dict(unit.memory._held) == before


def test_what_is_not_in_the_register_leaves_no_trace() -> None:
    unit = Unit()
    found = unit.say(LAMPS_OFF + dtc(100, 1) + dtc(101, 1), known=False)
    assert (found.rejected, found.faults) == (2, ())
    assert not unit.memory._held


GOOD = (LAMPS_OFF + dtc(100, 1)).hex()


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (b"", "wrong-length", "dm1"),
        (b"\x00\xff\x01", "wrong-length", "dm1"),
        (LAMPS_OFF + dtc(1, 1) + b"\x01", "wrong-length", "dm1"),
        (LAMPS_OFF + dtc(1, 1) * 446, "wrong-length", "dm1"),
        (b"{", "not-json", "payload"),
        (b'{"ts": 1}', "not-json", "payload"),
        (b'{"ts": 1, "dm1": 7}', "not-json", "payload"),
        (b'{"a":' * 1000 + b"1", "not-json", "payload"),
        (b'{"ts": 1, "dm1": "\xff"}', "not-json", "payload"),
        (b"{" + b" " * 9000 + b"}", "too-large", "payload"),
        ({"ts": TS, "dm1": "zz"}, "wrong-type", "dm1"),
        ({"ts": TS, "dm1": "123"}, "wrong-type", "dm1"),
        ({"ts": "soon", "dm1": GOOD}, "bad-time", "ts"),
        ({"ts": TS, "dm1": GOOD, "source": 256}, "out-of-range", "source"),
        ({"ts": TS, "dm1": GOOD, "seq": -1}, "out-of-range", "seq"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused_and_named(payload: Any, reason: str, field: str) -> None:
    found = Unit().say(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    assert (reasons(found), found.rejected) == ([(reason, field)], 1)


def test_a_code_in_an_old_order_of_bits_is_told_and_the_others_are_kept() -> None:
    found = Unit().say(LAMPS_OFF + dtc(100, 1) + dtc(200, 2, old=True))
    assert (events(found), reasons(found)) == ([("100-1", "set")], [("old-conversion", "dm1[6]")])


def test_topics() -> None:
    assert Unit().decoder.place("bus-1/faults") == Place("bus-1", "faults")
    for path in ("bus-1/telemetry", "bus-1", "a/b/c"):
        assert isinstance(Unit().decoder.place(path), Reject)


def test_a_crash_before_the_account_sets_no_fault_twice(register: Register, accounting: Accounting) -> None:
    store = MemoryStore()
    bus = register.asset_types["bus"].model_copy(update={"open_vocabulary": True})
    register = Register(register.sites.values(), (bus,), register.assets.values())
    mqtt = Mqtt(decoders={"can": "j1939"})

    def pipeline() -> Pipeline:
        return Pipeline(store, accounting, register, mqtt=mqtt, settings=Ingest(), clock=lambda: NS + 10**10)

    messages = [
        Message("can/bus-1/faults", json.dumps({"ts": TS + n, "seq": n, "dm1": (LAMPS_OFF + data).hex()}).encode())
        for n, data in enumerate([dtc(100, 1), dtc(100, 1), bytes(4)])
    ]
    pipeline().take(messages[:2])
    pipeline().take(messages)  # another process; the broker gives all of it again
    assert store.read_faults(["bus-1"], 0, 2**62)["state"].tolist() == ["set", "clear"]
    counters = accounting.counters()
    assert (counters.stored, counters.duplicates, counters.quarantined, counters.lost) == (2, 2, 0, 0)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=5), st.booleans())
def test_no_bytes_make_it_raise(payloads: list[bytes], as_json: bool) -> None:
    unit = Unit()
    for number, data in enumerate(payloads):
        found = unit.json(data, TS + number) if as_json else unit.say(data)
        assert bool(found.rejects) >= bool(found.rejected)
        assert all(0 <= int(part) < 2**19 for fault in found.faults for part in fault.code.split("-"))
