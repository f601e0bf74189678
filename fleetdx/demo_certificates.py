"""A certificate authority of a day, to try TLS out: one certificate for the broker, and one for each of its clients."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from fleetdx.failure import CannotGoOn

_DAYS = 825


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files (PEM) that the broker shows and checks by; ``ca`` is what its clients check it by."""

    ca: Path
    certificate: Path
    key: Path


def demo_certificates(folder: Path, host: str, clients: Sequence[str] = (), *, renew: bool = False) -> Certificates:
    """Return a CA and a certificate for ``host`` in ``folder``; what is there for that host already is kept.

    Each of ``clients`` gets ``clients/<name>.crt`` and ``.key``, its name being the common name. The CA's key is not
    kept: where one client has no certificate, or ``renew`` says so, all are made anew, the CA's too.

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
    of_clients = {name: (folder / "clients" / f"{name}.crt", folder / "clients" / f"{name}.key") for name in clients}
    noted = folder / "host"
    wanted = [files.ca, files.certificate, files.key, noted, *(path for pair in of_clients.values() for path in pair)]
    if all(path.is_file() for path in wanted) and not (renew and clients):
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        if noted.read_text() == host and certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=30):
            return files
    begin, end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(days=_DAYS)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def pem(key: ec.EllipticCurvePrivateKey) -> str:
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()

    ca_key = ec.generate_private_key(ec.SECP256R1())
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

    def issue(
        subject: str, purpose: x509.ObjectIdentifier, alternative: x509.GeneralName, at: Path, key_at: Path
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = (
            x509.CertificateBuilder(ca_name, name(subject), key.public_key(), x509.random_serial_number(), begin, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        write_for_us_alone(at, issued.public_bytes(serialization.Encoding.PEM).decode())
        write_for_us_alone(key_at, pem(key))

    try:
        broker: x509.GeneralName = x509.IPAddress(ip_address(host))
    except ValueError:
        broker = x509.DNSName(host)
    # The CA's key is not kept: it signs these and no others.
    write_for_us_alone(files.ca, ca.public_bytes(serialization.Encoding.PEM).decode())
    issue(host[:64], ExtendedKeyUsageOID.SERVER_AUTH, broker, files.certificate, files.key)
    if of_clients:
        (folder / "clients").mkdir(mode=0o700, exist_ok=True)
    for client, (at, key_at) in of_clients.items():
        issue(client, ExtendedKeyUsageOID.CLIENT_AUTH, x509.DNSName(client), at, key_at)
    write_for_us_alone(noted, host)
    return files


def write_for_us_alone(path: Path, text: str) -> None:
    """Write a file that only this account can read, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
