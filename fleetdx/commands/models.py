"""``fleetdx models``: versions of what was learned."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetdx.commands.options import DEFAULT_DATA, Data, Json
from fleetdx.failure import stops_with_a_message

app = typer.Typer(no_args_is_help=True, help="What was learned: versions, which one speaks, and changing that.")

By = Annotated[str, typer.Option(help="Who decides, for the journal.")]
Why = Annotated[str, typer.Option(help="Why, for the journal.")]


@app.command("list")
@stops_with_a_message
def models_list(data: Data = DEFAULT_DATA, json: Json = False) -> None:
    """Show every version: active, candidate, what it learned from, and whether its files are as they were saved."""
    from fleetdx.model_versions import list_models

    list_models(data, as_json=json)


@app.command("show")
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


@app.command("activate")
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


@app.command("rollback")
@stops_with_a_message
def models_rollback(
    asset_type: Annotated[str, typer.Argument(help="Asset type.")], by: By, why: Why, data: Data = DEFAULT_DATA
) -> None:
    """Let the version speak that was active before the present one."""
    from fleetdx.model_versions import roll_back

    roll_back(data, asset_type, by=by, why=why)
