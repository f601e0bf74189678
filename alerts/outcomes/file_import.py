"""Outcomes from a file: each row is that of one ticket, checked as a signed request is, and taken once.

A row that was imported before, and what it said was corrected since, changes nothing when it is imported again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alerts.models import Outcome, Ticket
from alerts.outcomes.finding import BadFinding, Finding, checked
from alerts.outcomes.finding_file import Row
from alerts.outcomes.inbound import Reason, count_refusal
from alerts.outcomes.record import record_all, says, says_of
from config.knowledge import Knowledge
from config.settings import Settings

_AT_ONCE = 500
"""Rows of one transaction: the service beside us writes between two of them."""


@dataclass(slots=True)
class ImportReport:
    """What became of the rows, or would; ``problems`` says of each refused one its line, its field and why."""

    rows: int = 0
    new: int = 0
    known: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def take_rows(
    rows: Sequence[Row],
    settings: Settings,
    knowledge: Knowledge,
    now: datetime,
    *,
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> ImportReport:
    """Record what the rows say, in their order; refused ones are counted, the others are taken all the same.

    A dry run reports the same and writes nothing.
    """
    report, heard = ImportReport(), _Heard()
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        keys = {row.told.ticket for row in some if not isinstance(row.told, BadFinding)}
        tickets = {one.key: one for one in Ticket.objects.select_related("alert").filter(key__in=keys)}
        heard.learn({ticket.alert_id for ticket in tickets.values()})
        news: list[tuple[int, Finding]] = []
        for row in some:
            report.rows += 1
            reason: Reason = "malformed"
            try:
                if isinstance(row.told, BadFinding):
                    raise row.told
                ticket = tickets.get(row.told.ticket)
                if ticket is None:
                    reason = "unknown-ticket"
                    raise BadFinding("ticket", f"there is no ticket {row.told.ticket!r}")
                finding = checked(row.told, knowledge, now, ticket.alert.first_day)
            except BadFinding as error:
                report.refused[reason] += 1
                report.problems.append(f"line {row.line}: {error}")
                continue
            if heard.is_new(ticket.alert_id, finding):
                news.append((ticket.alert_id, finding))
                report.new += 1
            else:
                report.known += 1
        if not dry_run:
            record_all(news, Outcome.Source.IMPORT, settings, now)
        progress(report.rows, len(rows))
    if not dry_run:
        for why, times in report.refused.items():
            count_refusal(why, now, times)
    return report


class _Heard:
    """What stands of alerts, and what imports ever said of them, these rows included."""

    def __init__(self) -> None:
        self._stands: dict[int, dict[str, Any]] = {}
        self._imported: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._known: set[int] = set()

    def learn(self, alerts: Iterable[int]) -> None:
        """Read what the tables hold of alerts that are not known yet."""
        unknown = set(alerts) - self._known
        self._known |= unknown
        for outcome in Outcome.objects.filter(alert__in=unknown).order_by("pk"):
            if outcome.superseded_at is None:
                self._stands[outcome.alert_id] = says(outcome)
            if outcome.source == Outcome.Source.IMPORT:
                self._imported[outcome.alert_id].append(says(outcome))

    def is_new(self, alert: int, finding: Finding) -> bool:
        """Whether a finding is to be recorded; from then on it is known."""
        said = says_of(finding)
        if self._stands.get(alert) == said or said in self._imported[alert]:
            return False
        self._stands[alert] = said
        self._imported[alert].append(said)
        return True
