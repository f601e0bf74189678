"""Strict CSV in which every row knows its line: comma-separated UTF-8 with a header."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from config.mistakes import Where
from config.nearest import nearest
from config.source import MAX_PROBLEMS, ConfigError, Problem, Source, read_text, shown

MAX_BYTES = 64_000_000
MAX_COLUMNS = 100


def load_csv(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    folder: Path | None = None,
    *,
    nameless: bool = False,
) -> Source:
    """Read a table whose columns are ``required``, any of ``optional``, and any others, in any order.

    The data is a list with a mapping of column to text for each row; an empty cell is not in it, an empty row
    is left out, blanks around a cell are dropped. Columns without a name are left out where they may be ``nameless``.

    Raises:
        ConfigError: the file cannot be read; a column is missing, nameless, given twice, or is a misspelt optional
            one; a row is longer or shorter than the header; a required cell is empty; quotes do not match.
    """
    file = shown(path, folder)
    text = read_text(path, folder, MAX_BYTES)
    rows: list[dict[str, str]] = []
    lines: dict[Where, int] = {}
    problems: list[Problem] = []
    line = 1
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if header_problems := _check_header(header, required, optional, nameless=nameless):
            raise ConfigError(Problem(file, 1, message) for message in header_problems)
        while len(problems) < MAX_PROBLEMS:
            line = reader.line_num + 1
            cells = next(reader, None)
            if cells is None:
                break
            if not any(cells):
                continue
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name and cell.strip()}
            if len(cells) != len(header):
                problems.append(Problem(file, line, f"has {len(cells)} cells, the header has {len(header)}"))
            else:
                empty = (name for name in required if name not in row)
                problems += [Problem(file, line, f"column {name!r} is empty") for name in empty]
            lines[len(rows),] = line
            rows.append(row)
    except csv.Error as error:
        message = "a quote that is never closed" if "end of data" in str(error) else f"not CSV: {error}"
        problems.append(Problem(file, line, message))
    if problems:
        raise ConfigError(problems)
    return Source(file, rows, lines)


def _check_header(
    header: Sequence[str], required: Sequence[str], optional: Sequence[str], *, nameless: bool
) -> list[str]:
    if not header:
        return ["is empty; its first line names the columns: " + ",".join((*required, *optional))]
    if len(header) == 1 and ";" in header[0]:
        return ["columns are separated by ';'; separate them by ','"]
    if len(header) > MAX_COLUMNS:
        return [f"has more than {MAX_COLUMNS} columns"]
    absent = {name for name in (*required, *optional) if name not in header}
    problems = []
    for number, name in enumerate(header):
        if not name and nameless:
            continue
        if not name:
            problems.append(f"column {number + 1} has no name")
        elif name in header[:number]:
            problems.append(f"column {name!r} is given twice")
        elif name not in (*required, *optional) and (near := nearest(name, absent, cutoff=0.8)):
            problems.append(f"unknown column {name!r}; did you mean {near!r}?")
            absent.remove(near)
    problems += [f"missing column {name!r}" for name in required if name in absent]
    return problems
