"""The nearest known name to one that is not known: most unknown names are slips of the keyboard."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about the unknown ``name``: the nearest known one, else a few that are known.

    ``"; did you mean 'pressure'?"``, or ``" (known: pressure, speed)"``, or nothing where nothing is known.
    Upper and lower case are taken as the same.
    """
    by_lower = {item.lower(): item for item in sorted(known, reverse=True)}
    if not by_lower:
        return ""
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {by_lower[near[0]]!r}?"
    listed = sorted(by_lower.values())
    more = ", ..." if len(listed) > _LISTED else ""
    return f" (known: {', '.join(listed[:_LISTED])}{more})"
