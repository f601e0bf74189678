"""Fixtures that several rooms share."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from influx_server import Bucket, new_bucket, running_influxdb
from mosquitto_server import running_mosquitto

from fleetdx.servers.mosquitto import MosquittoServer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
# Tables are as wide as the terminal, and a test has none: not so narrow that what is looked for is cut off.
os.environ["COLUMNS"] = "200"
# Tests run side by side, a process for each core: threads that spin while they wait for each other take it all.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoServer]:
    """A real broker for all tests that leave it as it is; each keeps below its own ``topic_prefix``."""
    with running_mosquitto(tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture
def topic_prefix() -> str:
    """A prefix of topics that no other test uses; also fit as a client id."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def influxdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A real InfluxDB 2.x."""
    with running_influxdb(tmp_path_factory.mktemp("influxdb")) as server:
        yield server


@pytest.fixture
def influxdb(influxdb_server: Bucket) -> Iterator[Bucket]:
    """An empty bucket of a real InfluxDB 2.x."""
    with new_bucket(influxdb_server) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty relational tables in a file, to be copied: to migrate takes longer than most tests of them."""
    from fleetdx.data_folder import DataFolder
    from fleetdx.wiring import connect_relational, disconnect_relational

    data = DataFolder(tmp_path_factory.mktemp("tables"))
    connect_relational(data)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disconnect_relational()
    return data.relational
