"""Sparkplug B: births, aliases, gaps, deaths, faults, and bytes of any kind."""

from __future__ import annotations

import base64
import csv
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import dataset
from sparkplug_messages import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UINT8,
    UINT16,
    UINT64,
    bd_seq,
    double,
    field,
    metric,
    payload,
    rebirth_control,
    single,
)

from ingest.decoders.decoder import Decoded, Limits, Place, Reject
from ingest.decoders.sparkplug import MAX_METRICS, SparkplugDecoder
from ingest.decoders.sparkplug_schema import Payload
from ingest.memory import Memory

TS = 1_790_000_000_000
NS = TS * 1_000_000
MINUTE = 60 * 10**9


class Host:
    """A decoder that takes message after message, each settled."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.decoder = SparkplugDecoder(Limits(samples=50), self.memory)
        self.now = NS

    def take(self, path: str, content: bytes, *, known: bool = True) -> Decoded:
        assert isinstance(self.decoder.place(path), Place)
        self.memory.begin()
        found = self.decoder.read(path, content, self.now, known=known)
        self.memory.settle()
        return found

    def birth(self, *metrics: bytes, seq: int = 0, ts: int = TS) -> Decoded:
        return self.take("g/NBIRTH/n", payload([bd_seq(1), rebirth_control(), *metrics], seq=seq, ts=ts))

    def data(self, *metrics: bytes, seq: int | None, ts: int | None = TS + 1000) -> Decoded:
        return self.take("g/NDATA/n", payload(metrics, seq=seq, ts=ts))


TEMP = metric(double(21.5), name="Oil Temp", alias=100, datatype=DOUBLE)


def reasons(found: Decoded) -> list[tuple[str, str]]:
    return [(reject.reason, reject.field) for reject in found.rejects]


def values(found: Decoded) -> list[tuple[int, dict[str, float]]]:
    return [(sample.time, dict(sample.values)) for sample in found.samples]


def test_a_birth_names_what_data_calls_by_alias() -> None:
    host = Host()
    born = host.birth(TEMP)
    assert (values(born), born.online, born.of_gateway, len(born.rejects)) == (
        [(NS, {"oil_temp": 21.5})],
        True,
        True,
        0,
    )
    found = host.data(metric(double(22.5), alias=100), seq=1)
    assert (values(found), found.lost, found.requests) == ([(NS + 10**9, {"oil_temp": 22.5})], 0, ())


def test_data_before_birth_is_refused_and_the_node_asked_once_a_while() -> None:
    host = Host()
    found = host.data(metric(double(1), alias=100), seq=7)
    assert (reasons(found), found.rejected) == ([("no-birth", "payload")], 1)
    [request] = found.requests
    assert request.path == "g/NCMD/n"
    asked = Payload.FromString(request.payload)
    [command] = asked.metrics
    assert (command.name, command.datatype, command.boolean_value) == (b"Node Control/Rebirth", BOOLEAN, True)
    assert asked.timestamp == TS
    assert not asked.HasField("seq")
    host.now += 29 * 10**9
    assert host.data(metric(double(1), alias=100), seq=8).requests == ()
    host.now += 2 * 10**9
    assert len(host.data(metric(double(1), alias=100), seq=9).requests) == 1
    host.birth(TEMP)
    assert values(host.data(metric(double(3), alias=100), seq=1)) == [(NS + 10**9, {"oil_temp": 3.0})]


def test_a_birth_is_known_after_a_restart_and_a_failed_batch_is_read_as_the_first_time() -> None:
    recorded: dict[str, bytes | None] = {}
    memory = Memory(recorded.get)
    decoder = SparkplugDecoder(Limits(), memory)
    decoder.read("g/NBIRTH/n", payload([bd_seq(1), TEMP], seq=0, ts=TS), NS, known=True)
    recorded |= memory.changes()
    memory.settle()
    data = payload([metric(double(2), alias=100)], seq=1, ts=TS + 1)
    for _ in range(3):  # the store is away: the batch comes again, and nothing of it was recorded
        memory.begin()
        assert values(decoder.read("g/NDATA/n", data, NS, known=True)) == [(NS + 10**6, {"oil_temp": 2.0})]
    again = SparkplugDecoder(Limits(), Memory(recorded.get))
    assert values(again.read("g/NDATA/n", data, NS, known=True)) == [(NS + 10**6, {"oil_temp": 2.0})]
    recorded |= memory.changes()
    after = SparkplugDecoder(Limits(), Memory(recorded.get))
    assert after.read("g/NDATA/n", data, NS, known=True).repeated  # redelivered after the crash: counts as known


def test_gaps_are_counted_and_the_count_comes_round() -> None:
    host = Host()
    host.birth(TEMP)
    lost = {}
    for number, seq in enumerate([1, 2, 5, 6, *range(7, 256), 0, 1, 4]):
        found = host.data(metric(double(number), alias=100), seq=seq, ts=TS + number)
        if found.lost:
            lost[number] = (found.lost, len(found.requests))
    assert lost == {2: (2, 1), 256 - 1: (2, 0)}


def test_a_message_that_comes_again_is_a_repetition_and_a_late_one_is_taken() -> None:
    host = Host()
    host.birth(TEMP)
    one = payload([metric(double(1), alias=100)], seq=1, ts=TS + 1)
    late = payload([metric(double(2), alias=100)], seq=2, ts=TS + 2)
    assert not host.take("g/NDATA/n", one).repeated
    assert host.take("g/NDATA/n", one).repeated
    assert host.data(metric(double(3), alias=100), seq=3, ts=TS + 3).lost == 1
    found = host.take("g/NDATA/n", late)
    assert (found.repeated, found.lost, values(found)) == (False, 0, [(NS + 2 * 10**6, {"oil_temp": 2.0})])
    assert host.data(metric(double(4), alias=100), seq=4, ts=TS + 4).lost == 0


def test_a_node_and_its_devices_share_the_count() -> None:
    host = Host()
    host.birth()
    born = host.take("g/DBIRTH/n/bus-1", payload([TEMP], seq=1, ts=TS))
    assert (values(born), born.online, born.of_gateway) == ([(NS, {"oil_temp": 21.5})], True, False)
    found = host.take("g/DDATA/n/bus-1", payload([metric(double(1), alias=100)], seq=2, ts=TS))
    assert (values(found), found.lost) == ([(NS, {"oil_temp": 1.0})], 0)
    assert host.take("g/DDATA/n/bus-1", payload([metric(double(1), alias=100)], seq=5, ts=TS)).lost == 2
    gone = host.take("g/DDEATH/n/bus-1", payload([], seq=6, ts=TS))
    assert (gone.online, gone.lost) == (False, 0)
    assert reasons(host.take("g/DDATA/n/bus-1", payload([metric(double(1), alias=100)], seq=7, ts=TS))) == [
        ("no-birth", "payload")
    ]


def test_the_death_of_a_node_takes_its_devices_with_it_but_not_that_of_an_earlier_session() -> None:
    host = Host()
    host.birth(TEMP)
    for name in ("bus-1", "bus-2"):
        host.take(f"g/DBIRTH/n/{name}", payload([TEMP], seq=1, ts=TS))
    stale = host.take("g/NDEATH/n", payload([bd_seq(0)], seq=None, ts=TS))
    assert (stale.online, stale.offline) == (None, ())
    dead = host.take("g/NDEATH/n", payload([bd_seq(1)], seq=None, ts=TS))
    assert (dead.online, dead.offline) == (False, ("bus-1", "bus-2"))
    assert reasons(host.data(metric(double(1), alias=100), seq=9)) == [("no-birth", "payload")]


def test_faults_are_metrics_in_their_folder_and_only_changes_are_events() -> None:
    def of(**states: bool) -> list[bytes]:
        return [metric(field(14, int(on)), name=f"Faults/{code}", datatype=BOOLEAN) for code, on in states.items()]

    host = Host()
    born = host.birth(*of(F1=True, F2=False))
    assert [(f.code, f.state, f.time) for f in born.faults] == [("F1", "set", NS), ("F2", "clear", NS)]
    assert host.data(*of(F1=True, F2=False), seq=1).faults == []
    changed = host.data(*of(F1=False, F2=True), seq=2).faults
    assert [(f.code, f.state) for f in changed] == [("F1", "clear"), ("F2", "set")]
    # A birth after an outage tells what changed meanwhile, and nothing else.
    again = host.birth(*of(F1=False, F2=False), ts=TS + 99)
    assert [(f.code, f.state, f.time) for f in again.faults] == [("F2", "clear", NS + 99 * 10**6)]


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        (INT8, field(10, 0xFF), -1.0),
        (INT8, field(10, 0xFFFFFFFF), -1.0),
        (INT8, field(10, 127), 127.0),
        (INT8, field(10, 0x80), -128.0),
        (INT16, field(10, 0xFFFE), -2.0),
        (INT32, field(10, 0xFFFFFFFE), -2.0),
        (INT32, field(11, 2**64 - 5), -5.0),
        (INT64, field(11, 2**64 - 1), -1.0),
        (INT64, field(11, 2**62), 2.0**62),
        (UINT8, field(10, 255), 255.0),
        (UINT64, field(11, 2**63), 2.0**63),
        (FLOAT, single(1.5), 1.5),
        (DOUBLE, double(-0.1), -0.1),
        (BOOLEAN, field(14, 1), 1.0),
        (BOOLEAN, field(14, 0), 0.0),
    ],
)
def test_values_of_every_type_are_read(datatype: int, value: bytes, expected: float) -> None:
    found = Host().birth(metric(value, name="x", datatype=datatype))
    assert values(found) == [(NS, {"x": expected})]
    assert type(found.samples[0].values["x"]) is float


@pytest.mark.parametrize(
    ("datatype", "value", "reason"),
    [
        (DOUBLE, double(math.nan), "not-finite"),
        (FLOAT, single(math.inf), "not-finite"),
        (DOUBLE, field(15, "12"), "wrong-type"),
        (BOOLEAN, field(10, 1), "wrong-type"),
        (UINT16, field(14, 1), "wrong-type"),
        (INT8, field(10, 300), "out-of-range"),
        (INT16, field(10, 0xFFF0FFFF), "out-of-range"),
        (DOUBLE, b"", "missing"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_the_rest_is_kept(datatype: int, value: bytes, reason: str) -> None:
    found = Host().birth(metric(value, name="x", datatype=datatype), TEMP)
    assert reasons(found) == [(reason, "x")]
    assert (values(found), found.rejected) == ([(NS, {"oil_temp": 21.5})], 0)
    alone = Host().birth(metric(value, name="x", datatype=datatype))
    assert (values(alone), alone.rejected) == ([], 1)


def test_text_data_sets_and_controls_are_no_signals() -> None:
    dataset_value = varied = field(17, field(1, 3))
    found = Host().birth(
        metric(field(15, "v1.2"), name="Properties/Firmware", datatype=STRING),
        metric(dataset_value, name="table", datatype=16),
        metric(varied, name="Faults/F1", datatype=16),
    )
    assert (values(found), found.faults, len(found.rejects)) == ([], (), 0)


def test_two_metrics_of_one_name_are_told_and_neither_is_stored() -> None:
    same = [metric(double(n), name=name, datatype=DOUBLE) for n, name in enumerate(("Oil Temp", "oil_temp", "rpm"))]
    found = Host().birth(*same)
    assert reasons(found) == [("duplicate-key", "Oil Temp"), ("duplicate-key", "oil_temp")]
    assert values(found) == [(NS, {"rpm": 2.0})]


def test_an_alias_that_no_birth_told_asks_for_one() -> None:
    host = Host()
    host.birth(TEMP)
    found = host.data(metric(double(1), alias=100), metric(double(1), alias=7), metric(double(1), name="y"), seq=1)
    assert reasons(found) == [("unknown-metric", "metrics"), ("unknown-metric", "y")]
    assert values(found) == [(NS + 10**9, {"oil_temp": 1.0})]
    assert len(found.requests) == 1


def test_each_metric_may_have_its_own_time() -> None:
    host = Host()
    host.birth(TEMP, metric(double(1), name="rpm", alias=1, datatype=DOUBLE))
    old = [metric(double(n), alias=100, ts=TS + n) for n in range(3)]
    found = host.data(*old, metric(double(9), alias=1, ts=TS + 1), metric(double(5), alias=1), seq=1)
    assert values(found) == [
        (NS, {"oil_temp": 0.0}),
        (NS + 10**6, {"oil_temp": 1.0, "rpm": 9.0}),
        (NS + 2 * 10**6, {"oil_temp": 2.0}),
        (NS + 10**9, {"rpm": 5.0}),
    ]
    late = host.data(metric(double(1), alias=100), seq=2, ts=None)
    assert (reasons(late), late.rejected) == ([("bad-time", "Oil Temp")], 1)


def test_what_is_not_in_the_register_leaves_no_trace_but_its_node() -> None:
    host = Host()
    for number in range(20):
        host.take(f"g/DBIRTH/n/stranger-{number}", payload([TEMP], seq=number, ts=TS), known=False)
        found = host.take(f"g/DDATA/n/stranger-{number}", payload([], seq=number, ts=TS + 1), known=False)
        assert found.rejected == 1
        assert found.requests == ()
    assert set(host.memory._held) == {"sparkplug g/n"}


def test_bounds_hold() -> None:
    host = Host()
    assert reasons(host.birth(*[b""] * (MAX_METRICS + 1))) == [("too-many", "metrics")]
    assert reasons(host.take("g/NDATA/n", b"\0" * 1_000_001)) == [("too-large", "payload")]
    assert reasons(host.take("g/NDATA/n", b"\xff")) == [("not-sparkplug", "payload")]
    assert reasons(host.take("g/NDATA/n", b'{"ts": 1}')) == [("not-sparkplug", "payload")]
    assert reasons(host.data(seq=256)) == [("out-of-range", "seq")]
    names = [metric(double(1), name="n" * 201, datatype=DOUBLE), metric(double(1), name=b"\xff", datatype=DOUBLE)]
    assert reasons(host.birth(*names)) == [("too-long", "metrics"), ("not-utf8", "metrics")]
    many = [metric(double(n), name="oil", ts=TS + n, datatype=DOUBLE) for n in range(60)]
    found = host.birth(*many)
    assert (len(found.samples), found.rejected, found.rejects.counts["too-many"]) == (50, 10, 10)


@pytest.mark.parametrize("path", ["", "g", "g/NDATA", "g/NDATA/n/d", "g/DDATA/n", "g/NCMD/n", "STATE/h", "g/NDATA//"])
def test_other_topics_are_refused(path: str) -> None:
    assert isinstance(Host().decoder.place(path), Reject)


def test_a_prefix_may_hold_the_group() -> None:
    host = Host()
    assert host.decoder.place("DDATA/n/bus-1") == Place("bus-1", "telemetry")
    assert host.decoder.place("NDEATH/n") == Place("n", "status")
    assert host.take("NDATA/n", payload([], seq=3, ts=TS)).requests[0].path == "NCMD/n"


def test_the_published_vectors_are_read() -> None:
    vectors = json.loads((dataset("sparkplug_b") / "vectors.json").read_text())
    contents = {vector["name"]: base64.b64decode(vector["payload_base64"]) for vector in vectors}
    for vector in vectors:
        assert len(Payload.FromString(contents[vector["name"]]).metrics) == vector["metric_count"], vector["name"]
    host = Host()
    assert reasons(host.take("g/NDATA/n", contents["NDATA_BEFORE_BIRTH"])) == [("no-birth", "payload")]
    born = host.take("g/NBIRTH/n", contents["NBIRTH_V1"])
    assert [(set(sample.values), sample.values["temperature"]) for sample in born.samples] == [({"temperature"}, 21.5)]
    found = [host.take("g/NDATA/n", contents[name]) for name in ("NDATA_V1", "NDATA_GAP", "NDATA_WRAPAROUND")]
    assert [sample.values for one in found for sample in one.samples] == [
        {"temperature": 22.5}, {"temperature": 27.0}, {"temperature": 30.0}
    ]  # fmt: skip
    assert [one.lost for one in found] == [0, 3, 0]  # 1, then 5; 0 after 5 is a late one, or a count begun again
    large = host.take("g/NBIRTH/m", contents["NBIRTH_LARGE"])
    [sample] = large.samples
    assert len(sample.values) == 100
    assert {sample.values[f"metric_{n}"] - n * 1.5 for n in range(1, 101)} == {0.0}


def test_the_pattern_of_a_real_capture_is_accounted_for() -> None:
    path = dataset("sparkplug_b") / "capture_patterns.csv"
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    rows = [row for row in rows if row["seq"]]
    host, lost, expected_lost = Host(), 0, 0
    last: dict[str, int] = {}
    nodes = sorted({row["edge_node_id"] for row in rows})
    for node in nodes:
        host.take(f"g/NBIRTH/{node}", payload([bd_seq(1), TEMP], seq=None, ts=TS))
    for number, row in enumerate(rows):
        node, seq = row["edge_node_id"], int(row["seq"])
        content = payload([metric(double(number), alias=100)], seq=seq, ts=int(row["payload_timestamp"]))
        lost += host.take(f"g/NDATA/{node}", content).lost
        step = (seq - last.get(node, seq - 1)) % 256
        if 1 <= step <= 128:
            expected_lost += step - 1
            last[node] = seq
    assert len(rows) == 505
    assert lost == expected_lost


MESSAGES = st.builds(
    payload,
    st.lists(
        st.builds(
            metric,
            st.one_of(
                st.builds(double, st.floats()),
                st.builds(field, st.sampled_from([10, 11, 14]), st.integers(0, 2**64 - 1)),
                st.builds(field, st.sampled_from([15, 16, 17, 18]), st.binary(max_size=6)),
                st.just(b""),
            ),
            name=st.none() | st.sampled_from(["rpm", "Oil Temp", "Faults/F1", "bdSeq", ""]) | st.binary(max_size=4),
            alias=st.none() | st.integers(0, 3),
            datatype=st.integers(0, 40),
            ts=st.none() | st.integers(TS - 5, TS + 5) | st.integers(0, 2**64 - 1),
        ),
        max_size=5,
    ),
    seq=st.none() | st.integers(0, 300),
    ts=st.none() | st.just(TS) | st.integers(0, 2**64 - 1),
)
PATHS = st.sampled_from(
    [f"g/N{kind}/n" for kind in ("BIRTH", "DATA", "DEATH")] + [f"g/D{kind}/n/d" for kind in ("BIRTH", "DATA", "DEATH")]
)


def check(found: Decoded) -> None:
    read = [v for sample in found.samples for v in sample.values.values()]
    assert all(type(value) is float and math.isfinite(value) for value in read)
    assert all(sample.values for sample in found.samples)
    assert bool(found.rejects) >= bool(found.rejected)
    assert all(len(str(reject)) < 500 for reject in found.rejects)
    assert found.lost >= 0
    str(found.rejects).encode()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PATHS, MESSAGES, st.booleans()), max_size=6))
def test_no_sequence_of_messages_makes_it_raise(messages: list[tuple[str, bytes, bool]]) -> None:
    host = Host()
    for path, content, known in messages:
        check(host.take(path, content, known=known))
