"""A small history folder with a known answer: pumps that are sound, and some whose signals drift before they fail."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
GROWS_DAYS = 6


def write_history(
    folder: Path, *, days: int = 50, pumps: int = 10, fails_on: Sequence[tuple[int, int]] = (), hours: int = 1
) -> Path:
    """Write hourly temperature and current of ``pumps``; ``fails_on`` holds (pump, day of its failure at noon).

    Both signals climb to eight sigma within ``GROWS_DAYS`` before a failure, and a fault comes on its last two days;
    the pump is repaired twelve hours after it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    names = [f"P-{n:02}" for n in range(pumps)]
    moments = [BEGIN + timedelta(hours=n) for n in range(0, 24 * days, hours)]
    failures = [(names[pump], BEGIN + timedelta(days=day, hours=12)) for pump, day in fails_on]
    telemetry, faults = [], []
    offset = rng.normal(0, 1, pumps)
    for at in moments:
        daily = 4 * np.sin(2 * np.pi * at.hour / 24)
        for n, name in enumerate(names):
            grown = max((_growth(at, fails) for failing, fails in failures if failing == name), default=0.0)
            temperature = 60 + offset[n] + daily + rng.normal(0, 1) + 12 * grown
            current = 20 + 0.2 * offset[n] + rng.normal(0, 0.4) + 5 * grown
            telemetry.append((name, _iso(at), f"{temperature:.3f}", f"{current:.3f}"))
            if grown > 0.7 and at.hour % 6 == 0:
                faults.append((name, _iso(at), "P2"))
    _write(folder / "assets.csv", "asset_id,asset_type,site", [(name, "pump", "works") for name in names])
    _write(folder / "telemetry.csv", "asset_id,time,temperature,current", telemetry)
    _write(folder / "faults.csv", "asset_id,time,code", faults)
    _write(folder / "failures.csv", "asset_id,time,failure_mode", [(name, _iso(at), "SEIZED") for name, at in failures])
    repairs = [(name, _iso(at + timedelta(hours=12)), "pump", "replaced") for name, at in failures]
    _write(folder / "maintenance.csv", "asset_id,time,component,action", repairs)
    return folder


def _growth(at: datetime, fails: datetime) -> float:
    before = (fails - at) / timedelta(days=GROWS_DAYS)
    return 1 - before if 0 <= before < 1 else float(timedelta(0) < at - fails < timedelta(hours=12))


def _iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _write(path: Path, header: str, rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
