"""What keeps an alert from becoming ready work, after ISA-18.2: shelved, out of service, suppressed by design. Pure.

None of them touches the life of the alert: it is observed and counted as ever, and nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["shelved", "out-of-service"]
Withheld = Literal["out-of-service", "shelved", "by design"]


@dataclass(frozen=True, slots=True)
class Hold:
    """A person's decision on an asset, or on one failure mode of it (``failure_mode`` empty: on all of them).

    It begins at ``since`` and ends at ``until``, or before, at ``ended_at``, when somebody ends it. A shelf always has
    an ``until``: nothing is forgotten on it.
    """

    kind: Kind
    failure_mode: str
    since: datetime
    until: datetime | None
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.until is None and self.kind == "shelved":
            raise ValueError("a shelf has an end")
        if self.until is not None and self.until <= self.since:
            raise ValueError("it ends before it begins")

    def over(self, at: datetime) -> bool:
        """Whether it has come to its end, by itself or by somebody."""
        return self.ended_at is not None or (self.until is not None and at >= self.until)

    def covers(self, failure_mode: str, at: datetime) -> bool:
        """Whether alerts of a failure mode are left alone by it at an instant.

        What happened before it began and is told only now is left alone too: the decision was made knowing it.
        """
        return not self.over(at) and self.failure_mode in ("", failure_mode)


def withheld(failure_mode: str, holds: Iterable[Hold], suppressed_by: str, at: datetime) -> Withheld | None:
    """Return the strongest of what keeps an alert back at an instant: what a person decided before what a rule says."""
    kinds = {hold.kind for hold in holds if hold.covers(failure_mode, at)}
    if "out-of-service" in kinds:
        return "out-of-service"
    if "shelved" in kinds:
        return "shelved"
    return "by design" if suppressed_by else None
