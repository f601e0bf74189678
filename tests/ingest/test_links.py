"""Both clients of MQTT at the seam: secured brokers, wrong answers, packets in pieces."""

from __future__ import annotations

import csv
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mqtt5
import pytest
from ingesting import ingesting
from mosquitto_server import Gateway, running_mosquitto, until
from servers import missing
from typer.testing import CliRunner

from config.register import Register
from config.settings import Ingest, Mqtt
from fleetdx.cli import app
from fleetdx.demo import SAMPLE
from fleetdx.servers import mosquitto
from fleetdx.servers.process import ServerProcess, free_port
from ingest.accounting import Accounting
from ingest.codec_link import CodecLink
from ingest.link import Delivery, LinkLost, Listener
from ingest.message import Message
from ingest.mqtt import Subscriber
from ingest.pipeline import Pipeline
from ingest.quarantine import KEPT_BYTES
from telemetry.memory import MemoryStore


@pytest.fixture(params=["paho", "mqtt5"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Secured(NamedTuple):
    """A running broker: its port, its CA, and everybody's password."""

    port: int
    ca: Path
    passwords: dict[str, str]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with TLS, passwords and an access list, as ``fleetdx broker-config`` writes it."""
    program = mosquitto.executable()
    if program is None:
        missing("mosquitto", "apt install mosquitto")
    folder, port = tmp_path_factory.mktemp("secured") / "etc", free_port()
    options = [
        "--out",
        folder,
        "-c",
        SAMPLE,
        "--port",
        port,
        "--address",
        "127.0.0.1",
        "--demo-ca",
        "--host",
        "127.0.0.1",
    ]
    done = CliRunner().invoke(app, ["broker-config", *map(str, options)])
    assert done.exit_code == 0, done.output
    with (folder / "users.csv").open() as file:
        passwords = {row["user"]: row["password"] for row in csv.DictReader(file)}
    server = ServerProcess("mosquitto", [program, "-c", str(folder / "mosquitto.conf")], folder, port)
    server.start()
    yield Secured(port, folder / "ca.crt", passwords)
    server.stop()


@contextmanager
def subscriber_of(mqtt: Mqtt, register: Register, accounting: Accounting) -> Iterator[Subscriber]:
    pipeline = Pipeline(MemoryStore(), accounting, register, mqtt=mqtt, settings=Ingest(), clock=time.time_ns)
    subscriber, stop = Subscriber(mqtt, Ingest(), pipeline), threading.Event()
    thread = threading.Thread(target=subscriber.run, args=(stop,))
    thread.start()
    try:
        yield subscriber
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def mqtt_settings(client: str, port: int, ca: Path, **more: Any) -> Mqtt:
    settings = {"port": port, "tls": True, "ca_file": str(ca), "username": "fleetdx", "client": client}
    return Mqtt.model_validate(settings | {"password_env": "MQTT_PASSWORD"} | more)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_a_secured_broker_takes_us_and_says_why_it_does_not(
    client: str,
    secured: Secured,
    register: Register,
    accounting: Accounting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expect(said: Callable[[str], bool], **more: Any) -> None:
        settings = mqtt_settings(client, secured.port, secured.ca).model_copy(update=more)
        with subscriber_of(settings, register, accounting) as subscriber:
            until(lambda: said(subscriber.problem.lower()))

    monkeypatch.setenv("MQTT_PASSWORD", secured.passwords["fleetdx"])
    expect(lambda problem: problem == "")
    monkeypatch.setenv("MQTT_PASSWORD", "wrong")
    expect(lambda problem: "refuses: not authori" in problem)
    expect(lambda problem: "certificate verify failed" in problem, ca_file=None)
    gc.collect()  # paho leaves the socket of a failed handshake to the collector


def test_many_messages_come_through_tls_whole(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = min(secured.passwords.keys() - {"fleetdx"})
    for user in ("fleetdx", asset):
        monkeypatch.setenv(f"{user.upper().replace('-', '_')}_PASSWORD", secured.passwords[user])

    def link_of(user: str, got: list[Delivery]) -> tuple[CodecLink, Listening]:
        listener, variable = Listening(got), f"{user.upper().replace('-', '_')}_PASSWORD"
        settings = mqtt_settings(
            "mqtt5", secured.port, secured.ca, client_id=f"link-{user}", username=user, password_env=variable
        )
        return CodecLink(
            settings, lambda: ["fleet/#"] if user == "fleetdx" else [f"fleet/{user}/x"], listener, 10**6
        ), listener

    got: list[Delivery] = []
    (link, _), (sender, _) = link_of("fleetdx", got), link_of(asset, [])
    link.connect()
    sender.connect()
    link.serve(0.5)  # its subscription stands
    sent = [os.urandom(1 + n * 37 % 20_000) for n in range(300)]
    for payload in sent:
        sender.publish(f"fleet/{asset}/telemetry", payload)
    end = time.monotonic() + 20
    while len(got) < len(sent) and time.monotonic() < end:
        link.serve(0.1)
    for each in (link, sender):
        each.disconnect()
        each.close()
    assert [delivery.message.payload for delivery in got] == sent


class Listening:
    """Keeps what it is told."""

    def __init__(self, got: list[Delivery]) -> None:
        self.got, self.refusals = got, list[str]()
        self.session: bool | None = None

    def connected(self, session_kept: bool) -> None:
        self.session = session_kept

    def refused(self, why: str) -> None:
        self.refusals.append(why)

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        self.got.extend(deliveries)


@contextmanager
def answering(*pieces: bytes) -> Iterator[int]:
    """A server that reads the first packets and then sends these pieces, a moment apart."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(4096)
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.01)
                connection.settimeout(5)
                try:
                    while connection.recv(4096):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def served(port: int, most: int = 10**6, *, enough: int = 0) -> tuple[list[Delivery], str, Listening]:
    """What a link to this port hears, and why it ended."""
    got: list[Delivery] = []
    listener = Listening(got)
    link = CodecLink(Mqtt(port=port), lambda: ["fleet/#"], listener, most)
    try:
        link.connect()
        end = time.monotonic() + (10 if enough else 0.5)
        while time.monotonic() < end and not (enough and len(got) >= enough):
            link.serve(0.05)
    except LinkLost as lost:
        return got, str(lost), listener
    finally:
        link.close()
    return got, "", listener


WELCOME = mqtt5.ConnAckPacket(session_present=True).write()


def published(n: int, payload: bytes = b"x") -> bytes:
    return mqtt5.PublishPacket(f"fleet/{n}", payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=n).write()


def test_packets_may_come_in_any_pieces() -> None:
    stream = b"".join(published(n, os.urandom(n)) for n in range(1, 30))
    pieces = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    with answering(WELCOME + pieces[0], *pieces[1:]) as port:
        got, lost, listener = served(port, enough=29)
    assert [delivery.packet for delivery in got] == list(range(1, 30))
    assert [delivery.message.size for delivery in got] == list(range(1, 30))
    assert (lost, listener.session) == ("", True)


def test_of_a_payload_that_is_too_large_the_beginning_is_held_and_its_size_told() -> None:
    with answering(WELCOME, published(1, b"y" * 200_000)) as port:
        [delivery], _, _ = served(port, most=100_000, enough=1)
    assert (delivery.message.size, len(delivery.message.payload)) == (200_000, KEPT_BYTES)


SUBSCRIBED_NOT = mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.NOT_AUTHORIZED]).write()


def test_a_subscription_that_is_refused_is_told() -> None:
    with answering(WELCOME, SUBSCRIBED_NOT) as port:
        assert served(port)[2].refusals == ["the broker refuses a subscription: not authorized"]


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "no broker answers"),
        ([b""], "no broker answers"),
        ([mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.BANNED).write()], "refuses: banned"),
        ([WELCOME, b"\x00\x00"], "can't be read"),
        (
            [WELCOME, mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write()],
            "session taken over",
        ),
    ],
)
def test_what_a_server_sends_instead_ends_the_connection_and_nothing_else(
    pieces: list[bytes], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.codec_link._CONNECT_S", 0.5)
    with answering(*pieces) as port:
        got, lost, _ = served(port)
    assert why in lost
    assert got == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_topic_on_which_the_codec_panics_ends_the_connection_and_nothing_else() -> None:
    bad = bytearray(published(5))
    bad[4] = 0xFF
    with answering(WELCOME, published(4) + bytes(bad)) as port:
        got, lost, _ = served(port)
    assert "can't be read" in lost
    assert [delivery.packet for delivery in got] == [4]  # what came whole before it is not lost


def test_where_nobody_listens_the_place_is_told() -> None:
    port = free_port()
    assert f"no broker answers at 127.0.0.1:{port}" in served(port)[1]


@pytest.mark.faults
def test_a_broker_that_falls_silent_is_noticed_and_taken_up_again(
    client: str, tmp_path: Path, topic_prefix: str, register: Register, accounting: Accounting
) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        pid = int((tmp_path / "broker" / "mosquitto.pid").read_text().split()[0])
        with ingesting(
            broker.port, topic_prefix, register, accounting, MemoryStore(), client=client, keep_alive_s=5
        ) as thread:
            os.kill(pid, signal.SIGSTOP)
            try:
                until(lambda: thread.subscriber.problem != "", within=40)
            finally:
                os.kill(pid, signal.SIGCONT)
            until(lambda: thread.subscriber.problem == "", within=60)
            gateway = Gateway(broker.port)
            now = time.time_ns() // 1_000_000
            gateway.send(f"{topic_prefix}/bus-1/telemetry", f'{{"seq": 0, "ts": {now}, "signals": {{"rpm": 1}}}}')
            gateway.finish()
            until(lambda: accounting.counters().stored == 1)


class Broken:
    """A link whose first connection is lost before anything that came by it is acknowledged."""

    def __init__(self, _settings: Mqtt, _filters: object, listener: Listener, _most: int) -> None:
        self.listener, self.connects, self.acknowledged = listener, 0, list[tuple[int, int]]()
        Broken.made = self

    made: Broken
    stored: Callable[[], int]

    def connect(self) -> None:
        self.connects += 1
        self.listener.connected(session_kept=True)
        message = Message("fleet/bus-1/telemetry", b'{"ts": %d, "signals": {"rpm": 1}}' % (time.time() * 1000))
        if self.connects < 3:
            self.listener.arrived([Delivery(message, 6 + self.connects)])

    def serve(self, wait: float) -> None:
        time.sleep(wait)
        if self.connects == 1:
            until(lambda: Broken.stored() == 1)
            raise LinkLost("as it is told to be")

    def acknowledge(self, packets: Sequence[int]) -> None:
        self.acknowledged += [(self.connects, packet) for packet in packets]

    def publish(self, topic: str, payload: bytes) -> None:
        raise AssertionError((topic, payload))

    def wake(self) -> None: ...
    def disconnect(self) -> None: ...
    def close(self) -> None: ...


def test_what_came_by_an_earlier_connection_is_not_acknowledged_on_the_next(
    register: Register, accounting: Accounting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.codec_link.CodecLink", Broken)
    Broken.stored = lambda: accounting.counters().stored
    with subscriber_of(Mqtt(client="mqtt5"), register, accounting):
        until(lambda: Broken.stored() == 2)
        until(lambda: bool(Broken.made.acknowledged))
    assert Broken.made.acknowledged == [(2, 8)]  # in the meantime the broker may have given 7 to another message
