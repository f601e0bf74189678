"""A real mail server that keeps what it is sent, with the instant (of the test's own clock) at which it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from config.settings import Notify
from fleetdx.servers.process import free_port


@dataclass
class MailSink:
    """``answers`` are given in place of a 250, one for each recipient named."""

    clock: Callable[[], datetime]
    port: int
    letters: list[tuple[datetime, str, EmailMessage]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Take or refuse a recipient."""
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a letter."""
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters += [(self.clock(), address, letter) for address in envelope.rcpt_tos]
        return "250 OK"

    @property
    def settings(self) -> Notify:
        """How to reach it."""
        return Notify(host="127.0.0.1", port=self.port, sender="fleetdx@example.org")


@contextmanager
def running_mail_sink(clock: Callable[[], datetime]) -> Iterator[MailSink]:
    """Run it on a free port of loopback."""
    sink = MailSink(clock, free_port())
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
