"""The register of a history folder: as its table says, or the assets that its data names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from config.batches import batches, column_names, require
from config.naming import asset_name, plain_name
from config.register import Asset, Site, Strict
from config.source import ConfigError, Problem, Source, validate
from config.table import load_csv

MAX_ASSETS = 200_000
MAX_TITLE = 100


Kind = Literal["type", "site"]
Names = dict[tuple[Kind, str], str]


class Row(Strict):
    """One row of the register, as far as it must have a form; asset, type and site may be called in any way."""

    asset_id: str
    asset_type: str = "asset"
    site: str = "site"
    commissioned: date | None = None
    warranty_until: date | None = None
    attributes: Mapping[str, str] = {}


@dataclass(slots=True)
class Fleet:
    """The assets by id, and whether a register says so or the data must: then assets are added as they are met."""

    rows: dict[str, Row] = field(default_factory=dict)
    registered: bool = False
    types: list[str] = field(default_factory=lambda: ["asset"])
    written: dict[str, str] = field(default_factory=dict)
    """How the data calls each asset."""

    def type_numbers(self, asset_ids: pa.Array, file: str) -> npt.NDArray[np.int64]:
        """Return the number of each asset's type, -1 where a register does not know the asset."""
        encoded = asset_ids.dictionary_encode()
        ids = encoded.dictionary.to_pylist()
        names = [self.name(text.strip(), file) for text in ids]
        if not self.registered:
            self._add([name for name in names if name and name not in self.rows], file)
        number = {name: i for i, name in enumerate(self.types)}
        of_id = [number[self.rows[name].asset_type] if name in self.rows else -1 for name in names]
        index: npt.NDArray[np.int64] = pc.fill_null(encoded.indices, len(ids)).to_numpy()
        return np.array([*of_id, -1], dtype=np.int64)[index]

    def _add(self, names: Iterable[str], file: str) -> None:
        for name in names:
            self.rows[name] = Row(asset_id=name)
        if len(self.rows) > MAX_ASSETS:
            raise ConfigError([Problem(file, 0, f"names more than {MAX_ASSETS:,} assets")])

    def name(self, text: str, file: str) -> str:
        """Return an asset's id, empty where a row names none; raises ``ConfigError`` where two assets' are the same."""
        if not text:
            return ""
        name = asset_name(text)
        written = text.removesuffix(".0")
        if self.written.setdefault(name, written) != written:
            message = f"assets {self.written[name]!r} and {written!r} are both {name!r}; rename one"
            raise ConfigError([Problem(file, 0, message)])
        return name

    def names(self) -> Names:
        """Return the id of each type and each site, by kind and by what the register calls it.

        Raises:
            ConfigError: two texts make the same.
        """
        found: Names = {}
        problems = []
        kinds: tuple[tuple[Kind, set[str]], ...] = (
            ("type", set(self.types)),
            ("site", {row.site for row in self.rows.values()}),
        )
        for kind, texts in kinds:
            taken: dict[str, str] = {}
            for text in sorted(texts):
                name = plain_name(text, kind)
                if name in taken:
                    problems.append(Problem("assets", 0, f"{kind}: {taken[name]!r} and {text!r} are both {name!r}"))
                found[kind, text], taken[name] = name, text
        if problems:
            raise ConfigError(problems)
        return found

    def sites(self, names: Names) -> tuple[Site, ...]:
        """Return the sites; ``names`` as ``names()`` gave them."""
        return tuple(
            Site(id=names["site", title], title=title[:MAX_TITLE])
            for title in sorted({row.site for row in self.rows.values()})
        )

    def assets(self, names: Names) -> tuple[Asset, ...]:
        """Return the assets; ``names`` as ``names()`` gave them."""
        return tuple(
            Asset(
                id=name,
                asset_type=names["type", row.asset_type],
                site=names["site", row.site],
                commissioned=row.commissioned,
                warranty_until=row.warranty_until,
                attributes=row.attributes,
            )
            for name, row in self.rows.items()
        )


def read_register(path: Path) -> Fleet:
    """Read a register. Raises ``ConfigError``: it is broken, names no asset, or one twice."""
    dates = ("commissioned", "warranty_until")
    known = ("asset_type", "site", *dates)
    if path.suffix == ".csv":
        source = load_csv(path, ("asset_id",), known, path.parent, nameless=True)
    else:
        require(path, "asset_id")
        table = pa.Table.from_batches(batches(path, column_names(path)))
        rows = [{name: cell.strip() for name, cell in row.items() if cell.strip()} for row in table.to_pylist()]
        source = Source(path.name, rows, {})
    assert isinstance(source.data, list)
    nested = [
        {name: _day(cell) if name in dates else cell for name, cell in row.items() if name in ("asset_id", *known)}
        | {"attributes": {name: cell for name, cell in row.items() if name not in ("asset_id", *known)}}
        for row in source.data
    ]
    fleet = Fleet(registered=True)
    problems = []
    for number, row in enumerate(validate(Source(source.file, nested, source.lines), tuple[Row, ...])):
        name = fleet.name(row.asset_id, source.file)
        if name in fleet.rows:
            problems.append(source.problem((number,), f"asset {row.asset_id!r} is given twice"))
        fleet.rows[name] = row
    if not fleet.rows:
        problems.append(source.problem((), "names no asset"))
    if problems:
        raise ConfigError(problems)
    fleet.types = sorted({row.asset_type for row in fleet.rows.values()})
    return fleet


def _day(text: str) -> str:
    """Return the date of an ISO 8601 time, and any other text as it is."""
    return text[:10] if re.match(r"\d{4}-\d{2}-\d{2}[T ]", text) else text
