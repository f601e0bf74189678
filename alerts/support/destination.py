"""The way of a case: depot, technical support, factory. Nothing unconfirmed goes to the factory. Pure.

    depot ──pass on──▶ support ──pass on, once confirmed──▶ factory
      ▲                  │ ▲ confirm                          │
      └──── send back ───┴────────────── send back ───────────┘

Anybody may call technical support; what follows is technical support's alone. Each step has a note. What is sent back
has to be confirmed anew before it goes to the factory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from alerts.lifecycle.not_allowed import NotAllowed

Destination = Literal["depot", "support", "factory"]


@dataclass(frozen=True, slots=True)
class Case:
    """Whose turn it is, and whether technical support confirmed it."""

    destination: Destination = "depot"
    confirmed: bool = False


def confirmed(case: Case, *, by_support: bool, note: str) -> Case:
    """Return the case after technical support confirmed it. Raises ``NotAllowed``."""
    if case.destination != "support":
        raise NotAllowed("not from here")
    _check(by_support, note)
    return replace(case, confirmed=True)


def passed_on(case: Case, *, by_support: bool, note: str) -> Case:
    """Return the case one step further. Raises ``NotAllowed``."""
    if case.destination == "factory":
        raise NotAllowed("not from here")
    _check(by_support or case.destination == "depot", note)
    if case.destination == "depot":
        return Case("support")
    if not case.confirmed:
        raise NotAllowed("not confirmed")
    return replace(case, destination="factory")


def sent_back(case: Case, *, by_support: bool, note: str) -> Case:
    """Return the case after it was sent back to the depot. Raises ``NotAllowed``."""
    if case.destination == "depot":
        raise NotAllowed("not from here")
    _check(by_support, note)
    return Case("depot")


def _check(allowed: bool, note: str) -> None:
    if not allowed:
        raise NotAllowed("support only")
    if not note.strip():
        raise NotAllowed("no reason")
