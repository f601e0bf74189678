"""What service records say of a day: how long ago each component was renewed, and when the next visit is due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from models.labels import local_days

MAX_COMPONENTS = 24
MIN_VISITS = 30
REPAIRED_WITHIN_DAYS = 3
USUAL_SHARE = 0.25
"""Share of the gaps between visits that the most frequent one must make up to be called the usual interval."""


def components_of(maintenance: pd.DataFrame) -> list[str]:
    """Return the components that were renewed most often, by name; ``what`` is ``component: action``."""
    names = Counter(component_of_record(maintenance))
    return sorted(name for name, _ in names.most_common(MAX_COMPONENTS))


def usual_interval(maintenance: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None) -> int | None:
    """Return the days that usually lie between two service visits of an asset, ``None`` where none is usual."""
    visits = pd.DataFrame({"asset": maintenance["asset_id"], "day": local_days(maintenance, zones)}).drop_duplicates()
    visits = visits.sort_values(["asset", "day"])
    gaps = visits.groupby("asset")["day"].diff().dropna().dt.days
    if len(gaps) < MIN_VISITS:
        return None
    gap, times = Counter(gaps.astype(int)).most_common(1)[0]
    return int(gap) if gap > 1 and times >= USUAL_SHARE * len(gaps) else None


def service_columns(
    index: pd.MultiIndex,
    maintenance: pd.DataFrame,
    components: list[str],
    interval: int | None,
    zones: Mapping[str, ZoneInfo] | None = None,
) -> pd.DataFrame:
    """Return, for each asset-day of a panel's index, the days since each kind of record of that day or before.

    ``service.<component>.age`` since it was renewed. With a usual ``interval`` between visits, ``service.phase`` is
    where the asset stands within it (at ``interval - 1`` the next visit is due tomorrow), and
    ``service.<component>.due`` the age that the component will have then. NaN where there was none. ``maintenance``
    has ``asset_id``, ``time`` (ns) and ``what``.
    """
    component = component_of_record(maintenance)
    columns = {f"service.{name}.age": _age(index, maintenance[component == name], zones) for name in components}
    if interval is not None:
        phase = np.mod(_age(index, maintenance, zones), interval)
        due = {f"service.{name}.due": columns[f"service.{name}.age"] + interval - phase for name in components}
        columns |= {"service.phase": phase} | due
    return pd.DataFrame(columns, index=index)


def component_of_mode(
    mode: str, maintenance: pd.DataFrame, failures: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None = None
) -> str | None:
    """Return the component that is renewed most often on the days after a failure of a mode, ``None`` where none is."""
    done = pd.DataFrame(
        {
            "asset_id": maintenance["asset_id"].astype("str"),
            "done": local_days(maintenance, zones),
            "component": component_of_record(maintenance),
        }
    )
    chosen = failures[failures["what"] == mode]
    failed = pd.DataFrame({"asset_id": chosen["asset_id"].astype("str"), "failed": local_days(chosen, zones)})
    both = failed.merge(done, on="asset_id")
    after = (both["done"] - both["failed"]).dt.days
    names = Counter(both.loc[(after >= 0) & (after <= REPAIRED_WITHIN_DAYS), "component"])
    return str(names.most_common(1)[0][0]) if names else None


def component_of_record(maintenance: pd.DataFrame) -> pd.Series:
    """Return the component that each record speaks of; ``what`` is ``component: action``."""
    return maintenance["what"].map(lambda what: str(what).partition(":")[0].strip()).astype("str")


def _age(index: pd.MultiIndex, records: pd.DataFrame, zones: Mapping[str, ZoneInfo] | None) -> np.ndarray:
    if records.empty:
        return np.full(len(index), np.nan)
    days = pd.DataFrame(
        {
            "asset_id": pd.Series(index.get_level_values(0), dtype="str"),
            "day": index.get_level_values(1).astype("datetime64[s]"),
            "row": np.arange(len(index)),
        }
    ).sort_values("day", kind="stable")
    done = pd.DataFrame(
        {
            "asset_id": records["asset_id"].astype("str"),
            "day": local_days(records, zones).astype("datetime64[s]"),
        }
    ).sort_values("day", kind="stable")
    done["last"] = done["day"]
    found = pd.merge_asof(days, done, on="day", by="asset_id")
    age = np.full(len(index), np.nan)
    age[found["row"].to_numpy()] = (found["day"] - found["last"]).dt.days.to_numpy(dtype=np.float64)
    return age
