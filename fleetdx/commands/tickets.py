"""``fleetdx tickets``, ``outcomes`` and ``scorecard``: what went to the ticket system, and what came back."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_CONFIG, DEFAULT_DATA, Config, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer()
tickets = typer.Typer(no_args_is_help=True, help="The outbox of tickets: what waits, what was refused and why.")
app.add_typer(tickets, name="tickets")
outcomes = typer.Typer(no_args_is_help=True, help="What the workshop found, from elsewhere.")
app.add_typer(outcomes, name="outcomes")


class TicketStatus(StrEnum):
    """What became of a ticket's delivery, as an option."""

    PENDING = "pending"
    DEAD = "dead"
    DELIVERED = "delivered"
    HELD_BACK = "held_back"


@tickets.command("list")
@stops_with_a_message
def tickets_list(
    data: Data = DEFAULT_DATA,
    status: Annotated[
        TicketStatus | None, typer.Option(help="Only these; by default all that are not delivered.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 50,
    json: Json = False,
) -> None:
    """List tickets that wait or were refused, with the reason; also while the service runs."""
    from fleetdx.tickets import list_tickets

    list_tickets(data, status, limit=limit, as_json=json)


@tickets.command("retry")
@stops_with_a_message
def tickets_retry(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Keys of tickets.")] = None,
    data: Data = DEFAULT_DATA,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters.")] = False,
    json: Json = False,
) -> None:
    """Put dead letters back into the outbox, and what is held back by a won't fix; also while the service runs."""
    from fleetdx.tickets import retry

    raise typer.Exit(retry(data, keys or [], every_dead=dead, as_json=json))


@outcomes.command("import")
@stops_with_a_message
def outcomes_import(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, a finding a row, with the ticket's key.")],
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken, and take nothing.")] = False,
    json: Json = False,
) -> None:
    """Record what was found of cases that were closed elsewhere; twice is once. Also while the service runs."""
    from fleetdx.outcomes import import_outcomes

    raise typer.Exit(import_outcomes(file, config, data, dry_run=dry_run, as_json=json))


@app.command()
@stops_with_a_message
def scorecard(config: Config = DEFAULT_CONFIG, data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Say how each version of a rule or model did, and which are on probation; also while the service runs."""
    from fleetdx.scorecard import scorecard as show

    show(config, data, as_json=json)
