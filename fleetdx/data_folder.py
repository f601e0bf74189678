"""Where the program keeps what it keeps: one folder, one owner at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetdx.failure import CannotGoOn


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The files below ``root``; nothing is created before ``prepare``."""

    root: Path

    @property
    def telemetry(self) -> Path:
        """The embedded telemetry store (DuckDB)."""
        return self.root / "telemetry.duckdb"

    @property
    def ingest(self) -> Path:
        """Accounting and quarantine (SQLite)."""
        return self.root / "ingest.sqlite3"

    @property
    def relational(self) -> Path:
        """Scores, alerts, tickets and users (SQLite, through Django)."""
        return self.root.resolve() / "fleetdx.sqlite3"

    @property
    def registry(self) -> Path:
        """Fitted models, by asset type and version."""
        return self.root / "registry"

    def prepare(self) -> None:
        """Make the folder, for this account alone. Raises ``CannotGoOn`` where it can't be made."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CannotGoOn(
                f"{self.root} cannot be the data folder: {error.strerror}. Name another with --data."
            ) from None

    def secret_key(self) -> str:
        """Return the key that signs the console's sessions; made on first use."""
        path = self.root / "secret-key"
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
        except FileExistsError:
            pass
        return path.read_text()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder; the lock dies with the process, also by kill -9.

        Raises:
            CannotGoOn: another process holds it.
        """
        self.prepare()
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotGoOn(
                    f"another fleetdx process works on {self.root}. Stop it, or name another folder with --data."
                ) from None
            yield
