"""The registry: every model that was trained, whole and unchanged, and which one is active.

    <folder>/<asset type>/<version>/         manifest.json and the model's files
    <folder>/<asset type>/active             the active version's name, replaced in one step
    <folder>/<asset type>/activations.jsonl  every activation: which version, when, by whom and why

A version is named by when it was made and by its manifest's hash, so names sort by time and a manifest can't be
changed under its name; the manifest holds the hash of every file. Nothing in a model's files is pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version as library_version
from pathlib import Path

import numpy as np
import pandas as pd

from models.type_model import TypeModel

PROGRAM = "fleetdx"
"""Who activates what nobody activated by hand."""
LIBRARIES = ("numpy", "pandas", "scikit-learn", "skops")

_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_ASSET_TYPE = re.compile(r"[a-z][a-z0-9-]{0,47}")
_MAX_MANIFEST_BYTES = 1_000_000


class RegistryError(Exception):
    """A model is missing, incomplete or not what it was when it was saved; the message names the file."""


@dataclass(frozen=True, slots=True)
class Version:
    """A model's manifest. ``files``: SHA-256 of each file by its path; ``libraries``: version of each by name."""

    asset_type: str
    name: str
    created: datetime
    training_first: date
    training_last: date
    data_hash: str
    libraries: Mapping[str, str]
    metrics: Mapping[str, float]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Activation:
    """One entry of the journal: from ``at`` on ``version`` was the active one; ``by`` is a person, or the program."""

    version: str
    at: datetime
    by: str
    why: str


class Registry:
    """Keeps the models of all asset types in one folder, made when the first is saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self,
        asset_type: str,
        model: TypeModel,
        *,
        training_first: date,
        training_last: date,
        data_hash: str,
        metrics: Mapping[str, float],
        now: datetime,
    ) -> str:
        """Write a model and return its version; it is there whole or not at all, and not active yet.

        ``now`` is aware.
        """
        home = self.home(asset_type)
        home.mkdir(parents=True, exist_ok=True)
        making = home / f".making-{secrets.token_hex(8)}"
        making.mkdir()
        try:
            model.save(making)
            manifest = {
                "asset_type": asset_type,
                "created": now.astimezone(UTC).isoformat(timespec="seconds"),
                "training_first": training_first.isoformat(),
                "training_last": training_last.isoformat(),
                "data_hash": data_hash,
                "libraries": {"python": platform.python_version()} | {n: library_version(n) for n in LIBRARIES},
                "metrics": dict(metrics),
                "files": _hashes(making),
            }
            text = json.dumps(manifest, indent=1, sort_keys=True).encode()
            (making / "manifest.json").write_bytes(text)
            version = f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{_hash(text)[:8]}"
            for path in [*(p for p in making.rglob("*")), making]:
                _sync(path)
            if not (home / version).exists():
                making.rename(home / version)
                _sync(home)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return version

    def versions(self, asset_type: str) -> list[str]:
        """Return the versions of a type's models, oldest first."""
        home = self.home(asset_type)
        return sorted(p.name for p in home.iterdir() if _VERSION.fullmatch(p.name)) if home.is_dir() else []

    def describe(self, asset_type: str, version: str) -> Version:
        """Return a model's manifest. Raises ``RegistryError`` where it is missing or was changed."""
        path = self._path(asset_type, version) / "manifest.json"
        try:
            if path.stat().st_size > _MAX_MANIFEST_BYTES:
                raise RegistryError(f"{path}: larger than any manifest")
            text = path.read_bytes()
            if _hash(text)[:8] != version[-8:]:
                raise RegistryError(f"{path}: changed since the model was saved")
            held = json.loads(text)
            return Version(
                asset_type=held["asset_type"],
                name=version,
                created=datetime.fromisoformat(held["created"]),
                training_first=date.fromisoformat(held["training_first"]),
                training_last=date.fromisoformat(held["training_last"]),
                data_hash=held["data_hash"],
                libraries=held["libraries"],
                metrics=held["metrics"],
                files=held["files"],
            )
        except OSError as error:
            raise RegistryError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryError(f"{path}: not a manifest ({error})") from error

    def load(self, asset_type: str, version: str) -> TypeModel:
        """Return a model. Raises ``RegistryError`` where any file is missing, added or changed, or can't be read."""
        folder = self._path(asset_type, version)
        expected = self.describe(asset_type, version).files
        found = _hashes(folder)
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                raise RegistryError(f"{folder / name}: missing")
            if name not in expected:
                raise RegistryError(f"{folder / name}: not part of the model")
            if found[name] != expected[name]:
                raise RegistryError(f"{folder / name}: changed since the model was saved")
        try:
            return TypeModel.load(folder)
        except ValueError as error:
            raise RegistryError(f"{folder}: {error}") from error

    def activate(self, asset_type: str, version: str, *, now: datetime, by: str = PROGRAM, why: str = "") -> None:
        """Make a version the active one, in one step, and write down who did and why. ``now`` is aware.

        Raises ``RegistryError`` where it can't be loaded.
        """
        self.load(asset_type, version)
        entry = {"version": version, "at": now.astimezone(UTC).isoformat(timespec="seconds"), "by": by, "why": why}
        with (self.home(asset_type) / "activations.jsonl").open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        replace_file(self.home(asset_type) / "active", version)

    def activations(self, asset_type: str) -> list[Activation]:
        """Return the journal, oldest first; a line that a crash cut off is passed over."""
        path, found = self.home(asset_type) / "activations.jsonl", []
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    held = json.loads(line)
                    at = datetime.fromisoformat(held["at"])
                    found.append(Activation(str(held["version"]), at, str(held["by"]), str(held["why"])))
        return found

    def before(self, asset_type: str) -> str:
        """Return the version that was active before the active one. Raises ``RegistryError`` where none was."""
        active = self.active(asset_type)
        for activation in reversed(self.activations(asset_type)):
            if active is not None and activation.version != active.name:
                return activation.version
        raise RegistryError(f"{asset_type}: no version was active before the present one")

    def asset_types(self) -> list[str]:
        """Return the asset types of which models are kept."""
        folders = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(folder.name for folder in folders if _ASSET_TYPE.fullmatch(folder.name))

    def active(self, asset_type: str) -> Version | None:
        """Return the active version's manifest, ``None`` where no model was activated yet.

        Raises ``RegistryError`` where the active model is missing or its manifest was changed.
        """
        pointer = self.home(asset_type) / "active"
        try:
            version = pointer.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(f"{pointer}: {error}") from error
        if not _VERSION.fullmatch(version):
            raise RegistryError(f"{pointer}: does not name a version")
        return self.describe(asset_type, version)

    def home(self, asset_type: str) -> Path:
        """Return the folder of a type's models, which need not exist. Raises ``RegistryError`` for what is no type."""
        if not _ASSET_TYPE.fullmatch(asset_type):
            raise RegistryError(f"not an asset type: {asset_type[:80]!r}")
        return self._folder / asset_type

    def _path(self, asset_type: str, version: str) -> Path:
        if not _VERSION.fullmatch(version):
            raise RegistryError(f"not a version: {version[:80]!r}")
        return self.home(asset_type) / version


def data_hash(panel: pd.DataFrame) -> str:
    """Return a hash of a panel: its columns, index and values, whatever the order of its columns."""
    ordered = panel[sorted(panel.columns)]
    rows = pd.util.hash_pandas_object(ordered, index=True).to_numpy(dtype=np.uint64)
    return _hash("\n".join(ordered.columns).encode() + rows.tobytes())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hashes(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder by its path, but not of the manifest itself."""
    files = (path for path in folder.rglob("*") if not path.is_dir() and path != folder / "manifest.json")
    return {path.relative_to(folder).as_posix(): _file_hash(path) for path in sorted(files)}


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, text: str) -> None:
    """Write a small file in one step: it is the old one or the new one, whatever happens."""
    making = path.with_name(f".making-{secrets.token_hex(8)}")
    making.write_text(text, encoding="utf-8")
    _sync(making)
    making.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Make sure that a file or a folder's entries are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
