"""Where one day's rows of some assets stand in a panel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.panel import panel_index


def day_rows(index: pd.Index, asset_ids: Sequence[str], day: date) -> NDArray[np.intp]:
    """Return the places of some assets' rows of one day, all of which the index holds."""
    return index.get_indexer(panel_index(asset_ids, [np.datetime64(day, "D")] * len(asset_ids)))
