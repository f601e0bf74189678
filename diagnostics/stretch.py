"""Several operating days of a group on their way: read, put behind the last weeks, and begun to be scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from config.operating_day import day_bounds
from config.register import AssetType, Register, Site
from config.settings import Settings
from diagnostics.active_model import ActiveModel
from diagnostics.diagnose import AnomalyVerdict
from diagnostics.fan_out import Workers
from diagnostics.fault_log import LOOK_BACK_DAYS as FAULT_LOOK_BACK_DAYS
from diagnostics.ledger import Ledger
from diagnostics.raw_days import idle_days, raw_days
from diagnostics.recent import RecentWeeks, Weeks
from diagnostics.rules import RuleSet
from diagnostics.scoring import Scores, ToScore
from models.derive import LOOK_BACK_DAYS
from models.ensemble import ENSEMBLE
from models.panel import panel_index
from models.renewals import Renewals
from models.symptoms import WINDOW_DAYS
from telemetry.store import TelemetryStore


@dataclass(slots=True)
class Begun:
    """A stretch of days that was read, and is being scored; ``scored`` waits for what ``diagnostics.scoring`` says."""

    asset_type: AssetType
    site: Site
    due: Mapping[date, Mapping[str, int]]
    model: ActiveModel | None
    base: pd.DataFrame
    faults: pd.DataFrame
    weeks: Weeks
    scored: Callable[[], tuple[pd.DataFrame, Scores | None]] | None = None


class Stretches:
    """Begins stretches of days, and keeps the last weeks' panel of each group between them.

    ``for_readers``: whether anybody reads fault logs and what explains a score.
    """

    def __init__(
        self,
        register: Register,
        rules: RuleSet,
        settings: Settings,
        store: TelemetryStore,
        ledger: Ledger,
        workers: Workers,
        *,
        for_readers: bool,
    ) -> None:
        self._register, self._rules, self._settings = register, rules, settings
        self._store, self._ledger, self._workers, self._for_readers = store, ledger, workers, for_readers
        self._recent = RecentWeeks(ledger)

    def begin(
        self, asset_type: AssetType, site: Site, due: Mapping[date, Mapping[str, int]], model: ActiveModel | None
    ) -> Begun:
        """Read what a stretch needs, and begin to score it where the workers do."""
        days = sorted(due)
        base, faults = raw_days(self._store, asset_type, site, due, FAULT_LOOK_BACK_DAYS if self._for_readers else 0)
        rules = self._rules.for_type(asset_type.id)
        back = max([rule.days for rule in rules], default=1)
        detectors: tuple[str, ...] = ()
        if model is not None:
            back = max(back, model.ensemble.persistence.n, WINDOW_DAYS)
            detectors = (ENSEMBLE, *sorted({n for rule in rules for n in rule.expression.detectors} - {ENSEMBLE}))
        if not rules and model is None:  # nobody reads what the day means against other days
            weeks = Weeks(days[0], days[-1], base.sort_index(), frozenset())
            return Begun(asset_type, site, due, model, base, faults, weeks)
        # Rules show their evidence beside what was normal in twice the look-back.
        first = days[0] - timedelta(days=2 * LOOK_BACK_DAYS if rules else back + LOOK_BACK_DAYS)
        named = None if rules or self._for_readers or model is None else model.named
        group = (asset_type.id, site.id)
        assets = [a.id for a in self._register.assets.values() if (a.asset_type, a.site) == group]
        weeks = self._recent.with_new(group, assets, first, days, base, named)
        begun, panel = Begun(asset_type, site, due, model, base, faults, weeks), weeks.panel
        rows = base.index
        assert isinstance(rows, pd.MultiIndex)
        since = np.datetime64(days[0] - timedelta(days=back), "D")
        reach = panel.index.get_level_values(1) >= since - np.timedelta64(LOOK_BACK_DAYS, "D")
        begun.scored = self._workers.begin(
            ToScore(
                panel=panel[reach],
                group=site.id,
                since=since,
                rows=rows,
                idle=idle_days(panel, asset_type).reindex(rows).to_numpy(dtype=bool),
                min_completeness=self._settings.daily.min_completeness,
                renewals=self._renewals(asset_type, site, panel, days[-1]),
                ensemble=model.ensemble if model is not None else None,
                detectors=detectors,
                explained=self._for_readers,
            )
        )
        return begun

    def _renewals(self, asset_type: AssetType, site: Site, panel: pd.DataFrame, last: date) -> Renewals | None:
        """Return what was renewed up to ``last``, of a type whose signals say what they speak of."""
        if all(signal.component is None for signal in asset_type.signals):
            return None
        zones = dict.fromkeys(panel.index.get_level_values(0).unique(), site.zone)
        records = self._ledger.field_records(zones, day_bounds(site.zone, last)[1] - 1)
        return Renewals.of(asset_type, records["maintenance"], zones)

    def remember(self, begun: Begun, verdicts_of_days: Mapping[date, Mapping[str, AnomalyVerdict]]) -> None:
        """Keep the weeks of a stretch that is done, with what was said of its days, for the days that follow."""
        panel = begun.weeks.panel
        levels: defaultdict[str, list[tuple[str, date, float]]] = defaultdict(list)
        for day, verdicts in verdicts_of_days.items():
            for asset_id, verdict in verdicts.items():
                for score in verdict.scores:
                    levels[f"score.{score.detector}"].append((asset_id, day, score.level))
        remembered = {}
        for name, known in levels.items():
            column = panel[name].to_numpy(copy=True) if name in panel else np.full(len(panel), np.nan)
            at = panel_index([a for a, _, _ in known], [np.datetime64(day, "D") for _, day, _ in known])
            column[panel.index.get_indexer(at)] = [level for _, _, level in known]
            remembered[name] = column
        self._recent.keep((begun.asset_type.id, begun.site.id), begun.weeks, remembered)

    def forget(self) -> None:
        """Read the past from the ledger again: what was computed was not recorded."""
        self._recent.forget()
