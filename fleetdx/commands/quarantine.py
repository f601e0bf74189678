"""``fleetdx quarantine``: what was refused."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_CONFIG, DEFAULT_DATA, Config, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer(no_args_is_help=True, help="What was refused: look at it, replay it after mending why.")

Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of messages, as list shows them.")]
Reason = Annotated[str | None, typer.Option(help="Only messages refused for this reason, such as unknown-code.")]
OfAsset = Annotated[str | None, typer.Option("--asset", help="Only messages of this asset; '' for unknown ones.")]
OlderThan = Annotated[float | None, typer.Option(help="Only messages that came more than this many days ago.")]
All = Annotated[bool, typer.Option("--all", help="All messages in quarantine.")]


@app.command("list")
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


@app.command("show")
@stops_with_a_message
def quarantine_show(
    number: Annotated[int, typer.Argument(help="Number of the message, as list shows it.")],
    data: Data = DEFAULT_DATA,
    json: Json = False,
) -> None:
    """Show one message with its payload."""
    from fleetdx.quarantine import show

    raise typer.Exit(show(data, number, as_json=json))


@app.command("replay")
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


@app.command("purge")
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
