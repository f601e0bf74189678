"""The daily cycle of one site's assets of one type: raw day -> features -> scores -> rules -> diagnoses.

The only way there is: service, catch-up, a revision after late data and the back-test all come through ``outcomes``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from config.knowledge import ANOMALY, Knowledge
from config.operating_day import day_bounds
from config.register import AssetType, Register, Site
from config.settings import Settings
from diagnostics.active_model import ActiveModel
from diagnostics.advice import with_advice
from diagnostics.condition import healths
from diagnostics.day_rows import day_rows
from diagnostics.diagnose import AnomalyVerdict, anomaly_diagnosis, answers_of, merged, rule_diagnoses
from diagnostics.expression import Frame
from diagnostics.fan_out import ThisProcess, Workers
from diagnostics.fault_log import LOOK_BACK_DAYS as FAULT_LOOK_BACK_DAYS
from diagnostics.fault_log import daily_fault_log
from diagnostics.heard import Heard
from diagnostics.ledger import Ledger
from diagnostics.outlook import Outlook
from diagnostics.records import DailyFaultLog, DayOutcome, Diagnosis
from diagnostics.rule import RuleResult
from diagnostics.rules import RuleSet
from diagnostics.scoring import Scores
from diagnostics.settling import Settling
from diagnostics.shadow import shadow_scores
from diagnostics.stretch import Begun, Stretches
from diagnostics.verdicts import anomaly_verdicts
from models.panel import panel_rows
from models.service import service_columns
from telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is computed for all days of a stretch at once, to be told day by day."""

    derived: pd.DataFrame
    scored: Scores | None
    results: Sequence[RuleResult]
    outlook: Outlook
    settled: Settling


class DailyCycle:
    """Computes outcomes and writes nothing. Keeps the last weeks' panel of each group between days.

    ``hear`` is told what each single rule says of each day. What only a person reads, explanations and fault logs, is
    left out where it is not ``for_readers``: no score and no condition depends on it. ``workers`` score; without any
    it is done in this process. ``heeded`` says which open alerts there are (asset, failure mode): what a model finds
    quiet, or does not know, is diagnosed of these alone, or of everything where it is not given.
    """

    def __init__(
        self,
        register: Register,
        knowledge: Knowledge,
        rules: RuleSet,
        settings: Settings,
        store: TelemetryStore,
        ledger: Ledger,
        hear: Callable[[Heard], None] | None = None,
        *,
        for_readers: bool = True,
        workers: Workers | None = None,
        heeded: Callable[[], Collection[tuple[str, str]]] | None = None,
    ) -> None:
        self._for_readers, self._workers, self._heeded = for_readers, workers or ThisProcess(), heeded
        self._register, self._knowledge, self._rules, self._settings = register, knowledge, rules, settings
        self._ledger, self._hear = ledger, hear
        self._stretches = Stretches(register, rules, settings, store, ledger, self._workers, for_readers=for_readers)
        self._sites = {asset.id: asset.site for asset in register.assets.values()}

    @property
    def ahead(self) -> int:
        """How many stretches are worth beginning before an earlier one is finished."""
        return self._workers.ahead

    def outcomes(
        self, asset_type: AssetType, site: Site, day: date, due: Mapping[str, int], model: ActiveModel | None
    ) -> list[DayOutcome]:
        """Return the outcomes of one operating day; ``due`` gives the arrivals revision of each asset to do."""
        return next(self.stretch(asset_type, site, {day: due}, model))

    def stretch(
        self, asset_type: AssetType, site: Site, due: Mapping[date, Mapping[str, int]], model: ActiveModel | None
    ) -> Iterator[list[DayOutcome]]:
        """Yield the outcomes of each of several operating days, in order, as ``outcomes`` gives them day by day.

        What a day means is computed for all of them at once: it depends on the day and on those before it alone, so
        the outcomes are the same, at a fraction of the time. All days are scored by the one ``model``, and each must
        be recorded before the next is asked for.
        """
        return self.finish(self.begin(asset_type, site, due, model))

    def begin(
        self, asset_type: AssetType, site: Site, due: Mapping[date, Mapping[str, int]], model: ActiveModel | None
    ) -> Begun:
        """Read what a stretch needs, and begin to score it where the workers do. See ``stretch``."""
        return self._stretches.begin(asset_type, site, due, model)

    def finish(self, begun: Begun) -> Iterator[list[DayOutcome]]:
        """Yield the outcomes of what ``begin`` began, as ``stretch`` does."""
        days, seen = sorted(begun.due), self._seen(begun)
        of_day = begun.base.index.get_level_values(1).to_numpy().astype("datetime64[D]")
        verdicts_of_days: dict[date, dict[str, AnomalyVerdict]] = {}
        for day in days:
            todays = begun.base[of_day == np.datetime64(day, "D")]
            outcomes, verdicts_of_days[day] = self._outcomes(begun, seen, day, todays)
            if day == days[-1] and begun.scored is not None:
                self._stretches.remember(begun, verdicts_of_days)
            yield outcomes

    def forget(self) -> None:
        """Read the past from the ledger again: what was computed was not recorded."""
        self._stretches.forget()

    def _seen(self, begun: Begun) -> _Seen:
        """Wait for the scores of a stretch, and let rules and models look at all of its days."""
        asset_type, site, last = begun.asset_type, begun.site, max(begun.due)
        derived, scored = begun.weeks.panel.iloc[:0], None
        if begun.scored is not None:
            derived, scored = begun.scored()
        has_rules = bool(self._rules.for_type(asset_type.id))
        read_by_rules = self._with_service(derived, asset_type, site, last) if has_rules else derived
        results = self._rules.evaluate(asset_type.id, Frame(read_by_rules, self._sites), self._register.assets)
        outlook = Outlook(
            begun, derived, self._register, self._knowledge, self._settings, self._ledger, for_readers=self._for_readers
        )
        settled = Settling(self._ledger, site, begun.base.index.get_level_values(0).unique(), sorted(begun.due))
        return _Seen(derived, scored, results, outlook, settled)

    def _outcomes(
        self, begun: Begun, seen: _Seen, day: date, todays: pd.DataFrame
    ) -> tuple[list[DayOutcome], dict[str, AnomalyVerdict]]:
        """Return what rules and models say of a day, by asset, and the verdicts with every score among it."""
        model, due = begun.model, begun.due[day]
        asset_ids, end = sorted(due), day_bounds(begun.site.zone, day)[1]
        settling = seen.settled.days_ago(day)
        heeded = None if self._heeded is None else self._heeded()
        verdicts: dict[str, AnomalyVerdict] = {}
        if model is not None and seen.scored is not None:
            verdicts = anomaly_verdicts(model, seen.scored, asset_ids, day, settling, explained=self._for_readers)
        diagnoses: dict[str, list[Diagnosis]] = {asset_id: [] for asset_id in asset_ids}
        for diagnosis in self._by_rules(begun, seen, asset_ids, day, end, settling):
            diagnoses[diagnosis.asset_id].append(diagnosis)
        for diagnosis in self._anomalies(begun, verdicts, day, end, heeded):
            diagnoses[diagnosis.asset_id].append(diagnosis)
        by_models = {asset_id: {ANOMALY.code: verdict.health} for asset_id, verdict in verdicts.items()}
        ruled = {asset_id: tuple(of_asset) for asset_id, of_asset in diagnoses.items()}
        for asset_id, forecast in seen.outlook.forecasts(asset_ids, day, end, settling, heeded).items():
            diagnoses[asset_id] += forecast.diagnoses
            by_models[asset_id] |= forecast.health
            verdict = verdicts[asset_id]
            verdicts[asset_id] = verdict._replace(scores=verdict.scores + forecast.scores)
        if model is not None and model.candidate is not None:
            newer, today = model.candidate, seen.derived.iloc[day_rows(seen.derived.index, asset_ids, day)]
            for asset_id, score in shadow_scores(newer.ensemble, newer.version, today, day).items():
                verdict = verdicts[asset_id]
                verdicts[asset_id] = verdict._replace(scores=(*verdict.scores, score))
        views = seen.outlook.by_cases(asset_ids, day, end, settling)
        for asset_id, said in diagnoses.items():
            view = views.get(asset_id)
            if view is not None:
                said += view.diagnoses
            advised = with_advice(said, view, self._knowledge) if self._for_readers else said
            diagnoses[asset_id] = merged(advised)
        outcomes = [
            DayOutcome(
                log=log,
                arrivals_revision=due[log.asset_id],
                features=features,
                scores=verdicts[log.asset_id].scores if log.asset_id in verdicts else (),
                diagnoses=tuple(diagnoses[log.asset_id]),
                model_version=model.version if model is not None else "",
                rules_version=self._rules.version,
                health=healths(by_models.get(log.asset_id, {}), ruled[log.asset_id]),
            )
            for log, features in self._fault_logs(begun.asset_type, begun.site, day, begun.faults, todays)
        ]
        return outcomes, verdicts

    def _by_rules(
        self, begun: Begun, seen: _Seen, asset_ids: list[str], day: date, end: int, settling: Mapping[str, int]
    ) -> list[Diagnosis]:
        """Return what the rules diagnose, and tell who wants to hear it what each of them says."""
        rules, panel = self._rules.for_type(begun.asset_type.id), begun.weeks.panel
        if self._hear is not None:
            answers = answers_of(seen.results, asset_ids, day, settling)
            self._hear(Heard(begun.asset_type.id, day, asset_ids, rules, answers, settling))
        several = rules and len(begun.due) > 1
        past = panel[panel.index.get_level_values(1) <= pd.Timestamp(day)] if several else panel
        return rule_diagnoses(seen.results, past, asset_ids, day, end, settling, self._knowledge)

    def _anomalies(
        self,
        begun: Begun,
        verdicts: Mapping[str, AnomalyVerdict],
        day: date,
        end: int,
        heeded: Collection[tuple[str, str]] | None,
    ) -> Iterator[Diagnosis]:
        """Yield what the anomaly models diagnose."""
        for asset_id, verdict in verdicts.items():
            assert begun.model is not None
            if not (verdict.condition or heeded is None or (asset_id, ANOMALY.code) in heeded):
                continue
            # Once failures are known to learn from, what is merely strange is for a person to look at.
            ticket = "review" if begun.model.learned.knows_failures else self._settings.models.ticket
            yield anomaly_diagnosis(
                asset_id, day, end, verdict, self._settings.models, begun.model.version, ticket, begun.asset_type
            )

    def _with_service(self, derived: pd.DataFrame, asset_type: AssetType, site: Site, last: date) -> pd.DataFrame:
        """Return the derived panel with the days since each of the type's components was renewed."""
        if not asset_type.components:
            return derived
        assert isinstance(derived.index, pd.MultiIndex)
        zones = dict.fromkeys(derived.index.get_level_values(0).unique(), site.zone)
        maintenance = self._ledger.field_records(zones, day_bounds(site.zone, last)[1] - 1)["maintenance"]
        service = service_columns(derived.index, maintenance, list(asset_type.components), None, zones)
        return pd.concat([derived, service], axis=1)

    def _fault_logs(
        self, asset_type: AssetType, site: Site, day: date, faults: pd.DataFrame, todays: pd.DataFrame
    ) -> Iterator[tuple[DailyFaultLog, Mapping[str, float]]]:
        """Yield the fault log of each asset of the day, with its features."""
        start, end = day_bounds(site.zone, day - timedelta(days=FAULT_LOOK_BACK_DAYS))[0], day_bounds(site.zone, day)[1]
        seen = faults[(faults["time"] >= start) & (faults["time"] < end)] if self._for_readers else faults.iloc[:0]
        by_asset, nothing = dict(list(seen.groupby("asset_id"))) if len(seen) else {}, faults.iloc[:0]
        for asset_id, features in panel_rows(todays):
            events = by_asset.get(asset_id, nothing)
            yield daily_fault_log(asset_type, asset_id, site.zone, day, events, features), features
