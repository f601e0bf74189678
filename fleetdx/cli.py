"""The command line. Each command reads its options here and hands over; heavy imports wait until they are needed.

Exit codes: 0 done; 1 the answer is no (a rule test failed, a configuration is wrong); 2 wrong usage;
3 something outside is missing or refuses (broker, store, port, file).
"""

from __future__ import annotations

import logging
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fleetdx.failure import stops_with_a_message

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
rules_app = typer.Typer(
    no_args_is_help=True, help="Expert rules, without any server: check, test, try on a history, activate."
)
app.add_typer(rules_app, name="rules")
probation_app = typer.Typer(no_args_is_help=True, help="Versions of rules and models that were wrong too often.")
rules_app.add_typer(probation_app, name="probation")
quarantine_app = typer.Typer(no_args_is_help=True, help="What was refused: look at it, replay it after mending why.")
app.add_typer(quarantine_app, name="quarantine")
models_app = typer.Typer(no_args_is_help=True, help="What was learned: versions, which one speaks, and changing that.")
app.add_typer(models_app, name="models")
tickets_app = typer.Typer(no_args_is_help=True, help="The outbox of tickets: what waits, what was refused and why.")
app.add_typer(tickets_app, name="tickets")
outcomes_app = typer.Typer(no_args_is_help=True, help="What the workshop found, from elsewhere.")
app.add_typer(outcomes_app, name="outcomes")

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="Configuration folder, or a history folder to infer one from.", envvar="FLEETDX_CONFIG"
    ),
]
Data = Annotated[
    Path, typer.Option("--data", "-d", help="Folder of everything the program keeps.", envvar="FLEETDX_DATA_DIR")
]
Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of messages, as list shows them.")]
Reason = Annotated[str | None, typer.Option(help="Only messages refused for this reason, such as unknown-code.")]
OfAsset = Annotated[str | None, typer.Option("--asset", help="Only messages of this asset; '' for unknown ones.")]
OlderThan = Annotated[float | None, typer.Option(help="Only messages that came more than this many days ago.")]
All = Annotated[bool, typer.Option("--all", help="All messages in quarantine.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")]
DEFAULT_CONFIG = Path("config")
DEFAULT_DATA = Path("fleetdx-data")


class TicketStatus(StrEnum):
    """What became of a ticket's delivery, as an option."""

    PENDING = "pending"
    DEAD = "dead"
    DELIVERED = "delivered"
    HELD_BACK = "held_back"


@app.callback()
def _global(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what happens.")] = False,
) -> None:
    from fleetdx.terminal import log_to_person

    log_to_person(logging.INFO if verbose else logging.WARNING)


@app.command("check-config")
@stops_with_a_message
def check_config(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Read a configuration folder with its rules and say everything that is wrong with it."""
    from fleetdx.check import check_config as check

    raise typer.Exit(check(config, as_json=json))


@rules_app.command("check")
@stops_with_a_message
def rules_check(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Check every rule's names, types and texts."""
    from fleetdx.check import check_rules

    raise typer.Exit(check_rules(config, as_json=json))


@rules_app.command("test")
@stops_with_a_message
def rules_test(
    config: Annotated[Path, typer.Argument(help="Configuration folder.")] = DEFAULT_CONFIG, json: Json = False
) -> None:
    """Run the test cases that stand beside the rules."""
    from fleetdx.check import test_rules

    raise typer.Exit(test_rules(config, as_json=json))


@rules_app.command("backtest")
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


@rules_app.command("activate")
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


@probation_app.command("end")
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


By = Annotated[str, typer.Option(help="Who decides, for the journal.")]
Why = Annotated[str, typer.Option(help="Why, for the journal.")]


@models_app.command("list")
@stops_with_a_message
def models_list(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Show every version: active, candidate, what it learned from, and whether its files are as they were saved."""
    from fleetdx.model_versions import list_models

    list_models(data, as_json=json)


@models_app.command("show")
@stops_with_a_message
def models_show(
    asset_type: Annotated[str, typer.Argument(help="Asset type.")],
    version: Annotated[str, typer.Argument(help="Version, as list shows it.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Show one version: training span, data hash, libraries, metrics, and when it was active."""
    from fleetdx.model_versions import show_model

    show_model(data, asset_type, version, as_json=json)


@models_app.command("activate")
@stops_with_a_message
def models_activate(
    asset_type: Annotated[str, typer.Argument(help="Asset type.")],
    version: Annotated[str, typer.Argument(help="Version, as list shows it.")],
    by: By,
    why: Why,
    data: Data = DEFAULT_DATA,
) -> None:
    """Let a version speak from the next scored day on; also while the service runs."""
    from fleetdx.model_versions import activate_model

    activate_model(data, asset_type, version, by=by, why=why)


@models_app.command("rollback")
@stops_with_a_message
def models_rollback(
    asset_type: Annotated[str, typer.Argument(help="Asset type.")], by: By, why: Why, data: Data = DEFAULT_DATA
) -> None:
    """Let the version speak that was active before the present one."""
    from fleetdx.model_versions import roll_back

    roll_back(data, asset_type, by=by, why=why)


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


@quarantine_app.command("list")
@stops_with_a_message
def quarantine_list(
    data: Data = DEFAULT_DATA,
    reason: Reason = None,
    asset: OfAsset = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show, the newest.")] = 20,
    json: Json = False,
) -> None:
    """List what is in quarantine, newest first; also while the service runs."""
    from fleetdx.quarantine import list_quarantined
    from ingest.quarantine import Selection

    list_quarantined(data, Selection(reason=reason, asset_id=asset), limit=limit, as_json=json)


@quarantine_app.command("show")
@stops_with_a_message
def quarantine_show(
    number: Annotated[int, typer.Argument(help="Number of the message, as list shows it.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Show one message with its payload."""
    from fleetdx.quarantine import show

    raise typer.Exit(show(data, number, as_json=json))


@quarantine_app.command("replay")
@stops_with_a_message
def quarantine_replay(
    ids: Ids = None,
    config: Config = DEFAULT_CONFIG,
    data: Data = DEFAULT_DATA,
    reason: Reason = None,
    asset: OfAsset = None,
    older_than: OlderThan = None,
    everything: All = False,
    json: Json = False,
) -> None:
    """Take messages in again after the configuration was mended; each counts once. The service must not run."""
    from fleetdx.quarantine import replay as start
    from fleetdx.quarantine import selection_of

    selection = selection_of(ids, reason, asset, older_than, everything=everything)
    raise typer.Exit(start(config, data, selection, as_json=json))


@quarantine_app.command("purge")
@stops_with_a_message
def quarantine_purge(
    ids: Ids = None,
    data: Data = DEFAULT_DATA,
    reason: Reason = None,
    asset: OfAsset = None,
    older_than: OlderThan = None,
    everything: All = False,
    json: Json = False,
) -> None:
    """Remove messages from quarantine for good; they are counted as dropped."""
    from fleetdx.quarantine import purge, selection_of

    purge(data, selection_of(ids, reason, asset, older_than, everything=everything), as_json=json)


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


@tickets_app.command("list")
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


@tickets_app.command("retry")
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


@outcomes_app.command("import")
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


def main() -> None:
    """Entry point of the console script."""
    app()
