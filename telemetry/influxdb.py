"""Telemetry in InfluxDB: written at ``/api/v2/write``, read at ``/query`` (InfluxQL, CSV, chunked).

That pair is spoken by 2.x, 3 Core and Enterprise, Clustered and the cloud editions alike. Measurement ``telemetry``:
tag ``asset_id``, one float field for each signal. Measurement ``faults``: tags ``asset_id``, ``code``, ``occurrence``;
fields ``state``, ``severity``, ``context``.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from influxdb_client import InfluxDBClient
from isal import isal_zlib
from urllib3.exceptions import HTTPError

from telemetry.lineprotocol import fault_line, measurement_text
from telemetry.memory import fault_frame
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreError, StoreRejected, StoreUnavailable, require_finite

_LINES_A_REQUEST = 5_000
_ASSETS_A_QUERY = 200
_ROWS_A_CHUNK = 20_000  # of the server's answer; bounds what one piece of CSV takes here
_GZIP, _LEVEL = 31, 1  # zlib's number for gzip's framing; the level of isal that takes the time of its 0 and is smaller
_FARTHEST = (-(2**62), 2**62)


class InfluxDBStore:
    """A ``TelemetryStore`` on a server at ``url``; ``bucket`` must exist. Times out after ``timeout_s`` seconds."""

    def __init__(self, url: str, org: str, bucket: str, token: str, *, timeout_s: float = 30.0) -> None:
        self._url, self._org, self._bucket, self._token = url, org, bucket, token
        self._timeout_ms = int(timeout_s * 1000)
        self._client: Any = None

    def open(self) -> None:
        """Connect, and ask for both rights, so that a wrong token or bucket shows now. Raises ``StoreError``."""
        if self._client is None:
            self._client = InfluxDBClient(url=self._url, token=self._token, org=self._org, timeout=self._timeout_ms)
        try:
            self._send("# may this token write here?")
            # A bucket that is not there, or not ours to read, answers every other question as an empty one does.
            readable = [name for frame in self._query("SHOW DATABASES", text=True) for name in frame.iloc[:, -1]]
            if self._bucket not in readable:
                raise StoreRejected(f"{self._where()}: this token may not read it", stops_the_line=True)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def write(self, measurements: Sequence[Measurements], faults: Sequence[FaultEvent]) -> None:
        """Write lines in requests of bounded size; of equal keys within a batch the last stands last and wins."""
        measured = _merged(measurements)
        try:
            texts = [measurement_text(some) for some in _by_requests(measured)]
        except ValueError:
            require_finite(measured, ())
            raise
        require_finite((), faults)
        for text in texts:
            self._send(text)
        last = {(f.asset_id, f.code, f.time, f.occurrence): f for f in faults}
        lines = list(map(fault_line, last.values()))
        for first in range(0, len(lines), _LINES_A_REQUEST):
            self._send("\n".join(lines[first : first + _LINES_A_REQUEST]))

    def _send(self, record: str) -> None:
        # By the client's own pool: its write interface compresses at the highest level, which takes longer than all
        # else that is done for a sample.
        try:
            response = self._connected().api_client.rest_client.pool_manager.request(
                "POST",
                f"{self._url}/api/v2/write?{urlencode({'org': self._org, 'bucket': self._bucket, 'precision': 'ns'})}",
                body=isal_zlib.compress(record.encode(), level=_LEVEL, wbits=_GZIP),
                headers={
                    "Authorization": f"Token {self._token}",
                    "Content-Type": "text/plain; charset=utf-8",
                    "Content-Encoding": "gzip",
                },
                timeout=self._timeout_ms / 1000,
                retries=False,
            )
        except (HTTPError, OSError) as error:
            raise self._translated(error) from error
        if response.status >= 400:
            raise _by_status(response.status, response.data.decode(errors="replace"), self._where())

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
        # By number: a signal may be called what a column of every answer is called (name, tags).
        fields = ", ".join(f"{_identifier(signal)} AS f{number}" for number, signal in enumerate(signals))
        held: list[pd.DataFrame] = []  # whole assets, and last the pieces of the asset that is still arriving
        rows = 0
        for piece in self._measurement_pieces(asset_ids, fields, signals, start, end):
            starts_new_asset = not held or piece["asset_id"].iloc[0] != held[-1]["asset_id"].iloc[0]
            if held and rows + len(piece) > chunk_rows:
                if starts_new_asset:
                    yield pd.concat(held, ignore_index=True)
                    held, rows = [], 0
                else:
                    current = piece["asset_id"].iloc[0]
                    whole = [frame for frame in held if frame["asset_id"].iloc[0] != current]
                    if whole:
                        yield pd.concat(whole, ignore_index=True)
                        held = held[len(whole) :]
                        rows = sum(map(len, held))
            held.append(piece)
            rows += len(piece)
            while rows >= chunk_rows and held[0]["asset_id"].iloc[0] == held[-1]["asset_id"].iloc[0]:
                joined = pd.concat(held, ignore_index=True)
                if len(joined) == chunk_rows:
                    break
                yield joined.iloc[:chunk_rows]
                held = [joined.iloc[chunk_rows:].reset_index(drop=True)]
                rows = len(held[0])
        if held:
            yield pd.concat(held, ignore_index=True)

    def _measurement_pieces(
        self, asset_ids: Collection[str], fields: str, signals: Sequence[str], start: int, end: int
    ) -> Iterator[pd.DataFrame]:
        """Frames of one asset each, in order of asset and time, at most a server chunk long."""
        ordered = sorted(set(asset_ids))
        for first in range(0, len(ordered), _ASSETS_A_QUERY):
            where = _where(ordered[first : first + _ASSETS_A_QUERY], start, end)
            for frame in self._query(f"SELECT {fields} FROM telemetry WHERE {where} GROUP BY asset_id"):  # noqa: S608
                values = frame[[f"f{number}" for number in range(len(signals))]].astype("float64")
                values.columns = pd.Index(signals)
                values.insert(0, "time", frame["time"].astype("int64"))
                values.insert(0, "asset_id", frame["tags"].str.removeprefix("asset_id=").astype("str"))
                # One answer holds one asset after another, in the order of the tag.
                for _, piece in values.groupby("asset_id", sort=True):
                    yield piece.reset_index(drop=True)

    def read_faults(self, asset_ids: Collection[str], start: int, end: int) -> pd.DataFrame:
        """Return faults as ``TelemetryStore`` says."""
        ordered = sorted(set(asset_ids))
        rows: list[tuple[str, str, int, int, str, str, str]] = []
        for first in range(0, len(ordered), _ASSETS_A_QUERY):
            where = _where(ordered[first : first + _ASSETS_A_QUERY], start, end)
            select = "SELECT state, severity, context, asset_id, code, occurrence FROM faults"
            for frame in self._query(f"{select} WHERE {where}", text=True):
                columns = ("asset_id", "code", "time", "occurrence", "state", "severity", "context")
                for asset_id, code, time, occurrence, *texts in zip(*(frame[name] for name in columns), strict=True):
                    rows.append((asset_id, code, int(time), int(occurrence), *texts))
        return fault_frame(sorted(rows, key=lambda row: (row[0], row[2], row[1], row[3])))

    def span(self) -> tuple[int, int] | None:
        """Return the first and the last time, or ``None``."""
        times = [
            int(frame["time"].iloc[0])
            for source in ("telemetry", "faults")
            for order in ("ASC", "DESC")
            for frame in self._query(f"SELECT * FROM {source} ORDER BY time {order} LIMIT 1", text=True)  # noqa: S608
        ]
        return (min(times), max(times)) if times else None

    def _connected(self) -> Any:
        if self._client is None:
            raise StoreUnavailable(f"InfluxDB at {self._url} is not open")
        return self._client

    def _query(self, statement: str, *, text: bool = False) -> Iterator[pd.DataFrame]:
        """Yield the answer in pieces as the server sends them. Raises ``StoreError``."""
        client = self._connected().api_client
        try:
            response = client.rest_client.pool_manager.request(
                "POST",
                f"{self._url}/query",
                fields={
                    "db": self._bucket,
                    "q": statement,
                    "epoch": "ns",
                    "chunked": "true",
                    "chunk_size": str(_ROWS_A_CHUNK),
                },
                encode_multipart=False,
                headers={"Authorization": f"Token {self._token}", "Accept": "application/csv"},
                timeout=self._timeout_ms / 1000,
                preload_content=False,
            )
            response.auto_close = False  # the text wrapper reads past the end once more
            try:
                if response.status >= 400:
                    raise _by_status(response.status, response.read(2000).decode(errors="replace"), self._where())
                yield from _csv_pieces(response, text=text)
            finally:
                response.release_conn()
        except (HTTPError, OSError) as error:
            raise self._translated(error) from error

    def _where(self) -> str:
        return f"InfluxDB at {self._url}, bucket {self._bucket!r}"

    def _translated(self, error: Exception) -> StoreError:
        return StoreUnavailable(f"{self._where()} does not answer: {error}")


def _by_status(status: int, text: str, where: str) -> StoreError:
    message = f"{where} answers {status}: {text.strip()[:500]}"
    if status in (401, 403, 404):
        return StoreRejected(message, stops_the_line=True)
    if status in (408, 429) or status >= 500:
        return StoreUnavailable(message)
    return StoreRejected(message)


def _merged(measurements: Sequence[Measurements]) -> Sequence[Measurements]:
    """Join records of one instant: within one request InfluxDB promises no order between equal points."""
    times_of: dict[str, set[int]] = {}
    count = 0
    for asset_id, _, times, _ in measurements:
        of_asset = times_of.get(asset_id)
        if of_asset is None:
            of_asset = times_of[asset_id] = set()
        of_asset.update(times)
        count += len(times)
    if sum(map(len, times_of.values())) == count:
        return measurements
    merged: dict[tuple[str, int], dict[str, float]] = {}
    for measured in measurements:
        for time, values in measured.rows():
            merged.setdefault((measured.asset_id, time), {}).update(values)
    return [Measurements.at(*key, values) for key, values in merged.items()]


def _by_requests(measurements: Sequence[Measurements]) -> Iterator[Sequence[Measurements]]:
    """Cut what is to be written into requests, of as many lines as it takes and what belongs to the last of them."""
    first = lines = 0
    for number, measured in enumerate(measurements, 1):
        lines += len(measured.times)
        if lines >= _LINES_A_REQUEST or number == len(measurements):
            yield measurements[first:number]
            first, lines = number, 0


def _csv_pieces(response: Any, *, text: bool) -> Iterator[pd.DataFrame]:
    """Split the streamed CSV: tables follow each other, each with a header line of its own after a blank line."""
    lines_held: list[str] = []
    header = ""
    for raw in io.TextIOWrapper(response, encoding="utf-8", newline="\n"):
        line = raw.rstrip("\r\n")
        if line.startswith("name,tags,"):
            if lines_held:
                yield _frame(header, lines_held, text=text)
                lines_held = []
            header = line
        elif line.startswith("error"):
            raise StoreRejected(f"InfluxDB: {line}")
        elif line:
            lines_held.append(line)
            if len(lines_held) >= _ROWS_A_CHUNK and line.count('"') % 2 == 0:
                yield _frame(header, lines_held, text=text)
                lines_held = []
    if lines_held:
        yield _frame(header, lines_held, text=text)


def _frame(header: str, rows: list[str], *, text: bool) -> pd.DataFrame:
    kinds: Any = str if text else {"name": str, "tags": str, "time": np.int64}
    return pd.read_csv(io.StringIO("\n".join([header, *rows])), dtype=kinds, keep_default_na=not text)


def _identifier(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', r"\"") + '"'


def _where(asset_ids: Sequence[str], start: int, end: int) -> str:
    start, end = max(start, _FARTHEST[0]), min(end, _FARTHEST[1])
    pattern = "|".join(re.escape(asset_id).replace("/", r"\/") for asset_id in asset_ids) or "$."
    return f"asset_id =~ /^({pattern})$/ AND time >= {start} AND time < {end}"
