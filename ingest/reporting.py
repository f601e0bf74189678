"""How each asset of the register reports: whether it is heard, how complete its last day was, what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from config.operating_day import NS, operating_day
from config.register import AssetType, Register
from config.settings import Daily
from ingest.accounting import DayArrivals
from ingest.counters import AssetStatus
from ingest.silence import allowed_silence

COMPLETE = 0.95
"""Share of a day's expected samples below which it wants a look."""


class Link(NamedTuple):
    """How one asset of the register is heard.

    ``silent_seconds`` since data of it last came, ``None``: none ever did; ``silent``: that is longer than its type
    allows. ``completeness`` is the share of the samples expected on its last full operating day, ``None`` where its
    type says no period. ``clock_seconds`` is how far its clock was ahead of ours when it last sent (below 0: how old
    its newest sample was). The counts are as in ``AssetStatus``; ``future`` samples were refused, being too far ahead.
    """

    asset_id: str
    site: str
    online: bool | None
    silent_seconds: float | None
    silent: bool
    completeness: float | None
    clock_seconds: float | None
    stored: int
    duplicates: int
    quarantined: int
    lost: int
    late: int
    future: int

    @property
    def wants_a_look(self) -> bool:
        """Whether anything is wrong with it."""
        poor = self.completeness is not None and self.completeness < COMPLETE
        never = self.silent_seconds is None
        return never or self.silent or poor or self.online is False or self.lost > 0 or self.quarantined > 0


def links(
    register: Register, daily: Daily, states: Iterable[AssetStatus], arrivals: Iterable[DayArrivals], now: int
) -> list[Link]:
    """Return the link of each asset of the register at ``now`` (ns), the longest silent first."""
    by_asset = {state.asset_id: state for state in states}
    measured: Mapping[tuple[str, date], int] = {(day.asset_id, day.day): day.measurements for day in arrivals}
    found = []
    for asset_id in register.assets:
        state, site, asset_type = by_asset.get(asset_id), register.site_of(asset_id), register.type_of(asset_id)
        yesterday = operating_day(site.zone, now) - timedelta(days=1)
        expected = _expected(asset_type)
        share = None if expected is None else min(1.0, measured.get((asset_id, yesterday), 0) / expected)
        quiet = None if state is None or state.data_at is None else max(0.0, (now - state.data_at) / NS)
        allowed = allowed_silence(asset_type, site, daily)
        clock = None if state is None or state.clock is None else state.clock / NS
        online, numbers = None, (0, 0, 0, 0, 0, 0)
        if state is not None:
            online, future = state.online, state.reasons.get("future", 0)
            numbers = (state.stored, state.duplicates, state.quarantined, state.lost, state.late, future)
        silent = quiet is not None and allowed is not None and quiet * NS > allowed
        found.append(Link(asset_id, site.id, online, quiet, silent, share, clock, *numbers))
    return sorted(found, key=lambda link: (-(link.silent_seconds or float("inf")), link.asset_id))


def _expected(asset_type: AssetType) -> float | None:
    """Return how many samples an operating day brings."""
    periods = [signal.period for signal in asset_type.signals if signal.period]
    return asset_type.reporting_hours * 3600 / min(periods) if periods else None
