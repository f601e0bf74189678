"""One rule as it is written, and the texts in it that are filled with a day's numbers."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from config.mistakes import Mistakes
from config.nearest import did_you_mean
from config.register import Name, Severity, Strict, Text
from config.settings import Duration
from config.version_order import version_key

Version = Annotated[str, Field(min_length=1, max_length=64, pattern=r"[0-9A-Za-z]")]


class Attribute(Strict):
    """Which values of an asset's attribute a rule is valid for; versions are ordered as ``version_key`` says."""

    is_: tuple[str, ...] = Field(default=(), alias="is", max_length=100)
    since: Version | None = None
    """This version and later ones."""
    before: Version | None = None
    """Versions earlier than this one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self == type(self).model_construct():
            raise Mistakes([((), "needs is, since or before")])
        if (
            self.since is not None
            and self.before is not None
            and not version_key(self.since) < version_key(self.before)
        ):
            raise Mistakes([(("before",), f"{self.before!r} is not after since, {self.since!r}")])
        return self

    def holds(self, value: str) -> bool:
        """Whether a value is among them."""
        key = version_key(value)
        return (
            (not self.is_ or value in self.is_)
            and (self.since is None or version_key(self.since) <= key)
            and (self.before is None or key < version_key(self.before))
        )


class Valid(Strict):
    """Where and when a rule holds."""

    sites: tuple[Name, ...] = ()
    since: date | None = None
    until: date | None = None
    attributes: Mapping[str, Attribute] = Field(default={}, max_length=20)


class RuleText(Strict):
    """One rule as it is written."""

    rule: Name
    asset_type: Name
    when: str = Field(min_length=1)
    for_: str = Field(default="1 of 1 days", alias="for", max_length=40)
    keep_for: str = Field(default="0 days", max_length=40)
    requires: tuple[str, ...] = Field(default=(), max_length=20)
    failure_mode: str = Field(max_length=32)
    severity: Severity
    act_within: Duration
    ticket: Literal["auto", "review"] = "review"
    suppresses: tuple[str, ...] = Field(default=(), max_length=50)
    advise: tuple[str, ...] = Field(default=(), max_length=50)
    valid: Valid = Valid()
    text: Text


def kept_days(keep_for: str) -> int:
    """Read ``2 days``. Raises ``ValueError``."""
    match = re.fullmatch(r"\s*(\d{1,2})\s+days?\s*", keep_for)
    if match is None:
        raise ValueError(f"not a number of days: {keep_for!r}; write it as '2 days'")
    return int(match[1])


_FORM = re.compile(r"\+?(\.[0-9])?[efg%]?")


def filled(template: str, values: Mapping[str, float], unknown: str) -> str:
    """Fill ``{column}`` and ``{column:.1f}``; nothing else of Python's format language is followed.

    Raises ``ValueError`` where a placeholder is none, or is not among ``values``.
    """
    pieces = []
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError:
        raise ValueError("a brace that stands alone; write {{ or }} for one that is meant") from None
    for literal, name, form, conversion in parsed:
        pieces.append(literal)
        if name is None:
            continue
        if name not in values:
            raise ValueError(f"{{{name}}} is not read by this rule{did_you_mean(name, values)}")
        if conversion or not _FORM.fullmatch(form or ""):
            raise ValueError(f"{{{name}}} is followed by what is no format; write it as {{{name}:.1f}}")
        value = values[name]
        pieces.append(format(value, form or ".3g") if np.isfinite(value) else unknown)
    return "".join(pieces)
