"""Which assets have fallen silent, and whether it is they who are, or we who do not hear. Pure.

An asset is silent once nothing of it came for longer than its type allows, counted from when we could hear: what was
missed while the broker, the store or this program was away is no silence of the asset's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from config.operating_day import NS
from config.register import AssetType, Register, Site
from config.settings import Daily
from ingest.accounting import Intake
from ingest.counters import AssetStatus

_MINUTE = 60 * NS
AWAY_NS = 5 * _MINUTE
"""For so long the intake may be away before it is an alert of its own."""
_PERIODS, _LEAST_MINUTES = 10, 60
_TOGETHER = 5
_SHARE = 0.25
"""Of the assets that speak, so many at once (and ``_TOGETHER`` at least) do not fall silent each by itself."""


class Silence(NamedTuple):
    """An asset of which nothing came since ``since`` (ns), longer than ``allowed`` (ns)."""

    asset_id: str
    since: int
    allowed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said at one instant.

    ``silent`` are the assets that fell silent, of ``expected`` that ever sent data and are missed when they do not;
    ``heard`` are those of whom data came in time. Both are empty unless we are ``hearing``. ``together``: so many fell
    silent that the cause lies between them and us, and is not theirs. ``problem``: what keeps us from hearing, for
    longer than ``AWAY_NS``, since ``since`` (ns).
    """

    hearing: bool
    silent: tuple[Silence, ...] = ()
    heard: frozenset[str] = frozenset()
    expected: int = 0
    together: bool = False
    problem: str = ""
    since: int = 0


class Ear:
    """Remembers from when on we have been able to hear. For one thread."""

    def __init__(self) -> None:
        self._hearing_since: int | None = None
        self._problem_since: int | None = None

    def note(self, problem: str, now: int) -> int:
        """Note whether something keeps us from hearing at ``now`` (ns); return since when that holds."""
        if problem:
            self._hearing_since = None
            self._problem_since = self._problem_since or now
            return self._problem_since
        self._problem_since = None
        self._hearing_since = self._hearing_since or now
        return self._hearing_since


def allowed_silence(asset_type: AssetType, site: Site, daily: Daily) -> int | None:
    """Return how long (ns) an asset may send nothing before it is missed; ``None``: it never is.

    Where the type does not say: ten of its shortest periods, at least an hour, and beside that the hours of a day in
    which it does not report and, behind a poor link, the time that data may take.
    """
    if asset_type.silent_after_minutes is not None:
        return int(asset_type.silent_after_minutes * _MINUTE) or None
    periods = [signal.period for signal in asset_type.signals if signal.period]
    if not periods:
        return None
    minutes = max(_LEAST_MINUTES, _PERIODS * min(periods) / 60) + 60 * (24 - asset_type.reporting_hours)
    if site.connectivity == "poor":
        minutes += daily.poor_link_lateness_minutes
    return int(minutes * _MINUTE)


def verdict(
    register: Register,
    daily: Daily,
    states: Iterable[AssetStatus],
    intake: Intake,
    missed: Collection[str] = (),
) -> Verdict:
    """Return what is to be said at ``intake.at``; ``missed`` are assets whose silence is known already."""
    now = intake.at
    if intake.problem:
        long = now - intake.since >= AWAY_NS
        return Verdict(hearing=False, problem=intake.problem if long else "", since=intake.since)
    silent, heard = [], set()
    for state in states:
        if state.data_at is None or state.asset_id not in register.assets:
            continue
        allowed = allowed_silence(register.type_of(state.asset_id), register.site_of(state.asset_id), daily)
        if allowed is None:
            continue
        if now - state.data_at <= allowed:
            heard.add(state.asset_id)
        elif now - max(state.data_at, intake.since) > allowed:
            silent.append(Silence(state.asset_id, state.data_at, allowed))
    new = [silence for silence in silent if silence.asset_id not in missed]
    expected = len(silent) + len(heard)
    together = len(new) >= _TOGETHER and len(new) >= _SHARE * expected
    since = min((silence.since for silence in new), default=now)
    return Verdict(True, tuple(silent), frozenset(heard), expected, together, since=since)
