"""What makes two alerts the same: one failure mode on one asset."""

from __future__ import annotations


def fingerprint(asset_id: str, failure_mode: str) -> str:
    """Return the identity of an alert, readable on purpose: it stands in tickets."""
    return f"{asset_id}/{failure_mode}"


def ticket_key(asset_id: str, failure_mode: str, episode: int) -> str:
    """Return the key under which a ticket system holds the one ticket of an episode of an alert."""
    return f"{fingerprint(asset_id, failure_mode)}/{episode}"
