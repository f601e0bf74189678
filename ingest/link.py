"""The connection to the broker, as the subscriber needs it; whose code speaks MQTT is known to one file each.

A link belongs to one thread. What comes in is handed to a ``Listener`` and is not acknowledged until ``acknowledge``:
the broker sends it again after the next connect.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from config.settings import Mqtt
from ingest.message import Message
from ingest.quarantine import KEPT_BYTES

SESSION_SECONDS = 7 * 86_400
"""How long the broker keeps our session and what it queues for it while we are away."""
QOS = 1
"""Of every subscription. With QoS 2 a client acknowledges receipt by itself, before anything is stored."""


class LinkLost(Exception):
    """There is no connection, or no longer; says why. Connecting again may help."""


class Delivery(msgspec.Struct, gc=False):
    """A message as the broker sent it; ``packet`` is what to acknowledge, 0 where nothing is (QoS 0).

    Its payload is whole up to ``most`` bytes of the link, and of a larger one what quarantine keeps; its size is true.
    ``connection`` is the listener's to fill in: packet ids end with each.
    """

    message: Message
    packet: int
    connection: int = 0


class Listener(Protocol):
    """Who is told what happens on a link, in the link's thread, from within ``connect`` and ``serve``."""

    def connected(self, session_kept: bool) -> None:
        """The broker takes us; what was delivered before can't be acknowledged any more."""

    def refused(self, why: str) -> None:
        """The broker does not take us, or not one of our subscriptions."""

    def arrived(self, deliveries: Sequence[Delivery]) -> None:
        """Messages came, in this order. May wait for room."""


class Link(Protocol):
    """One session at a broker. The constructor connects to nothing."""

    def connect(self) -> None:
        """Connect, resume the session, and subscribe. Raises ``LinkLost``."""

    def serve(self, wait: float) -> None:
        """Do what is due on the connection, for ``wait`` seconds at most while nothing happens. Raises ``LinkLost``."""

    def acknowledge(self, packets: Sequence[int]) -> None:
        """Tell the broker to forget these packets of this connection. What it costs may be done by ``serve``."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""

    def wake(self) -> None:
        """Let ``serve`` return now. The one call that another thread may make."""

    def disconnect(self) -> None:
        """Send what waits, and leave in good order; the broker keeps the session."""

    def close(self) -> None:
        """Release everything; it is not used again, but for ``wake``, which does nothing then."""


Filters = Callable[[], Sequence[str]]
"""What is to be subscribed to, asked at every connect: a kept session may hold an older configuration's."""


def kept(payload: bytes, most: int) -> bytes:
    """Return of a payload what is held: all of it, or of what is refused for its size what quarantine keeps."""
    return payload if len(payload) <= most else payload[:KEPT_BYTES]


def shared(settings: Mqtt, filters: Sequence[str]) -> list[str]:
    """Return the filters as they are subscribed to: by a share group, each message goes to one of its members."""
    if settings.share_group is None:
        return list(filters)
    return [f"$share/{settings.share_group}/{name}" for name in filters]


def tls_context(settings: Mqtt) -> ssl.SSLContext:
    """Return what the broker's certificate is checked by, and what it is shown. Raises ``OSError``: a file is bad."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
