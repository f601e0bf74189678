"""What a demo did, proved by reading back: the store against what was published, the tickets against the failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

from config.operating_day import NS, day_bounds
from fleetdx.opened_tickets import opened_tickets
from fleetdx.program import Program
from ingest.counters import Counters
from ingest.history import History
from models.evaluation import evaluate

_DAY_HOURS = 24
_WEEK = 7 * 86_400 * NS
_NIGHT = 4 * 3600 * NS
_HORIZON_DAYS = 30.0
"""A ticket speaks for a failure of its kind within so many days; nothing simulated grows longer than that."""


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The figures. The first four count samples of this run: ``published`` those that gateways sent, repeats included.

    ``lost`` are samples that were published and are neither in the store nor in quarantine. The rest speaks of all that
    the folder holds: of ``failures_injected`` (those that are still growing when the history ends among them), so many
    were ticketed under their own failure mode before they come; ``false_tickets`` are tickets that no failure follows.
    """

    published: int
    stored: int
    duplicates: int
    quarantined: int
    lost: int
    asset_days: int
    alerts: int
    tickets: int
    tickets_delivered: int
    failures_injected: int
    failures_ticketed_in_advance: int
    false_tickets: int
    median_lead_days: float | None
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield what happened, for a person."""
        yield (
            f"[bold]Ingest[/bold]   {self.published:,} samples published over MQTT: {self.stored:,} stored, "
            f"{self.duplicates:,} known already, {self.quarantined:,} quarantined, [bold]{self.lost:,} lost[/bold]"
        )
        yield f"[bold]Scores[/bold]   {self.asset_days:,} asset-days, {self.alerts} alerts"
        lead = f", {self.median_lead_days:.1f} days ahead (median)" if self.median_lead_days is not None else ""
        yield (
            f"[bold]Tickets[/bold]  {self.tickets}: {self.failures_ticketed_in_advance} of {self.failures_injected} "
            f"failures ticketed before they come{lead}; {self.false_tickets} false"
        )
        yield f"[dim]{self.seconds:.0f} s[/dim]"


def report_of(
    program: Program, truth: History, published: Mapping[str, Any], before: Counters, end: date
) -> DemoReport:
    """Return the figures of a run that began with the counters ``before``.

    ``published`` is the simulator's tally of its history, ``end`` the day after that history.
    """
    from alerts.models import Alert, AssetDayRun, Ticket

    counted = program.accounting.counters()
    run = counted.since(before)
    register, settings = program.installation.register, program.installation.settings
    tickets = opened_tickets(register, settings.daily)
    asset_days = AssetDayRun.objects.count()
    events = evaluate(tickets, truth.failures(), asset_days, _HORIZON_DAYS, match_failure_mode=True)
    missing = published["samples"] - published["quarantined_samples"] - count_stored(program, end)
    return DemoReport(
        published=published["samples"] + published["duplicate_samples"],
        stored=run.stored,
        duplicates=run.duplicates,
        quarantined=run.quarantined,
        lost=max(missing, counted.lost, 0),
        asset_days=asset_days,
        alerts=Alert.objects.count(),
        tickets=Ticket.objects.count(),
        tickets_delivered=Ticket.objects.filter(status=Ticket.Status.DELIVERED).count(),
        failures_injected=events.failures,
        failures_ticketed_in_advance=events.caught,
        false_tickets=events.false_tickets,
        median_lead_days=round(events.median_lead_hours / _DAY_HOURS, 2) if events.caught else None,
    )


def count_stored(program: Program, end: date) -> int:
    """Return how many samples the store gives back of the days before ``end``: instants, and fault events.

    Vehicles stand still at night, so what came live after the history lies well apart from it.
    """
    register, store = program.installation.register, program.store
    span = store.span()
    found = 0
    for asset_type, site in product(register.asset_types.values(), register.sites.values()):
        assets = [a.id for a in register.assets.values() if (a.asset_type, a.site) == (asset_type.id, site.id)]
        if span is None or not assets:
            continue
        signals = [signal.name for signal in asset_type.signals]
        until = day_bounds(site.zone, end)[0] + _NIGHT
        for first in range(span[0], until, _WEEK):
            last = min(first + _WEEK, until)
            found += sum(len(frame) for frame in store.read_measurements(assets, signals, first, last))
            found += len(store.read_faults(assets, first, last))
    return found
