"""A checked rule on a panel: its condition of each asset-day, and the evidence behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from config.register import Asset, Text
from diagnostics.expression import Expression, Frame
from diagnostics.records import Evidence
from diagnostics.rule_text import RuleText, Valid, filled
from models.derive import LOOK_BACK_DAYS
from models.grid import Floats
from models.persistence import Persistence

_RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Needs:
    """What a rule requires: of each group of rules that one holds, and that columns are known."""

    rules: tuple[tuple[str, ...], ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked rule; ``suppresses`` are failure modes. ``version`` changes with this rule, and with no other.

    ``days`` is how many days its condition looks at, today included, with the rules that it requires. ``ticket`` is
    what it may do as things are, which may be less than what is written.
    """

    written: RuleText
    expression: Expression
    persistence: Persistence
    keep_days: int
    needs: Needs
    suppresses: tuple[str, ...]
    version: str
    days: int
    ticket: Literal["auto", "review"]

    @property
    def name(self) -> str:
        """Its name, unique in the installation."""
        return self.written.rule

    def evaluate(self, frame: Frame, assets: Mapping[str, Asset], others: Mapping[str, RuleResult]) -> RuleResult:
        """Evaluate on the frame of a derived panel, which all rules may share.

        ``assets`` are the register's, ``others`` the results of the rules that it requires. Where the rule is not valid
        (another site, version or time) its condition is False: it has nothing to say there.
        """
        today = self.expression.evaluate(frame)
        # What the days before say does not decide a day that says nothing itself: it neither raises nor clears.
        held = np.where(np.isnan(today), np.nan, self.persistence.over(today))
        held = _kept(held, self.keep_days)
        for group in self.needs.rules:
            held = _both(held, _any([others[name].held for name in group]))
        for column in self.needs.columns:
            held = np.where(np.isnan(frame.column(column)), np.nan, held)
        if self.written.valid != Valid():
            held = _both(held, self._valid(frame, assets))
        return RuleResult(self, frame, held, frame.gather_condition(held))

    def _valid(self, frame: Frame, assets: Mapping[str, Asset]) -> Floats:
        where = self.written.valid
        of_asset = np.array([_valid_for(where, assets.get(asset_id)) for asset_id in frame.grid.asset_ids])
        day = frame.grid.first_day + np.arange(frame.grid.days)
        inside = np.ones(len(day), dtype=bool)
        if where.since is not None:
            inside &= day >= np.datetime64(where.since, "D")
        if where.until is not None:
            inside &= day <= np.datetime64(where.until, "D")
        return _both(np.broadcast_to(of_asset[:, None], frame.grid.shape), inside.astype(np.float64)[None, :])


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A rule's answer on a panel: ``condition`` is a nullable boolean column, ``held`` the same as an array (assets,
    days) of 1, 0 and NaN; after ``for``, ``keep_for`` and ``requires``.
    """

    rule: Rule
    frame: Frame
    held: Floats
    condition: pd.Series

    def evidence(self, row: tuple[str, pd.Timestamp], past: Frame) -> tuple[Evidence, ...]:
        """Return each number that the rule read on an asset-day, beside what is normal for this asset.

        ``past`` is the frame of the base panel of the last weeks, this asset's among them. Normal is the median of its
        days before, without the last ``_RECENT_DAYS``, in which what the rule saw may have begun; of a deviation it is
        0 by definition.
        """
        asset, place = self.frame.place(row)
        same, today = past.place(row)
        found = []
        for term in self.rule.expression.terms:
            value = float(self.frame.number(term)[asset, place])
            normal = 0.0
            if not term.deviation:
                days = past.number(term)[same, max(0, today - LOOK_BACK_DAYS) : max(0, today - _RECENT_DAYS)]
                known = days[np.isfinite(days)]
                normal = float(np.median(known)) if len(known) else float("nan")
            found.append(Evidence(term.text, value, normal))
        return tuple(found)

    def text(self, evidence: Sequence[Evidence]) -> Text:
        """Return the rule's text with the values of the day filled in."""
        values = {item.feature: item.value for item in evidence}
        written = self.rule.written.text
        return Text(en=filled(written.en, values, "not reported"), zh=filled(written.zh, values, "未上报"))


def _valid_for(where: Valid, asset: Asset | None) -> float:
    """Return 1 where a rule is valid for an asset, 0 where not, NaN where the register does not tell."""
    if not where.sites and not where.attributes:
        return 1.0
    if asset is None or (where.sites and asset.site not in where.sites):
        return 0.0
    values = {name: asset.attributes.get(name, "").strip() for name in where.attributes}
    if not all(wanted.holds(values[name]) for name, wanted in where.attributes.items() if values[name]):
        return 0.0
    return 1.0 if all(values.values()) else np.nan


def _kept(held: Floats, days: int) -> Floats:
    """Return whether it holds or did on one of the ``days`` days before; days before the panel may have been either."""
    padded = np.pad(held, ((0, 0), (days, 0)), constant_values=np.nan)
    return _any([padded[:, ago : ago + held.shape[1]] for ago in range(days, -1, -1)])


def _any(conditions: Sequence[Floats]) -> Floats:
    """Kleene's "or"."""
    result = conditions[0]
    for other in conditions[1:]:
        result = np.where((result == 1) | (other == 1), 1.0, np.maximum(result, other))
    return result


def _both(left: Floats, right: Floats) -> Floats:
    """Kleene's "and"."""
    return np.where((left == 0) | (right == 0), 0.0, np.minimum(left, right))
