"""The console on tables of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
import pytest
from console_pages import CAR, PASSWORD, Console, day_of, fill
from diagnoses import DAY

from config.installation import Installation, load
from fleetdx.data_folder import DataFolder
from fleetdx.demo import SAMPLE
from fleetdx.wiring import disconnect_relational, point_django_at, set_password
from telemetry.memory import MemoryStore

django.setup()  # before a test module imports the tables


@pytest.fixture(scope="session")
def sample() -> Installation:
    """The sample installation."""
    return load(SAMPLE)


@pytest.fixture
def console(migrated: Path, sample: Installation, tmp_path: Path) -> Iterator[Console]:
    """A console without any alert, over three weeks of telemetry of one car."""
    data = DataFolder(tmp_path / "data")
    data.prepare()
    shutil.copy(migrated, data.relational)
    point_django_at(data)
    found = Console(sample, MemoryStore(), data)
    found.use(sample)
    fill(found.store)
    yield found
    disconnect_relational()


@pytest.fixture
def alert(console: Console) -> int:
    """An alert on ``CAR`` after two weeks without."""
    from alerts.ledger import DjangoLedger

    DjangoLedger().record([day_of(CAR, DAY - timedelta(days=n), level=0.4) for n in range(14, 0, -1)])
    return console.raise_alert()


@pytest.fixture
def password(console: Console, monkeypatch: pytest.MonkeyPatch) -> str:
    """The password of user ``anna``, who may log in; kept in the ordinary way, but for how often it is hashed."""
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    monkeypatch.setattr(PBKDF2PasswordHasher, "iterations", 1000)
    set_password("anna", PASSWORD)
    return PASSWORD


@pytest.fixture
def queries() -> Callable[[], Any]:
    """Count the queries of a block: ``with queries() as seen: ...; len(seen)``."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    return lambda: CaptureQueriesContext(connection)
