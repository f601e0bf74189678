"""``fleetdx scorecard``: how each version of a rule or model did, by what was found of its alerts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.table import Table
from rich.text import Text

from fleetdx.terminal import console, harmless, print_json, say
from fleetdx.tickets import tables_of
from fleetdx.wiring import read_installation


def scorecard(config: Path, data: Path, *, as_json: bool) -> None:
    """Show a card a version, those on probation first."""
    installation = read_installation(config)
    types = {asset.id: asset.asset_type for asset in installation.register.assets.values()}
    settings = installation.settings
    with tables_of(data):
        from alerts.outcomes.scorecard import score_cards

        cards = score_cards(settings.outcomes, settings.models.horizon_days, types)
    cards.sort(key=lambda card: (not card.probation, card.source))
    if as_json:
        print_json({"score_cards": [asdict(card) | {"precision": card.precision} for card in cards]})
        return
    table = Table(
        "version", "raised", "confirmed", "false", "nothing found", "open", "unjudged", "missed", "precision",
        "lead, days: median / p10",
    )  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for card in cards:
        counts = (
            card.raised, card.confirmed, card.false_alarm, card.no_trouble_found, card.open, card.unjudged, card.missed,
        )  # fmt: skip
        share = "-" if card.precision is None else f"{card.precision:.0%} ({card.at_least:.0%}-{card.at_most:.0%})"
        lead = "-" if card.lead_median_days is None else f"{card.lead_median_days:.1f} / {card.lead_p10_days:.1f}"
        cells = (card.source, *(f"{n:,}" for n in counts), share, lead)
        table.add_row(*(Text(harmless(cell)) for cell in cells), style="red" if card.probation else "")
    if cards:
        console.print(table)
    for card in cards:
        if card.probation:
            say(f"{card.source} is on probation, its alerts wait for review: {card.probation}")
        if card.release is not None:
            ended = card.release
            say(f"{card.source} was taken off probation on {ended.at:%Y-%m-%d} by {ended.by}: {ended.why}")
    say(f"{len(cards):,} versions of rules and models; {sum(bool(card.probation) for card in cards):,} on probation.")
