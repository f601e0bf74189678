"""An installation that follows its files: a mistake in one leaves the old in force and is told once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from config.installation import Installation, digest_of, files_of, load
from config.source import ConfigError

log = logging.getLogger(__name__)

_Stamp = dict[str, tuple[int, int]]
"""Modification time (ns) and size of each file."""


class Watched:
    """The installation in a folder, as it was when all of it was last valid.

    ``check`` may refuse an installation by raising ``ConfigError``: so the layers above have a say, such as the
    rules, whose content this one does not read.

    Raises:
        ConfigError: the installation is broken to begin with.
    """

    def __init__(self, folder: Path, check: Callable[[Installation], object] = lambda _: None) -> None:
        self._folder = folder
        self._check = check
        self._stamp = self._look()
        self.installation = load(folder)
        check(self.installation)
        self._seen = self.installation.digest
        self.error: ConfigError | None = None
        """Why what is in the files now is not in force; ``None`` where it is."""
        self.error_since: datetime | None = None

    def poll(self, now: datetime) -> Installation | None:
        """Return the new installation where the files have changed and are valid, else ``None``.

        Cheap while nothing changes: the files' times and sizes are compared, then their digest. A broken change is
        logged once, kept in ``error``, and forgotten when the files are valid again.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            digest = digest_of(self._folder) if stamp else ""
            if digest == self._seen:
                return None
            self._seen = digest
            installation = load(self._folder)
            self._check(installation)
        except ConfigError as error:
            self.error, self.error_since = error, now
            log.error("configuration not taken over, the old one stays in force:\n%s", error)
            return None
        self.error = self.error_since = None
        if installation.digest == self.installation.digest:
            return None  # a broken change was taken back
        self.installation = installation
        log.info("configuration %s taken over", installation.digest[:12])
        return installation

    def _look(self) -> _Stamp:
        stamp: _Stamp = {}
        for path in files_of(self._folder):
            try:
                status = path.stat()
            except OSError:  # gone since it was listed
                continue
            stamp[str(path)] = (status.st_mtime_ns, status.st_size)
        return stamp
