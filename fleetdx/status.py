"""``fleetdx status``: what ingest did so far, and how each asset's link is, also while the service runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from config.installation import Installation
from config.operating_day import NS, operating_day
from fleetdx.counted import say_counters
from fleetdx.data_folder import DataFolder
from fleetdx.quarantine import account_of
from fleetdx.terminal import console, harmless, print_json, say
from fleetdx.tickets import tables_of
from fleetdx.wiring import read_installation
from ingest.accounting import DayArrivals
from ingest.counters import UNKNOWN_ASSET, AssetStatus

_SILENT = 3600.0


class Link(NamedTuple):
    """How one asset of the register is heard. ``silent_seconds`` since it last sent anything, ``None``: never did.

    ``completeness`` is the share of the samples expected on its last full operating day, ``None`` where its type
    says no period.
    """

    asset_id: str
    site: str
    online: bool | None
    silent_seconds: float | None
    completeness: float | None
    stored: int
    duplicates: int
    quarantined: int
    lost: int


def status(config: Path, data: Path, *, as_json: bool, every: bool) -> None:
    """Show the account and the links: those that want a look, or ``every`` one."""
    installation = read_installation(config)
    now = time.time_ns()
    with account_of(data) as accounting:
        counters, states = accounting.counters(), accounting.status()
        waiting, arrivals = accounting.count_quarantined(), accounting.arrivals()
    found, refused = links(installation, states, arrivals, now), _refused_outcomes(data)
    unknown = next((state for state in states if state.asset_id == UNKNOWN_ASSET), None)
    if as_json:
        print_json(
            {
                "counters": counters.as_dict(),
                "in_quarantine": waiting,
                "outcomes_refused": refused,
                "unknown_assets": 0 if unknown is None else unknown.quarantined,
                "assets": [link._asdict() for link in found],
            }
        )
        return
    say_counters(counters)
    say(f"{waiting:,} messages in quarantine (fleetdx quarantine list); {counters.lost:,} messages never came.")
    if unknown is not None and unknown.quarantined:
        say(f"{unknown.quarantined:,} samples came of assets that are not in the register.")
    if refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.items())
        say(f"{sum(refused.values()):,} outcomes were refused: {reasons}.")
    heard = [link for link in found if link.silent_seconds is not None]
    silent = [link for link in found if link.silent_seconds is None or link.silent_seconds > _SILENT]
    offline = sum(link.online is False for link in found)
    say(
        f"{len(found):,} assets: {len(heard):,} heard so far, {len(silent):,} silent for more than an hour, "
        f"{offline:,} offline."
    )
    shown = found if every else [link for link in found if _wants_a_look(link)]
    if shown:
        console.print(_table(shown))
    if not every and len(shown) < len(found):
        say(f"{len(found) - len(shown):,} assets are well and not shown (--all shows them).")


def _refused_outcomes(data: Path) -> dict[str, int]:
    """Return how often an outcome was refused, by reason; empty where there are no tables yet."""
    if not DataFolder(data).relational.is_file():
        return {}
    with tables_of(data):
        from alerts.inbound import refusals

        return refusals()


def links(installation: Installation, states: list[AssetStatus], arrivals: list[DayArrivals], now: int) -> list[Link]:
    """Return the link of each asset of the register, the longest silent first."""
    register = installation.register
    by_asset = {state.asset_id: state for state in states}
    measured: Mapping[tuple[str, date], int] = {(day.asset_id, day.day): day.measurements for day in arrivals}
    found = []
    for asset_id in register.assets:
        state, site = by_asset.get(asset_id), register.site_of(asset_id)
        yesterday = operating_day(site.zone, now) - timedelta(days=1)
        asset_type = register.type_of(asset_id)
        periods = [signal.period for signal in asset_type.signals if signal.period]
        expected = asset_type.reporting_hours * 3600 / min(periods) if periods else None
        share = None if expected is None else min(1.0, measured.get((asset_id, yesterday), 0) / expected)
        heard = None if state is None or state.heard is None else max(0.0, (now - state.heard) / NS)
        numbers = (state.stored, state.duplicates, state.quarantined, state.lost) if state else (0, 0, 0, 0)
        found.append(Link(asset_id, site.id, state.online if state else None, heard, share, *numbers))
    return sorted(found, key=lambda link: (-(link.silent_seconds or float("inf")), link.asset_id))


def _wants_a_look(link: Link) -> bool:
    silent = link.silent_seconds is None or link.silent_seconds > _SILENT
    poor = link.completeness is not None and link.completeness < 0.95
    return silent or poor or link.online is False or link.lost > 0 or link.quarantined > 0


def _table(shown: list[Link]) -> Table:
    table = Table(
        "asset", "site", "link", "silent", "complete yesterday", "stored", "duplicates", "quarantined", "lost"
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for link in shown:
        state = {True: "online", False: "offline", None: "-"}[link.online]
        share = "-" if link.completeness is None else f"{link.completeness:.0%}"
        numbers = (link.stored, link.duplicates, link.quarantined, link.lost)
        cells = (link.asset_id, link.site, state, _ago(link.silent_seconds), share, *(f"{n:,}" for n in numbers))
        style = "red" if link.silent_seconds is None or link.silent_seconds > _SILENT or link.online is False else ""
        table.add_row(*(Text(harmless(cell)) for cell in cells), style=style)
    return table


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never heard"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
