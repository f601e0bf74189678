"""A small fleet over a ledger in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from memory_ledger import MemoryLedger
from small_fleet import RULES, Fleet, rule_set, settings


@pytest.fixture
def new_fleet(tmp_path: Path) -> Iterator[Callable[..., tuple[Fleet, MemoryLedger]]]:
    """Makes fleets, each with a ledger and a folder of its own; keywords are settings of the models."""
    with ExitStack() as opened:
        made = 0

        def new(rules: str = RULES, **models: Any) -> tuple[Fleet, MemoryLedger]:
            nonlocal made
            made += 1
            folder = tmp_path / f"fleet-{made}"
            ledger = MemoryLedger()
            fleet = Fleet(folder, ledger, rule_set(folder, rules), settings(**models))
            opened.callback(fleet.accounting.close)
            return fleet, ledger

        yield new
