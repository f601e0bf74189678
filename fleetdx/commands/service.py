"""Commands of an installation: check it, run it, look at it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_CONFIG, DEFAULT_DATA, Config, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer()


@app.command("check-config")
@stops_with_a_message
def check_config(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Read a configuration folder with its rules and say everything that is wrong with it."""
    from fleetdx.check import check_config as check

    raise typer.Exit(check(config, as_json=json))


@app.command()
@stops_with_a_message
def run(config: Config = DEFAULT_CONFIG, data: Data = DEFAULT_DATA) -> None:
    """Do everything in one process: ingest, score each closed day, open tickets, serve the console."""
    from fleetdx.run import run as start

    start(config, data)


@app.command()
@stops_with_a_message
def ingest(
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    idle_exit: Annotated[float | None, typer.Option(help="Stop after this many seconds without a message.")] = None,
    json: Json = False,
) -> None:
    """Take what gateways publish into the store, and nothing else."""
    from fleetdx.run import ingest as start

    start(config, data, idle_exit=idle_exit, as_json=json)


@app.command()
@stops_with_a_message
def score(
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    until: Annotated[datetime | None, typer.Option(help="Act as if it were this instant (UTC).")] = None,
    json: Json = False,
) -> None:
    """Score every closed day that is due, raise alerts, deliver tickets; then end."""
    from fleetdx.run import score as start

    start(config, data, until=until, as_json=json)


@app.command()
@stops_with_a_message
def status(
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    every: Annotated[bool, typer.Option("--all", help="Show every asset, not only those that want a look.")] = False,
    json: Json = False,
) -> None:
    """Say what ingest did so far and how each asset's link is; also while the service runs."""
    from fleetdx.status import status as show

    show(config, data, as_json=json, every=every)


@app.command("create-user")
@stops_with_a_message
def create_user(
    name: Annotated[str, typer.Argument(help="Name to log in with.")],
    data: Data = DEFAULT_DATA,
    technical_support: Annotated[
        bool | None,
        typer.Option(
            "--technical-support/--no-technical-support", help="May confirm cases and pass them on to the factory."
        ),
    ] = None,
) -> None:
    """Let a person log in to the console; asks for the password (or reads FLEETDX_PASSWORD)."""
    from fleetdx.wiring import create_user as create

    create(name, data, technical_support=technical_support)


@app.command("broker-config")
@stops_with_a_message
def broker_config(
    out: Annotated[Path, typer.Option(help="Folder for the broker's configuration, for this account alone.")],
    config: Config = DEFAULT_CONFIG,
    host: Annotated[str, typer.Option(help="Name or address under which gateways reach the broker.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of TLS.")] = 8883,
    address: Annotated[str, typer.Option(help="Address that the broker listens on.")] = "0.0.0.0",  # noqa: S104
    demo_ca: Annotated[bool, typer.Option("--demo-ca", help="Make a CA and a certificate, to try it out.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificate of your CA (PEM).")] = None,
    cert: Annotated[Path | None, typer.Option(help="The broker's certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="The broker's private key (PEM).")] = None,
    client_certificates: Annotated[
        bool, typer.Option("--client-certificates", help="Users show certificates, not passwords.")
    ] = False,
    client_ca: Annotated[Path | None, typer.Option(help="CA of these (PEM), if it is not the broker's.")] = None,
    crl: Annotated[Path | None, typer.Option(help="Client certificates that are revoked (CRL, PEM).")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Give every user a new password or certificate.")] = False,
    node: Annotated[
        list[str] | None, typer.Option(help="A gateway that is no asset itself, such as a Sparkplug edge node.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a mosquitto configuration: TLS, a password or certificate for each asset, each may publish its own."""
    from fleetdx.broker_config import ClientCertificates
    from fleetdx.broker_config import broker_config as write
    from fleetdx.demo_certificates import Certificates
    from fleetdx.failure import CannotGoOn

    if (client_ca or crl) and not client_certificates:
        raise CannotGoOn("--client-ca and --crl are for --client-certificates")

    if ca and cert and key:
        given = Certificates(ca, cert, key)
    elif ca or cert or key:
        raise CannotGoOn("--ca, --cert and --key go together")
    else:
        given = None
    write(
        config,
        out,
        host=host,
        port=port,
        address=address,
        given=given,
        demo_ca=demo_ca,
        clients=ClientCertificates(client_ca, crl) if client_certificates else None,
        rotate=rotate,
        nodes=node or [],
        as_json=json,
    )
