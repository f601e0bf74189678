"""Telemetry in DuckDB: the embedded default, one file that one process owns.

One row per (series, time); a series is a small integer for (asset, signal). There is no primary key: it would cost
nineteen times the disk. Instead each batch is merged within the bounds of its days, which gives "last wins".
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from config.operating_day import NS
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected, StoreUnavailable, require_finite

_DAY = 86_400 * NS
_ROWS_REMEMBERED, _LONGEST_REMEMBERED = 20_000, 50
"""Of asset and signals, whose series are looked up at once; bounded, since a gateway may send any selection of them."""
_TABLES = """
CREATE TABLE IF NOT EXISTS series (id INTEGER NOT NULL, asset_id VARCHAR NOT NULL, signal VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS points (series INTEGER NOT NULL, time BIGINT NOT NULL, value DOUBLE NOT NULL);
CREATE TABLE IF NOT EXISTS faults (
    asset_id VARCHAR NOT NULL, code VARCHAR NOT NULL, time BIGINT NOT NULL, occurrence BIGINT NOT NULL,
    state VARCHAR NOT NULL, severity VARCHAR NOT NULL, context VARCHAR NOT NULL
);
"""
_MERGE_POINTS = """
MERGE INTO points USING (SELECT * FROM batch WHERE time >= $low AND time < $high) AS new
ON points.series = new.series AND points.time = new.time AND points.time >= $low AND points.time < $high
WHEN MATCHED THEN UPDATE SET value = new.value
WHEN NOT MATCHED THEN INSERT (series, time, value) VALUES (new.series, new.time, new.value)
"""
_MERGE_FAULTS = """
MERGE INTO faults USING batch AS new
ON faults.asset_id = new.asset_id AND faults.code = new.code AND faults.time = new.time
   AND faults.occurrence = new.occurrence AND faults.time >= $low AND faults.time < $high
WHEN MATCHED THEN UPDATE SET state = new.state, severity = new.severity, context = new.context
WHEN NOT MATCHED THEN INSERT VALUES
    (new.asset_id, new.code, new.time, new.occurrence, new.state, new.severity, new.context)
"""
_FAULT_SCHEMA = pa.schema(
    [
        ("asset_id", pa.string()), ("code", pa.string()), ("time", pa.int64()), ("occurrence", pa.int64()),
        ("state", pa.string()), ("severity", pa.string()), ("context", pa.string()),
    ]
)  # fmt: skip


class DuckDBStore:
    """A ``TelemetryStore`` in the file ``path``. Methods may be called from several threads.

    ``memory_limit`` bounds what DuckDB itself takes, in its own notation.
    """

    def __init__(self, path: Path, *, memory_limit: str = "1GB", temp_limit: str = "10GB") -> None:
        self._path = path
        self._limits = {"memory_limit": memory_limit, "max_temp_directory_size": temp_limit}
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._series: dict[tuple[str, str], int] = {}
        self._rows: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self._write_lock = threading.Lock()

    def open(self) -> None:
        """Open the file, or make it.

        Raises:
            StoreUnavailable: another process holds it, or the disk refuses.
        """
        if self._connection is not None:
            return
        try:
            self._connection = duckdb.connect(self._path)
            for name, value in self._limits.items():  # given to connect(), the second reads back but is not enforced
                self._connection.execute(f"SET {name} = '{value}'")
            self._connection.execute(_TABLES)
            rows = self._connection.execute("SELECT asset_id, signal, id FROM series").fetchall()
        except duckdb.Error as error:
            self.close()
            raise StoreUnavailable(f"cannot open {self._path}: {error}") from error
        self._series = {(asset_id, signal): number for asset_id, signal, number in rows}
        self._rows.clear()  # the file may be another one by now

    def close(self) -> None:
        """Write everything into the file and release it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._connection is None:
            raise StoreUnavailable(f"{self._path} is not open")
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error
        except duckdb.Error as error:
            raise StoreRejected(f"{self._path}: {error}") from error

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        """Merge all of it in one transaction; on return it is in the write-ahead log on disk."""
        require_finite(measurements, faults)
        with self._write_lock, self._cursor() as cursor:
            new_series: dict[tuple[str, str], int] = {}
            points = self._columns(measurements, new_series)
            cursor.begin()
            try:
                if new_series:
                    rows = [(number, asset_id, signal) for (asset_id, signal), number in new_series.items()]
                    cursor.executemany("INSERT INTO series VALUES (?, ?, ?)", rows)
                if points is not None:
                    self._merge_points(cursor, *points)
                if faults:
                    self._merge_faults(cursor, faults)
                cursor.commit()
            except BaseException:
                with suppress(duckdb.TransactionException):  # a commit that failed has rolled back by itself
                    cursor.rollback()
                raise
            self._series |= new_series

    def _columns(
        self, measurements: Sequence[Measurements], new_series: dict[tuple[str, str], int]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]] | None:
        series: list[int] = []
        times: list[int] = []
        sizes: list[int] = []
        for asset_id, signals, at, _ in measurements:
            of_row = self._rows.get((asset_id, signals)) or self._row(asset_id, signals, new_series)
            series += of_row * len(at)
            times += at
            sizes += [len(of_row)] * len(at)
        if not series:
            return None
        numbers = np.array(series, np.int32)
        instants = np.repeat(np.array(times, np.int64), sizes)
        floats = np.fromiter(chain.from_iterable([values for _, _, _, values in measurements]), float, len(series))
        # Stable sort by (series, time), then keep the last of each key: the last wins, also within one batch.
        order = np.lexsort((instants, numbers))
        last = np.ones(order.size, dtype=bool)
        last[:-1] = (np.diff(numbers[order]) != 0) | (np.diff(instants[order]) != 0)
        kept = order[last]
        return numbers[kept], instants[kept], floats[kept]

    def _row(self, asset_id: str, names: tuple[str, ...], new_series: dict[tuple[str, str], int]) -> tuple[int, ...]:
        """Return the series of an asset's signals; remembered where all are on the disk, for the next of such rows."""
        known = self._series
        keys = [(asset_id, name) for name in names]
        if all(key in known for key in keys):
            row = tuple(known[key] for key in keys)
            if len(row) <= _LONGEST_REMEMBERED:
                if len(self._rows) >= _ROWS_REMEMBERED:
                    self._rows.clear()
                self._rows[asset_id, names] = row
            return row
        for key in keys:
            if key not in known and key not in new_series:
                new_series[key] = len(known) + len(new_series)
        return tuple(known[key] if key in known else new_series[key] for key in keys)

    @staticmethod
    def _merge_points(
        cursor: duckdb.DuckDBPyConnection,
        series: npt.NDArray[np.int32],
        times: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        by_time = np.argsort(times, kind="stable")  # rows lie in time order, so that reads of a span skip the rest
        batch = pa.table({"series": series[by_time], "time": times[by_time], "value": values[by_time]})
        cursor.register("batch", batch)
        # One merge a day: a single late point would otherwise widen the bound of the whole batch.
        for day in np.unique(times // _DAY).tolist():
            cursor.execute(_MERGE_POINTS, {"low": day * _DAY, "high": (day + 1) * _DAY})
        cursor.unregister("batch")

    @staticmethod
    def _merge_faults(cursor: duckdb.DuckDBPyConnection, faults: Sequence[FaultEvent]) -> None:
        unique = {(f.asset_id, f.code, f.time, f.occurrence): f for f in faults}
        rows = [
            {
                "asset_id": f.asset_id, "code": f.code, "time": f.time, "occurrence": f.occurrence,
                "state": f.state, "severity": f.severity, "context": json.dumps(dict(f.context)),
            }
            for f in unique.values()
        ]  # fmt: skip
        cursor.register("batch", pa.Table.from_pylist(rows, schema=_FAULT_SCHEMA))
        times = [f.time for f in unique.values()]
        cursor.execute(_MERGE_FAULTS, {"low": min(times), "high": max(times) + 1})
        cursor.unregister("batch")

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
        wanted, assets = set(signals), set(asset_ids)
        series = [
            (asset_id, signal, number)
            for (asset_id, signal), number in list(self._series.items())
            if signal in wanted and asset_id in assets
        ]
        if not series:
            return
        with self._cursor() as cursor:
            cursor.register(
                "wanted",
                pa.table(
                    {
                        "asset_id": [asset_id for asset_id, _, _ in series],
                        "signal": [signal for _, signal, _ in series],
                        "id": pa.array([number for _, _, number in series], pa.int32()),
                    }
                ),
            )
            counts = cursor.execute(
                "SELECT wanted.asset_id, count(DISTINCT time) FROM points JOIN wanted ON wanted.id = points.series "
                "WHERE time >= $start AND time < $end GROUP BY ALL ORDER BY wanted.asset_id",
                {"start": start, "end": end},
            ).fetchall()
            columns = ", ".join(f"max(value) FILTER (WHERE wanted.signal = $s{n}) AS c{n}" for n in range(len(signals)))
            query = (
                f"SELECT wanted.asset_id AS asset_id, points.time AS time, {columns} "  # noqa: S608 - only numbered names
                "FROM points JOIN wanted ON wanted.id = points.series "
                "WHERE time >= $start AND time < $end AND list_contains($assets, wanted.asset_id) "
                "GROUP BY ALL ORDER BY asset_id, time LIMIT $limit"
            )
            names = {f"s{n}": signal for n, signal in enumerate(signals)}
            for group, paged in _groups(counts, chunk_rows):
                after = start
                while True:
                    values = {"start": after, "end": end, "assets": group, "limit": chunk_rows if paged else 2**62}
                    frame = cursor.execute(query, values | names).df()
                    if not len(frame):
                        break
                    frame.columns = pd.Index(["asset_id", "time", *signals])
                    frame[list(signals)] = frame[list(signals)].astype("float64")
                    yield frame.astype({"asset_id": "str", "time": "int64"})
                    if not paged or len(frame) < chunk_rows:
                        break
                    after = int(frame["time"].iloc[-1]) + 1

    def read_faults(self, asset_ids: Collection[str], start: int, end: int) -> pd.DataFrame:
        """Return faults as ``TelemetryStore`` says."""
        with self._cursor() as cursor:
            frame = cursor.execute(
                "SELECT * FROM faults WHERE time >= $start AND time < $end AND list_contains($assets, asset_id) "
                "ORDER BY asset_id, time, code, occurrence",
                {"start": start, "end": end, "assets": sorted(set(asset_ids))},
            ).df()
        strings = ("asset_id", "code", "state", "severity", "context")
        return frame.astype(dict.fromkeys(strings, "str") | {"time": "int64", "occurrence": "int64"})

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last time, or ``None``."""
        with self._cursor() as cursor:
            row = cursor.execute(
                "SELECT min(low), max(high) FROM (SELECT min(time) AS low, max(time) AS high FROM points "
                "UNION ALL SELECT min(time), max(time) FROM faults)"
            ).fetchone()
        return None if row is None or row[0] is None else (int(row[0]), int(row[1]))


def _groups(counts: Sequence[tuple[str, int]], chunk_rows: int) -> Iterator[tuple[list[str], bool]]:
    """Yield assets whose rows fit one chunk together; an asset too large for one comes alone, to be paged."""
    group: list[str] = []
    rows = 0
    for asset_id, count in counts:
        if group and rows + count > chunk_rows:
            yield group, False
            group, rows = [], 0
        if count > chunk_rows:
            yield [asset_id], True
            continue
        group.append(asset_id)
        rows += count
    if group:
        yield group, False
