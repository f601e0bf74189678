"""Tickets to file in tests, each under a key of its own."""

from __future__ import annotations

from uuid import uuid4

from alerts.connectors.connector import TicketDraft


def draft(key: str | None = None, **given: str) -> TicketDraft:
    words = {
        "title": "EMU-01-A: 供风系统泄漏 (major)",
        "body": "What was seen:\n  51 % — “normal” 24 %\n\n严重",
        **given,
    }
    return TicketDraft(
        key=key or f"{uuid4()}/AIR-LEAK/1",
        asset_id="EMU-01-A",
        failure_mode="AIR-LEAK",
        severity="major",
        data={"asset_id": "EMU-01-A", "evidence": [{"feature": "a", "value": 1.5}]},
        **words,
    )
