"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="Configuration folder, or a history folder to infer one from.", envvar="FLEETDX_CONFIG"
    ),
]
Data = Annotated[
    Path, typer.Option("--data", "-d", help="Folder of everything the program keeps.", envvar="FLEETDX_DATA_DIR")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on standard output.")]
DEFAULT_CONFIG = Path("config")
DEFAULT_DATA = Path("fleetdx-data")
