"""``fleetdx tickets list | retry``: what the outbox holds, and what stopped put back into it by whoever decides so."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fleetdx.data_folder import DataFolder
from fleetdx.failure import NO, CannotGoOn
from fleetdx.terminal import console, harmless, print_json, say
from fleetdx.wiring import connect_relational, disconnect_relational

if TYPE_CHECKING:
    from alerts.models import Ticket


@contextmanager
def tables_of(data: Path) -> Iterator[None]:
    """Open the tables below a data folder, also while the service works on them.

    Raises ``CannotGoOn`` where there are none.
    """
    folder = DataFolder(data)
    if not folder.relational.is_file():
        raise CannotGoOn(f"{data} holds no tickets; name the data folder with --data")
    connect_relational(folder)
    try:
        yield
    finally:
        disconnect_relational()


def list_tickets(data: Path, status: str | None, *, limit: int, as_json: bool) -> None:
    """Show tickets of one status, or all that are not delivered: dead ones first, newest first."""
    with tables_of(data):
        from alerts.models import Ticket

        counts = {str(one): Ticket.objects.filter(status=one).count() for one in Ticket.Status}
        undelivered = Ticket.objects.exclude(status=Ticket.Status.DELIVERED)
        chosen = Ticket.objects.filter(status=status) if status else undelivered
        total, held = chosen.count(), list(chosen.order_by("status", "-id")[:limit])
    if as_json:
        print_json(counts | {"total": total, "tickets": [_as_dict(one) for one in held]})
        return
    table = Table("key", "status", "wanted (UTC)", "attempts", "next attempt (UTC)", "filed as", "what went wrong last")
    for one in held:
        next_attempt = _time(one.next_attempt_at) or "at once"
        cells = (
            one.key, one.status, _time(one.created_at), str(one.attempts),
            next_attempt if one.status == "pending" else "", one.url or one.external_key, one.last_error[:200],
        )  # fmt: skip
        table.add_row(*(Text(harmless(cell)) for cell in cells))
    if held:
        console.print(table)
    if total > len(held):
        say(f"{len(held):,} of {total:,} are shown; --limit shows more.")
    say(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) + ".")


def retry(data: Path, keys: Sequence[str], *, every_dead: bool, as_json: bool) -> int:
    """Put dead letters back, due at once and as if never tried; return the exit code: 1 if a key is none's.

    One that is held back, because people will not fix it, becomes due by whoever asks. One that waits anyway is left
    alone: a deliverer may be at work on it.
    """
    if every_dead == bool(keys):
        raise CannotGoOn("say which: the keys of dead letters, as list shows them; or --dead for all of them")
    reasons = []
    with tables_of(data):
        from alerts.models import Ticket

        dead = Ticket.objects.filter(status=Ticket.Status.DEAD)
        if every_dead:
            back = _put_back(list(dead.values_list("key", flat=True)))
        else:
            known = dict(Ticket.objects.filter(key__in=keys).values_list("key", "status"))
            back = _put_back([key for key in dict.fromkeys(keys) if known.get(key) == "dead"])
            back += _end_wont_fix([key for key in dict.fromkeys(keys) if known.get(key) == "held_back"])
            reasons = [
                f"{key} is {known[key]}, neither dead nor held back" if key in known else f"there is no ticket {key}"
                for key in dict.fromkeys(keys)
                if known.get(key) not in ("dead", "held_back")
            ]
    if as_json:
        print_json({"put_back": back, "reasons": reasons})
    else:
        for reason in reasons:
            say(f"  {reason}")
        say(f"{len(back):,} tickets are due again.")
    return NO if reasons else 0


def _put_back(keys: Sequence[str]) -> list[str]:
    """Make these dead letters due; return the keys of those that still were dead. Why each died stays readable."""
    from alerts.models import Ticket

    return [
        key
        for key in keys
        if Ticket.objects.filter(key=key, status=Ticket.Status.DEAD).update(
            status=Ticket.Status.PENDING, attempts=0, next_attempt_at=None
        )
    ]


def _end_wont_fix(keys: Sequence[str]) -> list[str]:
    """Let these be filed all the same; return the keys of those that still were held back."""
    from alerts.models import Ticket
    from alerts.tickets.continuation import end_wont_fix

    who, now = getpass.getuser(), datetime.now(UTC)
    held_back = Ticket.objects.select_related("alert").filter(key__in=keys)
    return [ticket.key for ticket in held_back if end_wont_fix(ticket, who, "fleetdx tickets retry", now)]


def _as_dict(one: Ticket) -> dict[str, object]:
    return {
        "key": one.key,
        "status": one.status,
        "wanted": one.created_at.astimezone(UTC).isoformat(),
        "attempts": one.attempts,
        "next_attempt": one.next_attempt_at and one.next_attempt_at.astimezone(UTC).isoformat(),
        "last_error": one.last_error,
        "connector": one.connector,
        "external_key": one.external_key,
        "url": one.url,
    }


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(" ", "seconds").removesuffix("+00:00") if at else ""
