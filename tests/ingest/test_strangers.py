"""A flood of assets that nobody knows: counted, and bounded in what is kept."""

from __future__ import annotations

from collections.abc import Callable

from config.register import Register
from config.settings import Ingest
from ingest.accounting import Accounting
from ingest.counters import UNKNOWN_ASSET
from ingest.pipeline import Message, Pipeline
from telemetry.memory import MemoryStore


def test_a_flood_of_strangers_is_counted_and_does_not_push_out_what_waits(
    accounting: Accounting, pipeline_on: Callable[..., Pipeline]
) -> None:
    pipeline = pipeline_on(MemoryStore(), accounting, unknown_per_minute=50, quarantine_max_rows=100)
    pipeline.take([Message("fleet/bus-1/faults", b'{"ts": 1790000000000, "code": "F77"}')])
    for batch in range(10):
        flood = [Message(f"fleet/stranger-{batch}-{n}/telemetry", b"{}") for n in range(100)]
        pipeline.take([*flood, Message("x/y", b"")])
    held = accounting.quarantined(1000)
    assert len(held) == 51
    assert held[-1].asset_id == "bus-1"
    counters = accounting.counters()
    assert (counters.quarantined, counters.quarantine_dropped) == (1011, 960)
    assert counters.reasons == {"unknown-asset": 1000, "bad-topic": 10, "unknown-code": 1}
    assert {status.asset_id for status in accounting.status()} == {"bus-1", UNKNOWN_ASSET}
    # Of known assets all is kept.
    pipeline.take([Message("fleet/bus-1/faults", b"?") for _ in range(20)])
    assert accounting.count_quarantined() == 71


def test_the_next_minute_has_its_own_allowance(accounting: Accounting, register: Register) -> None:
    now = 1_790_000_000_000_000_000
    settings = Ingest(unknown_per_minute=5)
    pipeline = Pipeline(MemoryStore(), accounting, register, settings=settings, clock=lambda: now)
    for _ in range(2):
        pipeline.take([Message(f"fleet/s{n}/telemetry", b"{}") for n in range(20)])
        now += 60_000_000_000
    assert accounting.count_quarantined() == 10
