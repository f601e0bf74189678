"""What the depots have in stock: one file a site, ``knowledge/stock/<site>.csv``, as the warehouse exports it.

    part,quantity,counted[,bin]
    DRY-4711,6,2026-11-20,R3-12

It is as old as ``counted`` says; whoever reads it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from pydantic import Field

from config.nearest import did_you_mean
from config.register import Code, Strict
from config.source import MAX_PROBLEMS, ConfigError, Problem, Source, validate
from config.table import load_csv

FOLDER = "stock"
FRESH = timedelta(days=7)
"""A count older than this is said to be old."""
_COLUMNS = ("part", "quantity", "counted")


@dataclass(frozen=True, slots=True)
class Stock:
    """How many of a part a site has, and on which day somebody counted them."""

    quantity: int
    counted: date
    bin: str = ""

    def old(self, today: date) -> bool:
        """Whether the count is too old to rely on."""
        return today - self.counted > FRESH


Stocks = Mapping[str, Mapping[str, Stock]]
"""Stock by site and part."""


class _Row(Strict):
    part: Code
    quantity: int = Field(ge=0, le=1_000_000)
    counted: date
    bin: str = Field(default="", max_length=50)


def load(folder: Path, sites: Iterable[str], parts: Iterable[str], root: Path) -> Stocks:
    """Read the tables of ``folder``; messages call them relative to ``root``. No folder: nothing is known.

    Raises:
        ConfigError: a file is no site's, a part is not in the knowledge base or given twice, or a cell is wrong.
    """
    known_sites, known_parts = set(sites), set(parts)
    found: dict[str, Mapping[str, Stock]] = {}
    problems: list[Problem] = []
    for path in files(folder):
        if path.stem not in known_sites:
            name = path.relative_to(root).as_posix()
            hint = did_you_mean(path.stem, known_sites)
            problems.append(Problem(name, 0, f"is named after no site: unknown site {path.stem!r}{hint}"))
            continue
        try:
            found[path.stem] = _site(load_csv(path, _COLUMNS, ("bin",), root), known_parts)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def files(folder: Path) -> list[Path]:
    """Return the tables of a stock folder, by name."""
    return sorted(path for path in folder.glob("*.csv") if not path.name.startswith("."))


def _site(source: Source, parts: set[str]) -> Mapping[str, Stock]:
    assert isinstance(source.data, list)
    problems: list[Problem] = []
    first: dict[str, int] = {}
    rows = []
    for number, row in enumerate(source.data):
        line, part = source.line((number,)), row["part"]
        if part in first:
            problems.append(Problem(source.file, line, f"part {part!r} is given twice (first on line {first[part]})"))
        elif part not in parts:
            problems.append(Problem(source.file, line, f"unknown part {part!r}{did_you_mean(part, parts)}"))
        first.setdefault(part, line)
        quantity = row["quantity"]
        rows.append(row | {"quantity": int(quantity) if quantity.isdecimal() and len(quantity) < 10 else quantity})
        if len(problems) >= MAX_PROBLEMS:
            break
    try:
        checked = validate(Source(source.file, rows, source.lines), tuple[_Row, ...])
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return {row.part: Stock(row.quantity, row.counted, row.bin) for row in checked}
