"""Since when the signals of an asset speak of the part that is in it now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

import pandas as pd

from config.register import AssetType
from models.grid import Floats, Grid
from models.service import component_of_record
from models.symptoms import days_since_event


@dataclass(frozen=True)
class Renewals:
    """Which component each signal speaks of, and the records of components that were worked on.

    ``maintenance`` has ``asset_id``, ``time`` (ns) and ``what`` (``component: action``). Signals that speak of the
    whole asset are not in ``component_of``. ``zones`` gives each asset's time zone, in which its days are counted.
    """

    component_of: Mapping[str, str]
    maintenance: pd.DataFrame
    zones: Mapping[str, ZoneInfo]

    @classmethod
    def of(cls, asset_type: AssetType, maintenance: pd.DataFrame, zones: Mapping[str, ZoneInfo]) -> Self:
        """Take from the type which component each of its signals names."""
        named = {signal.name: signal.component for signal in asset_type.signals if signal.component is not None}
        return cls(named, maintenance, zones)

    def days_since(self, grid: Grid) -> dict[str, Floats]:
        """Return for each component that was renewed the days (assets, days) since then.

        0 on the day itself, infinite where no record of that day or before says so: a later record changes nothing.
        """
        component = component_of_record(self.maintenance)
        renewed = set(component).intersection(self.component_of.values())
        return {
            name: days_since_event(grid, self.maintenance[component == name], self.zones) for name in sorted(renewed)
        }
