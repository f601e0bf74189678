"""A real mail server on loopback that keeps what it accepts: plain, STARTTLS, or TLS from the first byte."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from fleetdx.demo_certificates import demo_certificates
from fleetdx.servers.process import free_port

USER, PASSWORD = "fleetbot", "a password"


class MailServer:
    """``messages`` is what it accepted, in order. ``answers`` are given to the next messages instead of acceptance."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.port = free_port()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answers and not self.answers[0].startswith("accept"):
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.append(envelope.rcpt_tos)
        if self.answers:
            self.answers.pop(0)
            server.transport.close()
        return "250 kept"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=False)  # the server itself answers


@contextmanager
def running_mail_server(scheme: str, folder: Path, *, log_in: bool = False) -> Iterator[MailServer]:
    """Run one that speaks ``scheme`` of ``alerts.connectors.smtp``; the CA of its certificate is ``folder/ca.crt``."""
    keeper = MailServer()
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": keeper.port}
    if scheme != "smtp":
        made = demo_certificates(folder, "127.0.0.1")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(made.certificate, made.key)
        options |= {"ssl_context": context} if scheme == "smtps" else {"tls_context": context, "require_starttls": True}
    if log_in:
        options |= {"authenticator": keeper.authenticate, "auth_required": True, "auth_require_tls": scheme != "smtps"}
    controller = Controller(keeper, **options)
    controller.start()
    try:
        yield keeper
    finally:
        controller.stop()
