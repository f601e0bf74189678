"""The ledger of a back-test: as the service's, with a reviewer who takes note of every alert on its first day."""

from __future__ import annotations

from collections.abc import Sequence

from alerts import review
from alerts.ledger import DjangoLedger
from alerts.models import Alert
from diagnostics.records import DayOutcome


class BacktestLedger(DjangoLedger):
    """Without somebody who acknowledges, an alert would stay open for ever and never become a second ticket."""

    def record(self, outcomes: Sequence[DayOutcome]) -> None:
        """Write the outcomes, then let the reviewer acknowledge."""
        super().record(outcomes)
        known_at = max((d.known_at for outcome in outcomes for d in outcome.diagnoses), default=None)
        waiting = Alert.objects.filter(state__in=(Alert.State.UNACKNOWLEDGED, Alert.State.RETURNED))
        for alert_id in waiting.values_list("pk", flat=True):
            review.acknowledge(alert_id, None, known_at)
