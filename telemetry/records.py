"""The two things that equipment reports: measurements and fault events.

Times are integer nanoseconds since the Unix epoch, UTC: the resolution of InfluxDB, exact, and without a
time zone to forget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FaultState = Literal["set", "clear"]


class Measurements(NamedTuple):
    """What one asset measured: a finite value for each of its signals at each of its instants.

    ``values`` are row after row: of signal ``s`` at instant ``t`` it is ``values[t * len(signals) + s]``. So what a
    message brings stays together from its check to the store, and nothing is made for each instant.

    The key, under which writing twice changes nothing and the last value wins, is
    (asset, signal, time). Values are in the unit of the asset type's signal.
    """

    asset_id: str
    signals: tuple[str, ...]
    times: Sequence[int]
    values: Sequence[float]

    @classmethod
    def at(cls, asset_id: str, time: int, values: Mapping[str, float]) -> Measurements:
        """Return those of one instant."""
        return cls(asset_id, tuple(values), (time,), tuple(values.values()))

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield each instant with its values by signal."""
        width = len(self.signals)
        for number, time in enumerate(self.times):
            yield time, dict(zip(self.signals, self.values[number * width : (number + 1) * width], strict=True))


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
