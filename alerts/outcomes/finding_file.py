"""A file of findings, CSV or JSON lines, read into rows that each hold one finding or say what is wrong. Pure.

The file as a whole is looked at before its first row is given: what is wrong with it is a ``BadFile``, and nothing of
it counts. What is wrong with one row is that row's alone.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alerts.outcomes.finding import BadFinding, Told, converted_row, decoded
from config.nearest import did_you_mean

MAX_BYTES = 50_000_000
MAX_ROWS = 100_000
_NEEDED = ("ticket", "verdict", "at")
_COLUMNS = Told.__struct_fields__


class BadFile(ValueError):
    """A file cannot be taken as findings."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one row says; ``line`` is where it begins, from 1."""

    line: int
    told: Told | BadFinding


def rows_of(path: Path, max_row_bytes: int) -> list[Row]:
    """Return what the rows of ``path`` say, by its suffix: ``.csv``, or ``.jsonl`` (``.ndjson``).

    Raises:
        BadFile: no such suffix, too large, too many rows, not UTF-8, or no table with the columns of a finding.
        OSError: it cannot be read.
    """
    if path.suffix.lower() not in (".csv", ".jsonl", ".ndjson"):
        raise BadFile(f"{path.name} is neither .csv nor .jsonl")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadFile(f"{path.name} has more than {MAX_BYTES:,} bytes: split it")
    reader = _table if path.suffix.lower() == ".csv" else _json_lines
    rows: list[Row] = []
    for row in reader(content.removeprefix(b"\xef\xbb\xbf"), max_row_bytes):
        if len(rows) == MAX_ROWS:
            raise BadFile(f"{path.name} has more than {MAX_ROWS:,} rows: split it")
        rows.append(row)
    return rows


def _json_lines(content: bytes, max_row_bytes: int) -> Iterator[Row]:
    for number, line in enumerate(io.BytesIO(content), start=1):
        if line.strip():
            yield Row(number, _read(line, max_row_bytes))


def _read(line: bytes, max_row_bytes: int) -> Told | BadFinding:
    if len(line) > max_row_bytes:
        return _too_long(max_row_bytes)
    try:
        return decoded(line)
    except BadFinding as error:
        return error


def _table(content: bytes, max_row_bytes: int) -> Iterator[Row]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadFile(f"line {line}: is not UTF-8") from None
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True)
    line = 1
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns)
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(line, _told(columns, cells, max_row_bytes))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"line {line}: {error}") from None


def _check_columns(columns: list[str]) -> None:
    for name in columns:
        if name not in _COLUMNS:
            raise BadFile(f"line 1: {name[:60]!r} is no field of an outcome{did_you_mean(name[:60], _COLUMNS)}")
        if columns.count(name) > 1:
            raise BadFile(f"line 1: column {name!r} is given twice")
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise BadFile(f"line 1: column {missing[0]!r} is missing")


def _told(columns: list[str], cells: list[str], max_row_bytes: int) -> Told | BadFinding:
    if len(cells) != len(columns):
        return BadFinding("", f"{len(cells)} cells stand below {len(columns)} columns")
    if sum(map(len, cells)) > max_row_bytes:
        return _too_long(max_row_bytes)
    fields: dict[str, object] = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    if "parts" in fields:
        fields["parts"] = [part.strip() for part in str(fields["parts"]).split(";") if part.strip()]
    try:
        return converted_row(fields)
    except BadFinding as error:
        return error


def _too_long(max_row_bytes: int) -> BadFinding:
    return BadFinding("", f"is longer than {max_row_bytes:,} bytes")
