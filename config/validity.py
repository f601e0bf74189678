"""For which assets a procedure or drawing holds: by what the register says of their build."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from config.mistakes import Mistakes
from config.register import Asset, Strict

_VERSION = r"^\d{1,9}(\.\d{1,9}){0,5}$"
Version = Annotated[str, Field(pattern=_VERSION)]


class Versions(Strict):
    """A range of versions written as ``2``, ``2.10`` or ``2.10.3``: ``since`` belongs to it, ``before`` does not."""

    since: Version | None = None
    before: Version | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.since is None and self.before is None:
            raise Mistakes([((), "needs since, before or both")])
        if self.since is not None and self.before is not None and _parts(self.since) >= _parts(self.before):
            raise Mistakes([(("before",), f"{self.before} is not after {self.since}")])
        return self

    def hold(self, version: str) -> bool | None:
        """Return whether a version lies in the range; ``None`` where it is not written as one."""
        if not re.fullmatch(_VERSION, version):
            return None
        parts = _parts(version)
        return (self.since is None or parts >= _parts(self.since)) and (
            self.before is None or parts < _parts(self.before)
        )


class Validity(Strict):
    """All of what is given must hold. Attributes are columns of ``assets.csv``."""

    attributes: Mapping[str, Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]] = Field(
        default_factory=dict
    )
    """For an attribute, the values that it may have."""
    versions: Mapping[str, Versions] = Field(default_factory=dict)
    """For an attribute that holds a version, its range."""
    commissioned_since: date | None = None
    commissioned_until: date | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes that it reads."""
        return (*self.attributes, *self.versions)

    def holds(self, asset: Asset) -> bool | None:
        """Return whether it holds for an asset; ``None`` where the register does not tell."""
        answers: list[bool | None] = []
        for name, values in self.attributes.items():
            value = asset.attributes.get(name)
            answers.append(None if value is None else value in values)
        for name, versions in self.versions.items():
            value = asset.attributes.get(name)
            answers.append(None if value is None else versions.hold(value))
        if self.commissioned_since is not None or self.commissioned_until is not None:
            day = asset.commissioned
            first, last = self.commissioned_since or date.min, self.commissioned_until or date.max
            answers.append(None if day is None else first <= day <= last)
        if False in answers:
            return False
        return None if None in answers else True


def _parts(version: str) -> tuple[int, ...]:
    """``2.0`` and ``2`` are the same version."""
    parts = [int(part) for part in version.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
