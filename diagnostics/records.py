"""What the daily cycle produces for one asset and one operating day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, NamedTuple

from config.register import Severity, Text


class AssetDay(NamedTuple):
    """One asset on one operating day of its site: the unit of all daily work."""

    asset_id: str
    day: date


@dataclass(frozen=True, slots=True)
class FaultLogEntry:
    """One fault code on one asset-day.

    ``duration`` is the time the fault stood within the day, in seconds, and ``None`` where it never said that
    it cleared nor stood over midnight. ``new``: not seen on this asset in the look-back; ``recurring``: on
    at least two other days of it. Times are ns since the epoch (UTC).
    """

    code: str
    severity: Severity
    count: int
    first: int
    last: int
    duration: float | None
    new: bool
    recurring: bool
    context: Mapping[str, float] = field(default_factory=dict)
    """Freeze frame of the last event that brought one."""


@dataclass(frozen=True, slots=True)
class DailyFaultLog:
    """The daily report of one asset: what stood in its fault memory, over how much operation, how well known."""

    asset_id: str
    day: date
    entries: tuple[FaultLogEntry, ...]
    exposure_hours: float | None
    exposure_distance: float | None
    completeness: float
    """Share of the expected samples that arrived, 0 to 1; 1 where the type expects none."""


@dataclass(frozen=True, slots=True)
class AnomalyScore:
    """One detector's view of one asset-day.

    ``score`` and ``threshold`` are in the detector's own scale; ``level`` is calibrated, 0 to 1: the share of
    healthy training days that scored lower. ``contributions`` are the largest, first first, with the value of
    the feature (sigmas for ``.own`` and ``.peers``) and its share of the score (0 to 1).
    """

    asset_id: str
    day: date
    detector: str
    version: str
    score: float
    threshold: float
    level: float
    contributions: tuple[Contribution, ...] = ()

    @property
    def anomalous(self) -> bool:
        """Whether the score is above its threshold."""
        return self.score > self.threshold


class Contribution(NamedTuple):
    """A feature's part in a score."""

    feature: str
    value: float
    share: float


class Evidence(NamedTuple):
    """One number that made a rule or model speak, beside what is normal for this asset (NaN: not known)."""

    feature: str
    value: float
    normal: float


class Candidate(NamedTuple):
    """A cause, a repair or a part by its code: how probable it is (0 to 1), and in how many cases it was."""

    code: str
    probability: float
    cases: int


class Expected(NamedTuple):
    """When a failure is expected, if it comes, in days from the moment from which the urgency counts: most likely
    ``days``, nine times of ten from ``low`` to ``high``.
    """

    low: float
    days: float
    high: float


class RankedMode(NamedTuple):
    """A failure mode among all that come into question: probability within the horizon, cases, and who spoke of it.

    ``voices``: ``rule``, ``failure`` (the failure model), ``casebase``.
    """

    failure_mode: str
    probability: float
    cases: int
    voices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is believed to be wrong with one asset, who says so, and by when to act.

    ``condition`` is three-valued as the rule is: True holds, False no longer holds, None not known that day.
    Only True raises; only False clears; None does neither.
    """

    asset_id: str
    day: date
    failure_mode: str
    source: str
    """``rule:<name>@<version>`` or ``model:<name>@<version>``."""
    condition: bool | None
    severity: Severity
    act_within_hours: float
    known_at: datetime
    """End of the operating day (aware UTC): the moment from which the urgency counts."""
    text: Text
    ticket: Literal["auto", "review"] = "review"
    iso14224: str = ""
    probability: float | None = None
    expected: Expected | None = None
    """When the failure is expected, where that is known and the condition holds."""
    advise: tuple[str, ...] = ()
    """References into the knowledge base, in order: ``procedure:APU-017``, ``part:DRY-4711``."""
    suppresses: tuple[str, ...] = ()
    """Failure modes that this diagnosis explains, so that they raise nothing of their own."""
    evidence: tuple[Evidence, ...] = ()
    ranking: tuple[RankedMode, ...] = ()
    """Failure modes that come into question, the most probable first, this one among them; where it holds."""
    causes: tuple[Candidate, ...] = ()
    repairs: tuple[Candidate, ...] = ()
    parts: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class DayOutcome:
    """All that one pass of the daily cycle knows about one asset-day; written as one transaction.

    ``arrivals_revision`` is the revision of the day's arrivals that was read (see ``ingest.accounting``): when
    more arrives, the day is scored again and this number tells.
    """

    log: DailyFaultLog
    arrivals_revision: int
    features: Mapping[str, float]
    """The day's own features (no look-back in them); unknown ones are absent."""
    scores: tuple[AnomalyScore, ...]
    diagnoses: tuple[Diagnosis, ...]
    model_version: str
    """Empty where no model was active."""
    rules_version: str
    health: Mapping[str, float] = field(default_factory=dict)
    """0 to 100 of each failure mode of which anything is known that day (see ``diagnostics.condition``)."""
