"""What the models that learned from failures foresee of a stretch's days: the failure model, and the case base."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd

from config.knowledge import Knowledge
from config.operating_day import day_bounds
from config.register import Register
from config.settings import Settings
from diagnostics.active_model import ActiveModel
from diagnostics.case_view import CaseView, case_views, priors
from diagnostics.day_rows import day_rows
from diagnostics.forecast import Forecast, forecasts
from diagnostics.ledger import Ledger
from diagnostics.scoring import without_incomplete
from diagnostics.stretch import Begun
from models.failure_panel import RECENT_DAYS


class Outlook:
    """Reads for all days of a stretch at once what either model needs, and asks them day by day.

    Of a day they see what was known by then alone. ``for_readers``: whether anybody reads what only explains.
    """

    def __init__(
        self,
        begun: Begun,
        derived: pd.DataFrame,
        register: Register,
        knowledge: Knowledge,
        settings: Settings,
        ledger: Ledger,
        *,
        for_readers: bool,
    ) -> None:
        self._model, self._knowledge, self._settings = begun.model, knowledge, settings
        self._derived, self._for_readers = derived, for_readers
        self._inputs, self._cases = None, None
        if begun.model is not None:
            self._inputs = _failure_inputs(begun.model, begun, derived, register, settings, ledger)
            self._cases = _case_inputs(begun.model, begun, derived, knowledge, ledger, for_readers)

    def forecasts(
        self,
        asset_ids: Sequence[str],
        day: date,
        end: int,
        settling: Mapping[str, int],
        heeded: Collection[tuple[str, str]] | None,
    ) -> dict[str, Forecast]:
        """Return what the failure model foresees, if there is one, on a day that ends at ``end`` (ns)."""
        model, inputs = self._model, self._inputs
        if model is None or model.learned.failure is None or inputs is None:
            return {}
        return forecasts(
            model.learned.failure,
            model.version,
            inputs.iloc[day_rows(inputs.index, asset_ids, day)],
            day,
            end,
            settling,
            self._settings.models,
            self._knowledge,
            explained=self._for_readers,
            heeded=heeded,
        )

    def by_cases(
        self, asset_ids: Sequence[str], day: date, end: int, settling: Mapping[str, int]
    ) -> dict[str, CaseView]:
        """Return what the case base says, if there is one; the failure model decides of the modes that it knows."""
        model, cases = self._model, self._cases
        if model is None or model.learned.casebase is None or cases is None:
            return {}
        failure = model.learned.failure
        return case_views(
            model.learned.casebase,
            model.version,
            cases,
            self._derived,
            list(asset_ids),
            day,
            end,
            settling,
            failure.modes if failure is not None else (),
            self._settings.models,
            self._knowledge,
        )


def _failure_inputs(
    model: ActiveModel, begun: Begun, derived: pd.DataFrame, register: Register, settings: Settings, ledger: Ledger
) -> pd.DataFrame | None:
    """Return what the failure model reads of the stretch's asset-days, if there is one."""
    if model.learned.failure is None:
        return None
    panel, rows = begun.weeks.panel, begun.base.index
    asset_ids = list(rows.get_level_values(0).unique())
    since = rows.get_level_values(1).min() - np.timedelta64(RECENT_DAYS, "D")
    recent = panel[panel.index.get_level_values(1) > since]
    return model.learned.failure.inputs(
        without_incomplete(recent, settings.daily.min_completeness),
        derived.iloc[derived.index.get_indexer(rows)],
        ledger.field_records(asset_ids, _end(begun))["maintenance"],
        dict.fromkeys(asset_ids, begun.site.zone),
        register.attributes(asset_ids),
    )


def _case_inputs(
    model: ActiveModel, begun: Begun, derived: pd.DataFrame, knowledge: Knowledge, ledger: Ledger, for_readers: bool
) -> pd.DataFrame | None:
    """Return the symptoms of the rows of ``derived``, if there is a case base; a row sees no later record.

    Without readers a base that decides of no mode is not asked.
    """
    if model.learned.casebase is None:
        return None
    failure = model.learned.failure
    decided = failure.modes.keys() if failure is not None else frozenset()
    if not for_readers and model.learned.casebase.thresholds().keys() <= decided:
        return None
    assets = list(derived.index.get_level_values(0).unique())
    records = ledger.field_records(assets, _end(begun))
    events = pd.concat([records[kind][["asset_id", "time"]] for kind in ("failures", "maintenance")])
    expected = priors(knowledge, list(derived.columns))
    return model.learned.casebase.inputs(derived, events, expected, dict.fromkeys(assets, begun.site.zone))


def _end(begun: Begun) -> int:
    """Return the last instant (ns) of the stretch."""
    return day_bounds(begun.site.zone, max(begun.due))[1] - 1
