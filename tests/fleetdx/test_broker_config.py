"""The broker that `fleetdx broker-config` sets up, as a real mosquitto: who may do what, TLS, and kill -9."""

from __future__ import annotations

import csv
import shutil
import socket
import ssl
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from mosquitto_server import until
from paho.mqtt.enums import CallbackAPIVersion
from servers import missing
from typer.testing import CliRunner

from config.installation import load
from config.settings import Ingest, Mqtt, Settings
from config.source import load_yaml, validate
from fleetdx.broker_config import hashed
from fleetdx.cli import app
from fleetdx.demo import SAMPLE
from fleetdx.servers import mosquitto
from fleetdx.servers.process import ServerProcess, free_port
from ingest.accounting import Accounting
from ingest.mqtt import Subscriber
from ingest.pipeline import Pipeline
from telemetry.memory import MemoryStore

FLEET = sorted(load(SAMPLE).register.assets)


def configure(out: Path, port: int, *more: object, config: Path = SAMPLE) -> Any:
    arguments = ["broker-config", "--out", out, "-c", config, "--port", port, "--address", "127.0.0.1", *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class Broker:
    """A mosquitto on what the command wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        program = mosquitto.executable()
        if program is None:
            missing("mosquitto", "apt install mosquitto")
        self.configure("--demo-ca", "--host", "127.0.0.1")
        self._server = ServerProcess("mosquitto", [program, "-c", str(folder / "mosquitto.conf")], folder, self.port)
        self.start, self.stop, self.kill = self._server.start, self._server.stop, self._server.kill

    def configure(self, *more: object) -> None:
        result = configure(self.folder, self.port, "--node", "edge-1", *more)
        assert result.exit_code == 0, result.stderr

    @property
    def passwords(self) -> dict[str, str]:
        with (self.folder / "users.csv").open() as file:
            return {row["user"]: row["password"] for row in csv.DictReader(file)}

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text()


class Client:
    """A user of the broker, over TLS."""

    def __init__(self, broker: Broker, user: str, password: str | None = None, *, ca: Path | None = None) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.answer: str | None = None
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"c-{uuid.uuid4().hex}", protocol=paho.MQTTv311)
        self._client.username_pw_set(user, broker.passwords[user] if password is None else password)
        self._client.tls_set(ca_certs=str(ca or broker.folder / "ca.crt"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self._client.on_connect = self._on_connect
        self._client.on_message = lambda _client, _data, message: self.got.append((message.topic, message.payload))
        self._acknowledged = 0
        self._client.on_publish = self._on_publish
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        until(lambda: self.answer is not None)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.answer = str(reason)

    def _on_publish(self, *_: object) -> None:
        self._acknowledged += 1

    def subscribe(self, topic: str) -> None:
        self._subscribed.clear()
        self._client.subscribe(topic, qos=1)
        assert self._subscribed.wait(10)

    def publish(self, topic: str, payload: str = "x") -> None:
        before = self._acknowledged
        self._client.publish(topic, payload, qos=1)
        until(lambda: self._acknowledged > before)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    found = Broker(tmp_path_factory.mktemp("broker") / "etc")
    found.start()
    yield found
    found.stop()


def test_a_wrong_password_an_unknown_user_and_no_user_are_refused(broker: Broker) -> None:
    for user, password in (
        (FLEET[0], "wrong"),
        (FLEET[0], ""),
        ("nobody", "x"),
        (FLEET[0], broker.passwords[FLEET[1]]),
    ):
        client = Client(broker, user, password)
        assert client.answer in ("Not authorized", "Bad user name or password"), user
        client.close()
    plain = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    plain.connect("127.0.0.1", broker.port)  # without TLS
    assert plain.loop(1.0) in (0, paho.MQTT_ERR_CONN_LOST)
    until(lambda: plain.loop(0.2) != 0)


def test_a_client_that_trusts_another_ca_does_not_connect(broker: Broker, tmp_path: Path) -> None:
    assert configure(tmp_path / "other", 1, "--demo-ca", "--host", "127.0.0.1").exit_code == 0
    for ca, trusted in ((broker.folder / "ca.crt", True), (tmp_path / "other" / "ca.crt", False)):
        context = ssl.create_default_context(cafile=ca)
        with socket.create_connection(("127.0.0.1", broker.port)) as plain:
            if trusted:
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                    assert secure.version() in ("TLSv1.2", "TLSv1.3")
                continue
            with pytest.raises(ssl.SSLCertVerificationError):
                context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_gateway_publishes_below_its_own_name_and_reads_nothing_of_others(broker: Broker) -> None:
    service, gateway, other = (Client(broker, user) for user in ("fleetdx", FLEET[0], FLEET[1]))
    service.subscribe("#")
    other.subscribe("#")
    other.subscribe(f"fleet/{FLEET[0]}/telemetry")
    denied = [
        f"fleet/{FLEET[1]}/telemetry", "fleet", "fleet/telemetry", f"other/{FLEET[0]}/telemetry",
        "$SYS/x", f"spBv1.0/g/NDATA/{FLEET[0]}",
    ]  # fmt: skip
    for topic in denied:
        gateway.publish(topic, "foreign")  # acknowledged all the same
    service.publish(f"fleet/{FLEET[0]}/telemetry", "foreign")
    for kind in ("telemetry", "faults", "status"):
        gateway.publish(f"fleet/{FLEET[0]}/{kind}", "own")
    until(lambda: len(service.got) >= 3)
    time.sleep(0.2)
    assert service.got == [(f"fleet/{FLEET[0]}/{kind}", b"own") for kind in ("telemetry", "faults", "status")]
    assert other.got == []
    for client in (service, gateway, other):
        client.close()


def test_a_sparkplug_node_speaks_for_itself_and_hears_its_commands(broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(SAMPLE, config)
    (config / "settings.yaml").write_text("mqtt: {decoders: {spBv1.0: sparkplug}}\n")
    port = free_port()
    spoken = Broker.__new__(Broker)
    spoken.folder, spoken.port = tmp_path / "etc", port
    result = configure(spoken.folder, port, "--demo-ca", "--host", "127.0.0.1", "--node", "edge-1", config=config)
    assert result.exit_code == 0, result.stderr
    program = mosquitto.executable()
    assert program is not None
    server = ServerProcess("mosquitto", [program, "-c", str(spoken.folder / "mosquitto.conf")], spoken.folder, port)
    server.start()
    try:
        service, node = Client(spoken, "fleetdx"), Client(spoken, "edge-1")
        service.subscribe("spBv1.0/#")
        node.subscribe("spBv1.0/+/NCMD/+")
        node.publish("spBv1.0/g/NDATA/edge-2", "foreign")
        node.publish("spBv1.0/g/DDATA/edge-2/d", "foreign")
        node.publish("spBv1.0/g/NCMD/edge-2", "foreign")
        node.publish("spBv1.0/g/NDATA/edge-1", "own")
        node.publish(f"spBv1.0/g/DDATA/edge-1/{FLEET[0]}", "own")
        service.publish("spBv1.0/g/NCMD/edge-2", "for another")
        service.publish("spBv1.0/g/NCMD/edge-1", "be born")
        until(lambda: len(service.got) >= 4 and len(node.got) >= 1)
        assert [one for one in service.got if one[1] != b"own"] == [
            ("spBv1.0/g/NCMD/edge-2", b"for another"), ("spBv1.0/g/NCMD/edge-1", b"be born")
        ]  # fmt: skip
        assert [topic for topic, what in service.got if what == b"own"] == [
            "spBv1.0/g/NDATA/edge-1", f"spBv1.0/g/DDATA/edge-1/{FLEET[0]}"
        ]  # fmt: skip
        assert node.got == [("spBv1.0/g/NCMD/edge-1", b"be born")]
        service.close()
        node.close()
    finally:
        server.stop()


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_and_reaches_the_program_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(tmp_path / "etc")
    broker.start()
    settings = validate(load_yaml(broker.folder / "settings.yaml"), Settings).mqtt  # as the command wrote them
    monkeypatch.setenv("MQTT_PASSWORD", broker.passwords["fleetdx"])
    register, store = load(SAMPLE).register, MemoryStore()
    accounting = Accounting(tmp_path / "ingest.sqlite3")
    accounting.open()
    signal = register.type_of(FLEET[0]).signals[0]

    def run(mqtt: Mqtt, enough: int) -> None:
        pipeline = Pipeline(store, accounting, register, mqtt=mqtt, settings=Ingest(), clock=time.time_ns)
        subscriber, stop = Subscriber(mqtt, Ingest(), pipeline), threading.Event()
        thread = threading.Thread(target=subscriber.run, args=(stop,))
        thread.start()
        try:
            until(lambda: subscriber.problem == "" and accounting.counters().stored >= enough)
        finally:
            stop.set()
            thread.join(20)

    try:
        run(settings, 0)  # the broker has our session from now on
        gateway = Client(broker, FLEET[0])
        now = time.time_ns() // 1_000_000 - 100_000
        for seq in range(100):
            value = max(signal.low, 0.0)
            gateway.publish(
                f"fleet/{FLEET[0]}/telemetry",
                f'{{"ts": {now + seq}, "seq": {seq}, "signals": {{"{signal.name}": {value}}}}}',
            )
        time.sleep(1.5)
        broker.kill()
        gateway.close()
        broker.start()
        run(settings, 100)
    finally:
        broker.stop()
    counters = accounting.counters()
    accounting.close()
    assert (counters.stored, counters.lost, counters.quarantined) == (100, 0, 0)
    assert settings.tls
    assert settings.ca_file == str(broker.folder / "ca.crt")


def test_passwords_stay_until_they_are_rotated_and_nobody_else_reads_them(tmp_path: Path) -> None:
    def passwords() -> list[list[str]]:
        with (tmp_path / "etc" / "users.csv").open() as file:
            return list(csv.reader(file))[1:]

    assert configure(tmp_path / "etc", 8883, "--demo-ca").exit_code == 0
    first, ca = passwords(), (tmp_path / "etc" / "ca.crt").read_bytes()
    assert [user for user, _ in first] == ["fleetdx", *FLEET]
    assert len({password for _, password in first}) == len(first)
    assert all(len(password) >= 32 for _, password in first)
    assert configure(tmp_path / "etc", 8883, "--demo-ca").exit_code == 0
    assert (passwords(), (tmp_path / "etc" / "ca.crt").read_bytes()) == (first, ca)
    assert configure(tmp_path / "etc", 8883, "--demo-ca", "--rotate", "--host", "broker.example.org").exit_code == 0
    assert not {password for _, password in passwords()} & {password for _, password in first}
    assert (tmp_path / "etc" / "ca.crt").read_bytes() != ca
    for path in (tmp_path / "etc").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    text = "".join(
        path.read_text()
        for path in (tmp_path / "etc").glob("*")
        if path.name in ("passwords", "mosquitto.conf", "acl", "settings.yaml")
    )
    assert not any(password in text for _, password in passwords())


def test_a_password_is_kept_as_mosquitto_keeps_it() -> None:
    # That it is right is seen where users connect above.
    kind, iterations, salt, key = hashed("secret", b"123456789012").split("$")[1:]
    assert (kind, iterations, salt) == ("7", "1000", "MTIzNDU2Nzg5MDEy")
    assert len(key) == 88


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "say --demo-ca, or give"),
        (("--ca", "a.pem"), "go together"),
        (("--ca", "a.pem", "--cert", "b.pem", "--key", "c.pem"), "there is no file"),
        (("--ca", "a.pem", "--cert", "b.pem", "--key", "c.pem", "--demo-ca"), "and not both"),
        (("--demo-ca", "--host", "a b\nlistener 1883"), "is no host name"),
        (("--demo-ca", "--address", "0.0.0.0\nallow_anonymous true"), "is no host name"),
        (("--demo-ca", "--node", "x\nuser root"), "cannot be a user"),
        (("--demo-ca", "--node", "a:b"), "cannot be a user"),
        (("--demo-ca", "--node", "fleetdx"), "cannot be a user"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = configure(tmp_path / "etc", 8883, *options)
    assert result.exit_code == 3
    assert message in result.stderr
    assert not (tmp_path / "etc" / "mosquitto.conf").exists()
