"""Commands that read a history folder, or a file of faults."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_CONFIG, DEFAULT_DATA, Config, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer()


@app.command("import")
@stops_with_a_message
def import_(
    history: Annotated[Path, typer.Argument(help="History folder (assets.csv, telemetry.csv, faults.csv ...).")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration folder; inferred if absent.")
    ] = None,
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Store a history folder, without a broker. Doing it twice stores nothing twice."""
    from fleetdx.history import import_history

    import_history(history, config, data, as_json=json)


@app.command("import-aemp")
@stops_with_a_message
def import_aemp(
    file: Annotated[Path, typer.Argument(help="XML of the Faults time series of a telematics portal (ISO 15143-3).")],
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    asset: Annotated[str | None, typer.Option(help="Whose fault codes these are, where the file does not say.")] = None,
    json: Json = False,
) -> None:
    """Store fault codes from a telematics portal's file. Doing it twice stores nothing twice."""
    from fleetdx.history import import_aemp as start

    start(file, config, data, asset_id=asset, as_json=json)


@app.command()
@stops_with_a_message
def replay(
    history: Annotated[Path, typer.Argument(help="History folder.")],
    host: Annotated[str, typer.Option(help="Broker.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Broker's port.")] = 1883,
    prefix: Annotated[str, typer.Option(help="First part of every topic.")] = "fleet",
    speed: Annotated[
        float | None, typer.Option(help="Times faster than it happened; as fast as possible if absent.")
    ] = None,
    json: Json = False,
) -> None:
    """Publish a history folder through a broker, as its gateways would have."""
    from fleetdx.history import replay_history

    replay_history(history, host=host, port=port, prefix=prefix, speed=speed, as_json=json)


@app.command()
@stops_with_a_message
def backtest(
    history: Annotated[Path, typer.Argument(help="History folder.")],
    train_until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Last day that is learned from before tickets count; by default two thirds of the history.",
        ),
    ] = None,
    horizon: Annotated[
        float | None,
        typer.Option(
            min=0.04,
            max=365,
            help="A ticket is right if the failure comes within this many days; by default as the models look ahead.",
        ),
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the walk.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Configuration folder; inferred if absent.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report with plots to this HTML file.")] = None,
    refit_days: Annotated[
        int | None,
        typer.Option(min=0, help="Days after which a candidate is fitted, as models.refit_days; 0: never."),
    ] = None,
    cost_missed: Annotated[float, typer.Option(min=0, help="What a failure without a true ticket costs.")] = 10.0,
    cost_false: Annotated[float, typer.Option(min=0, help="What a ticket without a failure costs.")] = 1.0,
    cost_early: Annotated[
        float, typer.Option(min=0, help="What a ticket more than the horizon too early costs.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """Walk through a history day by day, learning only from the past, and report by failure and ticket."""
    from fleetdx.backtest_command import Choices, backtest_history
    from models.evaluation import Costs

    choices = Choices(
        train_until=train_until.date() if train_until else None,
        horizon_days=horizon,
        until=until.date() if until else None,
        refit_days=refit_days,
        costs=Costs(cost_missed, cost_false, cost_early),
    )
    backtest_history(history, config, choices, report=report, as_json=json)
