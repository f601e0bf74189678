"""The register of a history folder: as its table says, or the assets that its data names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from config.batches import batches, column_names, require
from config.naming import plain_name
from config.register import Asset, AssetId, Site, Strict
from config.source import ConfigError, Problem, Source, validate
from config.table import load_csv

MAX_ASSETS = 200_000


class Row(Strict):
    """One row of the register, as far as it must have a form; type and site may be called in any way."""

    asset_id: AssetId
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

    def type_numbers(self, asset_ids: pa.Array, file: str) -> npt.NDArray[np.int64]:
        """Return the number of each asset's type, -1 where a register does not know the asset."""
        encoded = asset_ids.dictionary_encode()
        ids = encoded.dictionary.to_pylist()
        if not self.registered:
            self._add([name for name in ids if name not in self.rows], file)
        number = {name: i for i, name in enumerate(self.types)}
        of_id = [number[self.rows[name].asset_type] if name in self.rows else -1 for name in ids]
        index: npt.NDArray[np.int64] = pc.fill_null(encoded.indices, len(ids)).to_numpy()
        return np.array([*of_id, -1], dtype=np.int64)[index]

    def _add(self, names: Iterable[str], file: str) -> None:
        for name in names:
            try:
                self.rows[name] = Row(asset_id=name)
            except ValidationError as error:
                raise ConfigError([Problem(file, 0, f"asset_id: {error.errors()[0]['ctx']['error']}")]) from None
        if len(self.rows) > MAX_ASSETS:
            raise ConfigError([Problem(file, 0, f"names more than {MAX_ASSETS:,} assets")])

    def names(self) -> dict[str, str]:
        """Return the id for each type and each site, as the register calls it.

        Raises:
            ConfigError: a text makes no id, or two make the same.
        """
        found: dict[str, str] = {}
        problems = []
        for kind, texts in (("asset_type", set(self.types)), ("site", {row.site for row in self.rows.values()})):
            taken: dict[str, str] = {}
            for text in sorted(texts):
                try:
                    found[text] = name = plain_name(text)
                except ValueError as error:
                    problems.append(Problem("assets", 0, f"{kind}: {error}"))
                    continue
                if name in taken:
                    problems.append(Problem("assets", 0, f"{kind}: {taken[name]!r} and {text!r} are both {name!r}"))
                taken[name] = text
        if problems:
            raise ConfigError(problems)
        return found

    def sites(self, names: Mapping[str, str]) -> tuple[Site, ...]:
        """Return the sites; ``names`` as ``names()`` gave them."""
        return tuple(Site(id=names[title], title=title) for title in sorted({row.site for row in self.rows.values()}))

    def assets(self, names: Mapping[str, str]) -> tuple[Asset, ...]:
        """Return the assets; ``names`` as ``names()`` gave them."""
        return tuple(
            Asset(
                id=row.asset_id,
                asset_type=names[row.asset_type],
                site=names[row.site],
                commissioned=row.commissioned,
                warranty_until=row.warranty_until,
                attributes=row.attributes,
            )
            for row in self.rows.values()
        )


def read_register(path: Path) -> Fleet:
    """Read a register. Raises ``ConfigError``: it is broken, names no asset, or one twice."""
    dates = ("commissioned", "warranty_until")
    known = ("asset_type", "site", *dates)
    if path.suffix == ".csv":
        source = load_csv(path, ("asset_id",), known, path.parent)
    else:
        require(path, "asset_id")
        table = pa.Table.from_batches(batches(path, column_names(path)))
        rows = [{name: cell for name, cell in row.items() if cell is not None} for row in table.to_pylist()]
        source = Source(path.name, [row | {name: row[name][:10] for name in dates if name in row} for row in rows], {})
    assert isinstance(source.data, list)
    nested = [
        {name: cell for name, cell in row.items() if name in ("asset_id", *known)}
        | {"attributes": {name: cell for name, cell in row.items() if name not in ("asset_id", *known)}}
        for row in source.data
    ]
    fleet = Fleet(registered=True)
    problems = []
    for number, row in enumerate(validate(Source(source.file, nested, source.lines), tuple[Row, ...])):
        if row.asset_id in fleet.rows:
            problems.append(source.problem((number,), f"asset {row.asset_id!r} is given twice"))
        fleet.rows[row.asset_id] = row
    if not fleet.rows:
        problems.append(source.problem((), "names no asset"))
    if problems:
        raise ConfigError(problems)
    fleet.types = sorted({row.asset_type for row in fleet.rows.values()})
    return fleet
