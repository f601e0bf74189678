"""``fleetdx models list | show | activate | rollback``: what was learned and from what, and which version speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from fleetdx.terminal import console, harmless, print_json, say
from models.candidate import candidate_of
from models.registry import Registry, RegistryError, Version


def list_models(data: Path, *, as_json: bool) -> None:
    """Show every version of every asset type, and which one is active, a candidate, or changed on the disk."""
    rows = [row for asset_type, registry in _types(data) for row in _rows(registry, asset_type)]
    if as_json:
        print_json({"models": rows})
        return
    names = ("asset type", "version", "is", "learned from", "asset-days", "what is wrong")
    table = Table(*names)
    for row in rows:
        span = f"{row['training_first']} to {row['training_last']}" if row["training_last"] else ""
        days = f"{row['asset_days']:,.0f}" if row["asset_days"] is not None else ""
        cells = (row["asset_type"], row["version"], row["role"], span, days, row["problem"])
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    console.print(table)
    say("fleetdx models show TYPE VERSION says more; activate and rollback choose which one speaks.")


def show_model(data: Path, asset_type: str, version: str, *, as_json: bool) -> None:
    """Show one version's manifest, and when it was active."""
    registry = _registry(data)
    with _told():
        held = registry.describe(asset_type, version)
        registry.load(asset_type, version)
    journal = [
        {"at": entry.at.isoformat(), "by": entry.by, "why": entry.why}
        for entry in registry.activations(asset_type)
        if entry.version == version
    ]
    result: dict[str, Any] = {
        "asset_type": asset_type,
        "version": version,
        "role": _role(registry, asset_type, version),
        "created": held.created.isoformat(),
        "training_first": held.training_first.isoformat(),
        "training_last": held.training_last.isoformat(),
        "data_hash": held.data_hash,
        "libraries": dict(held.libraries),
        "metrics": dict(held.metrics),
        "files": dict(held.files),
        "activations": journal,
    }
    if as_json:
        print_json(result)
        return
    table = Table("", "")
    for name, value in result.items():
        if name == "files":
            value = f"{len(held.files)}, all as they were saved"
        elif isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        elif isinstance(value, list):
            value = "\n".join(f"{e['at']} by {e['by']}: {e['why']}" for e in value) or "never"
        table.add_row(name.replace("_", " "), Text(harmless(str(value))))
    console.print(table)


def activate_model(data: Path, asset_type: str, version: str, *, by: str, why: str) -> None:
    """Let a version speak from the next scored day on, also while the service runs."""
    registry = _registry(data)
    with _told():
        registry.activate(asset_type, version, now=datetime.now(UTC), by=by, why=why)
    say(
        f"{asset_type}: {version} is active. Days that were scored stay as they are; the service takes it up by itself."
    )


def roll_back(data: Path, asset_type: str, *, by: str, why: str) -> None:
    """Activate the version that was active before the present one."""
    registry = _registry(data)
    with _told():
        version = registry.before(asset_type)
    activate_model(data, asset_type, version, by=by, why=why or "rollback")


def _registry(data: Path) -> Registry:
    folder = DataFolder(data).registry
    if not folder.is_dir():
        raise CannotGoOn(f"{data} holds no models yet; name the data folder with --data")
    return Registry(folder)


def _types(data: Path) -> list[tuple[str, Registry]]:
    registry = _registry(data)
    return [(asset_type, registry) for asset_type in registry.asset_types()]


def _rows(registry: Registry, asset_type: str) -> list[dict[str, Any]]:
    rows = []
    for version in registry.versions(asset_type):
        held: Version | None = None
        problem = ""
        try:
            held = registry.describe(asset_type, version)
            registry.load(asset_type, version)
        except RegistryError as error:
            problem = str(error)
        rows.append(
            {
                "asset_type": asset_type,
                "version": version,
                "role": _role(registry, asset_type, version),
                "training_first": held.training_first.isoformat() if held else "",
                "training_last": held.training_last.isoformat() if held else "",
                "asset_days": held.metrics.get("asset_days") if held else None,
                "problem": problem,
            }
        )
    return rows


def _role(registry: Registry, asset_type: str, version: str) -> str:
    with _told():
        active, candidate = registry.active(asset_type), candidate_of(registry, asset_type)
    if active is not None and active.name == version:
        return "active"
    if candidate is not None and candidate.version == version:
        return f"candidate since {candidate.since}" + (
            f", waits for a person: {candidate.held}" if candidate.held else ""
        )
    return ""


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the registry finds wrong into a message for a person."""
    try:
        yield
    except RegistryError as error:
        raise CannotGoOn(str(error)) from error
