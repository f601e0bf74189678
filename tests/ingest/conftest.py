"""A small register, a clock that stands still, and pipelines on fresh files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.register import Asset, AssetType, FaultCode, Register, Signal, Site, Text
from config.settings import Ingest
from ingest.accounting import Accounting
from ingest.pipeline import Pipeline
from telemetry.memory import MemoryStore
from telemetry.store import TelemetryStore

NOW = 1_790_000_000_000_000_000
"""2026-09-21 14:13:20 UTC."""
TITLE = Text(en="x", zh="x")


@pytest.fixture
def register() -> Register:
    """Three buses, in Madrid and Auckland: rpm from 0 to 5000, oil_temp without limits, faults F1 and F2."""
    bus = AssetType(
        id="bus",
        title=TITLE,
        signals=(Signal(name="rpm", unit="rpm", low=0, high=5000), Signal(name="oil_temp", unit="degC")),
        faults=(FaultCode(code="F1", title=TITLE), FaultCode(code="F2", title=TITLE)),
    )
    sites = (
        Site(id="madrid", title="Madrid", time_zone="Europe/Madrid"),
        Site(id="auckland", title="Auckland", time_zone="Pacific/Auckland"),
    )
    homes = {"bus-1": "madrid", "bus-2": "madrid", "bus-3": "auckland"}
    return Register(sites, (bus,), tuple(Asset(id=name, asset_type="bus", site=home) for name, home in homes.items()))


@pytest.fixture
def accounting(tmp_path: Path) -> Iterator[Accounting]:
    """An open account in an empty file."""
    account = Accounting(tmp_path / "ingest.sqlite3")
    account.open()
    yield account
    account.close()


@pytest.fixture
def pipeline_on(register: Register) -> Callable[..., Pipeline]:
    """Make a pipeline on a store and an account; its clock says ``NOW``."""

    def make(store: TelemetryStore, accounting: Accounting, **settings: Any) -> Pipeline:
        return Pipeline(store, accounting, register, prefix="fleet", settings=Ingest(**settings), clock=lambda: NOW)

    return make


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()
