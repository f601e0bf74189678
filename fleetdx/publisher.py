"""A gateway's side of MQTT: publishes and waits until the broker has taken it, for simulator and replay."""

from __future__ import annotations

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleetdx.failure import CannotGoOn

_UNACKNOWLEDGED = 500
"""Messages on their way at one time: what a crash of the broker could make us send again."""
_QOS = 1
_PATIENCE_S = 120.0


class Publisher:
    """Sends messages and waits for the broker to take them; never more than a few hundred are on their way.

    Raises:
        CannotGoOn: no broker answers, or it does not acknowledge.
    """

    def __init__(self, host: str, port: int, client_id: str) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        self._client.max_inflight_messages_set(_UNACKNOWLEDGED)
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise CannotGoOn(f"no broker answers at {host}:{port}: {error}") from None
        self._client.loop_start()
        self._pending: list[paho.MQTTMessageInfo] = []

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message to the network; waits while too many are on their way."""
        self._pending.append(self._client.publish(topic, payload, _QOS, retain=retain))
        if len(self._pending) >= 2 * _UNACKNOWLEDGED:
            self.drain(_UNACKNOWLEDGED)

    def drain(self, leave: int = 0) -> None:
        """Wait until all but ``leave`` of the messages are acknowledged."""
        done = len(self._pending) - leave
        for info in self._pending[:done]:
            info.wait_for_publish(timeout=_PATIENCE_S)
            if not info.is_published():
                raise CannotGoOn(f"the broker has acknowledged nothing for {_PATIENCE_S:.0f} s")
        del self._pending[:done]

    def close(self) -> None:
        """Send what is left and disconnect."""
        self.drain()
        self._client.disconnect()
        self._client.loop_stop()
