"""E-mail, over SMTP: each ticket is a message to the mailbox of a help desk.

A mailbox cannot be asked, so nothing is searched, and what is delivered is what the mail server accepted: a message
whose answer was lost is sent again. Its Message-ID is made from the ticket's key, so it is recognised when it comes
twice. What is said of a ticket later names it in ``In-Reply-To``, by which mail programs and help desks thread.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import ClassVar, Self
from urllib.parse import quote, unquote, urlsplit

from alerts.connectors.connector import FiledTicket, Permanent, Retryable, TicketDraft
from config.settings import Tickets

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_DOMAIN = "fleetdx.invalid"
"""Right-hand side of each Message-ID; the same for every installation's own key, and nobody's domain."""
# Long keys stay on their line: a Message-ID that is folded is another one.
_POLICY = SMTP.clone(max_line_length=900)
_LOG_IN_REFUSED = frozenset({530, 534, 535, 538})


class SmtpConnector:
    """Sends tickets to ``recipient``. ``url`` is ``smtps://host``, ``smtp+starttls://host`` or ``smtp://host[:port]``.

    The certificate is checked against the machine's authorities, or those that ``SSL_CERT_FILE`` names.
    """

    name: ClassVar[str] = "smtp"

    def __init__(
        self,
        url: str,
        sender: str,
        recipient: str,
        user: str | None = None,
        password: str = "",
        *,
        timeout_s: float = 10.0,
    ) -> None:
        parts = urlsplit(url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or _PORTS.get(parts.scheme, 0)
        self._sender, self._recipient = _mailbox(sender), _mailbox(recipient)
        self._user, self._password, self._timeout_s = user, password, timeout_s

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``queue`` (the recipient), ``sender``, and a user with a password where one is needed."""
        if settings.url is None or settings.queue is None or settings.sender is None:
            raise Permanent("connector smtp needs url, queue and sender")
        scheme = urlsplit(settings.url).scheme
        if scheme not in _PORTS:
            raise Permanent(f"connector smtp needs a url that begins with {', '.join(_PORTS)}, not {scheme}")
        if settings.user is not None and scheme == "smtp":
            raise Permanent("connector smtp gives no password away unencrypted: use smtps or smtp+starttls")
        return cls(settings.url, settings.sender, settings.queue, settings.user, secret, timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Do nothing: each message has a connection of its own."""

    def search(self, key: str) -> FiledTicket | None:
        """Return ``None``: a mailbox cannot be asked."""
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """Send the ticket."""
        self._send(self._message(draft))
        return self.read(_message_id(draft.key))

    def read(self, external_key: str) -> FiledTicket:
        """Return what is known of a message that was sent: its key. Raises ``Permanent`` for another's Message-ID."""
        local, _, domain = external_key.removeprefix("<").removesuffix(">").rpartition("@")
        if domain != _DOMAIN:
            raise Permanent(f"{external_key} is no message of ours")
        return FiledTicket(external_key, "", unquote(local))

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Send the text as a reply to the ticket's own message."""
        message = self._message(draft)
        message["In-Reply-To"] = message["References"] = external_key
        self._send(message)
        return self.read(external_key)

    def _message(self, draft: TicketDraft) -> EmailMessage:
        message = EmailMessage(_POLICY)
        message["From"], message["To"] = self._sender, self._recipient
        message["Subject"] = f"[{draft.key}] {' '.join(draft.title.split())[:200]}"
        message["Message-ID"] = _message_id(draft.key)
        message["Date"] = formatdate(usegmt=True)
        message["Auto-Submitted"] = "auto-generated"  # nobody's absence shall be told to us
        message.set_content(draft.body, cte="base64")
        return message

    def _send(self, message: EmailMessage) -> None:
        """Hand a message to the server. Raises ``Retryable`` or ``Permanent``, by what the server answers."""
        where = f"{self._scheme}://{self._host}:{self._port}"
        try:
            with self._session() as session:
                session.send_message(message, self._sender, [self._recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refused(where, code, said) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(where, error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Retryable(f"{where}: {type(error).__name__} {error}") from error

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        if self._scheme == "smtps":
            secured = ssl.create_default_context()
            session: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=secured)
        else:
            session = smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        try:
            if self._scheme == "smtp+starttls":
                session.starttls(context=ssl.create_default_context())
            if self._user is not None:
                session.login(self._user, self._password)
            yield session
            with suppress(OSError, smtplib.SMTPException):  # it is accepted: that they part badly changes nothing
                session.quit()
        finally:
            session.close()


def _message_id(key: str) -> str:
    return f"<{quote(key, safe='')}@{_DOMAIN}>"


def _mailbox(written: str) -> str:
    """Return a mailbox as it goes into a header. Raises ``Permanent`` where it is none."""
    _, address = parseaddr(written)
    local, at, domain = address.rpartition("@")
    if address != written or not (local and at and domain) or any(ch.isspace() for ch in address):
        raise Permanent(f"connector smtp needs a mailbox such as desk@example.org, not {written!r}")
    return address


def _refused(where: str, code: int, said: bytes | str) -> Retryable | Permanent:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    message = f"{where} answers {code}: {text[:300]}"
    # A refused log-in too: a wrong password is mended in the settings, and no ticket shall be lost until then.
    return Retryable(message) if code < 500 or code in _LOG_IN_REFUSED else Permanent(message)
