"""What is due of one site's assets of one type, read from the telemetry store and reduced to a row per asset-day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from config.operating_day import day_bounds
from config.register import AssetType, Site
from models.features import base_panel
from models.panel import panel_index
from telemetry.store import TelemetryStore

ASSETS_AT_ONCE = 500
"""Assets whose samples are in memory at one time."""
_DAY = timedelta(days=1)


def raw_days(
    store: TelemetryStore,
    asset_type: AssetType,
    site: Site,
    due: Mapping[date, Mapping[str, int]],
    days_of_faults_before: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the base features (``models.features``) of the assets due on each day, and their faults as stored.

    The faults are those from the first day, or so many days before it, to the last.
    """
    first, last = min(due), max(due)
    start, end = day_bounds(site.zone, first)[0], day_bounds(site.zone, last)[1]
    faults_from = day_bounds(site.zone, first - days_of_faults_before * _DAY)[0]
    signals = [signal.name for signal in asset_type.signals]
    asset_ids = sorted({asset_id for assets in due.values() for asset_id in assets})
    panels, logs = [], []
    for place in range(0, len(asset_ids), ASSETS_AT_ONCE):
        some = asset_ids[place : place + ASSETS_AT_ONCE]
        frames = [
            frame
            for begin, until, assets in _spans(site, due, some)
            for frame in store.read_measurements(assets, signals, begin, until)
        ]
        measurements = pd.concat(frames, ignore_index=True) if frames else _no_measurements(signals)
        faults = store.read_faults(some, faults_from, end)
        wanted = [(asset_id, day) for asset_id in some for day in sorted(due) if asset_id in due[day]]
        index = panel_index([a for a, _ in wanted], [np.datetime64(day, "D") for _, day in wanted])
        of_days = faults[faults["time"] >= start].reset_index(drop=True)
        panels.append(base_panel(asset_type, site.zone, measurements, of_days, index))
        logs.append(faults)
    return pd.concat(panels), pd.concat(logs, ignore_index=True)


def idle_days(panel: pd.DataFrame, asset_type: AssetType) -> pd.Series:
    """Whether each asset-day was spent out of operation, of a type that says what operation is."""
    if asset_type.operating is None or "exposure.hours" not in panel:
        return pd.Series(False, index=panel.index)
    return panel["exposure.hours"] == 0


def _spans(
    site: Site, due: Mapping[date, Mapping[str, int]], among: Sequence[str]
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield start, end (ns) and assets of days in a row on which the same of some assets are due.

    So no more is read than is due: what came late of one asset may be weeks from what is new of all.
    """
    row: list[date] = []
    of_row: list[str] = []
    for day in sorted(due):
        assets = [asset_id for asset_id in among if asset_id in due[day]]
        if row and (assets != of_row or day != row[-1] + _DAY):
            yield day_bounds(site.zone, row[0])[0], day_bounds(site.zone, row[-1])[1], of_row
            row = []
        if assets:
            row.append(day)
            of_row = assets
    if row:
        yield day_bounds(site.zone, row[0])[0], day_bounds(site.zone, row[-1])[1], of_row


def _no_measurements(signals: list[str]) -> pd.DataFrame:
    columns = {"asset_id": pd.Series(dtype="str"), "time": pd.Series(dtype="int64")}
    return pd.DataFrame(columns | {signal: pd.Series(dtype="float64") for signal in signals})
