"""A real InfluxDB 2.x for tests: the server that the environment names, or an ``influxd`` of this machine."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from servers import missing

from fleetdx.servers.process import ServerProcess, free_port

_ORG, _TOKEN = "fleetdx", "token-on-loopback"


class Bucket(NamedTuple):
    """An empty bucket of a running server, and a token that may read and write it."""

    url: str
    org: str
    name: str
    token: str


class Token(NamedTuple):
    """A token that a test made: what the server calls it, and its text."""

    id: str
    text: str


@contextmanager
def running_influxdb(folder: Path) -> Iterator[Bucket]:
    """Give a server as the bucket that it was set up with; skip the test where there is none.

    ``INFLUXDB_V2_URL``, ``_ORG`` and ``_TOKEN`` name a server; the token must be allowed to make buckets.
    """
    url = os.environ.get("INFLUXDB_V2_URL")
    if url:
        yield Bucket(url.rstrip("/"), os.environ["INFLUXDB_V2_ORG"], "", os.environ["INFLUXDB_V2_TOKEN"])
        return
    server, bucket = server_process(folder)
    try:
        yield bucket
    finally:
        server.stop()


def server_process(folder: Path) -> tuple[ServerProcess, Bucket]:
    """Start an ``influxd`` of this machine; the caller stops it. Skips the test where there is none."""
    program = shutil.which("influxd")
    if program is None:
        missing("influxd", "put InfluxDB 2.x on PATH, or name a server by INFLUXDB_V2_URL, _ORG and _TOKEN")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = ServerProcess("influxd", _command(program, folder, port), folder, port)
    server.start(within=60)
    bucket = Bucket(f"http://127.0.0.1:{port}", _ORG, "first", _TOKEN)
    try:
        _set_up(bucket)
    except BaseException:
        server.stop()
        raise
    return server, bucket


@contextmanager
def new_bucket(server: Bucket) -> Iterator[Bucket]:
    """Make a bucket of a new name, and remove it in the end."""
    organisations = _call(server, "GET", "/api/v2/orgs", params={"org": server.org})["orgs"]
    name = f"test-{uuid.uuid4().hex}"
    made = _call(server, "POST", "/api/v2/buckets", json={"orgID": organisations[0]["id"], "name": name})
    try:
        yield server._replace(name=name)
    finally:
        _call(server, "DELETE", f"/api/v2/buckets/{made['id']}")


def new_token(bucket: Bucket, *actions: str) -> Token:
    """Return a new token that may do ``actions`` (read, write) in this bucket and nothing else."""
    found = _call(bucket, "GET", "/api/v2/buckets", params={"org": bucket.org, "name": bucket.name})["buckets"][0]
    resource = {"type": "buckets", "id": found["id"], "orgID": found["orgID"]}
    permissions = [{"action": action, "resource": resource} for action in actions]
    made = _call(bucket, "POST", "/api/v2/authorizations", json={"orgID": found["orgID"], "permissions": permissions})
    return Token(made["id"], made["token"])


def revoke_token(bucket: Bucket, token: Token) -> None:
    """Take a token's rights away."""
    _call(bucket, "DELETE", f"/api/v2/authorizations/{token.id}")


def _command(program: str, folder: Path, port: int) -> list[str]:
    return [
        program, "--reporting-disabled", "--http-bind-address", f"127.0.0.1:{port}", "--log-level", "error",
        "--bolt-path", str(folder / "bolt"), "--engine-path", str(folder / "engine"),
        "--sqlite-path", str(folder / "sqlite"),
    ]  # fmt: skip


def _set_up(bucket: Bucket) -> None:
    body = {
        "username": "tests", "password": "password-on-loopback",
        "org": bucket.org, "bucket": bucket.name, "token": bucket.token,
    }  # fmt: skip
    end = time.monotonic() + 20
    while True:
        answer = httpx.post(f"{bucket.url}/api/v2/setup", json=body, timeout=20)
        if answer.is_success:
            return
        if answer.status_code < 500 or time.monotonic() > end:  # it listens a moment before it is ready
            answer.raise_for_status()
        time.sleep(0.1)


def _call(bucket: Bucket, method: str, path: str, **content: Any) -> Any:
    headers = {"Authorization": f"Token {bucket.token}"}
    answer = httpx.request(method, bucket.url + path, headers=headers, timeout=30, **content)
    answer.raise_for_status()
    return answer.json() if answer.content else None
