"""The two things that equipment reports: measurements and fault events.

Times are integer nanoseconds since the Unix epoch, UTC: the resolution of InfluxDB, exact, and without a
time zone to forget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FaultState = Literal["set", "clear"]


class Measurement(NamedTuple):
    """What one asset measured at one instant: a finite value for each signal reported.

    A tuple, for there are very many of them: a frozen dataclass takes four times as long to make.

    The key, under which writing twice changes nothing and the last value wins, is
    (asset, signal, time). Values are in the unit of the asset type's signal.
    """

    asset_id: str
    time: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A fault that an asset set or cleared.

    The key is (asset, code, time, occurrence): ``occurrence`` tells apart events of one code that a
    gateway stamped with the same time. ``context`` is the freeze frame: what was measured at that moment.
    ``severity`` is what the gateway said, empty where it said nothing (the asset type's own then holds).
    """

    asset_id: str
    code: str
    time: int
    occurrence: int = 0
    state: FaultState = "set"
    severity: str = ""
    context: Mapping[str, float] = field(default_factory=dict)
