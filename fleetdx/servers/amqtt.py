"""amqtt on loopback: a broker of this Python environment, for the demo on machines without mosquitto.

MQTT 3.1.1 only, slower, and it keeps nothing over a restart: what was not yet stored is then published again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fleetdx.servers.process import ServerProcess

_CONFIGURATION = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def _program() -> Path:
    return Path(sys.executable).parent / "amqtt"


def installed() -> bool:
    """Whether amqtt stands in this Python environment."""
    return _program().exists()


class AmqttServer(ServerProcess):
    """A broker in memory. Raises ``FileNotFoundError`` where amqtt is not installed."""

    def __init__(self, folder: Path, port: int) -> None:
        if not installed():
            raise FileNotFoundError("amqtt is not installed (pip install 'fleetdx[demo]')")
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "amqtt.yaml"
        configuration.write_text(_CONFIGURATION.format(port=port))
        super().__init__("amqtt", [sys.executable, str(_program()), "-c", str(configuration)], folder, port)
