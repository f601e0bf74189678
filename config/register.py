"""What is in the field: sites, asset types with their signals and fault codes, and the assets themselves.

The classes are validated where they are built (pydantic), so a value of one of these types is already
checked: identifiers are safe in a topic, a tag and a file name, units are known, ranges are ordered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache, cached_property
from typing import Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from config.mistakes import Mistakes, Where
from config.nearest import did_you_mean
from config.strict import Strict as Strict
from config.support import Tiers, WorkingHours
from config.units import Unit

Language = Literal["en", "zh"]
Severity = Literal["info", "minor", "major", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "minor", "major", "critical")
"""From least to most severe; the order that every comparison of severities uses."""


def _shaped(pattern: str, words: str) -> AfterValidator:
    shape = re.compile(pattern)

    def check(text: str) -> str:
        if not shape.fullmatch(text):
            raise ValueError(f"must be {words}, not {text[:80]!r}")
        return text

    return AfterValidator(check)


# No "/", "+", "#" (MQTT), no blank, comma, "=" (line protocol), nothing a shell or a path could take amiss.
AssetId = Annotated[
    str,
    _shaped(
        r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", "letters, digits and . _ : -, the first a letter or digit, at most 64"
    ),
]
Code = Annotated[
    str,
    _shaped(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", "letters, digits and . _ -, the first a letter or digit, at most 32"),
]
Name = Annotated[
    str, _shaped(r"[a-z][a-z0-9-]{0,47}", "lower-case letters, digits and -, the first a letter, at most 48")
]
Component = Annotated[str, _shaped(r"[^\s:][^:\n]{0,63}", "1 to 64 characters without a colon")]
SignalName = Annotated[
    str, _shaped(r"[a-z][a-z0-9_]{0,47}", "lower-case letters, digits and _, the first a letter, at most 48")
]

RESERVED_SIGNAL_NAMES = frozenset({"time", "asset_id", "code", "faults", "score", "exposure", "completeness"})
"""Names that are a tag, a column or a function elsewhere: a signal may not take one."""


_time_zones = cache(available_timezones)


def _known_time_zone(name: str) -> str:
    if name not in _time_zones():
        raise ValueError(f"unknown time zone {name!r}{did_you_mean(name, _time_zones())}")
    return name


class Text(Strict):
    """One text in each language that a reader may have; a missing translation is an error at load."""

    en: str = Field(min_length=1, max_length=2000)
    zh: str = Field(min_length=1, max_length=2000)

    def in_language(self, language: str) -> str:
        """Return the text for a language tag such as ``zh-hans``; English where there is no other."""
        return self.zh if language.lower().startswith("zh") else self.en


class Site(Strict):
    """A depot: where its assets' operating day begins at local midnight, and how its people read."""

    id: Name
    title: str = Field(min_length=1, max_length=100)
    time_zone: Annotated[str, AfterValidator(_known_time_zone)] = "UTC"
    language: Language = "en"
    skill_level: Literal[1, 2, 3] = 2
    """Highest maintenance level done on site (EN 13306 level of maintenance, 1 = simple, 3 = specialist)."""
    connectivity: Literal["good", "poor"] = "good"
    """Poor links get a longer allowance for late data before a day is closed."""
    working_hours: WorkingHours | None = None
    """When its people are there; those of ``settings.support`` where it says nothing."""
    support: Tiers | None = None
    """Who reacts to its alerts, in order; those of ``settings.support`` where it says nothing."""

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.time_zone)


class Signal(Strict):
    """One measured quantity of an asset type.

    ``low`` and ``high`` bound what the sensor can physically report (in ``unit``, both inclusive); a value
    outside is a broken sensor or message, not an anomaly. ``period`` is the expected time between two
    samples in seconds. ``component`` is what the signal speaks of alone: when that is renewed, the signal's own past
    begins anew.
    """

    name: SignalName
    unit: Unit
    low: float = float("-inf")
    high: float = float("inf")
    period: PositiveFloat | None = None
    component: Component | None = None
    title: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name in RESERVED_SIGNAL_NAMES:
            raise Mistakes([(("name",), f"{self.name!r} is a reserved name")])
        if not self.low < self.high:
            raise Mistakes([(("low",), f"{self.low:g} is not below high, {self.high:g}")])
        return self


class FaultCode(Strict):
    """One fault code that an asset type can report, as its manual names it."""

    code: Code
    title: Text
    severity: Severity = "minor"
    subsystem: Name = "general"


class Operating(Strict):
    """When an asset counts as in operation: ``signal`` is above ``above`` (in the signal's unit)."""

    signal: SignalName
    above: float = 0.0


class AssetType(Strict):
    """A kind of equipment: its signals, its fault codes, and how its exposure is counted.

    Without ``operating`` every reported sample counts as operation. ``distance`` names a counter signal
    (an odometer) whose growth over the day is the distance covered, in that signal's unit.
    ``reporting_hours`` is how many hours of a day the type is expected to report (a vehicle that is
    switched off at night does not); completeness is measured against it. ``silent_after_minutes`` without data an
    asset is missed, with 0 never; where it is not given, ``ingest.silence`` says when.
    """

    id: Name
    title: Text
    signals: tuple[Signal, ...] = Field(max_length=512)
    faults: tuple[FaultCode, ...] = Field(default=(), max_length=8192)
    operating: Operating | None = None
    components: tuple[Component, ...] = Field(default=(), max_length=500)
    """What is renewed on an asset, by the names that maintenance records use; rules ask how long ago that was."""
    distance: SignalName | None = None
    reporting_hours: float = Field(default=24.0, gt=0, le=24)
    silent_after_minutes: float | None = Field(default=None, ge=0, le=1_000_000)
    open_vocabulary: bool = False
    """True where the type was inferred from data: unknown fault codes are then taken, not quarantined."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        mistakes: list[tuple[Where, str]] = []
        for kind, key, field, names in (
            ("signal", "name", "signals", [signal.name for signal in self.signals]),
            ("fault code", "code", "faults", [fault.code for fault in self.faults]),
        ):
            seen: set[str] = set()
            for number, name in enumerate(names):
                if name in seen:
                    mistakes.append(((field, number, key), f"{kind} {name!r} is given twice"))
                seen.add(name)
        for where, wanted in (
            (("operating", "signal"), self.operating.signal if self.operating else None),
            (("distance",), self.distance),
        ):
            if wanted is not None and wanted not in self.signal:
                mistakes.append((where, f"unknown signal {wanted!r}{did_you_mean(wanted, self.signal)}"))
        for number, signal in enumerate(self.signals):
            if signal.component is not None and signal.component not in self.components:
                hint = did_you_mean(signal.component, self.components)
                mistakes.append((("signals", number, "component"), f"unknown component {signal.component!r}{hint}"))
        if mistakes:
            raise Mistakes(mistakes)
        return self

    @cached_property
    def signal(self) -> Mapping[str, Signal]:
        """Signals by name."""
        return {s.name: s for s in self.signals}

    @cached_property
    def fault(self) -> Mapping[str, FaultCode]:
        """Fault codes by code."""
        return {f.code: f for f in self.faults}


class Asset(Strict):
    """One piece of equipment in the field."""

    id: AssetId
    asset_type: Name
    site: Name
    commissioned: date | None = None
    warranty_until: date | None = None
    attributes: Mapping[str, str] = Field(default_factory=dict)


_T = TypeVar("_T", Site, AssetType, Asset)


class Register:
    """Sites, asset types and assets, by id, with every reference between them resolved.

    Raises:
        ValueError: an id is used twice, or an asset names a site or a type that is not there.
    """

    def __init__(self, sites: tuple[Site, ...], asset_types: tuple[AssetType, ...], assets: tuple[Asset, ...]) -> None:
        self.sites = _by_id("site", sites)
        self.asset_types = _by_id("asset type", asset_types)
        self.assets = _by_id("asset", assets)
        for asset in assets:
            if asset.site not in self.sites:
                raise ValueError(f"asset {asset.id!r}: unknown site {asset.site!r}")
            if asset.asset_type not in self.asset_types:
                raise ValueError(f"asset {asset.id!r}: unknown asset type {asset.asset_type!r}")

    def type_of(self, asset_id: str) -> AssetType:
        """Return the type of an asset; ``KeyError`` where the asset is unknown."""
        return self.asset_types[self.assets[asset_id].asset_type]

    def site_of(self, asset_id: str) -> Site:
        """Return the site of an asset; ``KeyError`` where the asset is unknown."""
        return self.sites[self.assets[asset_id].site]

    def attributes(self, asset_ids: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """Return each asset's attributes; ``KeyError`` where an asset is unknown."""
        return {asset_id: self.assets[asset_id].attributes for asset_id in asset_ids}


def _by_id(kind: str, items: tuple[_T, ...]) -> Mapping[str, _T]:
    found: dict[str, _T] = {}
    for item in items:
        if item.id in found:
            raise ValueError(f"{kind} {item.id!r} is defined twice")
        found[item.id] = item
    return found
