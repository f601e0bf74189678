"""Roundup on loopback: a real ticket system, with the key that makes a second ticket of one case impossible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from fleetdx.failure import CannotGoOn
from fleetdx.servers.process import ServerProcess, die_with_parent

USER, PASSWORD = "fleetbot", "fleetbot-on-loopback"
_ADMIN_PASSWORD = "admin-on-loopback"  # noqa: S105
_STATUS_LINE = '                status=Link("status"))'
_KEYED = """\
                status=Link("status"),
                external_id=String(indexme="no"),
                verdict=String(), cause=String(), root_cause=String(), failure_mode=String(),
                action=String(), parts=String(), downtime_hours=String(), cost=String(), currency=String())
issue.setkey("external_id")"""


def _bin(name: str) -> Path:
    return Path(sys.executable).parent / name


def installed() -> bool:
    """Whether Roundup stands in this Python environment."""
    return _bin("roundup-server").exists() and _bin("roundup-admin").exists()


class RoundupServer(ServerProcess):
    """A tracker in ``folder/tracker``, made on first start. Raises ``FileNotFoundError`` without Roundup."""

    def __init__(self, folder: Path, port: int) -> None:
        if not installed():
            raise FileNotFoundError("roundup is not installed (pip install 'fleetdx[demo]')")
        folder = folder.resolve()
        self._home = folder / "tracker"
        command = [
            sys.executable, str(_bin("roundup-server")), "-n", "127.0.0.1", "-p", str(port), f"fleet={self._home}",
        ]  # fmt: skip
        if os.geteuid() == 0:  # it refuses to run as root
            # The kernel forgets with the change of account that it shall end with us, so it is told again.
            command = [
                "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL", *command,
            ]  # fmt: skip
        super().__init__("roundup", command, folder, port)

    @property
    def url(self) -> str:
        """The tracker's address."""
        return f"http://127.0.0.1:{self.port}/fleet"

    def start(self, *, within: float = 30.0) -> None:
        """Make the tracker if there is none, and serve it."""
        if not (self._home / "ready").exists():
            self._make_tracker()
        self._set_port()
        if os.geteuid() == 0:
            self._let_its_account_in()
        super().start(within=within)

    def _make_tracker(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
        self._home.parent.mkdir(parents=True, exist_ok=True)
        options = f"tracker_web={self.url}/,mail_domain=example.test,mail_host=127.0.0.1,mail_port=9"
        self._admin("install", "classic", "sqlite", options)
        schema = self._home / "schema.py"
        text = schema.read_text()
        if _STATUS_LINE not in text:
            raise CannotGoOn(f"{schema}: this version of Roundup has another classic schema")
        schema.write_text(text.replace(_STATUS_LINE, _KEYED))
        configuration = self._home / "config.ini"
        text = configuration.read_text()
        configuration.write_text(
            text.replace("password_pbkdf2_default_rounds = ", "password_pbkdf2_default_rounds = 1000\n# ")
        )
        self._admin("initialise", _ADMIN_PASSWORD)
        self._admin(
            "create", "user", f"username={USER}", f"password={PASSWORD}", "address=fleetbot@example.test", "roles=User"
        )
        self._admin("create", "status", "name=wont-fix", "order=9")
        (self._home / "ready").touch()

    def _let_its_account_in(self) -> None:
        """Give the tracker to the account that serves it, and let that account through the folders above."""
        subprocess.run(["chown", "-R", "nobody:nogroup", str(self._home)], check=True)
        for parent in self._home.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)

    def _set_port(self) -> None:
        """Tell the tracker the address that it is served at this time."""
        configuration = self._home / "config.ini"
        lines = configuration.read_text().splitlines(keepends=True)
        configuration.write_text(
            "".join(f"web = {self.url}/\n" if line.startswith("web = ") else line for line in lines)
        )

    def _admin(self, *arguments: str) -> None:
        command = [sys.executable, str(_bin("roundup-admin")), "-i", str(self._home), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=die_with_parent)
        if done.returncode != 0:
            raise CannotGoOn(f"roundup-admin {arguments[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
