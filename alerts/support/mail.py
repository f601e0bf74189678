"""The one way out for letters: a mail server (SMTP, RFC 5321) by Python's own client."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Protocol

from alerts.connectors.connector import Permanent, Retryable
from config.settings import Notify


class Post(Protocol):
    """Sends letters."""

    def send(self, letter: EmailMessage) -> None:
        """Hand a letter over.

        Raises:
            Retryable: the server is away, busy, or refuses us: it may be another time.
            Permanent: it will not take letters to this address.
        """


class MailServer:
    """A ``Post`` over SMTP; each letter has a connection of its own, and a constructor opens none."""

    def __init__(self, settings: Notify, password: str = "") -> None:
        if settings.host is None:
            raise ValueError("there is no mail server")
        self._settings, self._host, self._password = settings, settings.host, password

    def send(self, letter: EmailMessage) -> None:
        """Hand a letter over; see ``Post``."""
        try:
            with self._connected() as server:
                if self._settings.username is not None:
                    server.login(self._settings.username, self._password)
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise (Permanent if code >= 500 else Retryable)(f"{code} {_words(said)}") from None
        except smtplib.SMTPResponseException as error:
            raise Retryable(f"{error.smtp_code} {_words(error.smtp_error)}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise Retryable(f"mail server {self._host}: {str(error)[:200]}") from None

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context()
        if settings.security == "tls":
            return smtplib.SMTP_SSL(self._host, settings.port, timeout=settings.timeout_s, context=context)
        server = smtplib.SMTP(self._host, settings.port, timeout=settings.timeout_s)
        if settings.security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:300]
