"""An installation: everything that is configured, read from one folder, checked as a whole.

settings.yaml       optional: every setting has a default
sites.yaml          the depots
assets.csv          the register
asset_types/*.yaml  one file for each type, called as the type is
knowledge/*.yaml    failure modes, procedures, drawings, parts (optional)
knowledge/stock/*.csv  what the depots have in stock, one file for each site (optional)
rules/*.yaml        expert rules (optional), each with its *_test.yaml; their content is read by the diagnostics,
                    as is that of approvals.yaml
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from config import knowledge as knowledge_files
from config import stock
from config.knowledge import DIRECTIONS, Knowledge, Vocabulary
from config.nearest import did_you_mean, nearest
from config.register import Asset, AssetId, AssetType, Register, Site, Strict
from config.settings import Settings
from config.source import MAX_PROBLEMS, ConfigError, Problem, Source, load_yaml, validate
from config.table import load_csv

FILES = ("settings.yaml", "sites.yaml", "assets.csv")
FOLDERS = ("asset_types", "knowledge", "rules")
APPROVALS = "approvals.yaml"
"""The file in ``rules`` that holds no rules, but which of them may open tickets."""
MAX_FILES = 1000
"""Files in one folder of an installation."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Installation:
    """A checked installation; ``digest`` (sha256, hexadecimal) changes with any byte of any of its files."""

    folder: Path
    settings: Settings
    register: Register
    knowledge: Knowledge
    rule_files: tuple[Path, ...]
    digest: str


def load(folder: Path) -> Installation:
    """Read and check the installation in ``folder``.

    Raises:
        ConfigError: with the problems of all files, not of the first that has one.
    """
    if not folder.is_dir():
        raise ConfigError([Problem(str(folder), 0, "is not a folder")])
    digest = digest_of(folder)
    problems = list(_strays(folder))

    def attempt(read: Callable[[Path], _T]) -> _T | None:
        try:
            return read(folder)
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    settings = attempt(_settings)
    sites = attempt(_sites)
    asset_types = attempt(_asset_types)
    rows = attempt(_asset_rows)
    vocabulary = _vocabulary(rows, asset_types)
    knowledge = attempt(lambda folder: knowledge_files.load(_yaml_files(folder / "knowledge"), folder, vocabulary))
    if sites and knowledge:
        known, tables = knowledge, folder / "knowledge" / stock.FOLDER
        counted = attempt(lambda folder: stock.load(tables, sites, known.parts, folder))
        knowledge = replace(known, stock=counted or {})
    assets = attempt(lambda folder: _assets(rows, sites, asset_types)) if rows else ()
    if problems or not (settings and sites and asset_types and knowledge and assets is not None):
        raise ConfigError(problems)
    register = Register(tuple(sites.values()), tuple(asset_types.values()), assets)
    rules = tuple(
        path
        for path in _yaml_files(folder / "rules")
        if not path.name.endswith("_test.yaml") and path.name != APPROVALS
    )
    return Installation(folder, settings, register, knowledge, rules, digest)


def files_of(folder: Path) -> Iterator[Path]:
    """Return all files that make up the installation in ``folder``, in a fixed order."""
    yield from (folder / name for name in FILES if (folder / name).is_file())
    for name in FOLDERS:
        yield from _yaml_files(folder / name)
    yield from stock.files(folder / "knowledge" / stock.FOLDER)


def digest_of(folder: Path) -> str:
    """Return the sha256 (hexadecimal) of the names and contents of an installation's files.

    Raises:
        ConfigError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for path in files_of(folder):
        name = path.relative_to(folder).as_posix()
        try:
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError([Problem(name, 0, f"cannot be read: {error.strerror}")]) from error
        whole.update(f"{name}\0{content}\n".encode())
    return whole.hexdigest()


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.yaml") if not path.name.startswith("."))


def _strays(folder: Path) -> Iterator[Problem]:
    """Files that somebody would believe to be read, and that are not."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in (*FILES, *FOLDERS):
            continue
        near = nearest(path.name, FOLDERS if path.is_dir() else FILES)
        if path.is_dir() and near:
            yield Problem(path.name, 0, f"unknown folder; did you mean {near!r}?")
        elif path.is_file() and path.suffix in (".yaml", ".yml", ".csv"):
            yield Problem(path.name, 0, "unknown file" + did_you_mean(path.name, FILES))
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*.yml")):
            yield Problem(f"{name}/{path.name}", 0, f"is not read; call it {path.stem}.yaml")
        if len(_yaml_files(folder / name)) > MAX_FILES:
            raise ConfigError([Problem(name, 0, f"has more than {MAX_FILES} files")])


def _settings(folder: Path) -> Settings:
    path = folder / "settings.yaml"
    source = load_yaml(path, folder) if path.exists() else None
    return Settings() if source is None or source.data is None else validate(source, Settings)


def _sites(folder: Path) -> Mapping[str, Site]:
    source = load_yaml(folder / "sites.yaml", folder)
    found: dict[str, Site] = {}
    problems = []
    for number, site in enumerate(validate(source, tuple[Site, ...])):
        if site.id in found:
            problems.append(source.problem((number, "id"), f"site {site.id!r} is given twice"))
        found[site.id] = site
    if not found:
        problems.append(source.problem((), "names no site"))
    if problems:
        raise ConfigError(problems)
    return found


def _asset_types(folder: Path) -> Mapping[str, AssetType]:
    found: dict[str, AssetType] = {}
    problems: list[Problem] = []
    for path in _yaml_files(folder / "asset_types"):
        try:
            source = load_yaml(path, folder)
            asset_type = validate(source, AssetType)
        except ConfigError as error:
            problems += error.problems
            continue
        if asset_type.id != path.stem:
            problems.append(
                source.problem(("id",), f"id {asset_type.id!r} in a file called {path.name}; call both the same")
            )
        found[asset_type.id] = asset_type
    if not found and not problems:
        problems.append(Problem("asset_types", 0, "holds no file; each asset type has one"))
    if problems:
        raise ConfigError(problems)
    return found


def _vocabulary(
    table: tuple[Source, list[dict[str, str]]] | None, asset_types: Mapping[str, AssetType] | None
) -> Vocabulary:
    """Return what knowledge may name; nothing of a kind is checked where its file could not be read."""
    attributes = None if table is None else {name for row in table[1] for name in row}.difference(_COLUMNS, _DATES)
    symptoms = None
    if asset_types is not None and not any(kind.open_vocabulary for kind in asset_types.values()):
        symptoms = {f"faults.{fault.code}" for kind in asset_types.values() for fault in kind.faults} | {
            f"{signal.name}.{direction}"
            for kind in asset_types.values()
            for signal in kind.signals
            for direction in DIRECTIONS
        }
    return Vocabulary(attributes, symptoms)


_COLUMNS = ("asset_id", "asset_type", "site")
_DATES = ("commissioned", "warranty_until")


class _Row(Strict):
    """One line of assets.csv; columns that the program does not know are the asset's attributes."""

    asset_id: AssetId
    asset_type: str
    site: str
    commissioned: date | None = None
    warranty_until: date | None = None
    attributes: Mapping[str, Annotated[str, Field(max_length=200)]]


def _asset_rows(folder: Path) -> tuple[Source, list[dict[str, str]]]:
    source = load_csv(folder / "assets.csv", _COLUMNS, _DATES, folder)
    assert isinstance(source.data, list)
    return source, source.data


def _assets(
    table: tuple[Source, list[dict[str, str]]],
    sites: Mapping[str, Site] | None,
    asset_types: Mapping[str, AssetType] | None,
) -> tuple[Asset, ...]:
    """Check the register; references are left alone where what they refer to could not be read."""
    source, rows = table
    problems: list[Problem] = []
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        asset_id, line = row["asset_id"], source.line((number,))
        if asset_id in first:
            message = f"asset {asset_id!r} is given twice (first on line {first[asset_id]})"
            problems.append(Problem(source.file, line, message))
        first.setdefault(asset_id, line)
        for kind, name, known in (("site", row["site"], sites), ("asset type", row["asset_type"], asset_types)):
            if known is not None and name not in known:
                problems.append(Problem(source.file, line, f"unknown {kind} {name!r}{did_you_mean(name, known)}"))
        if len(problems) >= MAX_PROBLEMS:
            break
    known_columns = {*_COLUMNS, *_DATES}
    nested = [
        {name: cell for name, cell in row.items() if name in known_columns}
        | {"attributes": {name: cell for name, cell in row.items() if name not in known_columns}}
        for row in rows
    ]
    try:
        checked = validate(Source(source.file, nested, source.lines), tuple[_Row, ...])
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return tuple(
        Asset(
            id=row.asset_id,
            asset_type=row.asset_type,
            site=row.site,
            commissioned=row.commissioned,
            warranty_until=row.warranty_until,
            attributes=row.attributes,
        )
        for row in checked
    )
