"""``fleetdx rules``: check, test, try on a history, activate; and probation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_CONFIG, DEFAULT_DATA, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer(
    no_args_is_help=True, help="Expert rules, without any server: check, test, try on a history, activate."
)
probation = typer.Typer(no_args_is_help=True, help="Versions of rules and models that were wrong too often.")
app.add_typer(probation, name="probation")


@app.command("check")
@stops_with_a_message
def rules_check(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Check every rule's names, types and texts."""
    from fleetdx.check import check_rules

    raise typer.Exit(check_rules(config, as_json=json))


@app.command("test")
@stops_with_a_message
def rules_test(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Run the test cases that stand beside the rules."""
    from fleetdx.check import test_rules

    raise typer.Exit(test_rules(config, as_json=json))


@app.command("backtest")
@stops_with_a_message
def rules_backtest(
    history: Annotated[Path, typer.Argument(help="History folder.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration folder; that of the history if absent.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Configuration folder of the version that is active now.")
    ] = None,
    horizon: Annotated[float, typer.Option(help="A ticket is right if the failure comes within this many days.")] = 7.0,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the walk.")] = None,
    json: Json = False,
) -> None:
    """Walk through a history: what each rule would have raised, what it was worth, what a new version changes."""
    from fleetdx.rules_backtest import rules_backtest as start

    start(
        history,
        config,
        against,
        horizon_days=horizon,
        until=until.date() if until else None,
        as_json=json,
    )


@app.command("activate")
@stops_with_a_message
def rules_activate(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")],
    history: Annotated[Path, typer.Option(help="History folder that the rules have to prove themselves on.")],
    override_by: Annotated[str | None, typer.Option(help="Who answers for rules below the bar.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why they are activated all the same.")] = None,
    horizon: Annotated[float, typer.Option(help="A ticket is right if the failure comes within this many days.")] = 7.0,
    json: Json = False,
) -> None:
    """Let rules open tickets by themselves that pass check, tests and the precision of rules.min_precision."""
    from fleetdx.activation import activate

    code = activate(config, history, override_by=override_by, reason=reason, horizon_days=horizon, as_json=json)
    raise typer.Exit(code)


@probation.command("end")
@stops_with_a_message
def probation_end(
    rule: Annotated[str, typer.Argument(help="Version as scorecard shows it (rule:NAME@VERSION), or a rule's name.")],
    by: Annotated[str, typer.Option(help="Who decides; it stands on the score card.")],
    reason: Annotated[str, typer.Option(help="Why; it stands there too.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Let a version that is on probation open tickets by itself again; also while the service runs."""
    from fleetdx.probation import end_probation

    raise typer.Exit(end_probation(rule, data, by=by, reason=reason, as_json=json))
