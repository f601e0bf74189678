"""The console with an installation, telemetry and alerts to look at, and browsers that ask it for pages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from diagnoses import DAY, diagnosis, outcome

from config.installation import Installation
from config.operating_day import NS, day_bounds
from config.register import Asset, Register
from diagnostics.records import AnomalyScore, Contribution, DayOutcome, FaultLogEntry
from fleetdx.data_folder import DataFolder
from models.ensemble import ENSEMBLE
from telemetry.memory import MemoryStore
from telemetry.records import FaultEvent, Measurements

CAR = "EMU-01-A"
"""A car of Madrid."""
PASSWORD = "correct horse 1"


@dataclass
class Console:
    """The pages with all that they show; ``use`` serves another installation from now on."""

    installation: Installation
    store: MemoryStore
    data: DataFolder

    def use(self, installation: Installation) -> None:
        """Let the pages speak of another installation."""
        from console.context import provide

        self.installation = installation
        provide(installation, self.store)

    def change_asset(self, asset_id: str, **changes: Any) -> None:
        """Change what the register says of an asset."""
        register = self.installation.register
        assets = (a.model_copy(update=changes) if a.id == asset_id else a for a in register.assets.values())
        self.use(with_register(self.installation, tuple(assets)))

    def client(self, language: str = "en", *, user: str | None = "anna", csrf: bool = False) -> Any:
        """Return a browser that speaks a language; logged in unless there is no ``user``."""
        from django.contrib.auth import get_user_model
        from django.test import Client

        client = Client(enforce_csrf_checks=csrf, headers={"host": "localhost", "accept-language": language})
        if user is not None:
            client.force_login(get_user_model().objects.get_or_create(username=user)[0])
        return client

    def raise_alert(self, asset_id: str = CAR, day: date = DAY, **given: Any) -> int:
        """Let the daily cycle raise an alert on a day; return its number."""
        from alerts.ledger import DjangoLedger
        from alerts.models import Alert

        said = diagnosis(day, asset_id=asset_id, **given)
        DjangoLedger().record([day_of(asset_id, day, said)])
        alert: int = Alert.objects.get(asset_id=asset_id, failure_mode=said.failure_mode).pk
        return alert


def with_register(installation: Installation, assets: tuple[Asset, ...]) -> Installation:
    """Return the installation with other assets."""
    register = installation.register
    changed = Register(tuple(register.sites.values()), tuple(register.asset_types.values()), assets)
    return replace(installation, register=changed)


def day_of(asset_id: str, day: date, *diagnoses: Any, level: float = 0.999) -> DayOutcome:
    """Return a day with a fault, a score and its two largest contributions."""
    noon = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * NS
    entry = FaultLogEntry("A2102", "minor", 3, noon, noon + 3600 * NS, 60.0, True, False, {"speed": 61.5})
    contributions = (
        Contribution("compressor_duty.mean.own", 7.25, 0.6),
        Contribution("compressor_temp.p95", 71.0, 0.2),
    )
    score = AnomalyScore(asset_id, day, ENSEMBLE, "v1", 8.0 * level, 4.0, level, contributions)
    said = diagnoses or (diagnosis(day, False, asset_id=asset_id),)
    features = {"completeness": 1.0, "compressor_duty.p05": 18.0, "compressor_duty.p95": 30.0}
    return outcome(*said, entries=(entry,), scores=(score,), features=features, model_version="v1")


def fill(store: MemoryStore) -> None:
    """Write three weeks of ``CAR``, whose compressor works harder every day."""
    zone = ZoneInfo("Europe/Madrid")
    begin, end = day_bounds(zone, DAY - timedelta(days=20))[0], day_bounds(zone, DAY)[1]
    times = range(begin, end, 3600 * NS)
    duty = np.linspace(20, 60, len(times))
    store.write(
        [
            Measurements.at(CAR, at, {"compressor_duty": float(value), "compressor_temp": 55.0})
            for at, value in zip(times, duty, strict=True)
        ],
        [FaultEvent(CAR, "A2102", at) for at in times[:: 24 * 3]],
    )
