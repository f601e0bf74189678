"""What a person at a terminal is told of a back-test."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from fleetdx.terminal import console, say


def say_report(result: Mapping[str, Any], begun: float) -> None:
    """Tell a person what a back-test found."""
    say(
        f"{result['assets']:,} assets, {result['asset_days']:,} asset-days after {result['train_until']}, "
        f"{result['failures']:,} failures; a ticket is true if one follows within {result['horizon_days']:g} days."
    )
    if not result["failures"]:
        say("No failure is known in these days: this says how many tickets there would be, not what for.")
    if result["failures_of_unknown_assets"]:
        say(f"{result['failures_of_unknown_assets']:,} failures are of assets that the register lacks: left out.")
    table = Table()
    for heading in ("", "tickets", "recall", "precision", "median lead", "false per 100 asset-days", "CARE", "cost"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = {"fleetdx": result} | {name.replace("_", " "): row for name, row in result["baselines"].items()}
    for name, row in rows.items():
        lead, false = row["median_lead_hours"], row["false_tickets_per_100_asset_days"]
        table.add_row(
            name,
            f"{row['tickets']:,}",
            _share(row["recall"]),
            _share(row["precision"]),
            "–" if lead is None else f"{lead / 24:.1f} days",
            "–" if false is None else f"{false:.2f}",
            "–" if row["care"]["score"] is None else f"{row['care']['score']:.2f}",
            "–" if row["cost"] is None else f"{row['cost']:,.0f}",
        )
    console.print(table)
    expected = result["expected_time"]
    if expected is not None:
        say(
            f"{expected['tickets']:,} true tickets said when the failure is expected, within {expected['days']:.1f} "
            f"days (median): {expected['held']:.0%} came in that time."
        )
    if result["average_precision"] is not None:
        say(
            f"Average precision of the daily score: {result['average_precision']:.3f} "
            f"(of a score without skill: {result['prevalence']:.3f})."
        )
    console.print(f"[dim]{time.monotonic() - begun:.0f} s[/dim]")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
