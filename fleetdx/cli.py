"""The command line: each group of commands is a file of ``fleetdx.commands``.

Exit codes: 0 done; 1 the answer is no (a rule test failed, a configuration is wrong); 2 wrong usage;
3 something outside is missing or refuses (broker, store, port, file).
"""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from fleetdx.commands import demo, history, models, quarantine, rules, service, tickets

app = typer.Typer(
    name="fleetdx",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Telemetry in, service tickets out.\n\nTry it: [bold]fleetdx demo[/bold]. "
    "On your own data: [bold]fleetdx backtest DIR[/bold]. For real: write a configuration folder, "
    "[bold]fleetdx check-config[/bold] it, then [bold]fleetdx run[/bold].",
)
for group in (demo, service, history):
    app.add_typer(group.app)
app.add_typer(rules.app, name="rules")
app.add_typer(models.app, name="models")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(tickets.app)


@app.callback()
def _global(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what happens.")] = False,
) -> None:
    from fleetdx.terminal import log_to_person

    log_to_person(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Entry point of the console script."""
    app()
