"""mosquitto on loopback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fleetdx.servers.process import ServerProcess

_PATHS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
_DURABLE = """\
# A PUBACK is durable only once the store is written: here after each change, all of it, which costs most of the rate.
autosave_on_changes true
autosave_interval 1"""
_FAST = """\
# Seconds between two writings of the store: what comes in between is lost if the broker is killed.
autosave_interval 5"""
_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
{autosave}
# The default drops what overflows, silently.
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
log_dest stderr
log_type error
log_type warning
"""


def executable() -> str | None:
    """Return the path of mosquitto, also where it stands outside an ordinary account's PATH."""
    return shutil.which("mosquitto", path=_PATHS)


class MosquittoServer(ServerProcess):
    """A broker whose state lies in ``folder``; ``durable``: of what it acknowledged, kill -9 costs the last instant.

    Raises ``FileNotFoundError`` where mosquitto is not installed.
    """

    def __init__(self, folder: Path, port: int, *, durable: bool = False) -> None:
        program = executable()
        if program is None:
            raise FileNotFoundError("mosquitto is not installed")
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "mosquitto.conf"
        text = _CONFIGURATION.format(port=port, folder=folder, autosave=_DURABLE if durable else _FAST)
        if os.geteuid() == 0:
            text += "user root\n"  # else it would drop to an account that may not write here
        configuration.write_text(text)
        super().__init__("mosquitto", [program, "-c", str(configuration)], folder, port)
