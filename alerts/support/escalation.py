"""How an alert that nobody acknowledges climbs through the tiers of support, by deadlines in working time. Pure.

The next tier is called at the deadline, not when somebody happens to look: however often, late or seldom this is
asked, the answer for one instant is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alerts.support.working_time import after
from config.register import Site
from config.settings import Support
from config.support import Tier, WorkingHours


@dataclass(frozen=True, slots=True)
class Desk:
    """Who reacts to the alerts of a site, and when they are there."""

    tiers: Sequence[Tier]
    hours: WorkingHours
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Called:
    """The tier (from 0) whose turn it is, and since when."""

    tier: int
    since: datetime


def desk_of(site: Site, support: Support) -> Desk:
    """Return a site's own tiers and hours, or those of all sites where it names none."""
    tiers = support.tiers if site.support is None else site.support
    return Desk(tiers, site.working_hours or support.working_hours, site.zone)


def next_call(called: Called, desk: Desk) -> datetime | None:
    """Return when the next tier is called; ``None`` where there is no next one."""
    if called.tier + 1 >= len(desk.tiers):
        return None
    return after(called.since, timedelta(minutes=desk.tiers[called.tier].minutes), desk.hours, desk.zone)


def climbed(called: Called, desk: Desk, now: datetime) -> Called:
    """Return who is called at ``now``. A tier that the settings have lost since does not call anybody down."""
    while (due := next_call(called, desk)) is not None and due <= now:
        called = Called(called.tier + 1, due)
    return called
