"""Outcomes that people left in the ticket system: its closed tickets are asked for their verdicts.

What the system calls the fields and the verdicts is a setting. A ticket counts once its system says that it is closed,
and again when what it says of the outcome changed; what a person corrected here meanwhile stays.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from alerts.connectors.connector import Connector, ConnectorError, FiledTicket, Standing, TellsChanges
from alerts.models import Outcome, Polled, Ticket
from alerts.outcomes.finding import BadFinding, checked, converted
from alerts.outcomes.inbound import count_refusal
from alerts.outcomes.record import record, says, says_of
from config.knowledge import Knowledge
from config.settings import TRACKER_FIELDS, Outcomes, Settings

log = logging.getLogger(__name__)

_YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_BEGINNING = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class PollReport:
    """What one round of asking brought, in tickets."""

    changed: int = 0
    recorded: int = 0
    refused: int = 0


def poll(connector: Connector, settings: Settings, knowledge: Knowledge, now: datetime) -> PollReport:
    """Record the verdicts of all tickets that changed since the last time; where the system is away, the next time."""
    report = PollReport()
    if not isinstance(connector, TellsChanges):
        return report
    known = Polled.objects.filter(connector=connector.name).first()
    since = newest = known.until if known is not None else _BEGINNING
    try:
        for filed in connector.changed(since):
            report.changed += 1
            at = filed.changed_at or newest
            try:
                report.recorded += _take(connector.name, filed, settings, knowledge, now)
            except BadFinding as error:
                if known is None or at > since:  # the last one that was seen comes once more
                    log.warning("What ticket %s says of its outcome cannot be taken: %s", filed.external_key, error)
                    count_refusal("refused-by-poll", now)
                    report.refused += 1
            newest = max(newest, at)
    except ConnectorError as error:
        log.warning("The ticket system cannot be asked what became of tickets: %s", error)
    if known is None or newest > since:
        Polled.objects.update_or_create(connector=connector.name, defaults={"until": newest})
    return report


def _take(connector: str, filed: FiledTicket, settings: Settings, knowledge: Knowledge, now: datetime) -> bool:
    """Record what one ticket says, if it says something new. Raises ``BadFinding``."""
    fields = said_in(filed, settings.outcomes)
    if filed.standing is Standing.OPEN or not fields:
        return False
    # One ticket may be that of several episodes, where it was opened again: what it says is of the last.
    mine = Ticket.objects.filter(connector=connector, external_key=filed.external_key)
    ticket = (mine.order_by("-pk").first() or Ticket.objects.filter(key=filed.key).first()) if filed.key else None
    if ticket is None:
        return False
    finding = checked(converted(fields | {"at": filed.changed_at or now}), knowledge, now, ticket.alert.first_day)
    before = Outcome.objects.filter(alert=ticket.alert, source=Outcome.Source.POLL).order_by("-pk").first()
    if before is not None and _timeless(says(before)) == _timeless(says_of(finding)):
        return False
    return record(ticket.alert_id, finding, Outcome.Source.POLL, settings, now)


def said_in(filed: FiledTicket, settings: Outcomes) -> dict[str, object]:
    """Return the fields of an outcome that a ticket holds; none where it holds no verdict.

    Raises ``BadFinding`` where its verdict is no word that the settings know.
    """
    held = {_plain(name): text.strip() for name, text in filed.fields.items()} | {"status": filed.status}
    found: dict[str, object] = {}
    for name in TRACKER_FIELDS:
        text = held.get(_plain(settings.fields.get(name, name)), "")
        if text:
            found[name] = (
                [part.strip() for part in re.split(r"[;\n]", text) if part.strip()] if name == "parts" else text
            )
    if "verdict" not in found:
        return {}
    words: Mapping[str, str] = {_plain(word): verdict for word, verdict in settings.verdicts.items()}
    word = _plain(str(found["verdict"]))
    if word not in words:
        if _plain(settings.fields.get("verdict", "verdict")) == "status":
            return {}  # a status that says nothing of what was found
        raise BadFinding("verdict", f"{str(found['verdict'])[:60]!r} is none of outcomes.verdicts")
    if "whole_group" in found:
        said = _plain(str(found["whole_group"]))
        if said not in _YES_OR_NO:
            raise BadFinding("whole_group", f"{said[:60]!r} is neither yes nor no")
        found["whole_group"] = _YES_OR_NO[said]
    return found | {"verdict": words[word]}


def _plain(word: str) -> str:
    """Return a name as it is compared: without regard to case, blanks and underscores being one."""
    return " ".join(word.replace("_", " ").split()).casefold()


def _timeless(said: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in said.items() if name not in ("at", "by")}
