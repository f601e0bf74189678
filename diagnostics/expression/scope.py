"""What names an expression may use, and the unit of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from config.register import AssetType
from models.features import STATISTICS

SIGMA = "sigma"
COUNT = "count"
RATIO = "1"
HOURS = "h"
DAYS = "d"


@dataclass(frozen=True, slots=True)
class Scope:
    """A type's signals, fault codes and components, and the detectors that score it."""

    asset_type: AssetType
    detectors: tuple[str, ...]

    def columns(self) -> Iterator[tuple[str, str]]:
        """Yield each column that an expression names as it is, with its unit."""
        for signal in self.asset_type.signals:
            for statistic in STATISTICS:
                yield f"{signal.name}.{statistic}", signal.unit
                yield f"{signal.name}.{statistic}.own", SIGMA
                yield f"{signal.name}.{statistic}.peers", SIGMA
        yield from (
            ("completeness", RATIO),
            ("faults.count", COUNT),
            ("faults.novel", COUNT),
            ("exposure.hours", HOURS),
        )
        if self.distance_unit is not None:
            yield "exposure.distance", self.distance_unit

    @property
    def distance_unit(self) -> str | None:
        """The unit of the counter of distance; ``None`` where the type has none."""
        counter = self.asset_type.distance
        return None if counter is None else self.asset_type.signal[counter].unit

    def names(self) -> Iterator[str]:
        """Yield the name of everything that a panel can hold and an expression read, be it through a function."""
        yield from (name for name, _ in self.columns())
        what = ("count", "rate", "first", "last")
        yield from (f"faults.{code}.{each}" for code in self.asset_type.fault for each in what)
        yield from (f"service.{component}.age" for component in self.asset_type.components)
        yield from (f"score.{name}" for name in (*self.detectors, "ensemble"))
