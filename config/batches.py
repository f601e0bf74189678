"""The tables of a history folder, CSV or Parquet, read in batches of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from config.source import ConfigError, Problem

_BLOCK_BYTES = 4_000_000
_BATCH_ROWS = 65_536


def table_path(folder: Path, name: str) -> Path | None:
    """Return the file of a table (``telemetry``, ``faults`` ...), or ``None`` where the history has none.

    Raises:
        ConfigError: there are two, one of each format.
    """
    found = [path for suffix in (".csv", ".parquet") if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        raise ConfigError([Problem(found[0].name, 0, f"stands beside {found[1].name}; keep one of the two")])
    return found[0] if found else None


def column_names(path: Path) -> tuple[str, ...]:
    """Return the columns of a table as they are written. Raises ``ConfigError``: no table, a name twice or none."""
    try:
        if path.suffix == ".parquet":
            names = pa_parquet.ParquetFile(path).schema_arrow.names
        else:
            with pa_csv.open_csv(path, pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)) as reader:
                names = reader.schema.names
    except (pa.ArrowException, OSError) as error:
        raise ConfigError([_problem(path, error, ())]) from error
    problems = [
        Problem(path.name, 1, f"column {name!r} is given twice") for name in set(names) if names.count(name) > 1
    ]
    if any(not name.strip() for name in names):
        problems.append(Problem(path.name, 1, "a column has no name"))
    if problems:
        raise ConfigError(problems)
    return tuple(names)


def require(path: Path, *names: str) -> tuple[str, ...]:
    """Return the columns of a table; raises ``ConfigError`` where one of ``names`` is not among them."""
    columns = column_names(path)
    if len(columns) == 1 and ";" in columns[0]:
        raise ConfigError([Problem(path.name, 1, "columns are separated by ';'; separate them by ','")])
    missing = [Problem(path.name, 1, f"missing column {name!r}") for name in names if name not in columns]
    if missing:
        raise ConfigError(missing)
    return columns


def batches(path: Path, texts: Sequence[str], numbers: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yield the named columns: ``texts`` as string (empty where the cell is), ``numbers`` as double (there null).

    Raises:
        ConfigError: at the first value that is no number or no UTF-8, or row that does not fit the header.
    """
    wanted = pa.schema([*((name, pa.string()) for name in texts), *((name, pa.float64()) for name in numbers)])
    names = wanted.names
    try:
        if path.suffix == ".parquet":
            for batch in pa_parquet.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=names):
                yield pa.RecordBatch.from_arrays([_cast(path, batch, field) for field in wanted], schema=wanted)
        else:
            convert = pa_csv.ConvertOptions(column_types=wanted, include_columns=names)
            read = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
            with pa_csv.open_csv(path, read, convert_options=convert) as reader:
                yield from reader
    except (pa.ArrowException, OSError) as error:
        raise ConfigError([_problem(path, error, names)]) from error


def _cast(path: Path, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name)
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        wanted = "numbers" if field.type == pa.float64() else "text"
        message = f"column {field.name!r} holds {column.type}, which makes no {wanted}: {error}"
        raise ConfigError([Problem(path.name, 0, message.splitlines()[0])]) from error


def _problem(path: Path, error: Exception, names: Sequence[str]) -> Problem:
    """Arrow names a row (from 1, the header being 1) and, in CSV, the column by its number in the file."""
    text = str(error).splitlines()[0]
    row = re.search(r"Row #(\d+): ?", text)
    column = re.search(r"In CSV column #(\d+): ", text)
    message = re.sub(r"(In CSV column #\d+: |CSV parse error: |Row #\d+: ?)", "", text)
    message = re.sub(r"CSV conversion error to double: invalid value '(.*)'", r"\1 is no number", message)
    if column and names:
        header = column_names(path)
        message = f"column {header[int(column[1])]!r}: {message}"
    return Problem(path.name, int(row[1]) if row else 0, message)
