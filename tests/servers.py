"""Finding real servers for tests: what is missing skips and says so, or fails where it is required."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest


def required(server: str) -> bool:
    """Whether ``FLEETDX_REQUIRE`` lists a server."""
    return server in os.environ.get("FLEETDX_REQUIRE", "").split(",")


def missing(server: str, hint: str) -> NoReturn:
    """Skip the running test for want of ``server``; fail it where ``FLEETDX_REQUIRE`` lists that server."""
    message = f"needs {server}: {hint}"
    if required(server):
        pytest.fail(message)
    pytest.skip(message)


def dataset(name: str) -> Path:
    """Return the folder of a public data set, or skip: the data is never part of the project."""
    root = Path(os.environ.get("FLEETDX_DATASETS", Path(__file__).parents[2] / "shared" / "datasets"))
    if not (root / name).is_dir():
        missing(f"dataset-{name}", f"no folder {root / name}; set FLEETDX_DATASETS")
    return root / name
