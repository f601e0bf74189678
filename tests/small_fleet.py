"""A small fleet of pumps whose samples arrive as a test says, into real parts: store, account, sweep, registry."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from config.knowledge import ANOMALY, FailureMode, Knowledge
from config.operating_day import NS, day_bounds
from config.register import Asset, AssetType, FaultCode, Register, Signal, Site, Text
from config.settings import Daily, Models, Settings
from diagnostics.daily import DailyCycle
from diagnostics.fan_out import Workers
from diagnostics.ledger import Ledger
from diagnostics.rules import RuleSet
from diagnostics.rules import load as load_rules
from diagnostics.sweep import Sweep, SweepReport
from diagnostics.training import Trainer
from ingest.accounting import Accounting
from ingest.batch import Batch, DayCount
from models.registry import Registry
from telemetry.memory import MemoryStore
from telemetry.records import FaultEvent, Measurements

HOUR = 3600 * NS

PUMP = AssetType(
    id="pump",
    title=Text(en="Pump", zh="泵"),
    signals=(
        Signal(name="temp", unit="degC", low=-60, high=300, period=3600),
        Signal(name="current", unit="A", low=0, high=500, period=3600),
    ),
    faults=(
        FaultCode(code="P1", title=Text(en="Overload", zh="过载"), severity="minor"),
        FaultCode(code="P2", title=Text(en="Overheated", zh="过热"), severity="major"),
    ),
)
BERLIN = Site(id="berlin", title="Berlin", time_zone="Europe/Berlin")
MANAUS = Site(id="manaus", title="Manaus", time_zone="America/Manaus", connectivity="poor")
SHANGHAI = Site(id="shanghai", title="上海", time_zone="Asia/Shanghai", language="zh")
BERLINERS = tuple(f"B-{n}" for n in range(1, 7))


def register() -> Register:
    """Six pumps in Berlin, two in Manaus behind a poor link, two in Shanghai."""
    assets = [Asset(id=name, asset_type="pump", site="berlin", commissioned=date(2024, 2, 29)) for name in BERLINERS]
    assets += [Asset(id=f"M-{n}", asset_type="pump", site="manaus") for n in (1, 2)]
    assets += [Asset(id=f"S-{n}", asset_type="pump", site="shanghai") for n in (1, 2)]
    return Register((BERLIN, MANAUS, SHANGHAI), (PUMP,), tuple(assets))


def mode(code: str) -> FailureMode:
    return FailureMode(code=code, title=Text(en=code.title(), zh=f"故障{code}"), iso14224="OHE")


def knowledge() -> Knowledge:
    return Knowledge(failure_modes={code: mode(code) for code in ("HOT", "WORN", "NOISY")} | {ANOMALY.code: ANOMALY})


RULES = """\
- rule: hot
  asset_type: pump
  when: temp.mean > 80
  failure_mode: HOT
  severity: major
  act_within: 48h
  ticket: auto
  text: {en: "Mean {temp.mean:.1f} degrees.", zh: "平均 {temp.mean:.1f} 度。"}
- rule: worn
  asset_type: pump
  when: faults("P1", days=2) >= 2
  for: 2 of 3 days
  failure_mode: WORN
  severity: minor
  act_within: 7d
  text: {en: Worn., zh: 磨损。}
"""


def rule_set(folder: Path, text: str = RULES, detectors: Sequence[str] = ("robust_z",)) -> RuleSet:
    path = folder / "rules" / "pump.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return load_rules([path], register(), knowledge(), detectors)


def settings(**models: Any) -> Settings:
    """No model unless one is asked for."""
    chosen: dict[str, Any] = {"enabled": bool(models), "detectors": ("robust_z",), **models}
    return Settings(
        daily=Daily(lateness_minutes=60, poor_link_lateness_minutes=360, min_completeness=0.5), models=Models(**chosen)
    )


def at(text: str) -> datetime:
    """An instant from ISO 8601 with its offset."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return moment.astimezone(UTC)


class Fleet:
    """The parts of one program on a folder; ``restart`` builds the ones that a new process would."""

    def __init__(self, folder: Path, ledger: Ledger, rules: RuleSet, chosen: Settings | None = None) -> None:
        self.folder, self.ledger, self.rules, self.settings = folder, ledger, rules, chosen or settings()
        self.register = register()
        self.store = MemoryStore()
        self.accounting = Accounting(folder / "ingest.sqlite3")
        self.accounting.open()
        self.restart()

    def restart(self, workers: Workers | None = None) -> None:
        self.trainer = Trainer(self.register, self.settings, self.ledger, Registry(self.folder / "registry"))
        self.cycle = DailyCycle(
            self.register, knowledge(), self.rules, self.settings, self.store, self.ledger, workers=workers
        )
        self.sweep = Sweep(
            self.register, self.settings.daily, self.accounting.arrivals, self.ledger, self.cycle, self.trainer
        )

    def run(self, now: datetime, **options: Any) -> SweepReport:
        return self.sweep.run(now, **options)

    def arrive(
        self,
        asset_id: str,
        day: date,
        *,
        hours: Sequence[int] | None = None,
        faults: Mapping[str, Sequence[float]] | None = None,
        **means: float,
    ) -> None:
        """Hourly samples of an operating day come in (``hours``: only these), around given means (NaN: none).

        ``faults`` are codes with the hours of the day at which they were set.
        """
        start, end = day_bounds(self.register.site_of(asset_id).zone, day)
        rng = np.random.default_rng(zlib.crc32(f"{asset_id} {day}".encode()))
        middle = {"temp": 50.0, "current": 8.0} | means
        samples = []
        for hour in range((end - start) // HOUR):
            values = {name: float(mean + rng.normal()) for name, mean in middle.items() if mean == mean}
            if hours is None or hour in hours:
                samples.append(Measurements.at(asset_id, start + hour * HOUR, values))
        events = [
            FaultEvent(asset_id, code, start + int(hour * HOUR))
            for code, told in (faults or {}).items()
            for hour in told
        ]
        times = [time for m in samples for time in m.times] + [e.time for e in events]
        self.store.write(samples, events)
        batch = Batch()
        batch.days[asset_id, day] = DayCount(len(samples), len(events), min(times), max(times))
        self.accounting.record(batch)

    def all_arrive(self, day: date, assets: Sequence[str] = BERLINERS, **means: float) -> None:
        for asset_id in assets:
            self.arrive(asset_id, day, **means)


def closed(day: date, site: Site = BERLIN, lateness_minutes: float = 61) -> datetime:
    """A moment just after a day of a site is closed."""
    end = day_bounds(site.zone, day)[1]
    return datetime.fromtimestamp(end // NS, UTC) + timedelta(minutes=lateness_minutes)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]
