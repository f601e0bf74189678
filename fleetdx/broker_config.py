"""``fleetdx broker-config``: a mosquitto that takes from each gateway what is its own, over TLS, and loses nothing.

Each gateway is a user called as its asset: it may publish and read below its own topics and nothing else. The program
itself may read everything, and write what it asks gateways for. A user shows a password, or a certificate whose common
name is the user.
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
from pathlib import Path

from config.installation import Installation
from fleetdx.demo_certificates import Certificates, demo_certificates, write_for_us_alone
from fleetdx.failure import CannotGoOn
from fleetdx.terminal import print_json, say
from fleetdx.wiring import read_installation

SERVICE = "fleetdx"
"""User of the program itself."""
_ITERATIONS = 1_000
"""Of PBKDF2. The passwords are random and long: stretching would only cost the broker at each connect."""
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Clients show certificates of ``ca`` (the broker's own where none is given), none of those ``revoked`` (CRL)."""

    ca: Path | None = None
    revoked: Path | None = None


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
{identity}
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


def broker_config(
    config: Path,
    out: Path,
    *,
    host: str,
    port: int,
    address: str,
    given: Certificates | None,
    demo_ca: bool,
    clients: ClientCertificates | None,
    rotate: bool,
    nodes: Sequence[str],
    as_json: bool,
) -> None:
    """Write a broker's configuration into ``out``; passwords that are there already stay unless ``rotate``.

    Users are the program, each asset of the register, and ``nodes``: gateways that are no asset themselves. They show
    certificates instead of passwords where ``clients`` is given.

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
    names = dict.fromkeys([*sorted(installation.register.assets), *nodes])
    for name in names:
        if not _USER.fullmatch(name) or name == SERVICE:
            raise CannotGoOn(f"{name!r} cannot be a user of mosquitto: rename it (no colon, and not {SERVICE!r})")
    users = [SERVICE, *names]
    if given is None:
        certificates = demo_certificates(out, host, users if clients is not None else (), renew=rotate)
    else:
        certificates = Certificates(*map(_existing, (given.ca, given.certificate, given.key)))
    if clients is None:
        passwords = _passwords(out / "users.csv", users, rotate=rotate)
        hashes = "".join(f"{user}:{hashed(password)}\n" for user, password in passwords.items())
        write_for_us_alone(out / "passwords", hashes)
        identity, trusted = f"password_file {out}/passwords", certificates.ca
        write_for_us_alone(out / "acl", acl(installation))
    else:
        identity = "# The common name of the certificate that a client shows is its user.\n"
        identity += "require_certificate true\nuse_identity_as_username true"
        if clients.revoked is not None:
            identity += f"\ncrlfile {_existing(clients.revoked)}"
        trusted = _existing(clients.ca) if clients.ca is not None else certificates.ca
        # By name, not by pattern: a certificate outlives its asset's place in the register.
        write_for_us_alone(out / "acl", acl(installation, list(names)))
        write_for_us_alone(out / "clients.csv", "common_name\n" + "".join(f"{user}\n" for user in users))
    tls = (
        f"cafile {trusted}\ncertfile {certificates.certificate}\nkeyfile {certificates.key}\n"
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
        identity=identity,
        queued_bytes=2_000_000_000,
        packet_bytes=limits.max_payload_bytes + 70_000,  # a topic and its properties
    )
    write_for_us_alone(out / "mosquitto.conf", text)
    shown = clients is not None
    write_for_us_alone(out / "settings.yaml", _settings(installation, host, port, certificates.ca, out, shown))
    told = {"folder": str(out), "users": len(users), "ca": str(certificates.ca), "service_user": SERVICE}
    if as_json:
        print_json(told)
        return
    if not shown:
        say(f"{len(users):,} users, their passwords in {out}/users.csv: hand each gateway its own, then keep it safe.")
    elif demo_ca:
        say(f"{len(users):,} users, their certificates and keys in {out}/clients: hand each gateway its own.")
    else:
        say(f"{len(users):,} users: each needs a certificate of your CA with its name of {out}/clients.csv.")
    say(f"Start the broker:  mosquitto -c {out / 'mosquitto.conf'}")
    more = "" if shown else f", and the password of {SERVICE} into the environment variable MQTT_PASSWORD"
    say(f"Put what stands in {out / 'settings.yaml'} into your settings{more}.")
    if demo_ca:
        say("The demo CA is for trying it out: for gateways in the field, use certificates of your own CA.")


def acl(installation: Installation, gateways_by_name: Sequence[str] = ()) -> str:
    """Return who may publish and read what, in mosquitto's format; ``%u`` is the user, whoever it is.

    With ``gateways_by_name`` only these have a right.
    """
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
    if gateways_by_name:
        rights = [line.replace("pattern ", "topic ", 1) for line in gateways]
        gateways = [
            line for name in gateways_by_name for line in (f"user {name}", *(r.replace("%u", name) for r in rights))
        ]
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


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CannotGoOn(f"there is no file {path.resolve()}")
    return path.resolve()


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
    write_for_us_alone(path, text.getvalue())
    return passwords


def _settings(installation: Installation, host: str, port: int, ca: Path, out: Path, shown: bool) -> str:
    identity = f"username: {SERVICE}, password_env: MQTT_PASSWORD"
    if shown:
        own = out / "clients" / SERVICE
        identity = f'cert_file: "{own}.crt", key_file: "{own}.key"'
    return (
        "# For your settings.yaml\n"
        f"mqtt: {{host: {host}, port: {port}, prefix: {installation.settings.mqtt.prefix}, {identity}, tls: true, "
        f'ca_file: "{ca}"}}\n'
    )
