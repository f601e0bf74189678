"""Which asset-days are due, and doing them in order.

A day is due when it is closed (its site's midnight and the allowance for late data have passed) and the ledger has
not recorded it, or has recorded it before more of it arrived. Nothing depends on when a sweep is run: after a
stop it catches up, and run twice it finds nothing to do.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from config.operating_day import NS, day_bounds
from config.register import Register, Site
from config.settings import Daily
from diagnostics.daily import DailyCycle
from diagnostics.ledger import Ledger
from diagnostics.records import AssetDay, DayOutcome
from diagnostics.stretch import Begun
from diagnostics.training import Trainer
from ingest.accounting import DayArrivals

DAYS_AT_ONCE = 28
"""Days that are computed together where many are due: after a stop, or on a walk through a history."""
SAMPLES_AT_ONCE = 1_000_000
"""Samples beyond which no further day is taken along: they are in memory together."""
_DAY = timedelta(days=1)


class Due(NamedTuple):
    """One group to be done together: assets of one type and site on one day, with their arrivals' revisions.

    ``samples`` counts the measurements that arrived of it.
    """

    day: date
    asset_type: str
    site: str
    revisions: Mapping[str, int]
    samples: int


@dataclass(slots=True)
class SweepReport:
    """What a sweep did, in asset-days."""

    asset_days: int = 0
    revisions: int = 0
    diagnoses: int = 0
    last_day: date | None = None


def due_groups(
    arrivals: Iterable[DayArrivals], ledger: Ledger, register: Register, settings: Daily, now: datetime
) -> list[Due]:
    """Return what is due at ``now`` (aware), by day.

    An asset's days count from its first arrival to the last day on which anything of its site arrived: a silent asset
    among others that report has days without data, and a site that ended has no days after.
    """
    arrived: defaultdict[str, dict[date, DayArrivals]] = defaultdict(dict)
    last: dict[str, date] = {}
    for arrival in arrivals:
        if arrival.asset_id not in register.assets:
            continue  # it was taken out of the register since
        arrived[arrival.asset_id][arrival.day] = arrival
        site = register.assets[arrival.asset_id].site
        last[site] = max(arrival.day, last.get(site, arrival.day))
    if not arrived:
        return []
    first = {asset_id: min(days) for asset_id, days in arrived.items()}
    done = ledger.done(list(first), min(first.values()), max(last.values()))
    groups: defaultdict[tuple[date, str, str], dict[str, int]] = defaultdict(dict)
    size: Counter[tuple[date, str, str]] = Counter()
    for asset_id, begin in first.items():
        asset, days = register.assets[asset_id], arrived[asset_id]
        closed = last_closed_day(register.sites[asset.site], settings, now)
        for day in _days(begin, min(last[asset.site], closed)):
            arrival_of_day = days.get(day)
            revision = arrival_of_day.revision if arrival_of_day is not None else 0
            if not done or done.get(AssetDay(asset_id, day), -1) < revision:
                group = (day, asset.asset_type, asset.site)
                groups[group][asset_id] = revision
                size[group] += arrival_of_day.measurements if arrival_of_day is not None else 0
    return [Due(*group, groups[group], size[group]) for group in sorted(groups)]


def last_closed_day(site: Site, settings: Daily, now: datetime) -> date:
    """Return the last operating day of a site that is over, allowance for late data included."""
    return (now - allowance(site, settings)).astimezone(site.zone).date() - _DAY


def allowance(site: Site, settings: Daily) -> timedelta:
    """Return how long after local midnight a site's day is left open for late data."""
    poor = site.connectivity == "poor"
    return timedelta(minutes=settings.poor_link_lateness_minutes if poor else settings.lateness_minutes)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += _DAY


class Sweep:
    """Does what is due. ``arrivals`` returns all days of which anything arrived."""

    def __init__(
        self,
        register: Register,
        settings: Daily,
        arrivals: Callable[[], Iterable[DayArrivals]],
        ledger: Ledger,
        cycle: DailyCycle,
        trainer: Trainer,
    ) -> None:
        self._register, self._settings, self._arrivals = register, settings, arrivals
        self._ledger, self._cycle, self._trainer = ledger, cycle, trainer

    def run(
        self,
        now: datetime,
        *,
        until: date | None = None,
        stop: threading.Event | None = None,
        progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    ) -> SweepReport:
        """Do all that is due at ``now``, group by group, each in one transaction of the ledger.

        With ``until``, days after it are left for later; with ``stop``, it ends between two groups.
        """
        groups = [group for group in self.due(now) if until is None or group.day <= until]
        return self.do(groups, stop=stop, progress=progress)

    def due(self, now: datetime) -> list[Due]:
        """Return what is due at ``now``, by day."""
        return due_groups(self._arrivals(), self._ledger, self._register, self._settings, now)

    def do(
        self,
        groups: Sequence[Due],
        *,
        days_at_once: int = DAYS_AT_ONCE,
        stop: threading.Event | None = None,
        progress: Callable[[int, int | None], None] = lambda _done, _total: None,
    ) -> SweepReport:
        """Do some of what ``due`` returned, in its order.

        At most so many ``days_at_once`` are computed together, which is faster, and fewer where their samples are
        many; they are recorded day by day all the same, and a day on which models may change begins anew.
        """
        report = SweepReport()
        total = sum(len(group.revisions) for group in groups)
        first = 0
        while first < len(groups):
            end = self._end_together(groups, first, days_at_once)
            streams = self._streams(groups[first:end])
            for group in groups[first:end]:
                if stop is not None and stop.is_set():
                    return report
                self._do(group, streams[group.asset_type, group.site], report)
                progress(report.asset_days, total)
            first = end
        return report

    def _end_together(self, groups: Sequence[Due], first: int, days_at_once: int) -> int:
        """Return the place after the last group that may be computed together with the one at ``first``."""
        day = groups[first].day
        last = day
        if days_at_once > 1:
            unchanged = [self._trainer.unchanged_until(kind, day) for kind in self._register.asset_types.values()]
            last = min([day + (days_at_once - 1) * _DAY, *unchanged])  # models may change on the day after it
        end, samples = first, 0
        while end < len(groups) and groups[end].day <= last:
            samples += groups[end].samples
            if samples > SAMPLES_AT_ONCE and groups[end].day > day:
                break
            end += 1
        return end

    def forget(self) -> None:
        """Give back what is kept in memory between days."""
        self._cycle.forget()

    def _streams(self, groups: Sequence[Due]) -> dict[tuple[str, str], Iterator[list[DayOutcome]]]:
        """Return the outcomes of the groups' days, for each type and site; nothing is computed yet.

        Where other processes score, those that come next are read and begun before the outcomes of one are waited for.
        """
        due: defaultdict[tuple[str, str], dict[date, Mapping[str, int]]] = defaultdict(dict)
        for group in groups:
            due[group.asset_type, group.site][group.day] = group.revisions
        keys = list(due)  # in the order in which they are asked for
        waiting = deque(keys)
        begun: dict[tuple[str, str], Begun] = {}

        def stream(place: int, key: tuple[str, str]) -> Iterator[list[DayOutcome]]:
            while waiting and len(keys) - len(waiting) <= place + self._cycle.ahead:
                later = waiting.popleft()
                begun[later] = self._begun(*later, due[later])
            yield from self._cycle.finish(begun.pop(key))

        return {key: stream(place, key) for place, key in enumerate(keys)}

    def _begun(self, of_type: str, of_site: str, days: Mapping[date, Mapping[str, int]]) -> Begun:
        asset_type, site = self._register.asset_types[of_type], self._register.sites[of_site]
        # As of the day, whenever the sweep runs: after a stop a model gets the name that it would have had.
        end = day_bounds(site.zone, min(days))[1]
        model = self._trainer.model(asset_type, min(days), datetime.fromtimestamp(end // NS, UTC))
        return self._cycle.begin(asset_type, site, days, model)

    def _do(self, group: Due, outcomes_of_days: Iterator[list[DayOutcome]], report: SweepReport) -> None:
        asset_type, site = self._register.asset_types[group.asset_type], self._register.sites[group.site]
        end = day_bounds(site.zone, group.day)[1]
        assets = list(group.revisions)
        done = self._ledger.done(assets, group.day, group.day)
        # From the beginning: a repair may be written down long after it was done. The day's end is the next day's.
        self._ledger.close_repaired(assets, 0, end - 1)
        outcomes = next(outcomes_of_days)
        try:
            self._ledger.record(outcomes)
        except BaseException:
            self._cycle.forget()
            raise
        self._trainer.saw(asset_type, group.day, [outcome.log.completeness for outcome in outcomes])
        report.asset_days += len(outcomes)
        report.revisions += len(done)
        report.diagnoses += sum(1 for o in outcomes for d in o.diagnoses if d.condition)
        report.last_day = group.day
