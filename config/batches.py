"""The tables of a history folder, CSV or Parquet, read in batches of bounded size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from config.source import ConfigError, Problem

_BLOCK_BYTES = 4_000_000
_BATCH_ROWS = 65_536
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
FORMATS = "as .csv, .csv.gz or .parquet"
MISSING = (
    "", "-", "--", "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NAN", "NULL", "NaN", "NaT", "None", "Null", "n/a", "na", "nan", "none", "null",
)  # fmt: skip
"""How a cell for a number says that there is none."""
TRUTHS = {"true": 1.0, "yes": 1.0, "on": 1.0, "y": 1.0, "t": 1.0, "1": 1.0} | {
    "false": 0.0, "no": 0.0, "off": 0.0, "n": 0.0, "f": 0.0, "0": 0.0,
}  # fmt: skip
"""How a cell says yes and no, in small letters."""
_NO_NUMBER = "is no number; leave a cell empty where nothing was measured"
_ALSO_CALLED = {
    "asset_id": (
        "asset", "assetid", "device", "device_id", "id", "machine", "machine_id", "machineid", "serial",
        "serial_number", "turbine", "turbine_id", "unit", "unit_id", "unit_number", "vehicle", "vehicle_id", "vin",
    ),
    "time": ("date", "date_time", "datetime", "time_stamp", "timestamp", "ts"),
    "code": ("alarm", "error", "error_code", "error_id", "errorid", "event", "fault", "fault_code"),
}  # fmt: skip


def table_path(folder: Path, name: str) -> Path | None:
    """Return the file of a table (``telemetry``, ``faults`` ...), or ``None`` where the history has none.

    Raises:
        ConfigError: there are two, one of each format.
    """
    found = [path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    if len(found) > 1:
        raise ConfigError([Problem(found[0].name, 0, f"stands beside {found[1].name}; keep one of the two")])
    return found[0] if found else None


def no_history(folder: Path) -> Problem:
    """Return what is wrong with a folder that has no table of a history to begin with."""
    if not folder.is_dir():
        return Problem(str(folder), 0, "is not a folder")
    held = sorted(path.name for path in folder.iterdir())
    named = f"; it holds {', '.join(held[:10])}{', ...' if len(held) > 10 else ''}" if held else ""
    return Problem(str(folder), 0, f"holds neither telemetry nor faults, {FORMATS}{named}")


def column_names(path: Path) -> tuple[str, ...]:
    """Return the columns of a table as they are written, those without a name (row numbers, mostly) left out.

    Raises ``ConfigError``: no table, a name twice.
    """
    names = [name for name in _header(path) if name.strip()]
    problems = [
        Problem(path.name, 1, f"column {name!r} is given twice") for name in set(names) if names.count(name) > 1
    ]
    if problems:
        raise ConfigError(problems)
    return tuple(names)


def _header(path: Path) -> list[str]:
    """Return all columns of a table, also those without a name."""
    try:
        if path.suffix == ".parquet":
            return list(pa_parquet.ParquetFile(path).schema_arrow.names)
        with pa_csv.open_csv(path, pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)) as reader:
            return list(reader.schema.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ConfigError([_problem(path, error, ())]) from error


def require(path: Path, *names: str) -> tuple[str, ...]:
    """Return the columns of a table; raises ``ConfigError`` where one of ``names`` is not among them."""
    columns = column_names(path)
    for mark, shown in ((";", "';'"), ("\t", "tabs")):
        if len(columns) == 1 and mark in columns[0]:
            raise ConfigError([Problem(path.name, 1, f"columns are separated by {shown}; separate them by ','")])
    missing = [
        Problem(path.name, 1, f"missing column {name!r}{_instead(name, columns)}")
        for name in names
        if name not in columns
    ]
    if missing:
        raise ConfigError(missing)
    return columns


def _instead(name: str, columns: Sequence[str]) -> str:
    """Return the end of a sentence about a column that is missing: what it may be called, or what there is."""
    meant = (name, *_ALSO_CALLED.get(name, ()))
    near = [column for column in columns if re.sub(r"[\W_]+", "_", column.strip().lower()).strip("_") in meant]
    if near:
        return f"; rename {near[0]!r} to it"
    more = ", ..." if len(columns) > 12 else ""
    return f" (columns: {', '.join(columns[:12])}{more})"


def batches(
    path: Path, texts: Sequence[str], numbers: Sequence[str] = (), truths: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """Yield the named columns: ``texts`` as string (empty where the cell is), the others as double (there null).

    ``truths`` say yes or no: 1 and 0.

    Raises:
        ConfigError: at the first value that is no number, neither yes nor no or no UTF-8, or row unlike the header.
    """
    words = [(name, pa.string()) for name in (*texts, *truths)]
    wanted = pa.schema([*words, *((name, pa.float64()) for name in numbers)])
    names = wanted.names
    row = 1 if path.suffix == ".parquet" else 2
    try:
        for batch in _read(path, wanted):
            for name in truths:
                place = names.index(name)
                batch = batch.set_column(
                    place, pa.field(name, pa.float64()), _truth(path, name, batch.column(place), row)
                )
            row += batch.num_rows
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise ConfigError([_problem(path, error, names)]) from error


def _read(path: Path, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        for batch in pa_parquet.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=wanted.names):
            yield pa.RecordBatch.from_arrays([_cast(path, batch, field) for field in wanted], schema=wanted)
        return
    convert = pa_csv.ConvertOptions(column_types=wanted, include_columns=wanted.names, null_values=MISSING)
    read = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    with pa_csv.open_csv(path, read, convert_options=convert) as reader:
        yield from reader


def _truth(path: Path, name: str, column: pa.Array, first: int) -> pa.Array:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    place = pc.index_in(words, pa.array(list(TRUTHS)))
    strange = pc.and_(pc.is_null(place), pc.invert(pc.is_in(pc.fill_null(column, ""), pa.array(MISSING))))
    if pc.any(strange).as_py():
        row = pc.index(strange, True).as_py()
        message = f"column {name!r}: {column[row].as_py()[:40]!r} is neither yes nor no"
        raise ConfigError([Problem(path.name, first + row, message)])
    return pa.array(list(TRUTHS.values())).take(place)


def _cast(path: Path, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name)
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if field.type == pa.float64() and (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            words = pc.utf8_trim_whitespace(column)
            column = pc.if_else(pc.is_in(words, pa.array(MISSING, words.type)), None, words)
        cells = column.cast(field.type)
        return cells if field.type == pa.float64() else pc.fill_null(cells, "")
    except pa.ArrowException as error:
        wanted = "numbers" if field.type == pa.float64() else "text"
        message = f"column {field.name!r} holds {column.type}, which makes no {wanted}: {error}"
        raise ConfigError([Problem(path.name, 0, message.splitlines()[0])]) from error


def _is_utf16(path: Path) -> bool:
    """Whether a text begins as spreadsheets begin one in UTF-16."""
    if path.suffix != ".csv" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _problem(path: Path, error: Exception, names: Sequence[str]) -> Problem:
    """Arrow names a row (from 1, the header being 1) and, in CSV, the column by its number in the file."""
    text = str(error).splitlines()[0]
    if isinstance(error, UnicodeDecodeError) or "UTF8" in text or _is_utf16(path):
        return Problem(path.name, 0, "is not UTF-8; save it as CSV UTF-8")
    row = re.search(r"Row #(\d+): ?", text)
    column = re.search(r"In CSV column #(\d+): ", text)
    message = re.sub(r"(In CSV column #\d+: |CSV parse error: |Row #\d+: ?)", "", text)
    message = re.sub(r"CSV conversion error to double: invalid value '(.*)'", rf"\1 {_NO_NUMBER}", message)
    message = message.replace("Empty CSV file", "is empty; its first line names the columns")
    if column and names:
        message = f"column {_header(path)[int(column[1])]!r}: {message}"
    return Problem(path.name, int(row[1]) if row else 0, message)
