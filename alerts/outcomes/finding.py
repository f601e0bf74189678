"""What a workshop says that it found, as it comes in: checked once, whoever sends it. Pure.

A request, a ticket system's fields and a form all become a ``Finding`` or a ``BadFinding`` that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from config.knowledge import Knowledge
from config.nearest import did_you_mean
from config.settings import Verdict

MAX_PARTS = 50
_CLOCK = timedelta(minutes=5)
"""How far a clock in a workshop may be ahead."""
_MOST = Decimal(10) ** 12

_Line = Annotated[str, Meta(max_length=120)]
_Words = Annotated[str, Meta(max_length=1000)]


class BadFinding(ValueError):
    """What was sent cannot be taken; ``field`` is empty where it is no object at all."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was found of one alert, and what was done. ``parts`` are references such as ``part:DRY-4711``, or words."""

    verdict: Verdict
    at: Annotated[datetime, Meta(tz=True)]
    """When it was found, or the repair was done."""
    by: _Line = ""
    cause: _Words = ""
    root_cause: _Words = ""
    """Why it came back: what ends a repeat offender."""
    failure_mode: Annotated[str, Meta(max_length=32)] = ""
    """What it was, where that is another failure mode than the alert's."""
    action: _Words = ""
    """What was done; empty: nothing yet."""
    parts: Annotated[tuple[_Line, ...], Meta(max_length=MAX_PARTS)] = ()
    downtime_hours: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    cost: Decimal | None = None
    currency: Annotated[str, Meta(pattern="^([A-Z]{3})?$")] = ""
    """ISO 4217."""
    whole_group: bool = False
    """Whether all alerts of the failure mode that the ticket stands for were looked at, and this is true of each."""


class Told(Finding, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding with the key of the ticket that it is of."""

    ticket: _Line


_F = TypeVar("_F", bound=Finding)


def decoded(body: bytes) -> Told:
    """Read a request's body. Raises ``BadFinding``."""
    try:
        return _plain(msgspec.json.decode(body, type=Told))
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFinding("", f"is no JSON object ({error})") from None


def converted(fields: Mapping[str, Any]) -> Finding:
    """Read fields that are all text, as forms and ticket systems have them; empty ones are absent. Raises
    ``BadFinding``.
    """
    return _converted(fields, Finding)


def converted_row(fields: Mapping[str, Any]) -> Told:
    """Read such fields with the ticket's key among them, as tables have them. Raises ``BadFinding``."""
    return _converted(fields, Told)


def _converted(fields: Mapping[str, Any], kind: type[_F]) -> _F:
    given = {name: value for name, value in fields.items() if value not in ("", (), [], None)}
    try:
        return _plain(msgspec.convert(given, kind, strict=False))
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


def checked(finding: _F, knowledge: Knowledge, now: datetime, first_day: date) -> _F:
    """Return the finding if it can be of an alert that began on ``first_day``. Raises ``BadFinding``."""
    if finding.at > now + _CLOCK:
        raise BadFinding("at", f"lies in the future ({finding.at.isoformat()})")
    if finding.at.astimezone(UTC).date() < first_day - timedelta(days=1):
        raise BadFinding("at", f"is before the alert began ({first_day})")
    modes = knowledge.failure_modes
    if finding.failure_mode and finding.failure_mode not in modes:
        near = did_you_mean(finding.failure_mode, modes)
        raise BadFinding("failure_mode", f"unknown failure mode {finding.failure_mode!r}{near}")
    for number, part in enumerate(finding.parts):
        kind, _, item = part.partition(":")
        if kind == "part" and item not in knowledge.parts:
            raise BadFinding(f"parts[{number}]", f"unknown part {item!r}{did_you_mean(item, knowledge.parts)}")
    _check_cost(finding)
    return finding


def _plain(finding: _F) -> _F:
    """Return a finding whose texts are text, and whose time is one of this age."""
    for name, text in _texts(finding):
        if not all(letter.isprintable() or letter in "\n\r\t" for letter in text):
            raise BadFinding(name, "holds control characters")
    if not 1970 < finding.at.year < 9999:  # else it cannot be told in every time zone
        raise BadFinding("at", f"is in the year {finding.at.year}")
    return finding


def _check_cost(finding: Finding) -> None:
    cost = finding.cost
    if cost is None:
        if finding.currency:
            raise BadFinding("currency", "is of no use without a cost")
        return
    if not cost.is_finite() or not 0 <= cost < _MOST:
        raise BadFinding("cost", "is no amount from 0 to 10^12")
    if cost != cost.quantize(Decimal("0.01")):
        raise BadFinding("cost", "has more than two decimals")
    if not finding.currency:
        raise BadFinding("currency", "is missing: a cost needs one, such as EUR")


def _texts(finding: Finding) -> Iterable[tuple[str, str]]:
    for name in finding.__struct_fields__:
        value = getattr(finding, name)
        if isinstance(value, str):
            yield name, value
    for number, part in enumerate(finding.parts):
        yield f"parts[{number}]", part


def _named(message: str) -> BadFinding:
    """Turn msgspec's message into one that begins with the field."""
    problem, _, path = message.rpartition(" - at `$") if " - at `$" in message else (message, "", "")
    problem = problem[:200]
    field = path.rstrip("`").lstrip(".")
    missing = re.fullmatch(r"Object (?:missing required|contains unknown) field `(.*)`", problem, re.DOTALL)
    if missing is not None:
        word = "is missing" if "missing" in problem else "is no field of an outcome"
        name = "".join(letter if letter.isprintable() else "?" for letter in missing[1])[:60]
        return BadFinding(name, word)
    return BadFinding(field, problem)
