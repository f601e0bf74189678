"""Crashes and outages of everything that a message passes: lost 0, counted twice 0, and the store has all of it.

Real processes: mosquitto, ``fleetdx ingest``, influxd. ``make test-faults`` runs them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from influx_server import Bucket, server_process
from ingest_campaign import (
    ASSETS,
    Fleet,
    Taker,
    expect_all_in_store,
    expect_counted_once,
    expect_nothing_lost_nor_twice,
    installation,
    open_store,
)
from mosquitto_server import running_mosquitto, until
from servers import missing

from fleetdx.servers.mosquitto import MosquittoServer
from fleetdx.servers.process import ServerProcess
from ingest.group import group_lost
from ingest.spool import RESERVE_BYTES

pytestmark = pytest.mark.faults
CLIENTS = ["paho", "mqtt5"]


@pytest.fixture
def rng() -> random.Random:
    """Another run, other moments; the seed is printed."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"\nseed {seed}")
    return random.Random(seed)


@contextmanager
def influx(folder: Path) -> Iterator[tuple[ServerProcess, Bucket]]:
    """An influxd of its own, since it is stopped and killed."""
    server, bucket = server_process(folder)
    try:
        yield server, bucket
    finally:
        server.stop()


def pid_of(server: ServerProcess) -> int:
    assert server._process is not None
    return server._process.pid


@pytest.mark.parametrize("client", CLIENTS)
def test_kill_9_of_the_program_at_twenty_moments(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path, rng: random.Random
) -> None:
    config = installation(tmp_path / "config", mosquitto.port, topic_prefix, client=client)
    with Taker(config, tmp_path / "data") as taker:
        fleet = Fleet(mosquitto.port, topic_prefix)
        try:
            for _ in range(20):
                taker.start()
                taker.progress()
                time.sleep(rng.uniform(0, 0.8))
                taker.kill()
        finally:
            fleet.finish()
        taker.finish()
        expect_nothing_lost_nor_twice(fleet, taker)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_broker_that_is_restarted_again_and_again(
    client: str, topic_prefix: str, tmp_path: Path, rng: random.Random
) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        config = installation(tmp_path / "config", broker.port, topic_prefix, client=client)
        with Taker(config, tmp_path / "data") as taker:
            taker.start()
            fleet = Fleet(broker.port, topic_prefix, pause=0.01)
            try:
                for _ in range(5):
                    taker.progress()
                    time.sleep(rng.uniform(0, 1))
                    broker.stop()
                    time.sleep(rng.uniform(0, 1))
                    broker.start()
            finally:
                fleet.finish()
            taker.stop()
            taker.finish()
            expect_nothing_lost_nor_twice(fleet, taker)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_store_that_hangs_dies_and_comes_back_while_the_program_is_killed(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path, rng: random.Random
) -> None:
    with influx(tmp_path / "influx") as (server, bucket):
        config = installation(tmp_path / "config", mosquitto.port, topic_prefix, bucket, client=client)
        with Taker(config, tmp_path / "data", bucket) as taker:
            taker.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.01)
            try:
                taker.progress()
                os.kill(pid_of(server), signal.SIGSTOP)  # it takes connections, and answers nothing
                until(lambda: "messages wait in the spool" in taker.log(), within=30)
                time.sleep(3)
                os.kill(pid_of(server), signal.SIGCONT)
                taker.progress()
                server.kill()
                before = taker.counters().messages
                time.sleep(4)
                assert taker.counters().messages - before < 1500  # what comes now waits on the disk
                server.start(within=60)
                for _ in range(5):  # killed while what waited goes into the store
                    taker.progress()
                    time.sleep(rng.uniform(0, 0.3))
                    taker.kill()
                    taker.start()
            finally:
                fleet.finish()
            taker.progress()
            taker.stop()
            taker.finish()
            assert "The spool is empty again" in taker.log()
            expect_nothing_lost_nor_twice(fleet, taker, bucket)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        missing("mount", f"the right to mount a small disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_of_what_waits_and_then_full_to_the_last_byte(
    mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path
) -> None:
    size = RESERVE_BYTES + 8_000_000
    with influx(tmp_path / "influx") as (server, bucket), small_disk(tmp_path / "disk", size) as disk:
        config = installation(tmp_path / "config", mosquitto.port, topic_prefix, bucket)
        with Taker(config, disk / "data", bucket) as taker:
            taker.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.001)
            try:
                taker.progress()
                os.kill(pid_of(server), signal.SIGSTOP)
                until(lambda: "the spool takes no more" in taker.log(), within=90)
                # Somebody else takes the rest, down to the last byte.
                with suppress(OSError), (disk / "junk").open("wb", buffering=0) as junk:
                    while junk.write(b"x" * 4096):
                        pass
                assert shutil.disk_usage(disk).free == 0
                os.kill(pid_of(server), signal.SIGCONT)
                time.sleep(4)
                assert taker.process is not None
                assert taker.process.poll() is None  # it waits, and says so
                (disk / "junk").unlink()
                taker.progress()
            finally:
                fleet.finish()
            until(lambda: taker.counters().stored >= fleet.samples, within=120)
            taker.stop()
            taker.finish()
            expect_nothing_lost_nor_twice(fleet, taker, bucket)


def test_one_poison_message_in_a_thousand(mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path) -> None:
    """Not JSON, cut off, wrong all over, and what only the store refuses: each costs itself and nothing beside it."""

    def poison(count: int, seq: int, ts: int) -> str:
        kinds = (
            "{]", '{"seq": ', f'{{"seq": {seq}, "ts": "soon", "signals": {{"speed": 1}}}}', "\x00",
            # The test has made this field an integer in the bucket: 422, and only this message must be split off.
            f'{{"seq": {seq}, "ts": {ts}, "signals": {{"door_motor_current": 1.5}}}}',
        )  # fmt: skip
        return kinds[count // 1000 % len(kinds)] if count % 1000 == 500 else ""

    with influx(tmp_path / "influx") as (_, bucket):
        now = time.time_ns()
        lines = "\n".join(f"telemetry,asset_id=other door_motor_current=1i {now - n * 10**12}" for n in range(12))
        httpx.post(
            f"{bucket.url}/api/v2/write", params={"org": bucket.org, "bucket": bucket.name}, content=lines,
            headers={"Authorization": f"Token {bucket.token}"}, timeout=30,
        ).raise_for_status()  # fmt: skip
        config = installation(tmp_path / "config", mosquitto.port, topic_prefix, bucket)
        with Taker(config, tmp_path / "data", bucket) as taker:
            taker.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.001, poison=poison)
            until(lambda: fleet.messages > 15_000, within=120)
            fleet.finish()
            until(lambda: taker.counters().received >= fleet.samples + fleet.poisoned, within=120)
            taker.stop()
            counters = taker.counters()
            print(f"\n{counters}")
            assert fleet.poisoned >= 10
            assert counters.reasons["store-refused"] >= 2
            assert counters.quarantined == fleet.poisoned
            assert (
                counters.lost == counters.reasons["not-json"]
            )  # nobody can read their numbers; nothing else is missing
            expect_counted_once(fleet, [taker])
            store = open_store(taker, bucket)
            expect_all_in_store(fleet, store)
            store.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_store_that_is_slow(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path, rng: random.Random
) -> None:
    """It works a fifth of the time: answers come late, some after we gave up waiting for them."""
    with influx(tmp_path / "influx") as (server, bucket):
        config = installation(tmp_path / "config", mosquitto.port, topic_prefix, bucket, client=client)
        with Taker(config, tmp_path / "data", bucket) as taker:
            taker.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.01)
            try:
                taker.progress()
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    os.kill(pid_of(server), signal.SIGSTOP)
                    time.sleep(rng.uniform(0.5, 2.5))
                    os.kill(pid_of(server), signal.SIGCONT)
                    time.sleep(0.3)
            finally:
                fleet.finish()
            until(lambda: taker.counters().stored >= fleet.samples, within=120)
            taker.stop()
            taker.finish()
            expect_nothing_lost_nor_twice(fleet, taker, bucket)


def test_a_token_that_is_taken_away_ends_the_program_and_loses_nothing(
    mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path
) -> None:
    from influx_server import new_token, revoke_token

    with influx(tmp_path / "influx") as (_, bucket):
        token = new_token(bucket, "read", "write")
        config = installation(tmp_path / "config", mosquitto.port, topic_prefix, bucket)
        with Taker(config, tmp_path / "data", bucket._replace(token=token.text)) as taker:
            taker.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.01)
            taker.progress()
            revoke_token(bucket, token)
            assert taker.process is not None
            assert taker.process.wait(timeout=60) != 0
            taker.process = None
            assert "answers 401" in taker.log()
            fleet.finish()
            again = Taker(config, tmp_path / "data", bucket)
            again.finish()
            expect_nothing_lost_nor_twice(fleet, again, bucket)


@pytest.mark.parametrize("client", CLIENTS)
def test_two_programs_of_a_share_group_one_of_them_killed(
    client: str, mosquitto: MosquittoServer, topic_prefix: str, tmp_path: Path, rng: random.Random
) -> None:
    with influx(tmp_path / "influx") as (_, bucket):
        takers = []
        for n in range(2):
            config = installation(
                tmp_path / f"config-{n}", mosquitto.port, topic_prefix, bucket,
                client=client, share_group="ingest", client_id=f"{topic_prefix}-{n}",
            )  # fmt: skip
            takers.append(Taker(config, tmp_path / f"data-{n}", bucket))
        one, other = takers
        with one, other:
            one.start()
            other.start()
            fleet = Fleet(mosquitto.port, topic_prefix, pause=0.03)  # an account remembers 1000 gaps for each asset
            try:
                one.progress()
                other.progress()
                for _ in range(3):
                    time.sleep(rng.uniform(0, 1))
                    one.kill()
                    other.progress()  # it goes on alone
                    one.start()
                    one.progress()
            finally:
                fleet.finish()
            for taker in takers:
                taker.stop()
                taker.finish()
            shares = [taker.counters().messages for taker in takers]
            print(f"\n{fleet.messages} messages, taken by each: {shares}")
            assert min(shares) > fleet.messages / 10
            expect_counted_once(fleet, takers)
            with one.account() as first, other.account() as second:
                assert group_lost([first, second], [(a, kind) for a in ASSETS for kind in ("telemetry", "faults")]) == 0
            store = open_store(one, bucket)
            expect_all_in_store(fleet, store)
            store.close()
