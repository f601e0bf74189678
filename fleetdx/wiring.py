"""Settings to parts: the one place that knows which class stands behind which setting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.rules import RuleSet
from diagnostics.rules import load as load_rule_files

from config.infer import infer
from config.installation import Installation, load
from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from telemetry.store import TelemetryStore

if TYPE_CHECKING:
    pass


def read_installation(folder: Path) -> Installation:
    """Read a configuration folder, or infer one from a history folder that brings none.

    Raises:
        ConfigError: what is wrong with it.
        CannotGoOn: there is no such folder, or it is neither.
    """
    if (folder / "sites.yaml").is_file():
        return load(folder)
    if (folder / "config").is_dir():
        return load(folder / "config")
    if any(folder.glob("telemetry.*")) or any(folder.glob("faults.*")):
        return infer(folder)
    raise CannotGoOn(
        f"{folder} is no configuration folder (it has no sites.yaml) and no history folder (no telemetry.csv). "
        "Copy the sample config/rail to begin with, and name it with --config."
    )


def load_rules(installation: Installation) -> RuleSet:
    """Load and check the installation's expert rules. Raises ``ConfigError``."""
    return load_rule_files(
        installation.rule_files,
        installation.register,
        installation.knowledge,
        installation.settings.models.detectors,
    )


def open_telemetry(installation: Installation, data: DataFolder) -> TelemetryStore:
    """Return the telemetry store that the settings choose, opened.

    Raises:
        CannotGoOn: its token is missing.
        StoreError: it can't be reached or refuses.
    """
    settings = installation.settings.store
    store: TelemetryStore
    # Each client library is imported only where it is chosen: they are slow to load.
    if settings.kind == "influxdb":
        from telemetry.influxdb import InfluxDBStore

        token = secret(settings.token_env, "the token of InfluxDB")
        store = InfluxDBStore(settings.url, settings.org, settings.bucket, token, timeout_s=settings.timeout_s)
    elif settings.kind == "memory":
        from telemetry.memory import MemoryStore

        store = MemoryStore()
    else:
        from telemetry.duckdb import DuckDBStore

        store = DuckDBStore(data.telemetry)
    store.open()
    return store


def secret(variable: str, what: str) -> str:
    """Return the secret that an environment variable holds. Raises ``CannotGoOn`` where it is not set."""
    value = os.environ.get(variable)
    if not value:
        raise CannotGoOn(f"{what} is missing: set the environment variable {variable}.")
    return value


def connect_relational(data: DataFolder, *, hosts: str | None = None) -> None:
    """Point Django at the data folder and bring its tables up to date."""
    os.environ["FLEETDX_DATA_DIR"] = str(data.root)
    os.environ["FLEETDX_SECRET_KEY"] = data.secret_key()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    if hosts:
        os.environ["FLEETDX_HOSTS"] = hosts
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
