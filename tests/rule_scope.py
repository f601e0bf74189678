"""An asset type for expressions to speak of, without an installation around it."""

from __future__ import annotations

import numpy as np

from config.register import AssetType, FaultCode, Signal, Text
from diagnostics.expression import Scope

TITLE = Text(en="x", zh="x")
TYPE = AssetType(
    id="thing",
    title=TITLE,
    signals=tuple(
        Signal(name=name, unit=unit)
        for name, unit in {"a": "1", "b": "1", "hot": "degC", "load": "%", "speed": "km/h", "odometer": "km"}.items()
    ),
    faults=tuple(FaultCode(code=code, title=TITLE) for code in ("F1", "F2", "F3")),
    distance="odometer",
    components=("seal", "Door drive"),
)
SCOPE = Scope(TYPE, ("pca",))
FIRST = np.datetime64("2026-03-01")
