"""The JSON decoder: what is right is read, what is wrong is named, and nothing is raised."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest.decoders
from ingest.decoders.decoder import KINDS, Decoded, Decoder, Kind, Limits
from ingest.decoders.json import JsonDecoder
from ingest.decoders.json_salvage import salvage

TS = 1_790_000_000_000
NS = TS * 1_000_000
LIMITS = Limits(payload_bytes=100_000, samples=50, signals=20, context=5)


def decoders() -> dict[str, Decoder]:
    found: dict[str, Decoder] = {}
    for module in pkgutil.iter_modules(ingest.decoders.__path__):
        for _, kind in inspect.getmembers(importlib.import_module(f"ingest.decoders.{module.name}"), inspect.isclass):
            if kind.__module__ == f"ingest.decoders.{module.name}" and kind is not Decoder and hasattr(kind, "decode"):
                found[module.name] = kind(LIMITS)
    return found


DECODERS = decoders()


def decode(kind: Kind, payload: bytes | str | object) -> Decoded:
    if not isinstance(payload, bytes):
        payload = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
    return JsonDecoder(LIMITS).decode(kind, payload)


def test_all_decoders_are_found() -> None:
    assert sorted(DECODERS) == ["json", "line"]


def test_one_sample_is_read() -> None:
    found = decode("telemetry", {"ts": "2026-09-21T14:13:20.5Z", "seq": 81, "signals": {"oil_temp": 88.1, "rpm": 1500}})
    assert (found.seq, found.asset_id, found.rejected, len(found.rejects)) == (81, None, 0, 0)
    assert [tuple(sample) for sample in found.samples] == [(NS + 500_000_000, {"oil_temp": 88.1, "rpm": 1500.0}, "")]
    assert all(type(value) is float for value in found.samples[0].values.values())


def test_a_batch_is_read() -> None:
    samples = [{"ts": TS + i, "signals": {"rpm": i}} for i in range(3)]
    found = decode("telemetry", {"seq": 0, "asset_id": "bus-1", "samples": samples})
    assert (found.seq, found.asset_id) == (0, "bus-1")
    assert [(sample.time, sample.values) for sample in found.samples] == [
        (NS + i * 1_000_000, {"rpm": float(i)}) for i in range(3)
    ]


def test_a_fault_is_read() -> None:
    body = {"ts": TS, "seq": 12, "code": "F1", "state": "clear", "severity": "major", "occurrence": 3}
    [fault] = decode("faults", body | {"context": {"speed": 62}}).faults
    assert tuple(fault) == (NS, "F1", "clear", 3, "major", {"speed": 62.0})


def test_set_and_clear_of_one_instant_are_two_events_without_an_occurrence() -> None:
    [set_, clear] = [decode("faults", {"ts": TS, "code": "F1", "state": s}).faults[0] for s in ("set", "clear")]
    [unsaid] = decode("faults", {"ts": TS, "code": "F1"}).faults
    assert (set_.occurrence, clear.occurrence) == (0, 1)
    assert unsaid == set_


@pytest.mark.parametrize("online", [True, False])
def test_a_status_is_read(online: bool) -> None:
    assert decode("status", {"online": online}).online is online
    assert decode("status", {"online": online, "ts": TS, "asset_id": "bus-1"}).online is online


def test_fields_that_nobody_knows_are_passed_over() -> None:
    body = {"ts": TS, "signals": {"rpm": 1}, "firmware": {"name": "x", "of": ["y"]}, "seq": 4, "note": 'a "b"'}
    found = decode("telemetry", body)
    assert (found.seq, found.samples[0].values, len(found.rejects)) == (4, {"rpm": 1.0}, 0)


# Payload, and of each reject its reason and the field that it names; nothing else may be rejected.
WHOLE: list[tuple[Kind, bytes | str | object, str, str]] = [
    ("telemetry", b"", "not-json", "payload"),
    ("telemetry", b"\xff\xfe", "not-utf8", "payload"),
    ("telemetry", b'{"ts": 1790000000000, "signals": {"rpm\xff": 1}}', "not-utf8", "payload"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1}', "not-json", "payload"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1}} x', "not-json", "payload"),
    ("telemetry", '\ufeff{"ts": 1790000000000, "signals": {"rpm": 1}}', "not-json", "payload"),
    ("telemetry", "{'ts': 1}", "not-json", "payload"),
    ("telemetry", "[" * 90_000, "not-json", "payload"),
    ("telemetry", '{"a":' * 10_000 + "1" + "}" * 10_000, "not-json", "payload"),
    ("telemetry", b'{"ts": 1, "signals": {"rpm": 1}}' + b" " * 100_000, "too-large", "payload"),
    ("telemetry", "null", "missing", "payload"),
    ("telemetry", "17", "wrong-type", "payload"),
    ("telemetry", "[]", "wrong-type", "payload"),
    ("telemetry", '"text"', "wrong-type", "payload"),
    ("telemetry", {}, "missing", "ts"),
    ("telemetry", {"ts": TS}, "missing", "signals"),
    ("telemetry", {"signals": {"rpm": 1}}, "missing", "ts"),
    ("telemetry", {"ts": None, "signals": {"rpm": 1}}, "missing", "ts"),
    ("telemetry", {"ts": True, "signals": {"rpm": 1}}, "wrong-type", "ts"),
    ("telemetry", {"ts": 1.5, "signals": {"rpm": 1}}, "wrong-type", "ts"),
    ("telemetry", {"ts": [TS], "signals": {"rpm": 1}}, "wrong-type", "ts"),
    ("telemetry", {"ts": "yesterday", "signals": {"rpm": 1}}, "bad-time", "ts"),
    ("telemetry", {"ts": "2026-09-21T14:13:20", "signals": {"rpm": 1}}, "bad-time", "ts"),
    ("telemetry", {"ts": 12345678901234567890, "signals": {"rpm": 1}}, "bad-time", "ts"),
    ("telemetry", {"ts": -5, "signals": {"rpm": 1}}, "bad-time", "ts"),
    ("telemetry", '{"ts": %s, "signals": {"rpm": 1}}' % ("9" * 6000), "wrong-type", "ts"),
    ("telemetry", {"ts": TS, "signals": None}, "missing", "signals"),
    ("telemetry", {"ts": TS, "signals": [1, 2]}, "wrong-type", "signals"),
    ("telemetry", {"ts": TS, "signals": {"rpm": "1500"}}, "wrong-type", "signals.rpm"),
    ("telemetry", {"ts": TS, "signals": {"rpm": True}}, "wrong-type", "signals.rpm"),
    ("telemetry", {"ts": TS, "signals": {"rpm": None}}, "missing", "signals.rpm"),
    ("telemetry", {"ts": TS, "signals": {"rpm": {"value": 1}}}, "wrong-type", "signals.rpm"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": NaN}}', "not-finite", "signals.rpm"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": -Infinity}}', "not-finite", "signals.rpm"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1e999}}', "not-finite", "signals.rpm"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1%s}}' % ("0" * 400), "not-finite", "signals.rpm"),
    ("telemetry", {"ts": TS, "signals": {f"s{i}": 1 for i in range(21)}}, "too-many", "signals"),
    ("telemetry", '{"ts": 1790000000000, "ts": 1790000000000, "signals": {"rpm": 1}}', "duplicate-key", "ts"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1, "rpm": 2}}', "duplicate-key", "signals.rpm"),
    ("telemetry", '{"ts": 1790000000000, "signals": {"rpm": 1}, "signals": {"rpm": 2}}', "duplicate-key", "signals"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": -1}, "out-of-range", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": 2**63}, "out-of-range", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": "1"}, "wrong-type", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": 1.0}, "wrong-type", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": True}, "wrong-type", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "seq": None}, "missing", "seq"),
    ("telemetry", {"ts": TS, "signals": {"rpm": 1}, "asset_id": 7}, "wrong-type", "asset_id"),
    ("telemetry", {"samples": []}, "missing", "samples"),
    ("telemetry", {"samples": {}}, "wrong-type", "samples"),
    ("telemetry", {"samples": None}, "missing", "samples"),
    ("telemetry", {"samples": [7]}, "wrong-type", "samples[0]"),
    ("telemetry", {"samples": [{"ts": TS, "signals": {"rpm": 1}}] * 51}, "too-many", "samples"),
    ("telemetry", {"samples": [{"ts": TS, "signals": {"rpm": 1}}], "ts": TS}, "contradiction", "samples"),
    ("telemetry", {"samples": [{"ts": TS, "signals": {"rpm": 1}}], "signals": {}}, "contradiction", "samples"),
    ("telemetry", {"samples": [{"ts": "x", "signals": {"rpm": 1}}]}, "bad-time", "samples[0].ts"),
    ("telemetry", {"samples": [{"ts": TS, "signals": {"rpm": "x"}}]}, "wrong-type", "samples[0].signals.rpm"),
    ("faults", {"code": "F1"}, "missing", "ts"),
    ("faults", {"ts": TS}, "missing", "code"),
    ("faults", {"ts": TS, "code": 1023}, "wrong-type", "code"),
    ("faults", {"ts": TS, "code": "F1", "state": "on"}, "wrong-type", "state"),
    ("faults", {"ts": TS, "code": "F1", "state": True}, "wrong-type", "state"),
    ("faults", {"ts": TS, "code": "F1", "state": None}, "missing", "state"),
    ("faults", {"ts": TS, "code": "F1", "occurrence": -1}, "out-of-range", "occurrence"),
    ("faults", {"ts": TS, "code": "F1", "occurrence": 0.5}, "wrong-type", "occurrence"),
    ("faults", {"ts": TS, "code": "F1", "severity": 3}, "wrong-type", "severity"),
    ("faults", {"ts": TS, "code": "F1", "context": [1]}, "wrong-type", "context"),
    ("faults", {"ts": TS, "code": "F1", "context": {str(i): 1 for i in range(6)}}, "too-many", "context"),
    ("faults", '{"ts": 1790000000000, "code": "F1", "code": "F2"}', "duplicate-key", "code"),
    ("status", {}, "missing", "online"),
    ("status", {"online": "yes"}, "wrong-type", "online"),
    ("status", {"online": 1}, "wrong-type", "online"),
    ("status", "true", "wrong-type", "payload"),
]


@pytest.mark.parametrize(("kind", "payload", "reason", "field"), WHOLE, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused_and_named(kind: Kind, payload: object, reason: str, field: str) -> None:
    found = decode(kind, payload)
    assert [(reject.reason, reject.field) for reject in found.rejects] == [(reason, field)]
    assert found.rejected == 1
    assert not found.samples
    assert not found.faults
    assert found.online is None


@pytest.mark.parametrize(
    ("signals", "kept", "named"),
    [
        ('{"rpm": 1, "oil": NaN}', {"rpm": 1.0}, ["signals.oil"]),
        ('{"a": "x", "rpm": 1, "b": null, "c": []}', {"rpm": 1.0}, ["signals.a", "signals.b", "signals.c"]),
        ('{"rpm": 1, "oil": 2, "oil": 3}', {"rpm": 1.0}, ["signals.oil"]),
        ('{"rpm": 1, "%s": false}' % ("n" * 300), {"rpm": 1.0}, ["signals." + "n" * 64]),
    ],
)
def test_the_good_values_of_a_sample_are_kept(signals: str, kept: dict[str, float], named: list[str]) -> None:
    found = decode("telemetry", f'{{"ts": 1790000000000, "signals": {signals}}}')
    assert [sample.values for sample in found.samples] == [kept]
    assert found.rejected == 0
    assert [reject.field for reject in found.rejects] == named


def test_the_good_samples_of_a_batch_are_kept() -> None:
    good = {"ts": TS, "signals": {"rpm": 1}}
    wrong = [{"ts": "?", "signals": {"rpm": 1}}, {"ts": TS}, 5, {"ts": TS, "signals": {"rpm": "x", "oil": "y"}}]
    found = decode("telemetry", {"samples": [good, *wrong, good], "seq": 9})
    assert [sample.where for sample in found.samples] == ["samples[0].", "samples[5]."]
    assert (found.seq, found.rejected) == (9, 4)
    assert [reject.field for reject in found.rejects] == [
        "samples[1].ts", "samples[2].signals", "samples[3]", "samples[4].signals.rpm", "samples[4].signals.oil",
    ]  # fmt: skip


def test_the_good_values_of_a_freeze_frame_are_kept() -> None:
    found = decode("faults", {"ts": TS, "code": "F1", "context": {"speed": 1, "mode": "eco", "n" * 65: 2}})
    assert found.faults[0].context == {"speed": 1.0}
    assert [(r.reason, r.field[:12]) for r in found.rejects] == [
        ("wrong-type", "context.mode"),
        ("too-long", "context.nnnn"),
    ]


def test_a_thousand_wrong_values_are_counted_and_twenty_are_named() -> None:
    samples = [{"ts": TS, "signals": {"rpm": 1, **{f"s{i}": "x" for i in range(19)}}} for _ in range(50)]
    found = decode("telemetry", {"samples": samples})
    assert len(found.rejects) == 950
    assert len(list(found.rejects)) == 20
    assert str(found.rejects).endswith("and 930 more")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.just(TS) | st.just("2026-09-21T14:13:20Z") | st.just("2026-09-21T16:13:20.25+02:00")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)
VALUES = st.dictionaries(st.text(max_size=6), NUMBERS, max_size=4)


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(*[good] * 9, JUNK)


SAMPLES = st.fixed_dictionaries({"ts": mostly(TIMES), "signals": mostly(VALUES)})
COMMON = {"seq": mostly(st.integers(0, 2**63 - 1)), "asset_id": mostly(st.text(max_size=5)), "else": JUNK}
PAYLOADS = st.one_of(
    st.tuples(st.just("telemetry"), st.fixed_dictionaries({"ts": TIMES, "signals": mostly(VALUES)}, optional=COMMON)),
    st.tuples(
        st.just("telemetry"),
        st.fixed_dictionaries({"samples": mostly(st.lists(mostly(SAMPLES), max_size=3))}, optional=COMMON),
    ),
    st.tuples(
        st.just("faults"),
        st.fixed_dictionaries(
            {"ts": mostly(TIMES), "code": mostly(st.text(max_size=5))},
            optional=COMMON
            | {
                "state": mostly(st.sampled_from(["set", "clear"])),
                "occurrence": mostly(st.integers(0, 99)),
                "severity": mostly(st.text(max_size=5)),
                "context": mostly(VALUES),
            },
        ),
    ),
    st.tuples(st.just("status"), st.fixed_dictionaries({"online": mostly(st.booleans())}, optional=COMMON)),
    st.tuples(st.sampled_from(KINDS), JUNK),
)


@settings(max_examples=200, deadline=None)
@given(PAYLOADS, st.booleans())
def test_the_fast_way_and_the_careful_way_read_the_same(message: tuple[Kind, Any], ascii_only: bool) -> None:
    kind, content = message
    payload = json.dumps(content, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    fast, careful = JsonDecoder(LIMITS).decode(kind, payload), salvage(kind, payload, LIMITS)
    assert str(fast.rejects) == str(careful.rejects)
    for name in ("seq", "asset_id", "online", "rejected"):
        assert getattr(fast, name) == getattr(careful, name)
    assert [*fast.samples, *fast.faults] == [*careful.samples, *careful.faults]
