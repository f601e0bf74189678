"""Watches whether data comes: writes down how taking in goes, and keeps the alerts about silence."""

from __future__ import annotations

from datetime import UTC, datetime

from config.operating_day import NS
from fleetdx.program import Program
from ingest.mqtt import Subscriber
from ingest.silence import AWAY_NS, Ear, verdict

LOOK_SECONDS = 10
_JUDGE_NS = 60 * NS


class IntakeWatch:
    """``look`` is to be called every ``LOOK_SECONDS``, by one thread at a time."""

    def __init__(self, program: Program, subscriber: Subscriber) -> None:
        self._program, self._subscriber, self._ear = program, subscriber, Ear()
        self._judged: int | None = None

    def note(self) -> None:
        """Write down how taking in goes, for whoever asks: console, ``fleetdx status``, metrics."""
        now = self._program.clock()
        since = self._ear.note(self._subscriber.problem, now)
        self._program.accounting.note_intake(self._subscriber.intake(now, since))

    def look(self) -> None:
        """Write it down, and once a minute bring the alerts about silence up to date."""
        from alerts.lifecycle import silence

        accounting, now = self._program.accounting, self._program.clock()
        before = accounting.intake()
        self.note()
        if self._judged is None:
            if before is not None and now - before.at >= AWAY_NS:
                silence.tell_absence(_instant(before.at), _instant(now))
        elif now - self._judged < _JUDGE_NS:
            return
        self._judged = now
        intake, installation = accounting.intake(), self._program.installation
        assert intake is not None
        register, daily = installation.register, installation.settings.daily
        said = verdict(register, daily, accounting.status(), intake, silence.known_silent())
        silence.tell(said, register, _instant(now))


def _instant(at: int) -> datetime:
    return datetime.fromtimestamp(at / NS, UTC)
