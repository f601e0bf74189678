"""The tickets that each rule alone would have asked for, from what the daily cycle heard it say.

An alert of a rule lives as the service's do (``alerts.lifecycle.states``), with a reviewer who takes note on its first
day, as in every back-test. It opens on the first day on which the rule holds, and ends after clear days or by a repair.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from alerts.lifecycle import states
from alerts.lifecycle.states import Life
from config.operating_day import NS, day_bounds
from config.register import Register
from config.settings import Daily
from diagnostics.heard import Heard
from diagnostics.sweep import allowance


@dataclass(frozen=True, slots=True)
class RuleTicket:
    """One ticket that a rule asked for; ``opened`` (ns) includes the allowance for late data."""

    rule: str
    asset_id: str
    failure_mode: str
    day: date
    opened: int


@dataclass(slots=True)
class _Alert:
    life: Life
    first_day: date


class RuleTickets:
    """Listens to a daily cycle, whose days must come in order."""

    def __init__(self, register: Register, settings: Daily) -> None:
        self._register, self._settings = register, settings
        self._open: dict[tuple[str, str], _Alert] = {}
        self._last: dict[tuple[str, str], date] = {}
        self.tickets: list[RuleTicket] = []
        self.asset_days: Counter[str] = Counter()
        """Of each asset type."""

    def hear(self, heard: Heard) -> None:
        """Take in what the rules say of one day of a site's assets of one type."""
        self.asset_days[heard.asset_type] += len(heard.asset_ids)
        number = {asset_id: place for place, asset_id in enumerate(heard.asset_ids)}
        modes = {rule.name: rule.written.failure_mode for rule in heard.rules}
        for key in [key for key in self._open if key[1] in number and key[0] in modes]:
            days_ago = heard.settling.get(key[1])
            if days_ago is not None and heard.day - timedelta(days=days_ago) > self._open[key].first_day:
                del self._open[key]
        rows = {rule.name: row for row, rule in enumerate(heard.rules)}
        speaking = {(heard.rules[rule].name, heard.asset_ids[asset]) for rule, asset in np.argwhere(heard.answers == 1)}
        speaking |= {key for key in self._open if key[0] in rows and key[1] in number}
        for key in sorted(speaking):
            answer = heard.answers[rows[key[0]], number[key[1]]]
            condition = None if np.isnan(answer) else bool(answer)
            alert = self._open.get(key)
            if alert is not None:
                alert.life = states.observed(alert.life, heard.day, condition)
                if not alert.life.open:
                    del self._open[key]
            elif condition and heard.day > self._last.get(key, date.min):
                self._open[key] = _Alert(states.acknowledged(states.raised(heard.day)), heard.day)
                self.tickets.append(self._ticket(key, modes[key[0]], heard.day))
            self._last[key] = max(heard.day, self._last.get(key, date.min))

    def of(self, rule: str) -> pd.DataFrame:
        """Return a rule's tickets: ``asset_id``, ``failure_mode``, ``opened`` (ns), as the evaluation takes them."""
        types = {"asset_id": "str", "failure_mode": "str", "opened": "int64"}
        rows = [(t.asset_id, t.failure_mode, t.opened) for t in self.tickets if t.rule == rule]
        return pd.DataFrame(rows, columns=list(types)).astype(types)

    def _ticket(self, key: tuple[str, str], mode: str, day: date) -> RuleTicket:
        site = self._register.site_of(key[1])
        wait = int(allowance(site, self._settings).total_seconds()) * NS
        return RuleTicket(key[0], key[1], mode, day, day_bounds(site.zone, day)[1] + wait)
