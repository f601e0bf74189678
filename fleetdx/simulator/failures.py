"""Which car fails when and how: drawn from the seed, and known in full only to the truth files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from config.operating_day import NS

DAY = 86_400 * NS
HOUR = 3600 * NS
SOUND_DAYS = 24
"""Days at the beginning in which no failure grows, so that models see what sound is."""
MODES = ("AIR-LEAK", "DOOR-DRIVE", "HVAC-COOL", "AXLE-BEARING")
GROWING = ("AXLE-BEARING", "HVAC-COOL", "AIR-LEAK")
COMPONENTS = {
    "AIR-LEAK": ("air supply", "leak mended"),
    "DOOR-DRIVE": ("door drive", "spindle replaced"),
    "HVAC-COOL": ("air conditioner", "refrigerant circuit repaired"),
    "AXLE-BEARING": ("axle bearing", "wheelset replaced"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that grows from ``begins`` until the car stops at ``fails``, and is repaired at ``repaired`` (ns)."""

    asset_id: str
    mode: str
    begins: int
    fails: int
    repaired: int

    def growth(self, times: np.ndarray) -> np.ndarray:
        """Return how far it has grown at each instant: 0 before it begins, 1 when it fails, slowly at first."""
        share = (times - self.begins) / (self.fails - self.begins)
        growth: np.ndarray = np.where(times < self.repaired, np.clip(share, 0.0, 1.0) ** 1.6, 0.0)
        return growth


def drawn(asset_ids: Sequence[str], start: int, days: int, seed: int) -> list[Failure]:
    """Draw the failures of a run of ``days`` from ``start`` (ns), each on another car.

    Two of each mode fail within the days; ``GROWING`` are under way when they end and fail soon after.

    Raises:
        ValueError: there are too few days or cars.
    """
    wanted = [*(mode for mode in MODES for _ in range(2)), *GROWING]
    if days < SOUND_DAYS + 8 or len(asset_ids) < len(wanted):
        raise ValueError(f"needs {SOUND_DAYS + 8} days and {len(wanted)} cars, not {days} and {len(asset_ids)}")
    rng = np.random.default_rng([seed, 1])
    cars = rng.permutation(np.array(asset_ids))[: len(wanted)]
    failures = []
    for number, (car, mode) in enumerate(zip(cars, wanted, strict=True)):
        within = number < len(wanted) - len(GROWING)
        fails_on = int(rng.integers(SOUND_DAYS + 6, days - 1)) if within else days + int(rng.integers(1, 3))
        grows = float(rng.uniform(5 if within else 7, min(12, fails_on - SOUND_DAYS)))
        fails = start + fails_on * DAY + int(rng.uniform(7, 18) * HOUR)
        repaired = fails + int(rng.uniform(14, 40) * HOUR)
        failures.append(Failure(str(car), mode, fails - int(grows * DAY), fails, repaired))
    return sorted(failures, key=lambda failure: failure.fails)
