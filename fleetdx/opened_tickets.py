"""Tickets as the evaluation needs them: when the machine could have opened each at the earliest."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from config.operating_day import NS
from config.register import Register
from config.settings import Daily
from diagnostics.sweep import allowance


def opened_tickets(register: Register, settings: Daily) -> pd.DataFrame:
    """Return ``asset_id``, ``failure_mode``, ``known_at`` and ``opened`` (ns) of every ticket.

    A ticket is wished for at the end of an operating day; it opens when that day is closed, the allowance for late
    data included. Needs ``connect_relational``.
    """
    from alerts.models import Ticket

    rows = []
    for ticket in Ticket.objects.select_related("alert").order_by("id"):
        alert = ticket.alert
        if alert.asset_id in register.assets:
            wait: timedelta = allowance(register.site_of(alert.asset_id), settings)
            known_at, opened = (int(at.timestamp()) * NS for at in (ticket.created_at, ticket.created_at + wait))
            rows.append((alert.asset_id, alert.failure_mode, known_at, opened))
    types = {"asset_id": "str", "failure_mode": "str", "known_at": "int64", "opened": "int64"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)
