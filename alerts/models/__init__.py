"""The relational tables; Django looks for them here, and so does everybody else."""

from __future__ import annotations

from alerts.models.alert import Alert, AlertDay, AlertGroup
from alerts.models.asset_days import AssetDayRun, Score
from alerts.models.decision import Handover, Hold
from alerts.models.notice import Mailbox, Notice
from alerts.models.outcome import FieldRecord, Outcome, Polled, Refusal, SeenSignature
from alerts.models.speaker import Probation, Speaker
from alerts.models.ticket import Ticket

__all__ = [
    "Alert",
    "AlertDay",
    "AlertGroup",
    "AssetDayRun",
    "FieldRecord",
    "Handover",
    "Hold",
    "Mailbox",
    "Notice",
    "Outcome",
    "Polled",
    "Probation",
    "Refusal",
    "Score",
    "SeenSignature",
    "Speaker",
    "Ticket",
]
