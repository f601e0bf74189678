"""The nearest known name to one that is not known: most unknown names are slips of the keyboard."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like ``name``, or ``None`` where none is (``cutoff``: 1 is the same, 0 is anything).

    Upper and lower case are taken as the same.
    """
    by_lower = {item.lower(): item for item in sorted(known, reverse=True)}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str], at_most: int = 12) -> str:
    """Return the end of a sentence about the unknown ``name``: the nearest known one, else ``at_most`` that are known.

    ``"; did you mean 'pressure'?"``, or ``" (known: pressure, speed)"``, or nothing where nothing is known.
    """
    listed = sorted(set(known))
    near = nearest(name, listed)
    if near is not None:
        return f"; did you mean {near!r}?"
    more = ", ..." if len(listed) > at_most else ""
    return f" (known: {', '.join(listed[:at_most])}{more})" if listed else ""
