"""How often an alert came back: as the next episode, or within one after it had returned to normal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta

from alerts.models import Alert

CHATTERING = 3
"""Times it came back within the days counted, from which on an alert is called chattering (ISA-18.2)."""


def times_back(openings: Iterable[date], returns: Iterable[date], last: date, days: int) -> int:
    """Return how often an alert came back in the ``days`` up to ``last``.

    ``openings`` are the first days of its episodes, ``returns`` the days on which it held again within one. The very
    first opening of those days is no coming back unless something came before it.
    """
    since = last - timedelta(days=days)
    opened = sorted(day for day in openings if day <= last)
    again = [day for day in opened[1:] if day > since]
    return len(again) + sum(1 for day in returns if since < day <= last)


def recurrences(alerts: Collection[Alert], days: int) -> Mapping[int, int]:
    """Return how often each alert (by its number) came back in the days up to its last one; one query."""
    openings: defaultdict[tuple[str, str], list[date]] = defaultdict(list)
    returns: defaultdict[tuple[str, str], list[date]] = defaultdict(list)
    rows = Alert.objects.filter(asset_id__in={alert.asset_id for alert in alerts})
    for asset_id, mode, first, back in rows.values_list("asset_id", "failure_mode", "first_day", "came_back_on"):
        openings[asset_id, mode].append(first)
        returns[asset_id, mode] += map(date.fromisoformat, back)
    return {
        a.pk: times_back(openings[a.asset_id, a.failure_mode], returns[a.asset_id, a.failure_mode], a.last_day, days)
        for a in alerts
    }
