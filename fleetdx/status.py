"""``fleetdx status``: what ingest did so far, and how each asset's link is, also while the service runs."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from config.operating_day import NS
from fleetdx.counted import say_counters
from fleetdx.data_folder import DataFolder
from fleetdx.quarantine import account_of
from fleetdx.terminal import console, harmless, print_json, say
from fleetdx.tickets import tables_of
from fleetdx.wiring import read_installation
from ingest.accounting import Intake
from ingest.counters import UNKNOWN_ASSET
from ingest.reporting import Link, links

_GONE_S = 60.0
"""So long after its last note nobody takes in data: it makes one every few seconds."""


def status(config: Path, data: Path, *, as_json: bool, every: bool) -> None:
    """Show the account and the links: those that want a look, or ``every`` one."""
    installation = read_installation(config)
    now = time.time_ns()
    with account_of(data) as accounting:
        counters, states, intake = accounting.counters(), accounting.status(), accounting.intake()
        waiting, arrivals = accounting.count_quarantined(), accounting.arrivals()
    found = links(installation.register, installation.settings.daily, states, arrivals, now)
    refused = _refused_outcomes(data)
    unknown = next((state for state in states if state.asset_id == UNKNOWN_ASSET), None)
    if as_json:
        print_json(
            {
                "intake": None if intake is None else asdict(intake),
                "counters": counters.as_dict(),
                "in_quarantine": waiting,
                "outcomes_refused": refused,
                "unknown_assets": 0 if unknown is None else unknown.quarantined,
                "assets": [link._asdict() for link in found],
            }
        )
        return
    if intake is not None:
        _say_intake(intake, now)
    say_counters(counters)
    say(f"{waiting:,} messages in quarantine (fleetdx quarantine list); {counters.lost:,} messages never came.")
    say(f"{counters.late:,} samples came late, {counters.ahead:,} messages from a clock that is ahead of ours.")
    if unknown is not None and unknown.quarantined:
        say(f"{unknown.quarantined:,} samples came of assets that are not in the register.")
    if refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.items())
        say(f"{sum(refused.values()):,} outcomes were refused: {reasons}.")
    heard = sum(link.silent_seconds is not None for link in found)
    silent, offline = sum(link.silent for link in found), sum(link.online is False for link in found)
    say(
        f"{len(found):,} assets: {heard:,} sent data so far, {silent:,} silent for longer than their type allows, "
        f"{offline:,} offline."
    )
    shown = found if every else [link for link in found if link.wants_a_look]
    if shown:
        console.print(_table(shown))
    if not every and len(shown) < len(found):
        say(f"{len(found) - len(shown):,} assets are well and not shown (--all shows them).")


def _refused_outcomes(data: Path) -> dict[str, int]:
    """Return how often an outcome was refused, by reason; empty where there are no tables yet."""
    if not DataFolder(data).relational.is_file():
        return {}
    with tables_of(data):
        from alerts.outcomes.inbound import refusals

        return refusals()


def _say_intake(intake: Intake, now: int) -> None:
    """Say what concerns all assets at once, in red where it does."""
    silence = (now - intake.at) / NS
    if silence > _GONE_S:
        console.print(Text(f"No fleetdx takes in data here: the last sign of one is {_ago(silence)} old.", "bold red"))
    elif intake.problem:
        since = _ago((now - intake.since) / NS)
        console.print(Text(harmless(f"Nothing is taken in, since {since}: {intake.problem}"), "bold red"))
    if intake.waiting:
        share = intake.waiting_bytes / max(1, intake.waiting_most)
        console.print(
            Text(
                f"{intake.waiting:,} messages ({intake.waiting_bytes / 1e6:,.1f} MB, {share:.0%} of what may) wait on "
                "disk for the telemetry store.",
                "bold red",
            )
        )


def _table(shown: list[Link]) -> Table:
    table = Table(
        "asset",
        "site",
        "link",
        "last data",
        "complete yesterday",
        "clock",
        "stored",
        "duplicates",
        "quarantined",
        "lost",
        "late",
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for link in shown:
        state = {True: "online", False: "offline", None: "-"}[link.online]
        share = "-" if link.completeness is None else f"{link.completeness:.0%}"
        numbers = (link.stored, link.duplicates, link.quarantined, link.lost, link.late)
        quiet, clock = _ago(link.silent_seconds), _clock(link)
        cells = (link.asset_id, link.site, state, quiet, share, clock, *(f"{n:,}" for n in numbers))
        style = "red" if link.silent or link.silent_seconds is None or link.online is False else ""
        table.add_row(*(Text(harmless(cell)) for cell in cells), style=style)
    return table


def _clock(link: Link) -> str:
    """Say that a clock is ahead; that it is behind cannot be told from data that was long on its way."""
    ahead = link.clock_seconds or 0.0
    refused = f"{link.future:,} refused" if link.future else ""
    return ", ".join(filter(None, (f"{_ago(ahead)} ahead" if ahead >= 1 else "", refused))) or "-"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never heard"
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
