"""The whole fleet, and the truth about it that no gateway tells."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from config.operating_day import NS
from config.register import Register
from fleetdx.simulator.car import Car, HotSpell
from fleetdx.simulator.failures import COMPONENTS, Failure, drawn
from fleetdx.simulator.gateway import Gateway, Sent, Tally

ASSET_TYPE = "emu-car"
_HOT_KELVIN = 7.0
_HOT_DAYS = 5


class Fleet:
    """All cars of the register's type ``emu-car`` for ``days`` from ``start``; the same for the same seed."""

    def __init__(self, register: Register, start: date, days: int, seed: int, prefix: str = "fleet") -> None:
        self.start, self.days = start, days
        assets = sorted((a for a in register.assets.values() if a.asset_type == ASSET_TYPE), key=lambda a: a.id)
        begin = int(datetime.combine(start, time.min, UTC).timestamp()) * NS
        self.failures: list[Failure] = drawn([a.id for a in assets], begin, days, seed)
        rng = np.random.default_rng([seed, 8])
        sites = sorted({a.site for a in assets})
        hot_from = start + timedelta(days=int(rng.integers(12, max(13, days - _HOT_DAYS))))
        hot = HotSpell(str(rng.choice(sites)), hot_from, _HOT_DAYS, _HOT_KELVIN)
        jumping = int(rng.integers(len(assets)))
        jumps_on = start + timedelta(days=int(rng.integers(3, days - 3)))
        codes = dict(register.asset_types[ASSET_TYPE].fault)
        self.cars = [
            Car(n, a.id, a.site, register.sites[a.site].zone, codes, self.failures, hot, seed)
            for n, a in enumerate(assets)
        ]
        self.gateways = [
            Gateway(car, prefix, seed, n, jumps_on if n == jumping else None) for n, car in enumerate(self.cars)
        ]

    @property
    def end(self) -> date:
        """The day after the last of the history."""
        return self.start + timedelta(days=self.days)

    def history(self, tally: Tally) -> Iterator[Sent]:
        """Yield all messages of the history in the order in which they reach the broker."""
        for gateway in self.gateways:
            yield gateway.hello()
        for number in range(self.days):
            for gateway in self.gateways:
                yield from gateway.day(self.start + timedelta(days=number), tally)
        for gateway in self.gateways:
            yield from gateway.rest()

    def write_truth(self, folder: Path) -> None:
        """Write ``failures.csv`` and ``maintenance.csv`` as a history folder has them."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [(f.asset_id, _iso(f.fails), f.mode) for f in self.failures]
        _write(folder / "failures.csv", ("asset_id", "time", "failure_mode"), rows)
        repairs = [(f.asset_id, _iso(f.repaired), *COMPONENTS[f.mode]) for f in self.failures]
        _write(folder / "maintenance.csv", ("asset_id", "time", "component", "action"), repairs)


def write_tally(tally: Tally, folder: Path) -> None:
    """Write ``published.json``, whole or not at all."""
    making = folder / "published.json.part"
    making.write_text(json.dumps(asdict(tally)))
    os.replace(making, folder / "published.json")


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
