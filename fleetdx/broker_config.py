"""``fleetdx broker-config``: a mosquitto that takes from each gateway what is its own, over TLS, and loses nothing.

Each gateway is a user called as its asset: it may publish and read below its own topics and nothing else. The program
itself may read everything, and write what it asks gateways for.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import pwd
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from config.installation import Installation
from fleetdx.failure import CannotGoOn
from fleetdx.terminal import print_json, say
from fleetdx.wiring import read_installation

SERVICE = "fleetdx"
"""User of the program itself."""
_ITERATIONS = 1_000
"""Of PBKDF2. The passwords are random and long: stretching would only cost the broker at each connect."""
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAYS = 825
CONFIGURATION = """\
# Written by `fleetdx broker-config`; run it again after the register has changed, and send the broker SIGHUP.
# Start: mosquitto -c {folder}/mosquitto.conf
per_listener_settings false
# Started by root, the broker works on as this account, which must own these files.
user {account}
listener {port} {address}
{tls}
# Who may connect, and what each may publish: see acl.
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl

# What was acknowledged survives kill -9: the store is written after each change, at most once a second.
persistence true
persistence_location {state}/
autosave_on_changes true
autosave_interval 1

# What waits for a session is bounded by bytes, not by the default of 1,000 messages, past which the newest are dropped
# in silence. (0 is no bound either, but with it mosquitto 2.0.11 hangs up on whom the acl denies a publish.) A session
# that never comes back is forgotten.
max_queued_messages 1000000000
max_queued_bytes {queued_bytes}
max_inflight_messages 1000
persistent_client_expiration 14d
max_packet_size {packet_bytes}
max_keepalive 3600

log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages true
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files (PEM) that the broker shows and checks by; ``ca`` is what its clients check it by."""

    ca: Path
    certificate: Path
    key: Path


def broker_config(
    config: Path,
    out: Path,
    *,
    host: str,
    port: int,
    address: str,
    given: Certificates | None,
    demo_ca: bool,
    rotate: bool,
    nodes: Sequence[str],
    as_json: bool,
) -> None:
    """Write a broker's configuration into ``out``; passwords that are there already stay unless ``rotate``.

    Users are the program, each asset of the register, and ``nodes``: gateways that are no asset themselves.

    Raises:
        CannotGoOn: neither certificates nor a demo CA are wanted, a file is missing, the folder can't be written.
    """
    if (given is None) != demo_ca:
        raise CannotGoOn("say --demo-ca, or give --ca, --cert and --key of your own (and not both)")
    for name in (host, address):
        if not _HOST.fullmatch(name):
            raise CannotGoOn(f"{name!r} is no host name or address")
    installation = read_installation(config)
    out = out.resolve()
    if any(letter in str(out) for letter in "\n\r"):
        raise CannotGoOn("a folder with a line break in its name cannot stand in a configuration")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = out / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    certificates = _checked(given) if given is not None else demo_certificates(out, host)
    names = dict.fromkeys([*sorted(installation.register.assets), *nodes])
    for name in names:
        if not _USER.fullmatch(name) or name == SERVICE:
            raise CannotGoOn(f"{name!r} cannot be a user of mosquitto: rename it (no colon, and not {SERVICE!r})")
    users = _passwords(out / "users.csv", [SERVICE, *names], rotate=rotate)
    _write(out / "passwords", "".join(f"{user}:{hashed(password)}\n" for user, password in users.items()))
    _write(out / "acl", acl(installation))
    tls = (
        f"cafile {certificates.ca}\ncertfile {certificates.certificate}\nkeyfile {certificates.key}\n"
        "tls_version tlsv1.2"  # or newer
    )
    limits = installation.settings.ingest
    text = CONFIGURATION.format(
        folder=out,
        account=pwd.getpwuid(os.geteuid()).pw_name,
        state=state,
        port=port,
        address=address,
        tls=tls,
        queued_bytes=2_000_000_000,
        packet_bytes=limits.max_payload_bytes + 70_000,  # a topic and its properties
    )
    _write(out / "mosquitto.conf", text)
    _write(out / "settings.yaml", _settings(installation, host, port, certificates.ca))
    told = {"folder": str(out), "users": len(users), "ca": str(certificates.ca), "service_user": SERVICE}
    if as_json:
        print_json(told)
        return
    say(f"{len(users):,} users, their passwords in {out / 'users.csv'}: hand each gateway its own, then keep it safe.")
    say(f"Start the broker:  mosquitto -c {out / 'mosquitto.conf'}")
    say(
        f"Put what stands in {out / 'settings.yaml'} into your settings, and the password of {SERVICE} into the "
        "environment variable MQTT_PASSWORD."
    )
    if demo_ca:
        say("The demo CA is for trying it out: for gateways in the field, use certificates of your own CA.")


def acl(installation: Installation) -> str:
    """Return who may publish and read what, in mosquitto's format. ``%u`` is the user, so no user is named twice."""
    mqtt = installation.settings.mqtt
    speaks: Mapping[str, str] = {mqtt.prefix: "json"} | dict(mqtt.decoders)
    mine: list[str] = []
    gateways: list[str] = []
    for prefix, decoder in speaks.items():
        mine.append(f"topic read {prefix}/#")
        if decoder == "sparkplug":
            # The user is the edge node; below `spBv1.0` alone any group may be its own.
            for group in ("+/", "") if "/" not in prefix else ("",):
                mine.append(f"topic write {prefix}/{group}NCMD/+")
                below = f"{prefix}/{group}"
                gateways += [f"pattern write {below}{kind}/%u" for kind in ("NBIRTH", "NDATA", "NDEATH")]
                gateways += [f"pattern write {below}{kind}/%u/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
                gateways += [f"pattern read {below}{rest}" for rest in ("NCMD/%u", "DCMD/%u/+")]
        else:
            gateways.append(f"pattern write {prefix}/%u/#")
    return "\n".join(
        [
            "# The program takes what gateways publish, and asks Sparkplug nodes for their birth.",
            f"user {SERVICE}",
            *mine,
            "",
            "# Each gateway: below its own name, and nothing else. By MQTT 3.1.1 what is denied is acknowledged all",
            "# the same: the gateway hears of no error; the program sees that data is missing.",
            *gateways,
            "",
        ]
    )


def hashed(password: str, salt: bytes | None = None) -> str:
    """Return a password as mosquitto 2 keeps it: PBKDF2 with SHA-512."""
    salt = salt or os.urandom(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def demo_certificates(folder: Path, host: str) -> Certificates:
    """Return a CA and a certificate for ``host`` in ``folder``; what is there for that host already is kept.

    Raises ``CannotGoOn`` where the library that makes them is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ModuleNotFoundError:
        raise CannotGoOn("a demo CA needs the library cryptography: pip install 'fleetdx[demo]'") from None
    files = Certificates(folder / "ca.crt", folder / "broker.crt", folder / "broker.key")
    noted = folder / "host"
    if all(path.is_file() for path in (files.ca, files.certificate, files.key)) and noted.is_file():
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        if noted.read_text() == host and certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=30):
            return files
    begin, end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=_DAYS)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def pem(key: ec.EllipticCurvePrivateKey) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = name(f"fleetdx demo CA {secrets.token_hex(4)}")
    usage = {
        "digital_signature": False, "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
        "key_agreement": False, "key_cert_sign": True, "crl_sign": True, "encipher_only": False, "decipher_only": False,
    }  # fmt: skip
    ca = (
        x509.CertificateBuilder(ca_name, ca_name, ca_key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    certificate = (
        x509.CertificateBuilder(ca_name, name(host[:64]), key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    # The CA's key is not kept: it signs this one certificate and no other.
    _write(files.ca, ca.public_bytes(serialization.Encoding.PEM).decode())
    _write(files.certificate, certificate.public_bytes(serialization.Encoding.PEM).decode())
    _write(files.key, pem(key))
    _write(noted, host)
    return files


def _checked(given: Certificates) -> Certificates:
    paths = [path.resolve() for path in (given.ca, given.certificate, given.key)]
    for path in paths:
        if not path.is_file():
            raise CannotGoOn(f"there is no file {path}")
    return Certificates(*paths)


def _passwords(path: Path, users: Sequence[str], *, rotate: bool) -> dict[str, str]:
    """Return each user's password: the one in the file, or a new one; users who left the register lose theirs."""
    known: dict[str, str] = {}
    if path.is_file() and not rotate:
        known = {row["user"]: row["password"] for row in csv.DictReader(io.StringIO(path.read_text()))}
    passwords = {user: known.get(user) or secrets.token_urlsafe(24) for user in users}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user", "password"))
    writer.writerows(passwords.items())
    _write(path, text.getvalue())
    return passwords


def _settings(installation: Installation, host: str, port: int, ca: Path) -> str:
    mqtt = installation.settings.mqtt
    return (
        "# For your settings.yaml\n"
        f"mqtt: {{host: {host}, port: {port}, prefix: {mqtt.prefix}, username: {SERVICE}, "
        f'password_env: MQTT_PASSWORD, tls: true, ca_file: "{ca}"}}\n'
    )


def _write(path: Path, text: str) -> None:
    """Write a file for this account alone, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
