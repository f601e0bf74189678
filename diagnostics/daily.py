"""The daily cycle of one site's assets of one type: raw day -> features -> scores -> rules -> diagnoses.

The only way there is: service, catch-up, a revision after late data and the back-test all come through ``outcomes``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.knowledge import ANOMALY, Knowledge
from config.operating_day import day_bounds
from config.register import AssetType, Register, Site
from config.settings import Settings
from diagnostics.advice import with_advice
from diagnostics.case_view import CaseView, case_views, priors
from diagnostics.condition import healths
from diagnostics.diagnose import AnomalyVerdict, anomaly_diagnosis, answers_of, merged, rule_diagnoses
from diagnostics.expression import Frame
from diagnostics.fan_out import ThisProcess, Workers
from diagnostics.fault_log import LOOK_BACK_DAYS as FAULT_LOOK_BACK_DAYS
from diagnostics.fault_log import daily_fault_log
from diagnostics.forecast import Forecast, forecasts
from diagnostics.heard import Heard
from diagnostics.ledger import Ledger
from diagnostics.raw_days import raw_days
from diagnostics.recent import RecentWeeks, Weeks
from diagnostics.records import AnomalyScore, DailyFaultLog, DayOutcome, Diagnosis
from diagnostics.rules import RuleSet
from diagnostics.scoring import Scores, ToScore, without_incomplete
from diagnostics.settling import Settling
from diagnostics.shadow import shadow_scores
from models.derive import LOOK_BACK_DAYS
from models.ensemble import ENSEMBLE, Ensemble
from models.failure_panel import RECENT_DAYS
from models.panel import panel_index, panel_rows
from models.renewals import Renewals
from models.service import service_columns
from models.symptoms import WINDOW_DAYS
from models.type_model import TypeModel
from telemetry.store import TelemetryStore


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """What was learned of an asset type, and the version that it is registered under."""

    learned: TypeModel
    version: str
    candidate: ActiveModel | None = None
    """A newer one that scores beside it and raises nothing, until it is trusted."""

    @property
    def ensemble(self) -> Ensemble:
        """The anomaly models."""
        return self.learned.ensemble


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
        self._store, self._ledger, self._hear = store, ledger, hear
        self._recent = RecentWeeks(ledger)
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
        named = None if rules or self._for_readers or model is None else _named(model)
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

    def finish(self, begun: Begun) -> Iterator[list[DayOutcome]]:
        """Yield the outcomes of what ``begin`` began, as ``stretch`` does."""
        asset_type, site, due, model = begun.asset_type, begun.site, begun.due, begun.model
        days, base, faults, panel = sorted(begun.due), begun.base, begun.faults, begun.weeks.panel
        rules = self._rules.for_type(asset_type.id)
        derived, scored = panel.iloc[:0], None
        if begun.scored is not None:
            derived, scored = begun.scored()
        read_by_rules = self._with_service(derived, asset_type, site, days[-1]) if rules else derived
        frame = Frame(read_by_rules, self._sites)
        results = self._rules.evaluate(asset_type.id, frame, self._register.assets)
        inputs = self._failure_inputs(model, panel, derived, base.index, site, days[-1])
        cases = self._case_inputs(model, derived, site, days[-1])
        of_day = base.index.get_level_values(1).to_numpy().astype("datetime64[D]")
        settled = Settling(self._ledger, site, base.index.get_level_values(0).unique(), days)
        verdicts_of_days: dict[date, dict[str, AnomalyVerdict]] = {}
        for day in days:
            asset_ids = sorted(due[day])
            end = day_bounds(site.zone, day)[1]
            todays = base[of_day == np.datetime64(day, "D")]
            settling = settled.days_ago(day)
            heeded = None if self._heeded is None else self._heeded()
            verdicts: dict[str, AnomalyVerdict] = {}
            if model is not None and scored is not None:
                verdicts = self._verdicts(model, scored, asset_ids, day, settling)
            diagnoses: dict[str, list[Diagnosis]] = {asset_id: [] for asset_id in asset_ids}
            if self._hear is not None:
                answers = answers_of(results, asset_ids, day, settling)
                self._hear(Heard(asset_type.id, day, asset_ids, rules, answers, settling))
            past = panel[panel.index.get_level_values(1) <= pd.Timestamp(day)] if rules and len(days) > 1 else panel
            for diagnosis in rule_diagnoses(results, past, asset_ids, day, end, settling, self._knowledge):
                diagnoses[diagnosis.asset_id].append(diagnosis)
            for asset_id, verdict in verdicts.items():
                assert model is not None
                if not (verdict.condition or heeded is None or (asset_id, ANOMALY.code) in heeded):
                    continue
                # Once failures are known to learn from, what is merely strange is for a person to look at.
                ticket = "review" if model.learned.knows_failures else self._settings.models.ticket
                diagnoses[asset_id].append(
                    anomaly_diagnosis(
                        asset_id, day, end, verdict, self._settings.models, model.version, ticket, asset_type
                    )
                )
            by_models = {asset_id: {ANOMALY.code: verdict.health} for asset_id, verdict in verdicts.items()}
            ruled = {asset_id: tuple(of_asset) for asset_id, of_asset in diagnoses.items()}
            for asset_id, forecast in self._foreseen(model, inputs, asset_ids, day, end, settling, heeded).items():
                diagnoses[asset_id] += forecast.diagnoses
                by_models[asset_id] |= forecast.health
                verdict = verdicts[asset_id]
                verdicts[asset_id] = verdict._replace(scores=verdict.scores + forecast.scores)
            if model is not None and model.candidate is not None:
                newer, today = model.candidate, derived.iloc[_rows(derived.index, asset_ids, day)]
                for asset_id, score in shadow_scores(newer.ensemble, newer.version, today, day).items():
                    verdict = verdicts[asset_id]
                    verdicts[asset_id] = verdict._replace(scores=(*verdict.scores, score))
            views = self._by_cases(model, cases, derived, asset_ids, day, end, settling)
            for asset_id, said in diagnoses.items():
                view = views.get(asset_id)
                if view is not None:
                    said += view.diagnoses
                advised = with_advice(said, view, self._knowledge) if self._for_readers else said
                diagnoses[asset_id] = merged(advised)
            verdicts_of_days[day] = verdicts
            if day == days[-1] and begun.scored is not None:
                self._remember(begun, verdicts_of_days)
            logs = self._fault_logs(asset_type, site, day, faults, todays)
            yield [
                DayOutcome(
                    log=log,
                    arrivals_revision=due[day][log.asset_id],
                    features=features,
                    scores=verdicts[log.asset_id].scores if log.asset_id in verdicts else (),
                    diagnoses=tuple(diagnoses[log.asset_id]),
                    model_version=model.version if model is not None else "",
                    rules_version=self._rules.version,
                    health=healths(by_models.get(log.asset_id, {}), ruled[log.asset_id]),
                )
                for log, features in logs
            ]

    def _renewals(self, asset_type: AssetType, site: Site, panel: pd.DataFrame, last: date) -> Renewals | None:
        """Return what was renewed up to ``last``, of a type whose signals say what they speak of."""
        if all(signal.component is None for signal in asset_type.signals):
            return None
        zones = dict.fromkeys(panel.index.get_level_values(0).unique(), site.zone)
        records = self._ledger.field_records(zones, day_bounds(site.zone, last)[1] - 1)
        return Renewals.of(asset_type, records["maintenance"], zones)

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

    def _failure_inputs(
        self,
        model: ActiveModel | None,
        panel: pd.DataFrame,
        derived: pd.DataFrame,
        rows: pd.Index,
        site: Site,
        last: date,
    ) -> pd.DataFrame | None:
        """Return what the failure model reads of some asset-days up to ``last``, if there is one."""
        if model is None or model.learned.failure is None:
            return None
        asset_ids = list(rows.get_level_values(0).unique())
        since = rows.get_level_values(1).min() - np.timedelta64(RECENT_DAYS, "D")
        recent = panel[panel.index.get_level_values(1) > since]
        return model.learned.failure.inputs(
            without_incomplete(recent, self._settings.daily.min_completeness),
            derived.iloc[derived.index.get_indexer(rows)],
            self._ledger.field_records(asset_ids, day_bounds(site.zone, last)[1] - 1)["maintenance"],
            dict.fromkeys(asset_ids, site.zone),
            self._register.attributes(asset_ids),
        )

    def _foreseen(
        self,
        model: ActiveModel | None,
        inputs: pd.DataFrame | None,
        asset_ids: list[str],
        day: date,
        end: int,
        settling: Mapping[str, int],
        heeded: Collection[tuple[str, str]] | None,
    ) -> dict[str, Forecast]:
        """Return what the failure model foresees, if there is one."""
        if model is None or model.learned.failure is None or inputs is None:
            return {}
        return forecasts(
            model.learned.failure,
            model.version,
            inputs.iloc[_rows(inputs.index, asset_ids, day)],
            day,
            end,
            settling,
            self._settings.models,
            self._knowledge,
            explained=self._for_readers,
            heeded=heeded,
        )

    def _case_inputs(
        self, model: ActiveModel | None, derived: pd.DataFrame, site: Site, last: date
    ) -> pd.DataFrame | None:
        """Return the symptoms of the rows of ``derived``, if there is a case base; a row sees no later record.

        Without readers a base that decides of no mode is not asked.
        """
        if model is None or model.learned.casebase is None:
            return None
        failure = model.learned.failure
        decided = failure.modes.keys() if failure is not None else frozenset()
        if not self._for_readers and model.learned.casebase.thresholds().keys() <= decided:
            return None
        assets = list(derived.index.get_level_values(0).unique())
        records = self._ledger.field_records(assets, day_bounds(site.zone, last)[1] - 1)
        events = pd.concat([records[kind][["asset_id", "time"]] for kind in ("failures", "maintenance")])
        expected = priors(self._knowledge, list(derived.columns))
        return model.learned.casebase.inputs(derived, events, expected, dict.fromkeys(assets, site.zone))

    def _by_cases(
        self,
        model: ActiveModel | None,
        cases: pd.DataFrame | None,
        derived: pd.DataFrame,
        asset_ids: list[str],
        day: date,
        end: int,
        settling: Mapping[str, int],
    ) -> dict[str, CaseView]:
        """Return what the case base says, if there is one; the failure model decides of the modes that it knows."""
        if model is None or model.learned.casebase is None or cases is None:
            return {}
        failure = model.learned.failure
        return case_views(
            model.learned.casebase,
            model.version,
            cases,
            derived,
            asset_ids,
            day,
            end,
            settling,
            failure.modes if failure is not None else (),
            self._settings.models,
            self._knowledge,
        )

    def _remember(self, begun: Begun, verdicts_of_days: Mapping[date, Mapping[str, AnomalyVerdict]]) -> None:
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

    def _verdicts(
        self,
        model: ActiveModel,
        scored: Scores,
        asset_ids: Sequence[str],
        day: date,
        settling: Mapping[str, int],
    ) -> dict[str, AnomalyVerdict]:
        """Return what the model says of the assets on a day."""
        thresholds, lasting = model.ensemble.thresholds, model.ensemble.persistence.n
        verdicts = {}
        for asset_id, row in zip(asset_ids, _rows(scored.panel.index, asset_ids, day).tolist(), strict=True):
            scores = tuple(
                AnomalyScore(
                    asset_id=asset_id,
                    day=day,
                    detector=name,
                    version=model.version,
                    score=float(raw[row]),
                    threshold=float(thresholds[name]),
                    level=float(level[row]),
                    contributions=scored.parts.get(row, ()) if name == ENSEMBLE else (),
                )
                for name, (raw, level) in scored.numbers.items()
                if np.isfinite(level[row])
            )
            known = bool(np.isfinite(scored.numbers[ENSEMBLE][1][row]))
            settled = settling.get(asset_id, lasting) >= lasting
            condition = scored.held[row] if known and settled else None
            beside = _deviations(scored.panel.iloc[row]) if condition and self._for_readers else {}
            standing = float(scored.standing[row]) if settled else np.nan
            verdicts[asset_id] = AnomalyVerdict(scores, condition, standing, beside)
        return verdicts


def idle_days(panel: pd.DataFrame, asset_type: AssetType) -> pd.Series:
    """Whether each asset-day was spent out of operation, of a type that says what operation is."""
    if asset_type.operating is None or "exposure.hours" not in panel:
        return pd.Series(False, index=panel.index)
    return panel["exposure.hours"] == 0


def _named(model: ActiveModel) -> frozenset[str]:
    """Return what a model and its candidate read by name, with what that is derived from."""
    features = [*model.ensemble.features, *(model.learned.failure.features if model.learned.failure else ())]
    named = frozenset(features) | {feature.rpartition(".")[0] for feature in features}
    return named | _named(model.candidate) if model.candidate is not None else named


def _deviations(row: pd.Series) -> dict[str, float]:
    """Return a day's known deviations by column."""
    known = row[[name for name in row.index if str(name).endswith((".own", ".peers"))]].dropna()
    return {str(name): float(value) for name, value in known.items()}


def _rows(index: pd.Index, asset_ids: Sequence[str], day: date) -> NDArray[np.intp]:
    """Return the places of some assets' rows of one day, all of which the index holds."""
    return index.get_indexer(panel_index(asset_ids, [np.datetime64(day, "D")] * len(asset_ids)))
