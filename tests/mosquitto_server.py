"""A real mosquitto for tests, on a free port of loopback."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers import missing

from fleetdx.servers import mosquitto
from fleetdx.servers.mosquitto import MosquittoServer
from fleetdx.servers.process import free_port


@contextmanager
def running_mosquitto(folder: Path, *, durable: bool = False) -> Iterator[MosquittoServer]:
    """Run a broker whose state lies in ``folder``; skip the test where none is installed."""
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    broker = MosquittoServer(folder, free_port(), durable=durable)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Gateway:
    """Publishes as a gateway does: QoS 1, and after a reconnect again what the broker has not acknowledged."""

    def __init__(self, port: int) -> None:
        self._acknowledged = 0
        self._sent = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"gateway-{uuid.uuid4().hex}", clean_session=False, protocol=paho.MQTTv311
        )
        self._client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_publish(self, *_: object) -> None:
        self._acknowledged += 1

    def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Hand a message to the client's thread."""
        self._sent += 1
        self._client.publish(topic, payload, qos=1, retain=retain)

    def finish(self, *, within: float = 60.0) -> None:
        """Wait until the broker has acknowledged everything, and disconnect."""
        until(lambda: self._acknowledged >= self._sent, within=within)
        self._client.disconnect()
        self._client.loop_stop()


def until(holds: Callable[[], bool], *, within: float = 20.0) -> None:
    """Wait until something holds; fail if it does not ``within`` so many seconds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"did not come to hold within {within:.0f} s"
        time.sleep(0.02)
