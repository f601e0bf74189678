"""What a ticket system's own words come to: open, closed, or closed because people will not fix it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from alerts.connectors.connector import Standing
from config.settings import Tickets


class Words:
    """Statuses and resolutions by name, as the settings tell; upper and lower case are one."""

    def __init__(self, closed: Collection[str], wont_fix: Collection[str]) -> None:
        self._closed = frozenset(word.casefold() for word in closed)
        self._wont_fix = frozenset(word.casefold() for word in wont_fix)

    @classmethod
    def from_settings(cls, settings: Tickets) -> Words:
        """Build from ``closed`` and ``wont_fix``."""
        return cls(settings.closed, settings.wont_fix)

    def standing(self, status: str, resolution: str = "", *, closed: bool | None = None) -> Standing:
        """Return what a status and a resolution come to; ``closed`` is what the system itself says, where it does."""
        if closed is None:
            closed = status.casefold() in self._closed | self._wont_fix
        if not closed:
            return Standing.OPEN
        refused = not self._wont_fix.isdisjoint((status.casefold(), resolution.casefold()))
        return Standing.WONT_FIX if refused else Standing.CLOSED


def instant(written: object) -> datetime | None:
    """Return the instant that a system wrote in ISO 8601, in UTC; ``None`` where it wrote no such thing."""
    try:
        at = datetime.fromisoformat(str(written))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
