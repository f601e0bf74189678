"""A broker that asks for certificates, as a real mosquitto: the common name decides what a client may publish."""

from __future__ import annotations

import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mosquitto_server import until
from paho.mqtt.enums import CallbackAPIVersion
from servers import missing
from typer.testing import CliRunner

from config.installation import load
from config.settings import Ingest, Settings
from config.source import load_yaml, validate
from fleetdx.cli import app
from fleetdx.demo import SAMPLE
from fleetdx.servers import mosquitto
from fleetdx.servers.process import ServerProcess, free_port
from ingest.accounting import Accounting
from ingest.mqtt import Subscriber
from ingest.pipeline import Pipeline
from telemetry.memory import MemoryStore

pytestmark = pytest.mark.slow

REGISTER = load(SAMPLE).register
A, B = sorted(REGISTER.assets)[:2]


def configure(out: Path, port: int, *more: object) -> Any:
    arguments = ["broker-config", "--out", out, "-c", SAMPLE, "--port", port, "--address", "127.0.0.1", *more]
    arguments += ["--host", "127.0.0.1", "--client-certificates"]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@contextmanager
def running(folder: Path, port: int, *more: object) -> Iterator[ServerProcess]:
    program = mosquitto.executable()
    if program is None:
        missing("mosquitto", "apt install mosquitto")
    result = configure(folder, port, *more)
    assert result.exit_code == 0, result.stderr
    server = ServerProcess("mosquitto", [program, "-c", str(folder / "mosquitto.conf")], folder, port)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Client:
    """A client that shows a certificate, or none; raises ``OSError`` where the broker hangs up."""

    def __init__(self, port: int, ca: Path, own: Path | None, *, user: str | None = None) -> None:
        self.got: list[tuple[str, bytes]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"c-{uuid.uuid4().hex}", protocol=paho.MQTTv311)
        files = (str(own.with_name(f"{own.name}.crt")), str(own.with_name(f"{own.name}.key"))) if own else (None, None)
        self._client.tls_set(str(ca), *files, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if user is not None:
            self._client.username_pw_set(user, "x")
        self.state = "waiting"
        self._client.on_connect = lambda _client, _data, _flags, reason, _properties: self._say(str(reason))
        self._client.on_disconnect = lambda *_: self._say("hung up")
        self._client.on_message = lambda _client, _data, message: self.got.append((message.topic, message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self.state != "waiting")

    def _say(self, state: str) -> None:
        self.state = state if self.state == "waiting" else self.state

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def subscribe(self, topic: str) -> None:
        standing = threading.Event()
        self._client.on_subscribe = lambda *_: standing.set()
        self._client.subscribe(topic, qos=1)
        assert standing.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def state_of(*arguments: Any, **options: Any) -> str:
    """How a client fares that connects so. By TLS 1.3 a client hears of its refused certificate after the handshake."""
    try:
        client = Client(*arguments, **options)
    except OSError:
        return "hung up"
    client.close()
    return client.state


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_only_a_certificate_of_our_ca_is_let_in_and_speaks_for_its_own_asset(tmp_path: Path) -> None:
    port, etc = free_port(), tmp_path / "etc"
    with running(etc, port, "--demo-ca"):
        other = tmp_path / "other"
        assert configure(other, port, "--demo-ca").exit_code == 0
        ca, own = etc / "ca.crt", etc / "clients"
        assert state_of(port, ca, own / A) == "Success"
        assert state_of(port, ca, None) == "hung up"  # no certificate
        assert state_of(port, ca, None, user=A) == "hung up"  # nor does a name do
        assert state_of(port, ca, other / "clients" / A) == "hung up"  # the same name, of another CA

        service, gateway = Client(port, ca, own / "fleetdx"), Client(port, ca, own / A, user=B)  # B is passed over
        service.subscribe("#")
        gateway.subscribe(f"fleet/{B}/telemetry")
        gateway.publish(f"fleet/{B}/telemetry", "foreign")  # acknowledged all the same
        gateway.publish("fleet/telemetry", "foreign")
        gateway.publish(f"fleet/{A}/telemetry", "own")
        until(lambda: len(service.got) >= 1)
        time.sleep(0.3)
        assert service.got == [(f"fleet/{A}/telemetry", b"own")]
        assert gateway.got == []
        gateway.close()
        service.close()


@pytest.mark.parametrize("client", ["paho", "mqtt5"])
def test_the_program_shows_its_own(client: str, tmp_path: Path) -> None:
    port, etc = free_port(), tmp_path / "etc"
    accounting = Accounting(tmp_path / "ingest.sqlite3")
    with running(etc, port, "--demo-ca"), closing(accounting):
        accounting.open()
        mqtt = validate(load_yaml(etc / "settings.yaml"), Settings).mqtt.model_copy(update={"client": client})
        assert mqtt.cert_file == str(etc / "clients" / "fleetdx.crt")
        pipeline = Pipeline(MemoryStore(), accounting, REGISTER, mqtt=mqtt, settings=Ingest(), clock=time.time_ns)
        subscriber, stop = Subscriber(mqtt, Ingest(), pipeline), threading.Event()
        thread = threading.Thread(target=subscriber.run, args=(stop,))
        thread.start()
        try:
            until(lambda: subscriber.problem == "")
            gateway = Client(port, etc / "ca.crt", etc / "clients" / A)
            for asset_id in (B, A):
                gateway.publish(f"fleet/{asset_id}/status", '{"online": true}')
            until(lambda: accounting.counters().messages >= 1)
            time.sleep(0.3)
            assert [state.asset_id for state in accounting.status()] == [A]
            gateway.close()
        finally:
            stop.set()
            thread.join(20)


class Authority:
    """A CA of one's own, which revokes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        folder.mkdir()
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        self._begin, self._end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=9)
        self.certificate = self._signed(self._name, self._key.public_key(), x509.BasicConstraints(True, None))
        self._write("ca.crt", self.certificate)

    def _signed(self, name: x509.Name, key: Any, *extensions: x509.ExtensionType) -> x509.Certificate:
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(self._name, name, key, number, self._begin, self._end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, what: Any) -> Path:
        (self.folder / name).write_bytes(what.public_bytes(serialization.Encoding.PEM))
        return self.folder / name

    def issue(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        self._write(f"{name}.crt", self._signed(subject, key.public_key(), address))
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        (self.folder / f"{name}.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
        return self.folder / name

    def revoke(self, name: str) -> Path:
        known = x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())
        gone = x509.RevokedCertificateBuilder(known.serial_number, self._begin).build()
        revoked = x509.CertificateRevocationListBuilder(self._name, self._begin, self._end, [], [gone])
        return self._write("revoked.crl", revoked.sign(self._key, hashes.SHA256()))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:unclosed:ResourceWarning")
def test_clients_of_a_ca_of_their_own_and_one_that_is_revoked(tmp_path: Path) -> None:
    public, private, port = Authority(tmp_path / "public"), Authority(tmp_path / "private"), free_port()
    public.issue("broker")
    own = {name: private.issue(name) for name in (A, B, "gone", "fleetdx")}
    stolen = public.issue(A + "-public")  # anybody may have one of a public CA
    options = ["--ca", public.folder / "ca.crt", "--cert", public.folder / "broker.crt"]
    options += ["--key", public.folder / "broker.key", "--client-ca", private.folder / "ca.crt"]
    with running(tmp_path / "etc", port, *options, "--crl", private.revoke(B)):
        ca = public.folder / "ca.crt"
        assert [state_of(port, ca, own[name]) for name in (A, B)] == ["Success", "hung up"]
        assert state_of(port, ca, stolen) == "hung up"
        service, gone, known = (Client(port, ca, own[name]) for name in ("fleetdx", "gone", A))
        service.subscribe("fleet/#")
        gone.publish("fleet/gone/telemetry", "a certificate outlives its asset")
        known.publish(f"fleet/{A}/telemetry", "own")
        until(lambda: len(service.got) >= 1)
        time.sleep(0.3)
        assert service.got == [(f"fleet/{A}/telemetry", b"own")]
        for client in (service, gone, known):
            client.close()


def test_certificates_are_kept_until_one_is_missing_and_only_this_account_reads_them(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    assert configure(etc, 8883, "--demo-ca").exit_code == 0
    first = (etc / "clients" / f"{A}.crt").read_bytes()
    assert configure(etc, 8883, "--demo-ca").exit_code == 0
    assert (etc / "clients" / f"{A}.crt").read_bytes() == first
    assert configure(etc, 8883, "--demo-ca", "--node", "edge-1").exit_code == 0  # the CA's key is not there any more
    assert (etc / "clients" / f"{A}.crt").read_bytes() != first
    assert (etc / "clients" / "edge-1.crt").is_file()
    assert not (etc / "users.csv").exists()
    assert all(path.stat().st_mode & 0o077 == 0 for path in etc.rglob("*"))


@pytest.mark.parametrize("option", ["--crl", "--client-ca"])
def test_what_cannot_be_is_told(option: str, tmp_path: Path) -> None:
    result = configure(tmp_path / "etc", 8883, "--demo-ca", option, tmp_path / "nothing")
    assert result.exit_code == 3
    assert "there is no file" in result.stderr
    arguments = ["broker-config", "--out", str(tmp_path / "b"), "-c", str(SAMPLE), "--demo-ca", option, "x"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3
    assert "are for --client-certificates" in result.stderr
