"""Whether failures came when they were expected: what tickets said of it on their first day, against the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from config.operating_day import NS
from diagnostics.records import Expected
from models.evaluation import judge

_DAY = 86_400 * NS


def with_expected(tickets: pd.DataFrame, expected: Mapping[tuple[str, str, int], Expected]) -> pd.DataFrame:
    """Return tickets (``asset_id``, ``failure_mode``, ``known_at`` in ns, ...) with ``expected_from`` and
    ``expected_by``: when their failure was expected as they were asked for, in ns, NaN where nothing was said.
    ``expected`` is by asset, failure mode and ``known_at``.
    """
    said = [
        expected.get(key)
        for key in zip(tickets["asset_id"], tickets["failure_mode"], tickets["known_at"].tolist(), strict=True)
    ]
    known_at = tickets["known_at"].to_numpy(dtype=np.float64)
    low = np.array([one.low if one is not None else np.nan for one in said], dtype=np.float64)
    high = np.array([one.high if one is not None else np.nan for one in said], dtype=np.float64)
    return tickets.assign(expected_from=known_at + low * _DAY, expected_by=known_at + high * _DAY)


def expected_figures(tickets: pd.DataFrame, failures: pd.DataFrame, horizon_days: float) -> dict[str, Any] | None:
    """Return of the right tickets with an expected time how many there are (``tickets``), the share whose failure came
    in it (``held``) and the median of its ``days``. ``None`` where there are none. A ticket says when a failure of its
    own mode comes, so that is what it is judged by here.
    """
    judged = judge(tickets, failures, horizon_days, match_failure_mode=True).tickets
    told = judged[judged["expected_from"].notna() & (judged["kind"] == "true")]
    if told.empty:
        return None
    comes = told["failure"].to_numpy(dtype=np.float64)
    first, last = told["expected_from"].to_numpy(), told["expected_by"].to_numpy()
    held = (first <= comes) & (comes <= last)
    return {"tickets": len(told), "held": float(held.mean()), "days": float(np.median((last - first) / _DAY))}
