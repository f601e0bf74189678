"""The telemetry of a back-test: a history's tables as they are, one row a sample, checked by column.

An import brings each sample through the service's own pipeline, value by value, so that it is counted once, across
crashes, and can be replayed; a back-test of millions of samples needs none of that. What is kept is the same: unknown
assets and signals, values out of range and times in the future are left out, and of equal keys the last wins.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from config.operating_day import NS
from config.register import SEVERITIES, Register
from fleetdx.terminal import Report
from ingest.accounting import DayArrivals
from ingest.history import History
from telemetry.memory import FAULT_COLUMNS
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected

MAX_NAMED = 1000
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_DAY_NS = 86_400 * NS
_DAYS = 1_000_000  # more than there are, so that asset and day make one number
_LARGEST = sys.float_info.max
_EPOCH = date(1970, 1, 1)
_UTC = ZoneInfo("UTC")


class HistoryStore:
    """A ``TelemetryStore`` to read from, filled once by ``load``; its file ``path`` is of no use afterwards."""

    def __init__(self, path: Path, register: Register, *, memory_limit: str = "1500MB") -> None:
        self._path, self._register, self._memory_limit = path, register, memory_limit
        self._assets = sorted(register.assets)
        self._names = pd.Index(self._assets, dtype="str")
        self._signals = sorted({s.name for kind in register.asset_types.values() for s in kind.signals})
        self._days: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._span: tuple[int, int] | None = None
        self._database: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()
        self.left_out: Counter[str] = Counter()
        """How many samples (of ``out-of-range`` and ``unknown-signal``: values) were left out, by reason."""
        self.unknown_assets: dict[str, None] = {}
        """Assets that the data names and the register lacks, in the order they were met; at most ``MAX_NAMED``."""
        self.samples = 0

    def open(self) -> None:
        """Make the file."""
        if self._database is not None:
            return
        self._database = duckdb.connect(
            str(self._path), config={"memory_limit": self._memory_limit, "temp_directory": f"{self._path}.tmp"}
        )
        columns = "".join(f", c{n} DOUBLE" for n in range(len(self._signals)))
        self._database.execute(f"CREATE TABLE arrived (asset INTEGER, time BIGINT, seq BIGINT{columns})")
        self._database.execute(
            "CREATE TABLE came (asset INTEGER, code VARCHAR, time BIGINT, occurrence BIGINT, state VARCHAR, "
            "severity VARCHAR, seq BIGINT)"
        )

    def close(self) -> None:
        """Release the file."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        """Refuse: a history does not grow."""
        raise StoreRejected("a back-test reads a history and takes nothing in", stops_the_line=True)

    def load(self, history: History, progress: Report) -> None:
        """Take in a history. Raises ``ConfigError`` where one of its tables is broken."""
        newest = time.time_ns()
        self._load_telemetry(history, newest, progress)
        self._load_faults(history, newest)

    def read_measurements(
        self,
        asset_ids: Collection[str],
        signals: Sequence[str],
        start: int,
        end: int,
        *,
        chunk_rows: int = 200_000,
    ) -> Iterator[pd.DataFrame]:
        """Yield one frame as ``TelemetryStore`` says, whatever its size."""
        known = [(n, name) for n, name in enumerate(self._signals) if name in set(signals)]
        wanted = self._numbers(asset_ids)
        if not known or not len(wanted):
            return
        columns = ", ".join(f"c{n}" for n, _ in known)
        anything = " OR ".join(f"c{n} IS NOT NULL" for n, _ in known)
        found = self._select(
            f"SELECT asset, time, {columns} FROM telemetry JOIN wanted ON wanted.id = asset "  # noqa: S608 - numbers
            f"WHERE time >= $start AND time < $end AND ({anything}) ORDER BY asset, time, seq",
            wanted,
            start,
            end,
        )
        asset, at = _integers(found["asset"]), _integers(found["time"])
        if not len(asset):
            return
        frame = pd.DataFrame({name: _floats(found[f"c{n}"]) for n, name in known})
        if bool(((asset[1:] == asset[:-1]) & (at[1:] == at[:-1])).any()):
            keys = [pd.Series(asset), pd.Series(at)]
            frame = frame.groupby(keys).last()
            asset, at = (frame.index.get_level_values(level).to_numpy() for level in (0, 1))
            frame = frame.reset_index(drop=True)
        frame = frame.reindex(columns=list(signals))
        frame.insert(0, "time", at)
        frame.insert(0, "asset_id", self._names.take(asset))
        yield frame

    def read_faults(self, asset_ids: Collection[str], start: int, end: int) -> pd.DataFrame:
        """Return faults as ``TelemetryStore`` says."""
        found = self._select(
            "SELECT asset, code, time, occurrence, state, severity FROM faults JOIN wanted ON wanted.id = asset "
            "WHERE time >= $start AND time < $end ORDER BY asset, time, code, occurrence",
            self._numbers(asset_ids),
            start,
            end,
        )
        columns = {
            "asset_id": self._names.take(_integers(found["asset"])),
            "code": pd.Series(found["code"], dtype="str"),
            "time": _integers(found["time"]),
            "occurrence": _integers(found["occurrence"]),
            "state": pd.Series(found["state"], dtype="str"),
            "severity": pd.Series(found["severity"], dtype="str"),
            "context": pd.Series(["{}"] * len(found["asset"]), dtype="str"),
        }
        return pd.DataFrame(columns)[list(FAULT_COLUMNS)]

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last time, or ``None``."""
        return self._span

    def arrivals(self) -> list[DayArrivals]:
        """Return the days of which there is anything, as the account of an import does."""
        counts: dict[int, list[int]] = {}
        for place, kind in enumerate(("telemetry", "faults")):
            keys, numbers = self._days.get(kind, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
            for key, n in zip(keys.tolist(), numbers.tolist(), strict=True):
                counts.setdefault(key, [0, 0])[place] = n
        found = []
        for key in sorted(counts):
            asset, day = divmod(key, _DAYS)
            first, (samples, faults) = day * _DAY_NS, counts[key]
            found.append(
                DayArrivals(self._assets[asset], _EPOCH + timedelta(days=day), 1, samples, faults, first, first)
            )
        return found

    def _load_telemetry(self, history: History, newest: int, progress: Report) -> None:
        low, high = self._bounds()
        types = self._type_numbers()
        keys: list[NDArray[np.int64]] = []
        latest, in_order = -1, True
        for frame in history.telemetry():
            asset = self._names.get_indexer(pd.Index(frame["asset_id"], dtype="str"))
            at = frame["time"].to_numpy(dtype=np.int64)
            values = frame.reindex(columns=self._signals).to_numpy(dtype=np.float64, copy=True)
            strange = [name for name in frame.columns[2:] if name not in self._signals]
            if strange:
                self.left_out["unknown-signal"] += int(frame[strange].notna().to_numpy().sum())
            said = ~np.isnan(values)
            kind = types[asset]
            good = said & (values >= low[kind]) & (values <= high[kind])
            self.left_out["out-of-range"] += int((said & ~good)[asset >= 0].sum())
            reported = said.any(axis=1)
            self.left_out["unknown-asset"] += int((reported & (asset < 0)).sum())
            self._name_unknown(frame["asset_id"][asset < 0])
            self.left_out["future"] += int((reported & (asset >= 0) & (at > newest)).sum())
            kept = good.any(axis=1) & (asset >= 0) & (at <= newest)
            values[~good] = np.nan
            asset, at, values = asset[kept], at[kept], values[kept]
            if not len(at):
                continue
            in_order = in_order and bool(at[0] >= latest) and bool((at[1:] >= at[:-1]).all())
            latest = int(at[-1])
            self._note(at)
            keys.append(self._keys(asset, at))
            table = {"asset": asset.astype(np.int32), "time": at, "seq": np.arange(len(at)) + self.samples}
            columns = {f"c{n}": pa.array(values[:, n], from_pandas=True) for n in range(values.shape[1])}
            self._insert("arrived", pa.table(table | columns))
            self.samples += len(at)
            progress(self.samples, None)
        if in_order:
            self._execute("ALTER TABLE arrived RENAME TO telemetry")
        else:  # by time, so that a read of some days skips the rest
            self._execute("CREATE TABLE telemetry AS SELECT * FROM arrived ORDER BY time, seq")
            self._execute("DROP TABLE arrived")
        self._count("telemetry", keys)

    def _load_faults(self, history: History, newest: int) -> None:
        keys: list[NDArray[np.int64]] = []
        types = self._type_numbers()
        allowed = [(set(kind.fault), kind.open_vocabulary) for kind in self._register.asset_types.values()]
        good: dict[tuple[int, str], bool] = {}
        for frame in history.faults():
            asset = self._names.get_indexer(pd.Index(frame["asset_id"], dtype="str"))
            at = frame["time"].to_numpy(dtype=np.int64)
            kept = asset >= 0
            self.left_out["unknown-asset"] += int((~kept).sum())
            self._name_unknown(frame["asset_id"][~kept])
            pairs = list(zip(types[asset].tolist(), frame["code"].tolist(), strict=True))
            for kind, code in set(pairs) - good.keys():
                known, open_to = allowed[kind]
                good[kind, code] = code in known or (open_to and _CODE.fullmatch(code) is not None)
            named = np.array([good[pair] for pair in pairs], dtype=bool)
            self.left_out["unknown-code"] += int((kept & ~named).sum())
            self.left_out["future"] += int((kept & named & (at > newest)).sum())
            kept &= named & (at <= newest)
            frame = frame[kept]
            asset, at = asset[kept], at[kept]
            if not len(at):
                continue
            self._note(at)
            keys.append(self._keys(asset, at))
            known_severity = frame["severity"].isin(SEVERITIES)
            self.left_out["unknown-severity"] += int((~known_severity & (frame["severity"] != "")).sum())
            columns = {
                "asset": asset.astype(np.int32),
                "code": pa.array(frame["code"].tolist(), pa.string()),
                "time": at,
                "occurrence": frame["occurrence"].to_numpy(dtype=np.int64),
                "state": pa.array(frame["state"].tolist(), pa.string()),
                "severity": pa.array(frame["severity"].where(known_severity, "").tolist(), pa.string()),
                "seq": np.arange(len(at)) + self.samples,
            }
            self._insert("came", pa.table(columns))
            self.samples += len(at)
        self._execute(
            "CREATE TABLE faults AS SELECT * EXCLUDE (seq) FROM came QUALIFY row_number() OVER "
            "(PARTITION BY asset, code, time, occurrence ORDER BY seq DESC) = 1 ORDER BY time"
        )
        self._execute("DROP TABLE came")
        self._count("faults", keys)

    def _name_unknown(self, asset_ids: pd.Series[str]) -> None:
        for name in asset_ids.unique():
            if len(self.unknown_assets) < MAX_NAMED:
                self.unknown_assets.setdefault(name)

    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and highest value (types, signals); a type that lacks a signal takes none of it."""
        types = list(self._register.asset_types.values())
        low, high = (
            np.full((len(types), len(self._signals)), np.inf),
            np.full((len(types), len(self._signals)), -np.inf),
        )
        for row, kind in enumerate(types):
            for signal in kind.signals:
                place = self._signals.index(signal.name)
                low[row, place], high[row, place] = max(signal.low, -_LARGEST), min(signal.high, _LARGEST)
        return low, high

    def _type_numbers(self) -> NDArray[np.intp]:
        number = {name: n for n, name in enumerate(self._register.asset_types)}
        return np.array([number[self._register.assets[name].asset_type] for name in self._assets] or [0], dtype=np.intp)

    def _keys(self, asset: NDArray[np.intp], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return asset and operating day of each sample as one number."""
        days = at // _DAY_NS
        for zone in {site.zone for site in self._register.sites.values()} - {_UTC}:
            there = np.array([self._register.site_of(name).zone == zone for name in self._assets])[asset]
            local = pd.DatetimeIndex(at[there].astype("datetime64[ns]")).tz_localize("UTC").tz_convert(zone)
            days[there] = local.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64) // _DAY_NS
        return asset.astype(np.int64) * _DAYS + days

    def _count(self, kind: str, keys: list[NDArray[np.int64]]) -> None:
        if keys:
            found, counts = np.unique(np.concatenate(keys), return_counts=True)
            self._days[kind] = (found, counts.astype(np.int64))

    def _note(self, at: NDArray[np.int64]) -> None:
        low, high = int(at.min()), int(at.max())
        self._span = (low, high) if self._span is None else (min(low, self._span[0]), max(high, self._span[1]))

    def _numbers(self, asset_ids: Collection[str]) -> NDArray[np.int32]:
        found = self._names.get_indexer(pd.Index(sorted(set(asset_ids)), dtype="str"))
        return found[found >= 0].astype(np.int32)

    def _select(self, query: str, wanted: NDArray[np.int32], start: int, end: int) -> dict[str, NDArray[np.generic]]:
        with self._lock:
            database = self._opened()
            database.register("wanted", pa.table({"id": wanted}))
            found = database.execute(query, {"start": start, "end": end}).fetchnumpy()
            database.unregister("wanted")
        return cast(dict[str, NDArray[np.generic]], found)

    def _insert(self, table: str, batch: pa.Table) -> None:
        database = self._opened()
        database.register("batch", batch)
        database.execute(f"INSERT INTO {table} SELECT * FROM batch")  # noqa: S608 - a name of ours
        database.unregister("batch")

    def _execute(self, statement: str) -> None:
        self._opened().execute(statement)

    def _opened(self) -> duckdb.DuckDBPyConnection:
        if self._database is None:
            raise RuntimeError(f"{self._path} is not open")
        return self._database


def _floats(column: NDArray[np.generic]) -> NDArray[np.float64]:
    filled = np.ma.filled(column.astype(np.float64), np.nan)
    return np.asarray(filled, dtype=np.float64)


def _integers(column: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.asarray(column, dtype=np.int64)
