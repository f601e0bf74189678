"""What only the InfluxDB store can get wrong: rights, a server that goes, answers that break off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from influx_server import Bucket, new_token, revoke_token, server_process

from telemetry.influxdb import InfluxDBStore
from telemetry.records import FaultEvent, Measurements
from telemetry.store import StoreRejected, StoreUnavailable

SAMPLE = [Measurements.at("bus-1", 1_700_000_000_000_000_000, {"rpm": 20.0})]


def store(bucket: Bucket, *, timeout_s: float = 10.0) -> InfluxDBStore:
    return InfluxDBStore(bucket.url, bucket.org, bucket.name, bucket.token, timeout_s=timeout_s)


@pytest.mark.parametrize(
    "wrong",
    ["token", "bucket", "organisation", "token that may only read", "token that may only write"],
)
def test_what_no_retry_mends_stops_the_line_when_the_store_is_opened(influxdb: Bucket, wrong: str) -> None:
    bucket = {
        "token": lambda: influxdb._replace(token="wrong"),
        "bucket": lambda: influxdb._replace(name="no-such-bucket"),
        "organisation": lambda: influxdb._replace(org="no-such-organisation"),
        "token that may only read": lambda: influxdb._replace(token=new_token(influxdb, "read").text),
        "token that may only write": lambda: influxdb._replace(token=new_token(influxdb, "write").text),
    }[wrong]()
    opened = store(bucket)
    with pytest.raises(StoreRejected) as refused:
        opened.open()
    assert refused.value.stops_the_line
    assert bucket.name in str(refused.value)
    assert bucket.token not in str(refused.value)


def test_the_rights_to_read_and_write_one_bucket_are_enough(influxdb: Bucket) -> None:
    opened = store(influxdb._replace(token=new_token(influxdb, "read", "write").text))
    opened.open()
    opened.write(SAMPLE, [FaultEvent("bus-1", "F1", 1)])
    assert [len(frame) for frame in opened.read_measurements(["bus-1"], ["rpm"], 0, 2**62)] == [1]
    opened.close()


def test_a_token_that_is_revoked_stops_the_line(influxdb: Bucket) -> None:
    token = new_token(influxdb, "read", "write")
    opened = store(influxdb._replace(token=token.text))
    opened.open()
    opened.write(SAMPLE, [])
    revoke_token(influxdb, token)
    with pytest.raises(StoreRejected) as refused:
        opened.write(SAMPLE, [])
    assert refused.value.stops_the_line
    with pytest.raises(StoreRejected):
        opened.read_faults(["bus-1"], 0, 1)
    opened.close()


def test_a_field_that_someone_else_made_an_integer_is_refused_and_does_not_stop_the_line(influxdb: Bucket) -> None:
    httpx.post(
        f"{influxdb.url}/api/v2/write",
        params={"org": influxdb.org, "bucket": influxdb.name, "precision": "ns"},
        content="telemetry,asset_id=bus-9 rpm=20i 1700000000000000000",
        headers={"Authorization": f"Token {influxdb.token}"},
    ).raise_for_status()
    opened = store(influxdb)
    opened.open()
    with pytest.raises(StoreRejected) as refused:
        opened.write(SAMPLE, [])
    assert not refused.value.stops_the_line
    opened.write([Measurements.at("bus-1", 1, {"oil": 1.0})], [])
    opened.close()


def test_a_server_that_was_killed_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    server, bucket = server_process(tmp_path)
    try:
        opened = store(bucket, timeout_s=5)
        opened.open()
        opened.write(SAMPLE, [])
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                opened.write([Measurements.at("bus-1", 1, {"rpm": 1.0})], [])
            with pytest.raises(StoreUnavailable):
                opened.span()
        server.start(within=60)
        end = time.monotonic() + 20
        while True:  # it listens a moment before it is ready
            try:
                opened.write([Measurements.at("bus-1", 1, {"rpm": 1.0})], [])
                break
            except StoreUnavailable:
                assert time.monotonic() < end
                time.sleep(0.1)
        assert opened.span() == (1, SAMPLE[0].times[0])
        opened.close()
    finally:
        server.stop()


def test_a_key_stands_once_in_what_is_sent_as_within_a_request_no_order_is_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(InfluxDBStore, "_send", lambda _store, text: sent.append(text))
    InfluxDBStore("http://127.0.0.1:1", "o", "b", "t").write(
        [
            Measurements("bus-1", ("rpm", "oil"), (5, 6, 5), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)),
            Measurements.at("bus-1", 6, {"rpm": 7.0}),
            Measurements.at("bus-2", 5, {"rpm": 8.0}),
        ],
        [],
    )
    assert "".join(sent).splitlines() == [
        "telemetry,asset_id=bus-1 rpm=5.0,oil=6.0 5",
        "telemetry,asset_id=bus-1 rpm=7.0,oil=4.0 6",
        "telemetry,asset_id=bus-2 rpm=8.0 5",
    ]


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer every request on loopback with these bytes and close; nothing at all where there are none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if ended.is_set():
                        return
                    connection.recv(65_536)
                    if not answer:
                        ended.wait(10)
                        return
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = listener.getsockname()
        yield f"http://127.0.0.1:{address[1]}"
        ended.set()
        with socket.create_connection(address):
            pass
        thread.join()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_passes_is_unavailable(status: int) -> None:
    with answering(b"HTTP/1.1 %d X\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy" % status) as url:
        opened = InfluxDBStore(url, "o", "b", "t", timeout_s=1)
        with pytest.raises(StoreUnavailable, match=str(status)):
            opened.open()


@pytest.mark.parametrize(("status", "stops"), [(400, False), (413, False), (422, False), (401, True), (404, True)])
def test_a_status_that_stays_is_a_rejection(status: int, stops: bool) -> None:
    with answering(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno" % status) as url:
        opened = InfluxDBStore(url, "o", "b", "t", timeout_s=1)
        with pytest.raises(StoreRejected, match=str(status)) as refused:
            opened.open()
        assert refused.value.stops_the_line == stops


def test_a_server_that_never_answers_is_unavailable_after_the_time_limit() -> None:
    with answering(b"") as url, pytest.raises(StoreUnavailable):
        InfluxDBStore(url, "o", "b", "t", timeout_s=1).open()


def test_an_answer_that_breaks_off_is_unavailable_and_not_less_data(influxdb: Bucket) -> None:
    rows = b"name,tags,time,f0\ntelemetry,asset_id=bus-1,1,1.5\n"
    chunk = b"%x\r\n%s\r\n" % (len(rows), rows)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
    opened = store(influxdb)
    opened.open()
    for answer, whole in ((head + chunk + b"0\r\n\r\n", True), (head + chunk, False)):
        with answering(answer) as url:
            opened._url = url  # the connection pool goes wherever the address says
            if whole:
                assert [len(frame) for frame in opened.read_measurements(["bus-1"], ["rpm"], 0, 9)] == [1]
            else:
                with pytest.raises(StoreUnavailable):
                    list(opened.read_measurements(["bus-1"], ["rpm"], 0, 9))
    opened.close()
