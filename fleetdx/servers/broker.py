"""The broker of the demo: mosquitto, or amqtt where there is none."""

from __future__ import annotations

from pathlib import Path

from fleetdx.failure import CannotGoOn
from fleetdx.servers import amqtt, mosquitto
from fleetdx.servers.amqtt import AmqttServer
from fleetdx.servers.mosquitto import MosquittoServer


def broker(folder: Path, port: int) -> MosquittoServer | AmqttServer:
    """Return the broker that this machine can run, not started. Raises ``CannotGoOn`` where it can run none."""
    if mosquitto.executable() is not None:
        return MosquittoServer(folder, port)
    if amqtt.installed():
        return AmqttServer(folder, port)
    raise CannotGoOn(
        "there is no MQTT broker: install mosquitto (apt install mosquitto), or pip install 'fleetdx[demo]'"
    )
