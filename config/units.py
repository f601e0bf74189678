"""The units that a signal may have, as UCUM symbols where UCUM has one (https://ucum.org/ucum)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from config.nearest import did_you_mean

# dimension -> symbols; two signals can be compared only within one dimension
UNITS: dict[str, tuple[str, ...]] = {
    "ratio": ("1", "%", "ppm"),
    "count": ("count",),
    "time": ("s", "ms", "us", "min", "h", "d"),
    "length": ("m", "mm", "um", "km"),
    "distance": ("mi",),
    "speed": ("km/h", "m/s", "mi/h"),
    "acceleration": ("m/s2", "g"),
    "velocity of vibration": ("mm/s",),
    "frequency": ("Hz", "kHz"),
    "rotation": ("rpm", "deg", "rad"),
    "temperature": ("degC", "K", "degF"),
    "pressure": ("bar", "mbar", "Pa", "kPa", "MPa", "psi"),
    "flow": ("l/min", "m3/h", "kg/h"),
    "volume": ("l", "m3"),
    "mass": ("kg", "t"),
    "force": ("N", "kN"),
    "torque": ("N.m", "kN.m"),
    "power": ("W", "kW", "MW", "VA", "kVA"),
    "energy": ("J", "kJ", "kWh", "MWh"),
    "current": ("A", "mA", "kA"),
    "voltage": ("V", "mV", "kV"),
    "resistance": ("Ohm", "kOhm", "MOhm"),
    "charge": ("Ah",),
    "sound": ("dB",),
    "concentration": ("mg/l", "ug/g"),
}

_DIMENSION = {symbol: dimension for dimension, symbols in UNITS.items() for symbol in symbols}


def dimension(unit: str) -> str:
    """Return the dimension of a known unit, for example ``pressure`` of ``bar``; ``KeyError`` if unknown."""
    return _DIMENSION[unit]


def _known(unit: str) -> str:
    if unit not in _DIMENSION:
        raise ValueError(f"unknown unit {unit!r}{did_you_mean(unit, _DIMENSION, at_most=len(_DIMENSION))}")
    return unit


Unit = Annotated[str, AfterValidator(_known)]


_PRINTED = {
    "1": "", "degC": "°C", "degF": "°F", "deg": "°", "Ohm": "Ω", "kOhm": "kΩ", "MOhm": "MΩ", "um": "µm", "us": "µs"
}  # fmt: skip


def printed(unit: str) -> str:
    """Return a unit as people write it; empty for the unit 1."""
    return _PRINTED.get(unit, unit)
