"""Tables of their own for each test, a real ticket system, and a proxy that fails as networks do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import pytest
from faulty_proxy import FaultyProxy
from redmine_server import running_redmine
from roundup_server import running_roundup
from rt_server import running_rt
from ticket_connectors import built
from ticket_people import CLOSED, People, people_before

from alerts.connectors.connector import Connector
from fleetdx.data_folder import DataFolder
from fleetdx.servers.redmine import RedmineServer
from fleetdx.servers.roundup import RoundupServer
from fleetdx.servers.rt import RtServer
from fleetdx.wiring import disconnect_relational, point_django_at

django.setup()  # before a test module imports the tables; which file holds them is said by the fixture below


@pytest.fixture
def tables(migrated: Path, tmp_path: Path) -> Iterator[DataFolder]:
    """The relational tables, empty, in a folder of this test's own; other threads and processes may use them too."""
    data = DataFolder(tmp_path / "data")
    data.prepare()
    shutil.copy(migrated, data.relational)
    point_django_at(data)
    yield data
    disconnect_relational()


@pytest.fixture(scope="session")
def roundup() -> Iterator[RoundupServer]:
    """A real Roundup; each test files under keys of its own."""
    with running_roundup() as server:
        yield server


@pytest.fixture(scope="session")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtServer]:
    """A real Request Tracker; each test files under keys of its own."""
    with running_rt(tmp_path_factory.mktemp("rt")) as server:
        yield server


@pytest.fixture(scope="session")
def redmine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedmineServer]:
    """A real Redmine; each test files under keys of its own."""
    with running_redmine(tmp_path_factory.mktemp("redmine")) as server:
        yield server


@pytest.fixture(params=sorted(CLOSED))
def name(request: pytest.FixtureRequest) -> str:
    """Each connector whose real server can run here, and before which people sit."""
    return str(request.param)


@pytest.fixture
def server(name: str, request: pytest.FixtureRequest) -> Any:
    """The server of the connector ``name``."""
    return request.getfixturevalue(name)


@pytest.fixture
def people(name: str, server: Any) -> Iterator[People]:
    """Those before that server."""
    with closing(people_before(name, server)) as before:
        yield before


@pytest.fixture
def connector(name: str, server: Any) -> Iterator[Connector]:
    """A connector to that server."""
    with closing(built(name, server.port, timeout_s=30)) as made:
        yield made


@pytest.fixture
def asset() -> str:
    """An asset that no other test knows: servers are shared."""
    return uuid4().hex


@pytest.fixture
def proxy(roundup: RoundupServer) -> Iterator[FaultyProxy]:
    """Roundup behind a proxy that can be told to fail."""
    with FaultyProxy(roundup.port) as running:
        yield running
