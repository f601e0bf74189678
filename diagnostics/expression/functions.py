"""The functions of the language: each reads its arguments and returns how it is computed. docs/rules.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from diagnostics.expression import windows
from diagnostics.expression.arguments import Arguments
from diagnostics.expression.frame import Frame
from diagnostics.expression.part import ExpressionError, Part, shown
from diagnostics.expression.peers import above_peers
from diagnostics.expression.scope import COUNT, DAYS, HOURS, RATIO
from diagnostics.expression.sequences import Sets, in_order
from models.grid import Floats

DAYS_SINCE = 30
"""Days that ``days_since_fault`` looks back where it does not say."""
MAX_CODES = 5
"""Codes of one sequence."""


def _faults(given: Arguments) -> Part:
    column, days = _count_of(given.fault_code()), given.days(1)
    return Part("number", lambda frame: windows.total(frame.column(column), days), COUNT, days)


def _rate(given: Arguments) -> Part:
    given.no_days()
    column = f"faults.{given.fault_code()}.rate"
    return Part("number", lambda frame: frame.column(column), deviation=True)


def _days_since_fault(given: Arguments) -> Part:
    column, days = _count_of(given.fault_code()), given.days(DAYS_SINCE)
    return Part("number", lambda frame: windows.days_since(frame.column(column), days), DAYS, days)


def _sequence(given: Arguments) -> Part:
    codes, days = given.several_fault_codes(MAX_CODES), given.days()

    def evaluate(frame: Frame) -> Floats:
        columns = [[frame.column(f"faults.{code}.{what}") for what in ("count", "first", "last")] for code in codes]
        return in_order([Sets(*three) for three in columns], days)

    return Part("condition", evaluate, days=days)


def _faults_per_hour(given: Arguments) -> Part:
    return _per_exposure(given, "exposure.hours", HOURS)


def _faults_per_distance(given: Arguments) -> Part:
    return _per_exposure(given, "exposure.distance", _distance_unit(given))


def _per_exposure(given: Arguments, exposure: str, unit: str) -> Part:
    column, days = _count_of(given.fault_code()), given.days()
    return Part(
        "number",
        lambda frame: windows.per_exposure(frame.column(column), frame.column(exposure), days),
        f"{COUNT}/{unit}",
        days,
    )


def _exposure(given: Arguments) -> Part:
    given.nothing_but_days()
    days = given.days(1)
    return Part("number", lambda frame: windows.total(frame.column("exposure.hours"), days), HOURS, days)


def _distance(given: Arguments) -> Part:
    given.nothing_but_days()
    unit, days = _distance_unit(given), given.days(1)
    return Part("number", lambda frame: windows.total(frame.column("exposure.distance"), days), unit, days)


def _days_since_maintenance(given: Arguments) -> Part:
    given.no_days()
    column = f"service.{given.component()}.age"
    return Part("number", lambda frame: frame.column(column), DAYS)


def _score(given: Arguments) -> Part:
    given.no_days()
    column = f"score.{given.detector()}"
    return Part("number", lambda frame: frame.column(column), RATIO)


def _above_peers(given: Arguments) -> Part:
    given.no_days()
    inner = given.number("a number")
    return Part(
        "number",
        lambda frame: above_peers(inner.evaluate(frame), frame.peers()),
        inner.unit,
        inner.days,
        deviation=True,
    )


def _over_days(reduce: windows.Reduce) -> Callable[[Arguments], Part]:
    def compiled(given: Arguments) -> Part:
        inner, days = given.number(), given.days()
        unit = inner.unit if reduce is not windows.slope or inner.unit is None else f"{inner.unit}/{DAYS}"
        return Part(
            "number",
            lambda frame: windows.reduced(inner.evaluate(frame), days, reduce),
            unit,
            inner.days + days - 1,
            inner.deviation,
        )

    return compiled


def _count(given: Arguments) -> Part:
    inner, days = given.condition(), given.days()
    return Part("number", lambda frame: windows.total(inner.evaluate(frame), days), DAYS, inner.days + days - 1)


def _abs(given: Arguments) -> Part:
    given.no_days()
    inner = given.number("a number")
    return Part("number", lambda frame: np.abs(inner.evaluate(frame)), inner.unit, inner.days, inner.deviation)


def _known(given: Arguments) -> Part:
    given.no_days()
    inner = given.number("a column")
    return Part("condition", lambda frame: np.isfinite(inner.evaluate(frame)).astype(np.float64), days=inner.days)


def _count_of(code: str) -> str:
    return f"faults.{code}.count"


def _distance_unit(given: Arguments) -> str:
    unit = given.scope.distance_unit
    if unit is None:
        raise ExpressionError(
            f"{shown(given.call)}: asset type {given.scope.asset_type.id!r} has no counter of distance"
        )
    return unit


FUNCTIONS: Mapping[str, Callable[[Arguments], Part]] = {
    "faults": _faults,
    "rate": _rate,
    "days_since_fault": _days_since_fault,
    "sequence": _sequence,
    "faults_per_hour": _faults_per_hour,
    "faults_per_distance": _faults_per_distance,
    "exposure": _exposure,
    "distance": _distance,
    "days_since_maintenance": _days_since_maintenance,
    "score": _score,
    "above_peers": _above_peers,
    "mean": _over_days(windows.mean),
    "max": _over_days(windows.highest),
    "min": _over_days(windows.lowest),
    "trend": _over_days(windows.slope),
    "count": _count,
    "abs": _abs,
    "known": _known,
}
