"""The physics of one car, five minutes at a time: simple, but varied as sound vehicles are varied.

Every figure is a plausible magnitude for an electric multiple unit, chosen here and fitted to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from config.operating_day import NS
from config.register import FaultCode
from fleetdx.simulator.failures import Failure

PERIOD = 300 * NS
FIRST_HOUR, LAST_HOUR = 5, 23
SAMPLES = (LAST_HOUR - FIRST_HOUR) * 12
Floats = NDArray[np.float64]

_CLIMATE = {"madrid": (15.0, 10.0, 200), "sao-paulo": (20.0, 4.0, 20), "shanghai": (17.0, 11.0, 205)}
"""By site: mean of the year (degC), half the span between summer and winter (K), warmest day of the year."""
_FALSE_FAULTS = {
    "E1001": 0.15, "E1002": 0.2, "E1003": 0.05, "A2102": 0.03, "D3101": 0.12, "H4101": 0.03, "B5101": 0.015,
}  # fmt: skip
_FAULTS = {
    # mode: (code, sets a day at full growth, growth at which it begins)
    "AIR-LEAK": (("A2102", 9.0, 0.15), ("A2101", 9.0, 0.4)),
    "DOOR-DRIVE": (("D3101", 12.0, 0.15), ("D3102", 7.0, 0.4)),
    "HVAC-COOL": (("H4101", 9.0, 0.15), ("H4102", 6.0, 0.4)),
    "AXLE-BEARING": (("B5101", 9.0, 0.15), ("B5102", 8.0, 0.4)),
}
_FINAL = {"AIR-LEAK": "A2199", "DOOR-DRIVE": "D3199", "HVAC-COOL": "H4199", "AXLE-BEARING": "B5199"}
_FRAMES = {
    "A": ("speed", "main_reservoir_pressure", "compressor_duty"),
    "D": ("speed", "door_close_time", "door_motor_current"),
    "H": ("cabin_temp", "hvac_discharge_temp", "hvac_current"),
    "B": ("speed", "axle_bearing_temp", "axle_vibration"),
    "E": ("speed", "battery_voltage"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a car: set at ``time`` (ns), cleared at ``cleared`` (``None``: until the repair)."""

    code: str
    time: int
    cleared: int | None
    severity: str
    context: dict[str, float]


@dataclass(frozen=True, slots=True)
class CarDay:
    """What a car measured and reported on one operating day: ``times`` (ns) and one value each by signal."""

    times: NDArray[np.int64]
    values: dict[str, Floats]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class HotSpell:
    """Days on which a whole site is warmer than it should be: no failure at all."""

    site: str
    first: date
    days: int
    kelvin: float

    def at(self, site: str, day: date) -> float:
        """Return how much warmer a site is on a day, in K."""
        inside = site == self.site and self.first <= day < self.first + timedelta(days=self.days)
        return self.kelvin if inside else 0.0


class Car:
    """One car: its own offsets from the design, its failures, and its days, each drawn anew from the seed."""

    def __init__(
        self,
        number: int,
        asset_id: str,
        site: str,
        zone: ZoneInfo,
        codes: dict[str, FaultCode],
        failures: Sequence[Failure],
        hot: HotSpell,
        seed: int,
    ) -> None:
        self.asset_id = asset_id
        self._number, self._site, self._zone, self._seed = number, site, zone, seed
        self._codes, self._failures, self._hot = codes, [f for f in failures if f.asset_id == asset_id], hot
        own = np.random.default_rng([seed, 2, number])
        self._offset = {
            name: float(own.normal()) for name in ("duty", "air", "door", "motor", "hvac", "bearing", "shake")
        }
        self._kilometres = float(own.uniform(300_000, 900_000))

    def day(self, day: date) -> CarDay:
        """Return one operating day; the same each time it is asked for."""
        rng = np.random.default_rng([self._seed, 3, self._number, day.toordinal()])
        first = datetime.combine(day, time(FIRST_HOUR), self._zone)
        times = int(first.timestamp()) * NS + np.arange(SAMPLES, dtype=np.int64) * PERIOD
        growth = {mode: np.zeros(SAMPLES) for mode in _FINAL}
        for failure in self._failures:
            growth[failure.mode] = np.maximum(growth[failure.mode], failure.growth(times))
        values = self._measured(rng, day, growth)
        faults = self._reported(rng, times, values, growth)
        standing = np.zeros(SAMPLES, dtype=bool)
        for failure in self._failures:
            standing |= (times > failure.fails) & (times < failure.repaired)
        kept = ~standing
        sounding = [f for f in faults if not any(x.fails < f.time < x.repaired for x in self._failures)]
        return CarDay(times[kept], {name: column[kept] for name, column in values.items()}, tuple(sounding))

    def _ambient(self, day: date) -> Floats:
        mean, swing, warmest = _CLIMATE.get(self._site, (14.0, 8.0, 200))
        site = np.random.default_rng([self._seed, 4, sum(self._site.encode()), day.toordinal()])
        weather = sum(
            float(np.random.default_rng([self._seed, 5, sum(self._site.encode()), day.toordinal() - n]).normal()) * w
            for n, w in enumerate((1.6, 1.2, 0.8, 0.4))
        )
        season = mean + swing * np.cos(2 * np.pi * (day.timetuple().tm_yday - warmest) / 365.25)
        hours = FIRST_HOUR + np.arange(SAMPLES) / 12
        diurnal = 4.0 * np.sin(2 * np.pi * (hours - 9) / 24)
        drift = np.cumsum(site.normal(0, 0.06, SAMPLES))
        return np.asarray(season + weather + diurnal + drift + self._hot.at(self._site, day))

    def _measured(self, rng: np.random.Generator, day: date, growth: dict[str, Floats]) -> dict[str, Floats]:
        def noise(spread: float) -> Floats:
            return rng.normal(0.0, spread, SAMPLES)

        def today(spread: float) -> float:
            return float(rng.normal(0.0, spread))

        off = self._offset
        ambient = self._ambient(day)
        moving = rng.random(SAMPLES) > 0.22
        speed = np.where(moving, np.clip(rng.normal(72, 22, SAMPLES), 8, 158), 0.0)
        run_in = np.convolve(speed, np.ones(6) / 6, mode="full")[:SAMPLES]
        air, door, cooling, bearing = (growth[mode] for mode in ("AIR-LEAK", "DOOR-DRIVE", "HVAC-COOL", "AXLE-BEARING"))
        duty = 24 + 2.0 * off["duty"] + today(0.8) + 0.03 * (run_in - 55) + noise(3.5) + 46 * air
        pressure = 9.0 + 0.08 * off["air"] + today(0.03) + noise(0.11) - 1.9 * air
        load = np.clip(0.35 + (ambient - 18) / 18, 0.3, 1.2)
        distance = np.cumsum(speed) / 12
        warm = ambient - 18
        bearing_temp = ambient + 20 + 0.13 * run_in + 0.9 * off["bearing"] + today(0.35) + noise(1.1) + 27 * bearing
        shaking = 1.1 + 0.018 * speed + 0.1 * off["shake"] + today(0.04) + noise(0.22) + 4.5 * bearing * (speed > 0)
        closing = 3.2 + 0.08 * off["door"] + today(0.025) - 0.006 * warm + noise(0.14) + 2.2 * door
        motor = 7 + 0.25 * off["motor"] + today(0.07) - 0.03 * warm + noise(0.4) + 4.5 * door
        lost = cooling * load
        discharge = 13.5 - 1.5 * load + 0.4 * off["hvac"] + today(0.2) + noise(0.8) + 11 * lost
        current = 9 + 20 * load + 0.4 * off["hvac"] + today(0.25) + noise(0.9) - 11 * lost
        return {
            "speed": speed,
            "odometer": self._kilometres + 1000.0 * (day.toordinal() - 730_000) + distance * 0.95,
            "battery_voltage": 110 + noise(0.7),
            "ambient_temp": ambient + noise(0.3),
            "main_reservoir_pressure": np.clip(pressure, 0, 10.5),
            "compressor_duty": np.clip(duty, 0, 100),
            "compressor_temp": 52 + 0.6 * ambient + today(0.8) + 0.35 * (duty - 24) + noise(1.8) + 6 * air,
            "door_close_time": np.clip(closing, 1, 59),
            "door_motor_current": np.clip(motor, 0, 59),
            "cabin_temp": 22.5 + 0.04 * warm + today(0.12) + noise(0.4) + 4.5 * lost,
            "hvac_discharge_temp": discharge,
            "hvac_current": np.clip(current, 0, 99),
            "axle_bearing_temp": bearing_temp,
            "axle_vibration": np.clip(shaking, 0, 99),
        }

    def _reported(
        self, rng: np.random.Generator, times: NDArray[np.int64], values: dict[str, Floats], growth: dict[str, Floats]
    ) -> list[Fault]:
        places: list[tuple[str, int]] = []
        for code, a_day in _FALSE_FAULTS.items():
            places += [(code, int(place)) for place in rng.integers(SAMPLES, size=rng.poisson(a_day))]
        for mode, codes in _FAULTS.items():
            for code, a_day, begins in codes:
                expected = np.clip(growth[mode] - begins, 0, None) / (1 - begins) * a_day / SAMPLES
                places += [(code, int(place)) for place in np.flatnonzero(rng.random(SAMPLES) < expected)]
        faults = [self._fault(rng, code, place, times, values) for code, place in places]
        for failure in self._failures:
            if times[0] <= failure.fails <= times[-1] + PERIOD:
                before = max(int(np.searchsorted(times, failure.fails)) - 1, 0)
                final = self._fault(rng, _FINAL[failure.mode], before, times, values)
                faults.append(Fault(final.code, failure.fails, None, final.severity, final.context))
        return faults

    def _fault(
        self, rng: np.random.Generator, code: str, place: int, times: NDArray[np.int64], values: dict[str, Floats]
    ) -> Fault:
        at = int(times[place]) + int(rng.integers(1, 299_000)) * 1_000_000
        stands = int(rng.exponential(420) + 20) * NS
        frame = {name: round(float(values[name][place]), 2) for name in _FRAMES[code[0]]}
        return Fault(code, at, at + stands, self._codes[code].severity, frame)
