"""The candidate: a newly fitted version that scores beside the active one, in its shadow, until it is trusted.

    <registry>/<asset type>/candidate   JSON: version, since, held

It raises nothing. ``held`` says why it may not become active by itself; a person may activate it all the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date

from models.registry import Registry, RegistryError, replace_file


@dataclass(frozen=True, slots=True)
class Candidate:
    """``since`` is the first day that it scores; ``held`` is empty, or why a person has to decide."""

    version: str
    since: date
    held: str = ""


def candidate_of(registry: Registry, asset_type: str) -> Candidate | None:
    """Return an asset type's candidate. Raises ``RegistryError`` where it can't be read."""
    path = registry.home(asset_type) / "candidate"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return Candidate(str(held["version"]), date.fromisoformat(held["since"]), str(held["held"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{path}: not a candidate ({error})") from error


def nominate(registry: Registry, asset_type: str, candidate: Candidate) -> None:
    """Make a version the candidate, instead of any earlier one."""
    path = registry.home(asset_type) / "candidate"
    replace_file(path, json.dumps(asdict(candidate) | {"since": candidate.since.isoformat()}))


def hold(registry: Registry, asset_type: str, candidate: Candidate, why: str) -> Candidate:
    """Leave the candidate to a person, and say why."""
    held = replace(candidate, held=why)
    nominate(registry, asset_type, held)
    return held


def dismiss(registry: Registry, asset_type: str) -> None:
    """Have no candidate any more; its version stays in the registry."""
    (registry.home(asset_type) / "candidate").unlink(missing_ok=True)
