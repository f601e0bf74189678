"""Settings to parts: the one place that knows which class stands behind which setting."""

from __future__ import annotations

import getpass
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from config.infer import infer
from config.installation import APPROVALS, Installation, load
from config.source import ConfigError, Problem
from diagnostics import approvals
from diagnostics.fan_out import ThisProcess, Workers, local_processes
from diagnostics.rules import RuleSet
from diagnostics.rules import load as load_rule_files
from fleetdx.data_folder import DataFolder
from fleetdx.failure import CannotGoOn
from telemetry.store import TelemetryStore

if TYPE_CHECKING:
    from alerts.connectors.connector import Connector
    from alerts.support.mail import Post

NO_CONNECTOR = "none"
_LONGEST_NAME = 150  # of Django's table


def read_installation(folder: Path) -> Installation:
    """Read a configuration folder, or infer one from a history folder that brings none.

    Raises:
        ConfigError: what is wrong with it.
        CannotGoOn: there is no such folder, or it is neither.
    """
    written = configuration_folder(folder)
    if written is not None:
        return load(written)
    if any(folder.glob("telemetry.*")) or any(folder.glob("faults.*")):
        return infer(folder)
    raise CannotGoOn(
        f"{folder} is no configuration folder (it has no sites.yaml) and no history folder (no telemetry.csv). "
        "Copy the sample config/rail to begin with, and name it with --config."
    )


def configuration_folder(folder: Path) -> Path | None:
    """Return where the configuration is written: ``folder``, or ``config`` in it; ``None``: it has to be inferred."""
    if (folder / "sites.yaml").is_file():
        return folder
    return folder / "config" if (folder / "config").is_dir() else None


def load_rules(installation: Installation) -> RuleSet:
    """Load and check the installation's expert rules; those that lack an approval run as review.

    Raises ``ConfigError``.
    """
    rules, settings = rules_as_written(installation), installation.settings.rules
    key = os.environ.get(settings.approval_key_env) or None
    records = approvals.read(approvals_file(installation))
    return rules.holding_back(approvals.lacking(rules, records, settings.min_precision, key))


def approvals_file(installation: Installation) -> Path:
    """Return where the approvals of an installation's rules stand."""
    return installation.folder / "rules" / APPROVALS


def rules_as_written(installation: Installation) -> RuleSet:
    """Load and check the installation's expert rules. Raises ``ConfigError``."""
    return load_rule_files(
        installation.rule_files,
        installation.register,
        installation.knowledge,
        installation.settings.models.detectors,
    )


def check_connector(installation: Installation) -> None:
    """Raise ``ConfigError`` where the settings name a ticket connector that does not exist."""
    from alerts.connectors.connector import Permanent, connector_class

    name = installation.settings.tickets.connector
    try:
        if name != NO_CONNECTOR:
            connector_class(name)
    except Permanent as error:
        raise ConfigError([Problem("settings.yaml", 0, f"tickets.connector: {error}")]) from None


def telemetry_store(installation: Installation, data: DataFolder) -> TelemetryStore:
    """Return the telemetry store that the settings choose, not opened. Raises ``CannotGoOn`` without its token."""
    settings = installation.settings.store
    # Each client library is imported only where it is chosen: they are slow to load.
    if settings.kind == "influxdb":
        from telemetry.influxdb import InfluxDBStore

        token = secret(settings.token_env, "the token of InfluxDB")
        return InfluxDBStore(settings.url, settings.org, settings.bucket, token, timeout_s=settings.timeout_s)
    if settings.kind == "memory":
        from telemetry.memory import MemoryStore

        return MemoryStore()
    from telemetry.duckdb import DuckDBStore

    return DuckDBStore(data.telemetry)


def workers(installation: Installation) -> Workers:
    """Return what scores groups of assets, as the settings choose; nothing is started.

    Raises ``CannotGoOn`` where the settings name a cluster and the extra that speaks to it is not installed.
    """
    processes, address = installation.settings.daily.processes, installation.settings.daily.cluster
    if address is not None:
        if find_spec("distributed") is None:
            raise CannotGoOn("settings.yaml, daily: cluster needs the extra: pip install 'fleetdx[cluster]'")
        from diagnostics.cluster import cluster

        return cluster(address, processes)
    return local_processes(processes) if processes > 1 else ThisProcess()


def ticket_connector(installation: Installation) -> Connector | None:
    """Return the ticket connector that the settings choose; ``None`` where they choose none.

    Raises:
        CannotGoOn: its secret is missing, or a setting that it needs, or there is no such connector.
    """
    from alerts.connectors.connector import Permanent, connector_class

    settings = installation.settings.tickets
    if settings.connector == NO_CONNECTOR:
        return None
    variable = settings.password_env or settings.secret_env
    value = secret(variable, f"the secret of connector {settings.connector}") if variable else ""
    try:
        return connector_class(settings.connector).from_settings(settings, value)
    except Permanent as error:
        raise CannotGoOn(f"settings.yaml, tickets: {error}") from None


def post(installation: Installation) -> Post | None:
    """Return the way out for letters; ``None`` where no mail server is set. Raises ``CannotGoOn`` without a secret."""
    from alerts.support.mail import MailServer

    settings = installation.settings.notify
    if settings.host is None:
        return None
    variable = settings.password_env
    return MailServer(settings, secret(variable, "the password of the mail server") if variable else "")


def secret(variable: str, what: str) -> str:
    """Return the secret that an environment variable holds. Raises ``CannotGoOn`` where it is not set."""
    value = os.environ.get(variable)
    if not value:
        raise CannotGoOn(f"{what} is missing: set the environment variable {variable}.")
    return value


def connect_relational(data: DataFolder) -> None:
    """Point Django at the data folder and bring its tables up to date."""
    point_django_at(data)
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def point_django_at(data: DataFolder) -> None:
    """Let Django work on the tables of the data folder as they are."""
    data.prepare()
    os.environ["FLEETDX_DATA_DIR"] = str(data.root.resolve())
    os.environ["FLEETDX_SECRET_KEY"] = data.secret_key()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    from django.db import connections

    django.setup()
    # Django reads its settings once; a second folder in the same process (a back-test after another) must not be
    # written into the first one's tables.
    database = connections.databases["default"]
    if database["NAME"] != data.relational:
        connections.close_all()
        database["NAME"] = data.relational


def disconnect_relational() -> None:
    """Close this thread's connections to the tables."""
    from django.db import connections

    connections.close_all()


def create_user(name: str, folder: Path, *, technical_support: bool | None = None) -> None:
    """Make a person who may log in, or give that person a new password; in technical support or not, where it is said.

    The password is asked for, or read from ``FLEETDX_PASSWORD``.

    Raises ``CannotGoOn`` where name or password will not do.
    """
    from fleetdx.terminal import say

    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise CannotGoOn(f"a name has 1 to {_LONGEST_NAME} characters")
    password = os.environ.get("FLEETDX_PASSWORD")
    if not password and not sys.stdin.isatty():
        raise CannotGoOn("there is no terminal to ask for the password on: set FLEETDX_PASSWORD")
    password = password or getpass.getpass(f"Password for {name}: ")
    connect_relational(DataFolder(folder))
    from django.contrib.auth import get_user_model
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    try:
        validate_password(password)
    except ValidationError as error:
        raise CannotGoOn(" ".join(error.messages)) from None
    set_password(name, password)
    if technical_support is not None:
        _put_into_support(name, technical_support)
    say(f"{name} can log in. Users so far: {get_user_model().objects.count()}")


def _put_into_support(name: str, belongs: bool) -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group

    from alerts.support.handover import TECHNICAL_SUPPORT

    groups = get_user_model().objects.get(username=name).groups
    group = Group.objects.get(name=TECHNICAL_SUPPORT)
    (groups.add if belongs else groups.remove)(group)


def set_password(name: str, password: str) -> None:
    """Make the user if there is none, and give it this password. Needs ``connect_relational``."""
    from django.contrib.auth import get_user_model

    user, _ = get_user_model().objects.get_or_create(username=name)
    user.set_password(password)
    user.save()
