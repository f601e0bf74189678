"""What became of samples, for a person."""

from __future__ import annotations

from fleetdx.terminal import say
from ingest.counters import Counters


def say_counters(counters: Counters, more: str = "") -> None:
    """Tell what became of samples, and below it why those that were refused were refused."""
    say(
        f"{counters.stored:,} samples stored, {counters.duplicates:,} known already, "
        f"{counters.quarantined:,} quarantined, {counters.flagged_values:,} values flagged{more}."
    )
    for reason, n in sorted(counters.reasons.items(), key=lambda item: -item[1]):
        say(f"  {n:,} × {reason}")
