"""The life of an alert, after ISA-18.2 / IEC 62682: condition and acknowledgement are two things. Pure.

            True                      acknowledge
    (none) ──────▶ unacknowledged ───────────────▶ acknowledged
                     │    ▲ True                     │    ▲ True
               clear │    │                    clear │    │
                     ▼    │                          ▼    │
              returned, unacknowledged             closed (a new True opens the next episode)
                     │ acknowledge
                     ▼
                   closed

A day whose condition is unknown changes nothing: missing data neither raises nor clears.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

State = Literal["unacknowledged", "acknowledged", "returned", "closed"]
CLEAR_DAYS = 3
"""Days without the condition, in a row as far as they are known, after which an alert has returned to normal."""


@dataclass(frozen=True, slots=True)
class Life:
    """Where an alert stands. ``days_seen`` counts days whose condition held, ``days_clear`` those without since.

    One that is ``held``, a repeat offender whose root cause is not known, is not closed by anything.
    """

    state: State
    last_day: date
    days_seen: int = 1
    days_clear: int = 0
    held: bool = False

    @property
    def open(self) -> bool:
        """Whether anybody still has to do something about it."""
        return self.state != "closed"


def raised(day: date, *, held: bool = False) -> Life:
    """Return the life of an alert whose condition held for the first time."""
    return Life("unacknowledged", day, held=held)


def observed(life: Life, day: date, condition: bool | None) -> Life:
    """Return the life after one more day. A day not after the last one was seen before and changes nothing."""
    if not life.open or condition is None or day <= life.last_day:
        return life
    if condition:
        state: State = "unacknowledged" if life.state == "returned" else life.state
        return replace(life, state=state, last_day=day, days_seen=life.days_seen + 1, days_clear=0)
    clear = life.days_clear + 1
    after = replace(life, last_day=day, days_clear=clear)
    if clear < CLEAR_DAYS or life.state == "returned":
        return after
    return replace(after, state="returned") if life.state == "unacknowledged" else _over(after)


def came_back(before: Life, after: Life) -> bool:
    """Whether the condition holds again after the alert had returned to normal."""
    return before.state == "returned" and after.state == "unacknowledged"


def acknowledged(life: Life) -> Life:
    """Return the life after somebody took note."""
    if life.state == "unacknowledged":
        return replace(life, state="acknowledged")
    return _over(replace(life, state="acknowledged")) if life.state == "returned" else life


def repaired(life: Life) -> Life:
    """Return the life after the asset was repaired: closed, so that the next time is a new episode."""
    return life if life.held else replace(life, state="closed")


def explained(life: Life) -> Life:
    """Return the life after the root cause became known: closed, where nothing else kept it open."""
    after = replace(life, held=False)
    return _over(after) if life.state == "acknowledged" and life.days_clear >= CLEAR_DAYS else after


def _over(life: Life) -> Life:
    return life if life.held else replace(life, state="closed")
