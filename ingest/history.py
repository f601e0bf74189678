"""A history folder: its tables, the messages that gateways would have sent, and the import of it all.

    assets       asset_id, asset_type, site, ...    telemetry    asset_id, time, one column per signal
    faults       asset_id, time, code, [state, severity, occurrence]
    maintenance  asset_id, time, component, action  failures     asset_id, time, failure_mode

each ``.csv``, ``.csv.gz`` or ``.parquet``; times are as ``config.instants`` reads them, exact to the microsecond.
Tables are read in bounded memory, in the order of their rows; a replay keeps to the order of time only as far as the
tables do.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from config.batches import batches, no_history, require, table_path
from config.instants import NO_TIME, NOON, instants, without_hours
from config.knowledge import UNNAMED_FAILURE
from config.measured import measured
from config.naming import asset_name, code_name, signal_name
from config.operating_day import NS
from config.source import ConfigError, Problem
from ingest.accounting import Accounting
from ingest.counters import Counters
from ingest.decoders.decoder import Decoded, FaultReport, Sample, default_occurrence
from ingest.pipeline import Pipeline, Report

SAMPLES_A_MESSAGE = 60
_HOUR = 3600 * NS
_HELD_SAMPLES = 100_000  # of one hour, of all assets, before they become messages
_IMPORT_SAMPLES = 20_000  # stored and accounted for in one go

_COLUMNS = {
    "assets": ("asset_id",),
    "telemetry": ("asset_id", "time"),
    "faults": ("asset_id", "time", "code"),
    "maintenance": ("asset_id", "time"),
    "failures": ("asset_id", "time"),
}
_RECORDS = {
    "maintenance": ("asset_id", "time", "component", "action"),
    "failures": ("asset_id", "time", "failure_mode"),
}


_STATES = {
    "": "set", "1": "set", "1.0": "set", "true": "set", "on": "set", "active": "set", "0": "clear", "0.0": "clear",
    "false": "clear", "off": "clear", "inactive": "clear", "cleared": "clear",
}  # fmt: skip
_NAMED = {"asset_id": asset_name, "code": code_name, "failure_mode": code_name}


class Timed(NamedTuple):
    """A message of one asset; ``time`` (ns) is when it would have been sent, that of its newest sample."""

    time: int
    report: Report

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return len(self.report.decoded.samples) + len(self.report.decoded.faults)

    def payload(self) -> bytes:
        """Return it as a gateway writes it (JSON of docs/ingest.md)."""
        decoded = self.report.decoded
        content: dict[str, Any] = {"seq": decoded.seq}
        for fault in decoded.faults:
            content |= {"ts": _ts(fault.time), "code": fault.code, "state": fault.state}
            content |= {"severity": fault.severity} if fault.severity else {}
            content |= {"occurrence": fault.occurrence}
        if decoded.samples:
            content["samples"] = [{"ts": _ts(sample.time), "signals": sample.values} for sample in decoded.samples]
        return msgspec.json.encode(content)


class History:
    """The tables of a folder. Every method may raise ``ConfigError``, naming file, line and column."""

    def __init__(self, folder: Path, tables: dict[str, Path]) -> None:
        self.folder = folder
        self._tables = tables

    @classmethod
    def open(cls, folder: Path) -> History:
        """Return the history in ``folder`` after a look at the columns of its tables.

        Raises:
            ConfigError: it holds neither telemetry nor faults, or a table lacks a column.
        """
        history = cls.tables_in(folder)
        if not history._tables.keys() & {"telemetry", "faults"}:
            raise ConfigError([no_history(folder)])
        return history

    @classmethod
    def tables_in(cls, folder: Path) -> History:
        """Return what tables there are, be they none. Raises ``ConfigError`` where one lacks a column."""
        tables = {name: path for name in _COLUMNS if (path := table_path(folder, name)) is not None}
        for name, path in tables.items():
            require(path, *_COLUMNS[name])
        return cls(folder, tables)

    def assets(self) -> pd.DataFrame:
        """Return the register as it is written: every column as text, empty where nothing stands."""
        path = self._tables.get("assets")
        return self._whole("assets", require(path) if path else _COLUMNS["assets"])

    def columns_left_out(self) -> dict[str, str]:
        """Return the columns of telemetry that measure nothing, with the reason."""
        path = self._tables.get("telemetry")
        return measured(path).left_out if path is not None else {}

    def telemetry(self) -> Iterator[pd.DataFrame]:
        """Yield ``asset_id`` (str), ``time`` (int64 ns) and one float64 column per signal, NaN where not reported."""
        path = self._tables.get("telemetry")
        if path is None:
            return
        held = measured(path)
        names = {column: signal_name(column) for column in held.columns}
        for frame in self._frames(path, ("asset_id", "time"), held.numbers, held.truths):
            yield frame.rename(columns=names)

    def faults(self) -> Iterator[pd.DataFrame]:
        """Yield ``asset_id``, ``code``, ``time`` (int64 ns), ``state``, ``severity`` (may be empty), ``occurrence``.

        A state that is not named is set; an occurrence that is not named is as for a gateway that names none.
        """
        path = self._tables.get("faults")
        if path is None:
            return
        present = require(path)
        optional = [name for name in ("state", "severity") if name in present]
        numbers = ["occurrence"] if "occurrence" in present else []
        for frame in self._frames(path, ("asset_id", "code", "time", *optional), numbers):
            for name in ("state", "severity"):
                if name not in frame:
                    frame[name] = ""
            frame["state"] = frame["state"].str.lower().replace(_STATES)
            frame["severity"] = frame["severity"].str.lower()
            _refuse(path, ~frame["state"].isin(("set", "clear")), "state", "is neither set nor clear", frame["state"])
            default = frame["state"].map(default_occurrence)
            given = frame["occurrence"].fillna(default) if numbers else default
            _refuse(path, (given < 0) | (given % 1 != 0), "occurrence", "is no count", given)
            frame["occurrence"] = given.astype("int64")
            yield frame[["asset_id", "code", "time", "state", "severity", "occurrence"]]

    def maintenance(self) -> pd.DataFrame:
        """Return ``asset_id``, ``time`` (int64 ns), ``component``, ``action`` (may be empty); none without a table."""
        return self._dated("maintenance")

    def failures(self) -> pd.DataFrame:
        """Return ``asset_id``, ``time`` (int64 ns), ``failure_mode``; none without such a table."""
        found = self._dated("failures")
        found["failure_mode"] = found["failure_mode"].replace("", UNNAMED_FAILURE.code)
        return found

    def messages(self, prefix: str) -> Iterator[tuple[str, bytes, int]]:
        """Yield topic, payload and time (ns) of what the gateways would have published, numbered by asset and topic.

        The same history gives the same messages; ``import_history`` takes the same ones. A message of telemetry holds
        what one asset measured within one hour (UTC), at most ``SAMPLES_A_MESSAGE`` samples.
        """
        for message in self.timed_messages():
            yield f"{prefix}/{message.report.asset_id}/{message.report.kind}", message.payload(), message.time

    def timed_messages(self) -> Iterator[Timed]:
        """Yield the messages of ``messages`` as they are before they are written."""
        return heapq.merge(self._telemetry_messages(), self._fault_messages(), key=lambda message: message.time)

    def _telemetry_messages(self) -> Iterator[Timed]:
        numbers: Counter[str] = Counter()
        held: dict[str, list[Sample]] = {}
        hour, count, row = 0, 0, 1
        for frame in self.telemetry():
            names = list(frame.columns[2:])
            columns = [frame[name].tolist() for name in frame.columns]
            for asset_id, time, *values in zip(*columns, strict=True):
                if held and (time // _HOUR != hour or count >= _HELD_SAMPLES):
                    yield from (_telemetry(name, samples, numbers) for name, samples in held.items())
                    held, count = {}, 0
                row += 1
                # What is NaN here was an empty cell.
                present = {name: value for name, value in zip(names, values, strict=True) if value == value}
                if not present:
                    continue
                hour, count = time // _HOUR, count + 1
                samples = held.setdefault(asset_id, [])
                samples.append(Sample(time, present, f"row {row}."))
                if len(samples) == SAMPLES_A_MESSAGE:
                    yield _telemetry(asset_id, held.pop(asset_id), numbers)
        yield from (_telemetry(name, samples, numbers) for name, samples in held.items())

    def _fault_messages(self) -> Iterator[Timed]:
        numbers: Counter[str] = Counter()
        for frame in self.faults():
            columns = [frame[name].tolist() for name in frame.columns]
            for asset_id, code, time, state, severity, occurrence in zip(*columns, strict=True):
                fault = FaultReport(time, code, state, occurrence, severity, {})
                yield Timed(time, Report(asset_id, "faults", Decoded(numbers[asset_id], faults=[fault])))
                numbers[asset_id] += 1

    def _dated(self, name: Literal["maintenance", "failures"]) -> pd.DataFrame:
        """Return a table of records; where all stand at midnight only their dates were known, and that is noon."""
        found = self._whole(name, _RECORDS[name])
        if without_hours(found["time"]):
            found["time"] += NOON.value
        return found

    def _whole(self, name: Literal["assets", "maintenance", "failures"], columns: Sequence[str]) -> pd.DataFrame:
        path = self._tables.get(name)
        if path is not None:
            present = require(path)
            frames = list(self._frames(path, [column for column in columns if column in present], ()))
            if frames:
                found = pd.concat(frames, ignore_index=True)
                return found.reindex(columns=list(columns), fill_value="")
        return pd.DataFrame({c: pd.Series([], dtype="int64" if c == "time" else "str") for c in columns})

    def _frames(
        self, path: Path, texts: Sequence[str], numbers: Sequence[str], truths: Sequence[str] = ()
    ) -> Iterator[pd.DataFrame]:
        """Yield frames whose index is the row's number in the file, the header of a CSV being row 1."""
        first = 1 if path.suffix == ".parquet" else 2
        for batch in batches(path, texts, numbers, truths):
            index = pd.RangeIndex(first, first + batch.num_rows)
            first += batch.num_rows
            columns: dict[str, pd.Series] = {}
            for name in texts:
                told = pd.Series(batch.column(name).to_pylist(), index=index, dtype="str").fillna("").str.strip()
                if name == "time":
                    at = instants(told)
                    _refuse(path, at.isna(), "time", NO_TIME, told)
                    _refuse(path, ~at.dt.year.between(1971, 2099), "time", "is not between 1971 and 2100", told)
                    # To the microsecond, as for gateways: a replay of the same rows is then a repetition.
                    columns[name] = at.astype("int64") * 1000
                elif name in _NAMED:
                    columns[name] = told.map({text: _NAMED[name](text) for text in told.unique() if text}).fillna("")
                else:
                    columns[name] = told
            for name in (*numbers, *truths):
                values = batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
                columns[name] = pd.Series(values, index=index)
            yield pd.DataFrame(columns, index=index)


def import_history(
    history: History,
    pipeline: Pipeline,
    accounting: Accounting,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> Counters:
    """Bring a history through validation into the store, as if its messages had come from a broker.

    The pipeline should be one without a limit of age. ``report`` is told how many samples are done; how many there are
    is not known. Returns what this import counted. A second import of the same history counts duplicates only.

    Raises:
        ConfigError: a table is broken; what stands before the mistake is imported.
        StoreError: what was reported as done is imported; the rest can be imported again.
    """
    before = accounting.counters()
    reports: list[Report] = []
    done = held = 0

    def bring() -> None:
        nonlocal done, held
        pipeline.take_reports(reports)
        reports.clear()
        done, held = done + held, 0
        report(done, None)

    for message in history.timed_messages():
        reports.append(message.report)
        held += message.samples
        if held >= _IMPORT_SAMPLES:
            bring()
    bring()
    return accounting.counters().since(before)


def _refuse(path: Path, wrong: pd.Series[bool], column: str, why: str, values: pd.Series) -> None:
    if wrong.any():
        row = int(wrong.index[int(wrong.to_numpy().argmax())])
        raise ConfigError([Problem(path.name, row, f"column {column!r}: {str(values.loc[row])[:40]!r} {why}")])


def _telemetry(asset_id: str, samples: list[Sample], numbers: Counter[str]) -> Timed:
    seq = numbers[asset_id]
    numbers[asset_id] += 1
    newest = max(sample.time for sample in samples)
    return Timed(newest, Report(asset_id, "telemetry", Decoded(seq, samples=samples)))


def _ts(time: int) -> int | str:
    if time % 1_000_000 == 0:
        return time // 1_000_000
    at = datetime.fromtimestamp(time // NS, UTC).replace(microsecond=time % NS // 1000)
    return at.isoformat()
