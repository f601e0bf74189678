"""The base of everything that is read from a configuration file."""

from __future__ import annotations

from functools import cached_property

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))
