"""The daily cycle of one site's assets of one type: raw day -> features -> scores -> rules -> diagnoses.

The only way there is: service, catch-up, a revision after late data and the back-test all come through ``outcomes``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from config.knowledge import ANOMALY, Knowledge
from config.operating_day import day_bounds, operating_day
from config.register import AssetType, Register, Site
from config.settings import Settings
from diagnostics.condition import healths
from diagnostics.diagnose import AnomalyVerdict, anomaly_diagnosis, answers_of, merged, rule_diagnoses
from diagnostics.expression import Frame
from diagnostics.fault_log import LOOK_BACK_DAYS as FAULT_LOOK_BACK_DAYS
from diagnostics.fault_log import daily_fault_log
from diagnostics.forecast import Forecast, forecasts
from diagnostics.heard import Heard
from diagnostics.ledger import Ledger
from diagnostics.records import AnomalyScore, Contribution, DayOutcome, Diagnosis
from diagnostics.rules import RuleSet
from diagnostics.shadow import shadow_scores
from models.derive import LOOK_BACK_DAYS, derived_panel
from models.ensemble import ENSEMBLE, Ensemble
from models.features import STATISTICS, base_panel
from models.grid import Grid
from models.health import health
from models.panel import panel_index
from models.service import service_columns
from models.threshold import anomalous
from models.type_model import TypeModel
from telemetry.store import TelemetryStore

_EXPLAINED_LEVEL = 0.9
_ASSETS_AT_ONCE = 500
"""Assets whose raw day is in memory at one time."""


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


class DailyCycle:
    """Computes outcomes and writes nothing. Keeps the last weeks' panel of each group between days.

    ``hear`` is told what each single rule says of each day.
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
    ) -> None:
        self._register, self._knowledge, self._rules, self._settings = register, knowledge, rules, settings
        self._store, self._ledger, self._hear = store, ledger, hear
        self._recent: dict[tuple[str, str], tuple[date, pd.DataFrame]] = {}
        self._sites = {asset.id: asset.site for asset in register.assets.values()}

    def outcomes(
        self, asset_type: AssetType, site: Site, day: date, due: Mapping[str, int], model: ActiveModel | None
    ) -> list[DayOutcome]:
        """Return the outcomes of one operating day; ``due`` gives the arrivals revision of each asset to do."""
        asset_ids = sorted(due)
        end = day_bounds(site.zone, day)[1]
        base, faults = self._raw_day(asset_type, site, day, asset_ids)
        panel = self._with_past(asset_type, site, day, base)
        rules = self._rules.for_type(asset_type.id)
        back = max([rule.days for rule in rules], default=1)
        if model is not None:
            back = max(back, model.ensemble.persistence.n)
        min_completeness = self._settings.daily.min_completeness
        derived = panel.iloc[:0]
        if rules or model is not None:  # else nobody reads what the day means against other days
            derived = derived_panel(
                without_incomplete(panel, min_completeness),
                pd.Series(site.id, index=panel.index.get_level_values(0).unique()),
                since=np.datetime64(day - timedelta(days=back), "D"),
                further=model.ensemble.further if model is not None else (),
            )
            derived = _without_silent_zeros(derived, min_completeness)
        settling = self._settling(site, day, asset_ids, end)
        verdicts: dict[str, AnomalyVerdict] = {}
        if model is not None:
            read = sorted({name for rule in rules for name in rule.expression.detectors} - {ENSEMBLE})
            idle = idle_days(panel, asset_type).reindex(derived.index)
            derived, verdicts = self._scored(model, panel, derived, asset_ids, day, settling, read, idle)
        diagnoses: dict[str, list[Diagnosis]] = {asset_id: [] for asset_id in asset_ids}
        read_by_rules = self._with_service(derived, asset_type, site, end) if rules else derived
        frame = Frame(read_by_rules, self._sites)
        results = self._rules.evaluate(asset_type.id, frame, self._register.assets)
        if self._hear is not None:
            answers = answers_of(results, asset_ids, day, settling)
            self._hear(Heard(asset_type.id, day, asset_ids, rules, answers, settling))
        for diagnosis in rule_diagnoses(results, panel, asset_ids, day, end, settling, self._knowledge):
            diagnoses[diagnosis.asset_id].append(diagnosis)
        for asset_id, verdict in verdicts.items():
            assert model is not None
            # Once failures are known to learn from, what is merely strange is for a person to look at.
            ticket = "review" if model.learned.failure is not None else self._settings.models.ticket
            diagnoses[asset_id].append(
                anomaly_diagnosis(asset_id, day, end, verdict, self._settings.models, model.version, ticket, asset_type)
            )
        by_models = {asset_id: {ANOMALY.code: verdict.health} for asset_id, verdict in verdicts.items()}
        ruled = {asset_id: tuple(of_asset) for asset_id, of_asset in diagnoses.items()}
        foreseen = self._foreseen(model, panel, derived, site, asset_ids, day, end, settling)
        for asset_id, forecast in foreseen.items():
            diagnoses[asset_id] = merged([*diagnoses[asset_id], *forecast.diagnoses])
            by_models[asset_id] |= forecast.health
            verdict = verdicts[asset_id]
            verdicts[asset_id] = verdict._replace(scores=verdict.scores + forecast.scores)
        if model is not None and model.candidate is not None:
            today = derived.iloc[_rows(derived, asset_ids, day)]
            for asset_id, score in shadow_scores(model.candidate.ensemble, model.candidate.version, today, day).items():
                verdict = verdicts[asset_id]
                verdicts[asset_id] = verdict._replace(scores=(*verdict.scores, score))
        features = _known_features(base)
        by_asset, nothing = dict(list(faults.groupby("asset_id"))) if len(faults) else {}, faults.iloc[:0]
        self._remember(asset_type, site, day, panel, verdicts)
        return [
            DayOutcome(
                log=daily_fault_log(
                    asset_type, asset_id, site.zone, day, by_asset.get(asset_id, nothing), features[asset_id]
                ),
                arrivals_revision=due[asset_id],
                features=features[asset_id],
                scores=verdicts[asset_id].scores if asset_id in verdicts else (),
                diagnoses=tuple(diagnoses[asset_id]),
                model_version=model.version if model is not None else "",
                rules_version=self._rules.version,
                health=healths(by_models.get(asset_id, {}), ruled[asset_id]),
            )
            for asset_id in asset_ids
        ]

    def _raw_day(
        self, asset_type: AssetType, site: Site, day: date, asset_ids: list[str]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the base features of the day, and the faults of the day and the look-back."""
        start, end = day_bounds(site.zone, day)
        fault_start = day_bounds(site.zone, day - timedelta(days=FAULT_LOOK_BACK_DAYS))[0]
        signals = [signal.name for signal in asset_type.signals]
        panels, logs = [], []
        for first in range(0, len(asset_ids), _ASSETS_AT_ONCE):
            some = asset_ids[first : first + _ASSETS_AT_ONCE]
            frames = list(self._store.read_measurements(some, signals, start, end))
            measurements = pd.concat(frames, ignore_index=True) if frames else _no_measurements(signals)
            faults = self._store.read_faults(some, fault_start, end)
            index = panel_index(some, [np.datetime64(day, "D")] * len(some))
            todays = faults[faults["time"] >= start].reset_index(drop=True)
            panels.append(base_panel(asset_type, site.zone, measurements, todays, index))
            logs.append(faults)
        return pd.concat(panels), pd.concat(logs, ignore_index=True)

    def _with_past(self, asset_type: AssetType, site: Site, day: date, base: pd.DataFrame) -> pd.DataFrame:
        """Return the panel of the group's last weeks, this day's new rows included."""
        first, last = day - timedelta(days=2 * LOOK_BACK_DAYS), day
        key = (asset_type.id, site.id)
        kept = self._recent.get(key)
        assets = [a.id for a in self._register.assets.values() if (a.asset_type, a.site) == key]
        if kept is not None and kept[0] == day - timedelta(days=1):
            # The others' rows of this day, where it was recorded before and is done again for some.
            others = sorted(set(assets).difference(base.index.get_level_values(0)))
            past = pd.concat([kept[1], self._ledger.history(others, day, day)]) if others else kept[1]
        else:
            past = self._ledger.history(assets, first, last)
        past = past[past.index.get_level_values(1) >= np.datetime64(first, "D")]
        past = past.drop(index=base.index, errors="ignore")
        return pd.concat([past, base]).sort_index()

    def _with_service(self, derived: pd.DataFrame, asset_type: AssetType, site: Site, end: int) -> pd.DataFrame:
        """Return the derived panel with the days since each of the type's components was renewed."""
        if not asset_type.components:
            return derived
        assert isinstance(derived.index, pd.MultiIndex)
        zones = dict.fromkeys(derived.index.get_level_values(0).unique(), site.zone)
        maintenance = self._ledger.field_records(zones, end - 1)["maintenance"]
        service = service_columns(derived.index, maintenance, list(asset_type.components), None, zones)
        return pd.concat([derived, service], axis=1)

    def _foreseen(
        self,
        model: ActiveModel | None,
        panel: pd.DataFrame,
        derived: pd.DataFrame,
        site: Site,
        asset_ids: list[str],
        day: date,
        end: int,
        settling: Mapping[str, int],
    ) -> dict[str, Forecast]:
        """Return what the failure model foresees, if there is one."""
        if model is None or model.learned.failure is None:
            return {}
        return forecasts(
            model.learned.failure,
            model.version,
            without_incomplete(panel, self._settings.daily.min_completeness),
            derived.iloc[_rows(derived, asset_ids, day)],
            self._ledger.field_records(asset_ids, end - 1)["maintenance"],
            self._register.attributes(asset_ids),
            site.zone,
            day,
            end,
            settling,
            self._settings.models,
            self._knowledge,
        )

    def _remember(
        self,
        asset_type: AssetType,
        site: Site,
        day: date,
        panel: pd.DataFrame,
        verdicts: Mapping[str, AnomalyVerdict],
    ) -> None:
        levels: defaultdict[str, dict[str, float]] = defaultdict(dict)
        for asset_id, verdict in verdicts.items():
            for score in verdict.scores:
                levels[f"score.{score.detector}"][asset_id] = score.level
        remembered = {}
        for name, of_assets in levels.items():
            column = panel[name].to_numpy(copy=True) if name in panel else np.full(len(panel), np.nan)
            column[_rows(panel, list(of_assets), day)] = list(of_assets.values())
            remembered[name] = column
        self._recent[asset_type.id, site.id] = (day, panel.assign(**remembered))

    def forget(self) -> None:
        """Read the past from the ledger again: what was computed was not recorded."""
        self._recent.clear()

    def _settling(self, site: Site, day: date, asset_ids: list[str], end: int) -> dict[str, int]:
        """Return how many days ago each asset was last repaired or failed, of those that did; 0 is today.

        It is 0 as well where that was after this day and is done with: what comes late of the days before a repair
        raises nothing any more.
        """
        done_until: dict[str, date] = {}
        for asset_id, done in self._ledger.done(asset_ids, day + timedelta(days=1), date.max):
            done_until[asset_id] = max(done, done_until.get(asset_id, done))
        until = day_bounds(site.zone, max(done_until.values()))[1] if done_until else end
        days_ago: dict[str, int] = {}
        for frame in self._ledger.field_records(asset_ids, until - 1).values():
            for asset_id, at in zip(frame["asset_id"], frame["time"], strict=True):
                repaired = operating_day(site.zone, int(at))
                if repaired <= max(day, done_until.get(asset_id, day)):
                    ago = max(0, (day - repaired).days)
                    days_ago[asset_id] = min(ago, days_ago.get(asset_id, ago))
        return days_ago

    def _scored(
        self,
        model: ActiveModel,
        panel: pd.DataFrame,
        derived: pd.DataFrame,
        asset_ids: list[str],
        day: date,
        settling: Mapping[str, int],
        read: Sequence[str],
        idle: pd.Series,
    ) -> tuple[pd.DataFrame, dict[str, AnomalyVerdict]]:
        """Return the derived panel with its ``score.*`` columns, and what the model says of the day.

        ``read`` names the detectors whose own scores the rules read: these are recorded too. ``idle`` says of each row
        of the derived panel whether the asset was not in operation: such a day is not scored.
        """
        ensemble = model.ensemble
        today = derived[derived.index.get_level_values(1) == np.datetime64(day, "D")]
        today = today.loc[today.index.get_level_values(0).isin(asset_ids)]
        raw = ensemble.raw(today)
        raw.loc[idle.reindex(today.index).to_numpy(dtype=bool)] = np.nan
        levels = ensemble.levels(raw)
        scored = derived.copy()
        for name in levels.columns:
            before = panel[name].reindex(derived.index) if name in panel else pd.Series(np.nan, index=derived.index)
            scored[name] = levels[name].reindex(derived.index).fillna(before)
        thresholds, threshold_levels = ensemble.thresholds, ensemble.threshold_levels
        combined = scored[f"score.{ENSEMBLE}"]
        persistent = anomalous(combined, threshold_levels[ENSEMBLE], ensemble.persistence).array
        # A person looks at days that stand out; explaining a day costs much more than scoring it.
        standing = _standing(combined, ensemble)[_rows(derived, asset_ids, day)]
        strange = today[(levels[f"score.{ENSEMBLE}"] >= min(threshold_levels[ENSEMBLE], _EXPLAINED_LEVEL)).to_numpy()]
        parts = dict(zip(strange.index.get_level_values(0), ensemble.explain(strange), strict=True))
        held = persistent[_rows(derived, asset_ids, day)]
        at = _rows(today, asset_ids, day)
        numbers = {name: (raw[name].to_numpy()[at], levels[f"score.{name}"].to_numpy()[at]) for name in raw.columns}
        verdicts = {}
        for i, asset_id in enumerate(asset_ids):
            scores = tuple(
                AnomalyScore(
                    asset_id=asset_id,
                    day=day,
                    detector=name,
                    version=model.version,
                    score=float(numbers[name][0][i]),
                    threshold=float(thresholds[name]),
                    level=float(numbers[name][1][i]),
                    contributions=tuple(Contribution(*p) for p in parts.get(asset_id, ())) if name == ENSEMBLE else (),
                )
                for name in (ENSEMBLE, *read)
                if name in numbers and np.isfinite(numbers[name][1][i])
            )
            known = bool(np.isfinite(numbers[ENSEMBLE][1][i])) and held[i] is not pd.NA
            settled = settling.get(asset_id, ensemble.persistence.n) >= ensemble.persistence.n
            condition = bool(held[i]) if known and settled else None
            beside = _deviations(today.iloc[at[i]]) if condition else {}
            verdicts[asset_id] = AnomalyVerdict(scores, condition, float(standing[i]) if settled else np.nan, beside)
        return scored, verdicts


def idle_days(panel: pd.DataFrame, asset_type: AssetType) -> pd.Series:
    """Whether each asset-day was spent out of operation, of a type that says what operation is."""
    if asset_type.operating is None or "exposure.hours" not in panel:
        return pd.Series(False, index=panel.index)
    return panel["exposure.hours"] == 0


def _standing(combined: pd.Series, ensemble: Ensemble) -> NDArray[np.float64]:
    """Return the health by the anomaly models on each day of a panel, NaN where it is frozen."""
    assert isinstance(combined.index, pd.MultiIndex)
    grid = Grid.of(combined.index)
    level = grid.gather(ensemble.persistence.standing(grid.spread(combined)))
    return health(level, ensemble.threshold)


def _deviations(row: pd.Series) -> dict[str, float]:
    """Return a day's known deviations by column."""
    known = row[[name for name in row.index if str(name).endswith((".own", ".peers"))]].dropna()
    return {str(name): float(value) for name, value in known.items()}


def _known_features(base: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return each asset's features of the day, those that are known."""
    names, values = list(base.columns), base.to_numpy(dtype=np.float64)
    known = np.isfinite(values)
    whole = known.all(axis=1)
    features = {}
    for i, (asset_id, row) in enumerate(zip(base.index.get_level_values(0).tolist(), values.tolist(), strict=True)):
        if whole[i]:
            features[asset_id] = dict(zip(names, row, strict=True))
        else:
            features[asset_id] = {names[j]: row[j] for j in np.flatnonzero(known[i])}
    return features


def _rows(panel: pd.DataFrame, asset_ids: Sequence[str], day: date) -> NDArray[np.intp]:
    """Return the places of some assets' rows of one day, all of which the panel holds."""
    return panel.index.get_indexer(panel_index(asset_ids, [np.datetime64(day, "D")] * len(asset_ids)))


def without_incomplete(panel: pd.DataFrame, min_completeness: float) -> pd.DataFrame:
    """Make unknown what was measured on days too incomplete to say what the day was like."""
    incomplete = panel["completeness"] < min_completeness
    if not incomplete.any():
        return panel
    measured = [c for c in panel.columns if c.rpartition(".")[2] in STATISTICS or c.startswith("exposure.")]
    return panel.assign(**{name: panel[name].mask(incomplete) for name in measured})


def _without_silent_zeros(panel: pd.DataFrame, min_completeness: float) -> pd.DataFrame:
    """Make unknown, on days too incomplete, the faults that were not seen: nobody was there to see them."""
    incomplete = panel["completeness"] < min_completeness
    if not incomplete.any():
        return panel
    unseen = [c for c in panel.columns if c == "faults.novel" or (c.startswith("faults.") and c.endswith("count"))]
    return panel.assign(**{name: panel[name].mask(incomplete & (panel[name] == 0)) for name in unseen})


def _no_measurements(signals: list[str]) -> pd.DataFrame:
    columns = {"asset_id": pd.Series(dtype="str"), "time": pd.Series(dtype="int64")}
    return pd.DataFrame(columns | {signal: pd.Series(dtype="float64") for signal in signals})
