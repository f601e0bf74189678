"""Telemetry in memory: for tests and for walks through a history that need nothing kept."""

from __future__ import annotations

import bisect
import json
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from telemetry.records import FaultEvent, Measurements
from telemetry.store import require_finite

FAULT_COLUMNS = ("asset_id", "code", "time", "occurrence", "state", "severity", "context")


class MemoryStore:
    """A ``TelemetryStore`` of dictionaries; gone when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: defaultdict[str, dict[int, dict[str, float]]] = defaultdict(dict)
        self._times: dict[str, list[int]] = {}
        self._faults: dict[tuple[str, str, int, int], FaultEvent] = {}

    def open(self) -> None:
        """Do nothing: memory is always there."""

    def close(self) -> None:
        """Do nothing: what was written stays as long as the object."""

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        """Store all of it; of equal keys the last wins."""
        require_finite(measurements, faults)
        with self._lock:
            for measured in measurements:
                if not measured.signals:
                    continue
                by_time = self._values[measured.asset_id]
                for time, values in measured.rows():
                    if time in by_time:
                        by_time[time].update(values)
                    else:
                        by_time[time] = values
                        self._times.pop(measured.asset_id, None)
            for fault in faults:
                self._faults[fault.asset_id, fault.code, fault.time, fault.occurrence] = fault

    def read_measurements(
        self,
        asset_ids: Collection[str],
        signals: Sequence[str],
        start: int,
        end: int,
        *,
        chunk_rows: int = 200_000,
    ) -> Iterator[pd.DataFrame]:
        """Yield frames as ``TelemetryStore`` says."""
        wanted = set(signals)
        pending: list[pd.DataFrame] = []
        rows = 0
        for asset_id in sorted(set(asset_ids)):
            frame = self._frame(asset_id, signals, wanted, start, end)
            if pending and rows + len(frame) > chunk_rows:
                yield pd.concat(pending, ignore_index=True)
                pending, rows = [], 0
            for first in range(0, len(frame), chunk_rows):
                piece = frame.iloc[first : first + chunk_rows]
                if len(frame) > chunk_rows:
                    yield piece.reset_index(drop=True)
                else:
                    pending.append(piece)
                    rows += len(piece)
        if pending:
            yield pd.concat(pending, ignore_index=True)

    def _frame(self, asset_id: str, signals: Sequence[str], wanted: set[str], start: int, end: int) -> pd.DataFrame:
        with self._lock:
            by_time = self._values.get(asset_id, {})
            times = self._times.get(asset_id)
            if times is None:
                times = self._times[asset_id] = sorted(by_time)
            span = times[bisect.bisect_left(times, start) : bisect.bisect_left(times, end)]
            rows = [(time, by_time[time]) for time in span if not wanted.isdisjoint(by_time[time])]
            values = np.array([[row.get(signal, np.nan) for signal in signals] for _, row in rows], dtype=np.float64)
        frame = pd.DataFrame(values.reshape(len(rows), len(signals)), columns=list(signals))
        frame.insert(0, "time", np.array([time for time, _ in rows], dtype=np.int64))
        frame.insert(0, "asset_id", pd.Series([asset_id] * len(rows), dtype="str"))
        return frame

    def read_faults(self, asset_ids: Collection[str], start: int, end: int) -> pd.DataFrame:
        """Return faults as ``TelemetryStore`` says."""
        wanted = set(asset_ids)
        with self._lock:
            found = sorted(key for key in self._faults if key[0] in wanted and start <= key[2] < end)
            faults = [self._faults[key] for key in found]
        return fault_frame(
            [
                (f.asset_id, f.code, f.time, f.occurrence, f.state, f.severity, json.dumps(dict(f.context)))
                for f in faults
            ]
        )

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last time, or ``None``."""
        with self._lock:
            times = [time for by_time in self._values.values() for time in by_time]
            times += [key[2] for key in self._faults]
        return (min(times), max(times)) if times else None


def fault_frame(rows: Sequence[tuple[str, str, int, int, str, str, str]]) -> pd.DataFrame:
    """Return rows in the order of ``FAULT_COLUMNS`` as the frame that ``read_faults`` promises."""
    columns = list(zip(*rows, strict=True)) or [()] * len(FAULT_COLUMNS)
    types = ("str", "str", "int64", "int64", "str", "str", "str")
    return pd.DataFrame(
        {name: pd.Series(column, dtype=kind) for name, column, kind in zip(FAULT_COLUMNS, columns, types, strict=True)}
    )
