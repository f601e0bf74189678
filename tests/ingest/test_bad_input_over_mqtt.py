"""What a gateway can get wrong, over a real broker: told with the field's name, and the next message is stored."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ingesting import ingesting
from mosquitto_server import Gateway, until

from config.register import Register
from fleetdx.servers.mosquitto import MosquittoServer
from ingest.accounting import Accounting
from telemetry.memory import MemoryStore

YEAR_MS = 365 * 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def payload(**body: Any) -> bytes:
    return json.dumps(body).encode()


def sample(**signals: Any) -> bytes:
    return payload(ts=now_ms(), signals=signals)


# The topic below the prefix, the payload, the reason, the field that is named, and whether something of it is stored.
CASES: dict[str, tuple[str, Any, str, str, bool]] = {
    "not UTF-8": ("bus-1/telemetry", b'{"ts": 1, "signals": {"r\xff\xfem": 1}}', "not-utf8", "payload", False),
    "not JSON": ("bus-1/telemetry", b"rpm,1500", "not-json", "payload", False),
    "empty": ("bus-1/telemetry", b"", "not-json", "payload", False),
    "50 MB": ("bus-1/telemetry", lambda: b"x" * 50_000_000, "too-large", "payload", False),
    "NaN": (
        "bus-1/telemetry",
        lambda: b'{"ts":%d,"signals":{"rpm":NaN}}' % now_ms(),
        "not-finite",
        "signals.rpm",
        False,
    ),
    "NaN beside a good value": (
        "bus-1/telemetry",
        lambda: b'{"ts":%d,"signals":{"rpm":NaN,"oil_temp":1}}' % now_ms(),
        "not-finite",
        "signals.rpm",
        True,
    ),
    "time stamp of 20 digits": (
        "bus-1/telemetry",
        payload(ts=12345678901234567890, signals={"rpm": 1}),
        "bad-time",
        "ts",
        False,
    ),
    "from next year": (
        "bus-1/telemetry",
        lambda: payload(ts=now_ms() + YEAR_MS, signals={"rpm": 1}),
        "future",
        "ts",
        False,
    ),
    "one sample of a batch from next year": (
        "bus-1/telemetry",
        lambda: payload(samples=[{"ts": now_ms() + n * YEAR_MS, "signals": {"rpm": 1}} for n in (0, 1)]),
        "future",
        "samples[1].ts",
        True,
    ),
    "a fault from next year": (
        "bus-1/faults",
        lambda: payload(ts=now_ms() + YEAR_MS, code="F1"),
        "future",
        "ts",
        False,
    ),
    "unknown asset": ("bus-7/telemetry", lambda: sample(rpm=1), "unknown-asset", "topic", False),
    "unknown signal": ("bus-1/telemetry", lambda: sample(rpn=1), "unknown-signal", "signals.rpn", False),
    "unknown signal beside a good one": (
        "bus-1/telemetry",
        lambda: sample(rpn=1, rpm=1),
        "unknown-signal",
        "signals.rpn",
        True,
    ),
    "text where a number belongs": ("bus-1/telemetry", lambda: sample(rpm="1500"), "wrong-type", "signals.rpm", False),
    "a payload of another asset": (
        "bus-1/telemetry",
        lambda: payload(asset_id="bus-2", ts=now_ms(), signals={"rpm": 1}),
        "other-asset",
        "asset_id",
        False,
    ),
    "topic of another shape": ("madrid/bus-1/telemetry", lambda: sample(rpm=1), "bad-topic", "topic", False),
    "topic of another kind": ("bus-1/telemetri", lambda: sample(rpm=1), "bad-topic", "topic", False),
    "the prefix alone": ("", b"x", "bad-topic", "topic", False),
    "unknown fault code": ("bus-1/faults", lambda: payload(ts=now_ms(), code="F9"), "unknown-code", "code", False),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_with_its_field_and_the_next_message_is_stored(
    mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting, case: str
) -> None:
    topic, bad, reason, field, partly = CASES[case]
    bad = bad() if callable(bad) else bad
    store = MemoryStore()
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store) as thread:
        gateway = Gateway(mosquitto.port)
        gateway.send(f"{topic_prefix}/{topic}".removesuffix("/"), bad)
        at = now_ms()
        gateway.send(f"{topic_prefix}/bus-2/telemetry", payload(seq=0, ts=at, signals={"rpm": 42}))
        gateway.finish()
        until(lambda: accounting.counters().messages == 3)
        assert thread.is_alive()
    [frame] = store.read_measurements(["bus-2"], ["rpm"], 0, 2**62)
    assert frame.to_numpy().tolist() == [["bus-2", at * 1_000_000, 42.0]]
    [kept] = accounting.quarantined()
    assert kept.reason == reason
    assert kept.detail.startswith(f"{field}: ")
    assert kept.topic == f"{topic_prefix}/{topic}".removesuffix("/")
    assert kept.size == len(bad)
    assert kept.payload == bad[:65_536]
    counters = accounting.counters()
    assert counters.reasons == {reason: 1}
    assert counters.stored == (2 if partly else 1)
    assert bool(list(store.read_measurements(["bus-1"], ["rpm", "oil_temp"], 0, 2**62))) is partly
    flagged = partly and "samples" not in field
    assert (counters.quarantined, counters.flagged_values) == ((0, 1) if flagged else (1, 0))


@pytest.mark.parametrize("version", [3, 5])
def test_a_whole_day_of_good_messages_is_stored_in_either_version_of_mqtt(
    mosquitto: MosquittoServer, topic_prefix: str, register: Register, accounting: Accounting, version: int
) -> None:
    store = MemoryStore()
    with ingesting(mosquitto.port, topic_prefix, register, accounting, store, version=version):
        gateway = Gateway(mosquitto.port)
        for n in range(1440):
            body = payload(seq=n, ts=now_ms() - 60_000 * n, signals={"rpm": n})
            gateway.send(f"{topic_prefix}/bus-1/telemetry", body)
        gateway.finish()
        until(lambda: accounting.counters().stored == 1440)
    assert sum(map(len, store.read_measurements(["bus-1"], ["rpm"], 0, 2**62))) == 1440
    counters = accounting.counters()
    assert (counters.lost, counters.duplicates, counters.quarantined) == (0, 0, 0)
