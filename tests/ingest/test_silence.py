"""When an asset is missed: by its type, counted from when we could hear, and never all of them for a fault of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.register import Asset, AssetType, Register, Signal, Site, Text
from config.settings import Daily
from ingest.accounting import Intake
from ingest.counters import AssetStatus
from ingest.reporting import links
from ingest.silence import AWAY_NS, Ear, Verdict, allowed_silence, verdict

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
NOW = 1_790_000_000 * 10**9
TITLE = Text(en="x", zh="x")
SIGNAL = Signal(name="rpm", unit="rpm", period=60.0)
GOOD, POOR = Site(id="good", title="Good"), Site(id="poor", title="Poor", connectivity="poor")


def a_type(**given: object) -> AssetType:
    return AssetType.model_validate({"id": "bus", "title": TITLE, "signals": (SIGNAL,)} | given)


@pytest.mark.parametrize(
    ("given", "site", "minutes"),
    [
        ({}, GOOD, 60),
        ({"signals": (Signal(name="rpm", unit="rpm", period=900.0),)}, GOOD, 150),
        ({"signals": (Signal(name="a", unit="rpm", period=900.0), SIGNAL)}, GOOD, 60),  # the shortest counts
        ({"reporting_hours": 18}, GOOD, 60 + 6 * 60),  # it is switched off at night
        ({}, POOR, 60 + 360),
        ({"silent_after_minutes": 7.5}, POOR, 7.5),
        ({"silent_after_minutes": 0}, GOOD, None),
        ({"signals": (Signal(name="rpm", unit="rpm"),)}, GOOD, None),  # nobody knows how often it should send
        ({"signals": (Signal(name="rpm", unit="rpm"),), "silent_after_minutes": 30}, GOOD, 30),
    ],
)
def test_each_type_says_how_long_it_may_be_silent(given: dict[str, object], site: Site, minutes: float | None) -> None:
    allowed = allowed_silence(a_type(**given), site, Daily())
    assert allowed == (None if minutes is None else int(minutes * MINUTE))


def fleet(count: int, **given: object) -> Register:
    assets = tuple(Asset(id=f"bus-{n}", asset_type="bus", site="good") for n in range(count))
    return Register((GOOD, POOR), (a_type(**given),), assets)


def state(asset_id: str, data_at: int | None) -> AssetStatus:
    return AssetStatus(asset_id, NOW, None, 0, 0, 0, 0, {}, data_at)


def judged(ages: list[int | None], since: int = 0, problem: str = "", missed: tuple[str, ...] = ()) -> Verdict:
    """Say what is said of assets whose last data is so old (ns)."""
    states = [state(f"bus-{n}", None if age is None else NOW - age) for n, age in enumerate(ages)]
    states.append(state("stranger", NOW - 99 * HOUR))
    return verdict(fleet(len(ages)), Daily(), states, Intake(NOW, problem, since), missed)


def test_an_asset_is_missed_a_moment_after_it_may_be_silent_and_one_that_never_spoke_is_not() -> None:
    said = judged([0, HOUR, HOUR + 1, None])
    assert [silence.asset_id for silence in said.silent] == ["bus-2"]
    assert (said.silent[0].since, said.silent[0].allowed) == (NOW - HOUR - 1, HOUR)
    assert said.heard == {"bus-0", "bus-1"}
    assert (said.expected, said.together, said.hearing) == (3, False, True)


def test_what_we_could_not_hear_is_no_silence() -> None:
    assert judged([9 * HOUR] * 40, since=NOW - HOUR).silent == ()  # we hear again for an hour: each has its time
    assert len(judged([9 * HOUR], since=NOW - HOUR - 1).silent) == 1
    away = judged([9 * HOUR] * 40, since=NOW - AWAY_NS, problem="no broker answers")
    assert (away.silent, away.heard, away.hearing) == ((), frozenset(), False)
    assert (away.problem, away.since) == ("no broker answers", NOW - AWAY_NS)
    assert judged([9 * HOUR], since=NOW - AWAY_NS + 1, problem="no broker answers").problem == ""  # for a moment


@pytest.mark.parametrize(
    ("silent", "of", "together"), [(1, 1, False), (4, 4, False), (5, 20, True), (5, 21, False), (1000, 4000, True)]
)
def test_many_that_fall_silent_at_once_have_one_cause(silent: int, of: int, together: bool) -> None:
    said = judged([2 * HOUR] * silent + [0] * (of - silent))
    assert (len(said.silent), said.expected, said.together) == (silent, of, together)
    known = tuple(f"bus-{n}" for n in range(silent))
    assert not judged([2 * HOUR] * silent + [0] * (of - silent), missed=known).together  # they were missed before


def test_an_ear_remembers_since_when() -> None:
    ear = Ear()
    assert [ear.note(problem, now) for problem, now in (("x", 5), ("y", 6), ("", 7), ("", 9), ("x", 10))] == [
        5, 5, 7, 7, 10
    ]  # fmt: skip


def test_a_link_says_what_is_wrong_with_it() -> None:
    register = fleet(3)
    good = replace(state("bus-0", NOW - MINUTE), clock=-3 * 10**9)
    bad = replace(state("bus-1", NOW - 2 * HOUR), clock=90 * 10**9, late=4, reasons={"future": 2})
    found = {link.asset_id: link for link in links(register, Daily(), [good, bad], [], NOW)}
    assert (found["bus-0"].silent, found["bus-0"].silent_seconds, found["bus-0"].clock_seconds) == (False, 60.0, -3.0)
    assert (found["bus-1"].silent, found["bus-1"].late, found["bus-1"].future) == (True, 4, 2)
    assert (found["bus-2"].silent, found["bus-2"].silent_seconds) == (False, None)
    assert [link.asset_id for link in links(register, Daily(), [good, bad], [], NOW)] == ["bus-2", "bus-1", "bus-0"]
