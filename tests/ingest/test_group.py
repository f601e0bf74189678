"""What a share group has lost: what none of its accounts has seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingest.accounting import Accounting
from ingest.group import group_lost
from ingest.message import Message
from ingest.pipeline import Pipeline
from telemetry.memory import MemoryStore

NOW_MS = 1_790_000_000_000


def test_only_what_went_to_nobody_is_lost(tmp_path: Path, pipeline_on: Callable[..., Pipeline]) -> None:
    store, accounts = MemoryStore(), [Accounting(tmp_path / f"{n}.sqlite3") for n in range(2)]
    for account in accounts:
        account.open()
    pipelines = [pipeline_on(store, account) for account in accounts]
    for seq in range(100):
        if seq in (17, 18, 60):
            continue
        payload = f'{{"seq": {seq}, "ts": {NOW_MS + seq}, "signals": {{"rpm": 1}}}}'.encode()
        pipelines[seq % 3 % 2].take([Message("fleet/bus-1/telemetry", payload, len(payload))])
    assert min(account.counters().lost for account in accounts) > 20  # alone, each misses what the other has
    assert group_lost(accounts, [("bus-1", "telemetry"), ("bus-2", "telemetry"), ("bus-1", "faults")]) == 3
    assert group_lost([], [("bus-1", "telemetry")]) == 0
    for account in accounts:
        account.close()
