"""Out of quarantine: after a mapping was mended, what was refused is stored, and counts once."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from sparkplug_messages import DOUBLE, bd_seq, double, metric, payload

from config.register import Asset, FaultCode, Register, Signal, Text
from config.settings import Ingest, Mqtt
from ingest.accounting import Accounting
from ingest.batch import Batch
from ingest.pipeline import Message, Pipeline
from ingest.replay import replay
from telemetry.memory import MemoryStore

NOW = 1_790_000_000_000_000_000
MS = NOW // 1_000_000
DAY = 86_400 * 10**9
TITLE = Text(en="x", zh="x")


def mended(register: Register) -> Register:
    """The register with a signal, a fault and an asset more."""
    bus = register.asset_types["bus"]
    more = bus.model_copy(
        update={
            "signals": (*bus.signals, Signal(name="gear", unit="1")),
            "faults": (*bus.faults, FaultCode(code="F9", title=TITLE)),
        }
    )
    assets = [*register.assets.values(), Asset(id="bus-9", asset_type="bus", site="madrid")]
    return Register(register.sites.values(), (more,), assets)


class Desk:
    """A pipeline whose register gets mended, and what stands in its quarantine."""

    def __init__(self, register: Register, accounting: Accounting) -> None:
        self.accounting, self.store, self.now = accounting, MemoryStore(), NOW
        self.pipeline = Pipeline(self.store, accounting, register, settings=Ingest(), clock=lambda: self.now)
        self._mended = mended(register)

    def take(self, kind: str, asset: str = "bus-1", **body: Any) -> None:
        self.pipeline.take([Message(f"fleet/{asset}/{kind}", json.dumps(body).encode())])

    def replay(self) -> list[tuple[int, int]]:
        found = [replay(self.pipeline, held) for held in reversed(self.accounting.quarantined())]
        return [(one.stored, one.refused) for one in found]

    def mend(self) -> None:
        self.pipeline.adopt(self._mended)

    def counts(self) -> tuple[int, int, int, int]:
        found = self.accounting.counters()
        assert found.received == found.stored + found.duplicates + found.quarantined
        return found.stored, found.duplicates, found.quarantined, found.flagged_values

    def days(self) -> list[tuple[int, int, int]]:
        return [(day.revision, day.measurements, day.faults) for day in self.accounting.arrivals()]


@pytest.fixture
def desk(register: Register, accounting: Accounting) -> Desk:
    return Desk(register, accounting)


def test_a_fault_whose_code_was_not_known(desk: Desk) -> None:
    desk.take("faults", seq=0, ts=MS, code="F9", context={"speed": 3})
    assert desk.counts() == (0, 0, 1, 0)
    assert desk.replay() == [(0, 1)]
    assert (desk.counts(), len(desk.accounting.quarantined())) == ((0, 0, 1, 0), 1)
    desk.mend()
    desk.now += 500 * DAY  # by now it would be too old: it is judged as of when it came
    assert desk.replay() == [(1, 0)]
    assert desk.counts() == (1, 0, 0, 0)
    assert desk.accounting.quarantined() == []
    assert desk.store.read_faults(["bus-1"], 0, 2**62)["code"].tolist() == ["F9"]
    assert desk.days() == [(1, 0, 1)]
    assert desk.accounting.status()[0].heard == NOW  # the link was not heard now


def test_a_message_of_an_asset_that_was_not_in_the_register(desk: Desk) -> None:
    samples = [{"ts": MS + n, "signals": {"rpm": n}} for n in range(5)]
    desk.take("telemetry", "bus-9", seq=4, samples=samples)
    assert desk.counts() == (0, 0, 5, 0)
    desk.mend()
    desk.take("telemetry", "bus-9", seq=5, ts=MS + 99, signals={"rpm": 9})
    assert desk.replay() == [(5, 0)]
    assert desk.counts() == (6, 0, 0, 0)
    assert desk.days() == [(2, 6, 0)]
    status = {one.asset_id: one for one in desk.accounting.status()}
    assert (status["bus-9"].stored, status["bus-9"].lost, status[""].quarantined) == (6, 0, 0)
    desk.take("telemetry", "bus-9", seq=4, samples=samples)  # the gateway sends it again, too
    assert desk.counts() == (6, 5, 0, 0)


def test_a_value_beside_others_is_stored_and_its_day_is_scored_again(desk: Desk) -> None:
    desk.take(
        "telemetry",
        seq=0,
        samples=[{"ts": MS, "signals": {"rpm": 1, "gear": 3}}, {"ts": MS + 1, "signals": {"gear": 4}}],
    )
    assert (desk.counts(), desk.days()) == ((1, 0, 1, 1), [(1, 1, 0)])
    assert desk.replay() == [(0, 1)]
    assert (desk.counts(), desk.days()) == ((1, 0, 1, 1), [(1, 1, 0)])
    desk.mend()
    assert desk.replay() == [(1, 0)]
    assert (desk.counts(), desk.days()) == ((2, 0, 0, 0), [(2, 2, 0)])
    [frame] = desk.store.read_measurements(["bus-1"], ["gear"], 0, 2**62)
    assert frame["gear"].tolist() == [3.0, 4.0]


def test_what_is_still_wrong_stays_with_its_reason(desk: Desk) -> None:
    desk.take("telemetry", seq=0, ts=MS, signals={"gear": 3, "gera": 4})
    desk.mend()
    assert desk.replay() == [(1, 0)]
    [held] = desk.accounting.quarantined()
    assert (held.reason, held.samples, held.flagged, held.stored) == ("unknown-signal", 0, 1, 1)
    assert desk.counts() == (1, 0, 0, 1)
    assert desk.replay() == [(0, 0)]
    assert (desk.counts(), len(desk.accounting.quarantined())) == ((1, 0, 0, 1), 1)


def test_what_was_sent_again_meanwhile_is_a_duplicate(desk: Desk) -> None:
    desk.take("faults", seq=0, ts=MS, code="F9")
    desk.mend()
    desk.take("faults", seq=1, ts=MS, code="F9")
    assert desk.replay() == [(0, 0)]
    assert desk.counts() == (1, 1, 0, 0)
    assert desk.days()[0][1:] == (0, 1)


def test_a_crash_between_store_and_account_counts_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.take("faults", seq=0, ts=MS, code="F9")
    desk.mend()

    def fail(_: Batch) -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(desk.accounting, "record", fail)
        with pytest.raises(sqlite3.OperationalError):
            desk.replay()
    desk.replay()
    assert sum(desk.counts()[:3]) == 1
    assert desk.counts()[2] == 0
    assert len(desk.days()) == 1  # so that the day is scored with it
    assert desk.replay() == []


def test_what_was_kept_in_part_cannot_be_replayed(register: Register, accounting: Accounting) -> None:
    desk = Desk(register, accounting)
    desk.take("faults", seq=0, ts=MS, code="F9", context={f"n{n}": 0.123456789 for n in range(90)}, more="x" * 70_000)
    desk.mend()
    assert desk.replay() == [(0, 1)]
    assert desk.counts() == (0, 0, 1, 0)


def test_what_is_refused_again_of_an_asset_that_is_still_unknown_counts_as_of_nobody(
    desk: Desk, register: Register, accounting: Accounting
) -> None:
    strict = Pipeline(desk.store, accounting, register, settings=Ingest(max_payload_bytes=100), clock=lambda: NOW)
    samples = [{"ts": MS + n, "signals": {"rpm": n}} for n in range(3)]
    strict.take([Message("fleet/bus-9/telemetry", json.dumps({"samples": samples}).encode())])
    assert desk.counts() == (0, 0, 1, 0)  # it was not looked into
    assert desk.replay() == [(0, 3)]
    assert [(one.asset_id, one.quarantined) for one in accounting.status()] == [("", 3)]
    desk.mend()
    assert desk.replay() == [(3, 0)]
    found = {one.asset_id: (one.stored, one.quarantined) for one in accounting.status()}
    assert found == {"": (0, 0), "bus-9": (3, 0)}


def test_sparkplug_data_before_its_birth(register: Register, accounting: Accounting) -> None:
    store, mqtt = MemoryStore(), Mqtt(decoders={"spBv1.0": "sparkplug"})
    pipeline = Pipeline(store, accounting, register, mqtt=mqtt, settings=Ingest(), clock=lambda: NOW)
    data = payload([metric(double(7), alias=1)], seq=5, ts=MS)
    birth = payload([metric(double(1), name="rpm", alias=1, datatype=DOUBLE)], seq=1, ts=MS + 1)
    pipeline.take([Message("spBv1.0/g/DDATA/n/bus-1", data)])
    pipeline.take(
        [Message("spBv1.0/g/NBIRTH/n", payload([bd_seq(0)], seq=0, ts=MS)), Message("spBv1.0/g/DBIRTH/n/bus-1", birth)]
    )
    [held] = accounting.quarantined()
    assert held.reason == "no-birth"
    assert replay(pipeline, held)[:2] == (1, 0)
    assert sorted(v for frame in store.read_measurements(["bus-1"], ["rpm"], 0, 2**62) for v in frame["rpm"]) == [1, 7]
    assert pipeline.take([Message("spBv1.0/g/DDATA/n/bus-1", payload([], seq=2, ts=MS))]) == []
    assert accounting.counters().lost == 0
