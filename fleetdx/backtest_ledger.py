"""The ledger of a back-test: as the service's, with a reviewer who takes note of every alert on its first day."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

import pandas as pd
from django.db import transaction

from alerts.ledger import DjangoLedger
from alerts.lifecycle import review
from alerts.models import Alert
from config.operating_day import NS
from diagnostics.records import DayOutcome, Expected


class BacktestLedger(DjangoLedger):
    """Without somebody who acknowledges, an alert would stay open for ever and never become a second ticket.

    While it is ``learning`` nothing is raised: no ticket of those days counts.
    """

    learning = False

    def __init__(self) -> None:
        super().__init__()
        self.expected: dict[tuple[str, str, int], Expected] = {}
        """When a failure was expected, by asset, failure mode and the end of the day (ns) on which it was said."""

    @transaction.atomic
    def record(self, outcomes: Sequence[DayOutcome]) -> None:
        """Write the outcomes and what follows from them, then let the reviewer acknowledge."""
        self._keep(outcomes)
        if self.learning:
            return
        self._raise(outcomes)
        for outcome in outcomes:
            for said in outcome.diagnoses:
                if said.expected is not None:
                    end = int(said.known_at.timestamp()) * NS
                    self.expected[said.asset_id, said.failure_mode, end] = said.expected
        known_at = max((d.known_at for outcome in outcomes for d in outcome.diagnoses), default=None)
        waiting = Alert.objects.filter(state__in=(Alert.State.UNACKNOWLEDGED, Alert.State.RETURNED))
        for alert_id in waiting.values_list("pk", flat=True):
            review.acknowledge(alert_id, None, known_at)

    def columns(self, asset_ids: Collection[str], first: date, last: date, names: Sequence[str]) -> pd.DataFrame:
        """Return some columns of ``history``, NaN where there is none of that name."""
        return self.history(asset_ids, first, last).reindex(columns=list(names))
