"""Fits the model of an asset type from what the ledger knows by a day, never later."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from config.knowledge import ANOMALY
from config.operating_day import day_bounds
from config.register import AssetType, Register
from config.settings import Settings
from diagnostics.active_model import ActiveModel
from diagnostics.ledger import Ledger
from diagnostics.raw_days import idle_days
from diagnostics.scoring import without_incomplete
from diagnostics.shadow import shadow_objection
from models.candidate import Candidate, candidate_of, dismiss, hold, nominate
from models.casebase import CaseBase
from models.derive import derived_panel
from models.drift import drift
from models.ensemble import Ensemble, further_columns
from models.failure import FailureModel
from models.features import copies
from models.labels import learnable_days
from models.persistence import Persistence
from models.registry import Registry, data_hash
from models.renewals import Renewals
from models.type_model import TypeModel

log = logging.getLogger(__name__)
_LONG_AGO = date(1970, 1, 2)
_DAY = timedelta(days=1)
MAX_ASSET_DAYS = 400_000
"""Asset-days that a model learns from at most: more take memory and time, and teach it little."""


class Trainer:
    """Gives each asset type its active model, fitting the first one as soon as there is enough to learn from."""

    def __init__(self, register: Register, settings: Settings, ledger: Ledger, registry: Registry) -> None:
        self._register, self._settings, self._ledger, self._registry = register, settings, ledger, registry
        self._active: dict[str, ActiveModel] = {}
        self._days_known: dict[str, set[date]] = {}

    def model(self, asset_type: AssetType, day: date, now: datetime) -> ActiveModel | None:
        """Return the model to score ``day`` with: the active one, or one fitted now on the days before.

        After ``models.refit_days`` a candidate is fitted; it scores in the active one's shadow until it is trusted.
        """
        settings = self._settings.models
        if not settings.enabled or (not asset_type.signals and not asset_type.faults):
            return None
        known = self._current(asset_type)
        if known is None:
            # Only days before this one count: which site's day was done first makes no difference.
            before = sum(1 for seen in self._seen(asset_type) if seen < day)
            return self.fit(asset_type, day - _DAY, now) if before >= settings.min_training_days else None
        return self._renewed(asset_type, known, day, now) if settings.refit_days else known

    def unchanged_until(self, asset_type: AssetType, day: date) -> date:
        """Return the last day, from ``day`` on, that is surely scored by what ``model`` returned for ``day``."""
        settings = self._settings.models
        active = self._registry.active(asset_type.id) if settings.enabled else None
        if not settings.enabled:
            return date.max
        if active is None:
            return day + max(0, settings.min_training_days - len(self._seen(asset_type)) - 1) * _DAY
        if not settings.refit_days:
            return date.max
        candidate = candidate_of(self._registry, asset_type.id)
        newest = self._registry.describe(asset_type.id, active.name if candidate is None else candidate.version)
        if day <= newest.training_last:
            return newest.training_last  # late data of a day that it learned from: see ``_renewed``
        looks = max(newest.training_last, self._activated(asset_type)) + settings.refit_days * _DAY
        if candidate is not None and not candidate.held:
            looks = min(looks, candidate.since + (settings.shadow_days - 1) * _DAY)
        return max(day, looks)

    def _current(self, asset_type: AssetType) -> ActiveModel | None:
        """Return the active model; a person may have activated another one since the last day."""
        version = self._registry.active(asset_type.id)
        if version is None:
            return None
        known = self._active.get(asset_type.id)
        if known is None or known.version != version.name:
            known = ActiveModel(self._registry.load(asset_type.id, version.name), version.name)
            self._active[asset_type.id] = known
        return known

    def _renewed(self, asset_type: AssetType, active: ActiveModel, day: date, now: datetime) -> ActiveModel:
        """Return the active model with its candidate, or the candidate where it has become the active one."""
        settings, registry = self._settings.models, self._registry
        candidate = candidate_of(registry, asset_type.id)
        if candidate is not None and candidate.version == active.version:
            dismiss(registry, asset_type.id)  # a person activated it
            candidate = None
        newest = registry.describe(asset_type.id, active.version if candidate is None else candidate.version)
        if day <= newest.training_last:
            return replace(active, candidate=None)  # late data of a day that it learned from
        if (day - max(newest.training_last, self._activated(asset_type))).days > settings.refit_days:
            candidate = self._nominated(asset_type, active, day, now) or candidate
        if candidate is None:
            return active
        if not candidate.held and (day - candidate.since).days >= settings.shadow_days:
            why = self._objection(asset_type, active, candidate, day)
            if not why:
                why = f"refit; {settings.shadow_days} days in shadow"
                registry.activate(asset_type.id, candidate.version, now=now, why=why)
                dismiss(registry, asset_type.id)
                log.info("%s: model %s is active from %s on", asset_type.id, candidate.version, day)
                return self._current(asset_type) or active
            candidate = hold(registry, asset_type.id, candidate, why)
            log.warning("%s: candidate %s waits for a person: %s", asset_type.id, candidate.version, why)
        if active.candidate is None or active.candidate.version != candidate.version:
            learned = registry.load(asset_type.id, candidate.version)
            active = replace(active, candidate=ActiveModel(learned, candidate.version))
            self._active[asset_type.id] = active
        return active

    def _activated(self, asset_type: AssetType) -> date:
        """Return when somebody last chose the active version: a choice stands as long as a fresh model does."""
        chosen = self._registry.activations(asset_type.id)
        return chosen[-1].at.date() if chosen else date.min

    def _nominated(self, asset_type: AssetType, active: ActiveModel, day: date, now: datetime) -> Candidate | None:
        """Fit a candidate on the days before ``day``; data that is no longer of the same kind is left to a person."""
        fitted = self._fitted(asset_type, day - _DAY, now)
        if fitted is None:
            return None
        version, base = fitted
        last = np.datetime64(self._registry.describe(asset_type.id, active.version).training_last, "D")
        days = base.index.get_level_values(1).to_numpy().astype("datetime64[D]")
        candidate = Candidate(version, day, drift(base[days <= last], base[days > last]).objection())
        nominate(self._registry, asset_type.id, candidate)
        log.info("%s: candidate %s scores in the shadow of %s", asset_type.id, version, active.version)
        if candidate.held:
            log.warning("%s: candidate %s waits for a person: %s", asset_type.id, version, candidate.held)
        return candidate

    def _objection(self, asset_type: AssetType, active: ActiveModel, candidate: Candidate, day: date) -> str:
        """Return why a candidate is not to be trusted after its days in shadow; empty where it is."""
        history = self._ledger.history(self._assets(asset_type), candidate.since, day - _DAY)
        learned = self._registry.load(asset_type.id, candidate.version)
        return shadow_objection(history, active, ActiveModel(learned, candidate.version), self._settings.models)

    def saw(self, asset_type: AssetType, day: date, completeness: Sequence[float]) -> None:
        """Note a recorded day; it counts for training if any asset's was complete enough."""
        if any(share >= self._settings.daily.min_completeness for share in completeness):
            self._seen(asset_type).add(day)

    def fit(self, asset_type: AssetType, last: date, now: datetime) -> ActiveModel | None:
        """Fit on all recorded days up to ``last``, register and activate; ``None`` where too little is known."""
        fitted = self._fitted(asset_type, last, now)
        if fitted is None:
            return None
        self._registry.activate(asset_type.id, fitted[0], now=now, why="first fit")
        return self._current(asset_type)

    def _fitted(self, asset_type: AssetType, last: date, now: datetime) -> tuple[str, pd.DataFrame] | None:
        """Fit on all recorded days up to ``last`` and register; return the version, and what it learned from."""
        settings = self._settings.models
        assets = self._learned_from(asset_type)
        base = self._ledger.history(assets, _LONG_AGO, last)
        if base.empty:
            log.warning("No model for %s yet: no asset-day is recorded up to %s", asset_type.id, last)
            return None
        base = base[[name for name in base.columns if not name.startswith("score.")]]
        groups = pd.Series({asset_id: self._register.assets[asset_id].site for asset_id in assets})
        until = max(day_bounds(site.zone, last)[1] for site in self._register.sites.values())
        records, sound = self._ledger.field_records(assets, until), self._ledger.sound_days(assets, until)
        assert isinstance(base.index, pd.MultiIndex)
        zones = {asset_id: self._register.site_of(asset_id).zone for asset_id in assets}
        healthy = learnable_days(
            base.index,
            records["failures"],
            records["maintenance"],
            zones=zones,
            sound=sound,
        )
        healthy &= ~idle_days(base, asset_type)
        known = without_incomplete(base.drop(columns=copies(base)), self._settings.daily.min_completeness)
        derived = derived_panel(
            known,
            groups,
            further=further_columns(settings.detectors),
            renewals=Renewals.of(asset_type, records["maintenance"], zones),
        )
        try:
            ensemble = Ensemble.fit(
                derived,
                healthy,
                detectors=settings.detectors,
                false_tickets_per_100_asset_days=settings.false_tickets_per_100_asset_days,
                persistence=Persistence.parse(settings.persistence),
                seed=settings.seed,
                min_completeness=self._settings.daily.min_completeness,
            )
        except ValueError as error:
            log.warning("No model for %s yet: %s", asset_type.id, error)
            return None
        learned = TypeModel(
            ensemble,
            self._failure_model(known, derived, records, sound, zones) if "failure" in settings.learn else None,
            self._casebase(derived, records, zones) if "casebase" in settings.learn else None,
        )
        days = base.index.get_level_values(1)
        version = self._registry.save(
            asset_type.id,
            learned,
            training_first=_date(days.min()),
            training_last=_date(days.max()),
            data_hash=data_hash(base),
            metrics={"asset_days": float(len(base)), "healthy_asset_days": float(np.sum(healthy))},
            now=now,
        )
        return version, base

    def _failure_model(
        self,
        base: pd.DataFrame,
        derived: pd.DataFrame,
        records: Mapping[str, pd.DataFrame],
        sound: pd.DataFrame,
        zones: Mapping[str, ZoneInfo],
    ) -> FailureModel | None:
        """Learn from the failures that the field reported; ``None`` where they are too few."""
        settings, failures = self._settings.models, records["failures"]
        try:
            return FailureModel.fit(
                base,
                derived,
                records["maintenance"],
                failures[failures["what"] != ANOMALY.code],  # confirmed, and nobody said what it was
                sound=sound,
                horizon_days=settings.horizon_days,
                false_tickets_per_100_asset_days=settings.false_tickets_per_100_asset_days,
                min_probability=settings.min_probability,
                min_completeness=self._settings.daily.min_completeness,
                zones=zones,
                attributes=self._register.attributes(zones),
                seed=settings.seed,
            )
        except ValueError as error:
            log.info("No failure model yet: %s", error)
            return None

    def _casebase(
        self, derived: pd.DataFrame, records: Mapping[str, pd.DataFrame], zones: Mapping[str, ZoneInfo]
    ) -> CaseBase | None:
        """Count patterns and cases; without failures it still learns what is quiet."""
        settings = self._settings.models
        try:
            return CaseBase.fit(
                derived,
                records["maintenance"],
                records["failures"],
                records.get("outcomes"),
                horizon_days=settings.horizon_days,
                false_tickets_per_100_asset_days=settings.false_tickets_per_100_asset_days,
                min_probability=settings.min_probability,
                min_completeness=self._settings.daily.min_completeness,
                zones=zones,
            )
        except ValueError as error:
            log.info("No case base yet: %s", error)
            return None

    def _learned_from(self, asset_type: AssetType) -> list[str]:
        """Return the assets whose days are learned from: all, or of a large fleet as many, drawn once, as fit."""
        assets = self._assets(asset_type)
        days = len(self._days_known.get(asset_type.id, ()))
        if len(assets) * days <= MAX_ASSET_DAYS:
            return assets
        drawn = np.random.default_rng(self._settings.models.seed).permutation(len(assets))
        return sorted(assets[place] for place in drawn[: max(1, MAX_ASSET_DAYS // days)])

    def _assets(self, asset_type: AssetType) -> list[str]:
        return sorted(a.id for a in self._register.assets.values() if a.asset_type == asset_type.id)

    def _seen(self, asset_type: AssetType) -> set[date]:
        """Return the days that count for training; those that were recorded before this process began are recalled."""
        if asset_type.id not in self._days_known:
            history = self._ledger.history(self._assets(asset_type), _LONG_AGO, date.max)
            self._days_known[asset_type.id] = set()
            if "completeness" in history:
                known = history[history["completeness"] >= self._settings.daily.min_completeness]
                self._days_known[asset_type.id] = {_date(at) for at in known.index.get_level_values(1).unique()}
        return self._days_known[asset_type.id]


def _date(at: pd.Timestamp) -> date:
    return date(at.year, at.month, at.day)
