"""What was refused waits for a person, who may take some of it away."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from config.register import Register
from config.settings import Ingest
from ingest.accounting import Accounting
from ingest.pipeline import Message, Pipeline
from ingest.quarantine import Selection
from telemetry.memory import MemoryStore

NOW = 1_790_000_000_000_000_000
MS = NOW // 1_000_000


def test_a_selection_is_purged_and_counted(register: Register, accounting: Accounting) -> None:
    for number in range(3):
        pipeline = Pipeline(MemoryStore(), accounting, register, settings=Ingest(), clock=lambda at=NOW + number: at)
        fault, wrong = {"ts": MS, "code": f"X{number}"}, {"ts": MS, "signals": {"rpm": -1}}
        pipeline.take([Message("fleet/bus-1/faults", json.dumps(fault).encode())])
        pipeline.take([Message("fleet/bus-2/telemetry", json.dumps(wrong).encode())])
    assert accounting.count_quarantined(Selection(reason="unknown-code")) == 3
    assert accounting.purge_quarantine(Selection(reason="unknown-code", before=NOW + 1)) == 1
    assert accounting.purge_quarantine(Selection(asset_id="bus-2")) == 3
    assert accounting.purge_quarantine(Selection(ids=(999,))) == 0
    assert [held.reason for held in accounting.quarantined()] == ["unknown-code"] * 2
    assert accounting.counters().quarantine_dropped == 4


def test_a_quarantine_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ingest.sqlite3"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE quarantine (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, asset_id TEXT NOT NULL, "
        "topic TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL)"
    )
    database.execute("INSERT INTO quarantine VALUES (7, 1, 'bus-1', 't', 'r', 'd', 1, x'00')")
    database.commit()
    database.close()
    for _ in range(2):
        accounting = Accounting(path)
        accounting.open()
        [held] = accounting.quarantined()
        assert (held.id, held.samples, held.flagged, held.stored, held.whole) == (7, 1, 0, 0, True)
        accounting.close()
