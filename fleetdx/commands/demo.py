"""``fleetdx demo``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.commands.options import Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer()


@app.command()
@stops_with_a_message
def demo(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Folder of the demo's state; the same folder goes on where it was.")
    ] = Path("fleetdx-demo"),
    once: Annotated[bool, typer.Option("--once", help="End after the tickets instead of serving the console.")] = False,
    json: Json = False,
    start: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First simulated day; by default the history ends yesterday."),
    ] = None,
    days: Annotated[int, typer.Option(min=32, max=120, help="Simulated days of history.")] = 49,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 1,
    port: Annotated[int, typer.Option(help="Port of the console on this machine; 0 takes a free one.")] = 8080,
    store: Annotated[str, typer.Option(help="Store: duckdb, or influxdb with the four options below.")] = "duckdb",
    influx_url: Annotated[
        str, typer.Option(help="Address of InfluxDB.", envvar="INFLUXDB_V2_URL")
    ] = "http://127.0.0.1:8086",
    influx_org: Annotated[str, typer.Option(help="Its organisation.", envvar="INFLUXDB_V2_ORG")] = "fleetdx",
    influx_bucket: Annotated[
        str, typer.Option(help="A bucket for this demo alone.", envvar="INFLUXDB_V2_BUCKET")
    ] = "fleetdx-demo",
    influx_token: Annotated[
        str, typer.Option(help="A token that may read and write that bucket.", envvar="INFLUXDB_V2_TOKEN")
    ] = "",
) -> None:
    """Show the whole way on a simulated fleet: broker, gateways, daily scores, tickets, console."""
    from fleetdx.demo import Demo, StoreChoice

    choice = StoreChoice(store, influx_url, influx_org, influx_bucket, influx_token)
    Demo(data, choice, start=start.date() if start else None, days=days, seed=seed).run(
        once=once, as_json=json, port=port
    )
