"""The simulated fleet: what its gateways send is what it says it sent, and its failures announce themselves."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from config.installation import load
from config.operating_day import NS
from config.register import Register
from fleetdx.demo import SAMPLE
from fleetdx.simulator.__main__ import _live
from fleetdx.simulator.car import FIRST_HOUR, LAST_HOUR, PERIOD
from fleetdx.simulator.failures import DAY, SOUND_DAYS, drawn
from fleetdx.simulator.fleet import Fleet, write_tally
from fleetdx.simulator.gateway import Sent, Tally
from ingest.history import History

pytestmark = pytest.mark.slow

START, DAYS = date(2026, 2, 1), 34
SHOWS = {
    "AIR-LEAK": "compressor_duty",
    "DOOR-DRIVE": "door_close_time",
    "HVAC-COOL": "hvac_discharge_temp",
    "AXLE-BEARING": "axle_bearing_temp",
}
"""The signal by which a technician would see each failure mode; all of them rise."""


class Published(NamedTuple):
    """A history as it reached the broker, and what the simulator says of it."""

    fleet: Fleet
    messages: list[Sent]
    tally: Tally


class Content(NamedTuple):
    """One message, decoded here."""

    asset_id: str
    kind: str
    seq: int
    samples: list[dict[str, Any]]


@pytest.fixture(scope="module")
def register() -> Register:
    return load(SAMPLE).register


@pytest.fixture(scope="module")
def published(register: Register) -> Published:
    tally = Tally()
    fleet = Fleet(register, START, DAYS, seed=3)
    return Published(fleet, list(fleet.history(tally)), tally)


@pytest.fixture(scope="module")
def contents(published: Published) -> list[Content]:
    return [_content(message) for message in published.messages if not message.topic.endswith("/status")]


@pytest.fixture(scope="module")
def distinct(contents: list[Content]) -> list[Content]:
    """Each message once, whatever the link repeated."""
    return list({(c.asset_id, c.kind, c.seq): c for c in contents}.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(register: Register, published: Published) -> None:
    again = list(islice(Fleet(register, START, DAYS, seed=3).history(Tally()), 1500))
    assert again == published.messages[:1500]
    other = list(islice(Fleet(register, START, DAYS, seed=4).history(Tally()), 1500))
    assert [m.payload for m in other[24:]] != [m.payload for m in again[24:]]


def test_a_day_is_the_same_whenever_it_is_asked_for(published: Published) -> None:
    car = published.fleet.cars[5]
    later, earlier = car.day(START + timedelta(days=9)), car.day(START + timedelta(days=2))
    again = car.day(START + timedelta(days=9))
    assert all(np.array_equal(later.values[name], again.values[name]) for name in later.values)
    assert later.faults == again.faults
    assert not np.array_equal(later.values["speed"], earlier.values["speed"])


@pytest.mark.parametrize("seed", range(6))
def test_every_failure_mode_fails_on_cars_of_its_own_after_days_in_which_nothing_grows(
    register: Register, seed: int
) -> None:
    fleet = Fleet(register, START, DAYS, seed)
    begin, end = _ns(START), _ns(fleet.end)
    within = [failure for failure in fleet.failures if failure.fails < end]
    assert Counter(f.mode for f in within) == dict.fromkeys(SHOWS, 2)
    assert len({f.asset_id for f in fleet.failures}) == len(fleet.failures) == 11
    for failure in fleet.failures:
        assert begin + SOUND_DAYS * DAY <= failure.begins < failure.fails < failure.repaired
        assert 2 * DAY < failure.fails - failure.begins < 31 * DAY
        grown = failure.growth(np.linspace(failure.begins, failure.fails, 50))
        assert grown[0] == 0
        assert grown[-1] == pytest.approx(1)
        assert np.all(np.diff(grown) > 0)
        assert failure.growth(np.array([failure.repaired + 1])) == 0


def test_a_failure_shows_in_its_signal_before_the_car_stops_and_is_gone_after_the_repair(published: Published) -> None:
    fleet = published.fleet
    for failure in fleet.failures:
        car = next(car for car in fleet.cars if car.asset_id == failure.asset_id)
        signal = SHOWS[failure.mode]
        peers = [other for other in fleet.cars if other.asset_id not in {f.asset_id for f in fleet.failures}]
        sound = [_mean(car, signal, START + timedelta(days=n)) for n in range(10)]
        spread = max(np.std(sound), 0.02)
        fails = datetime.fromtimestamp(failure.fails // NS, UTC).date()
        before = fails - timedelta(days=1)
        # The weather moves signals too, so the fleet's own change is taken out.
        moved = np.mean([_mean(p, signal, before) - _mean(p, signal, START + timedelta(days=5)) for p in peers])
        assert _mean(car, signal, before) - np.mean(sound) - moved > 3 * spread, failure
        after = datetime.fromtimestamp(failure.repaired // NS, UTC).date() + timedelta(days=2)
        moved = np.mean([_mean(p, signal, after) - _mean(p, signal, START + timedelta(days=5)) for p in peers])
        assert abs(_mean(car, signal, after) - np.mean(sound) - moved) < 8 * spread, failure


def test_a_car_that_stands_for_repair_sends_nothing(published: Published, distinct: list[Content]) -> None:
    drift = _drifts(distinct)
    for failure in published.fleet.failures:
        times = [
            s["ts"] * 1_000_000 - drift[failure.asset_id]
            for c in distinct
            if c.asset_id == failure.asset_id and c.kind == "telemetry"
            for s in c.samples
        ]
        assert not [at for at in times if failure.fails < at < failure.repaired]


def test_a_car_that_fails_in_service_says_so_with_its_final_code(
    published: Published, distinct: list[Content], register: Register
) -> None:
    said = defaultdict(list)
    for content in distinct:
        if content.kind == "faults" and content.samples[0]["code"].endswith("99"):
            said[content.asset_id].append(content.samples[0]["code"])
    for failure in published.fleet.failures:
        at = datetime.fromtimestamp(failure.fails // NS, register.site_of(failure.asset_id).zone)
        in_service = at.date() < published.fleet.end and FIRST_HOUR <= at.hour < LAST_HOUR
        final = {"AIR-LEAK": "A2199", "DOOR-DRIVE": "D3199", "HVAC-COOL": "H4199", "AXLE-BEARING": "B5199"}
        assert said.pop(failure.asset_id, []) == [final[failure.mode]] * in_service
    assert not said


def test_sound_cars_report_false_faults_and_never_a_final_one(published: Published, distinct: list[Content]) -> None:
    failing = {failure.asset_id for failure in published.fleet.failures}
    sound = [c for c in distinct if c.kind == "faults" and c.asset_id not in failing]
    codes = Counter(s["code"] for c in sound for s in c.samples if s["state"] == "set")
    assert len(codes) >= 5
    assert sum(codes.values()) > 50
    assert not [code for code in codes if code.endswith("99")]
    assert len({c.asset_id for c in sound}) == 24 - len(failing)


def test_repetitions_are_those_that_were_counted(published: Published, contents: list[Content]) -> None:
    seen: set[tuple[str, str, int]] = set()
    repeated = 0
    for content in contents:
        key = content.asset_id, content.kind, content.seq
        repeated += len(content.samples) if key in seen else 0
        seen.add(key)
    assert repeated == published.tally.duplicate_samples > 0


def test_every_number_of_every_gateway_is_sent(published: Published, distinct: list[Content]) -> None:
    numbers = defaultdict(set)
    for content in distinct:
        numbers[content.asset_id, content.kind].add(content.seq)
    assert len(numbers) == 48
    for key, found in numbers.items():
        assert found == set(range(len(found))), key
    assert len(distinct) == published.tally.messages
    assert sum(len(c.samples) for c in distinct) == published.tally.samples == sum(published.tally.by_asset.values())


def test_one_clock_jumps_for_two_hours_and_is_counted(published: Published, distinct: list[Content]) -> None:
    ahead = Counter(
        c.asset_id for c in distinct for s in c.samples if s["ts"] * 1_000_000 > _ns(published.fleet.end) + DAY
    )
    assert len(ahead) == 1
    assert sum(ahead.values()) == published.tally.quarantined_samples == 24


def test_values_out_of_range_are_those_that_were_counted(published: Published, distinct: list[Content]) -> None:
    telemetry = [s["signals"] for c in distinct if c.kind == "telemetry" for s in c.samples]
    assert sum(s["door_close_time"] == 999.0 for s in telemetry) == published.tally.flagged_values > 0


def test_clocks_drift_each_by_its_own_amount(distinct: list[Content]) -> None:
    drift = _drifts(distinct)
    assert len(set(drift.values())) > 20
    assert 5 * NS < max(map(abs, drift.values())) < 120 * NS


def test_outages_hold_messages_back_within_the_day_and_over_night(published: Published, register: Register) -> None:
    behind, over_night = Counter[str](), Counter[str]()
    # A gateway's day comes in one piece, so what it holds of the day before was kept over night.
    for asset_id, block in groupby(published.messages[24:], key=lambda message: message.topic.split("/")[1]):
        zone = register.site_of(asset_id).zone
        times = [message.time for message in block]
        days = [datetime.fromtimestamp(at // NS, zone).date() for at in times]
        over_night[asset_id] += sum(day < max(days) for day in days)
        behind[asset_id] += sum(at < max(times[: n + 1]) for n, at in enumerate(times))
    assert sum(behind.values()) > 0
    assert sum(over_night.values()) > 0
    assert sum((behind + over_night)[car] > 0 for car in behind) >= 3


def test_days_begin_at_five_by_the_clock_of_each_depot(published: Published, register: Register) -> None:
    zones = {register.site_of(car.asset_id).zone for car in published.fleet.cars}
    assert len(zones) == 3
    for car in published.fleet.cars:
        zone = register.site_of(car.asset_id).zone
        content = car.day(START)
        first, last = (datetime.fromtimestamp(int(at) // NS, zone) for at in content.times[[0, -1]])
        assert (first.date(), first.hour, first.minute) == (START, 5, 0)
        assert last < datetime(START.year, START.month, START.day, LAST_HOUR, tzinfo=zone)


def test_the_truth_is_written_as_a_history_folder_has_it(published: Published, tmp_path: Path) -> None:
    published.fleet.write_truth(tmp_path / "truth")
    write_tally(published.tally, tmp_path / "truth")
    history = History.tables_in(tmp_path / "truth")
    told = [(f.asset_id, f.fails // NS, f.mode) for f in published.fleet.failures]
    failures, repairs = history.failures(), history.maintenance()
    assert [(a, t // NS, m) for a, t, m in zip(*(failures[n] for n in failures), strict=True)] == told
    assert repairs["asset_id"].tolist() == [f.asset_id for f in published.fleet.failures]
    assert (repairs["time"] // NS).tolist() == [f.repaired // NS for f in published.fleet.failures]
    assert set(repairs["component"]) == {"air supply", "door drive", "air conditioner", "axle bearing"}
    tally = json.loads((tmp_path / "truth" / "published.json").read_text())
    assert tally["samples"] == published.tally.samples
    assert list((tmp_path / "truth").glob("*.part")) == []


def test_live_samples_come_in_order_of_time_and_go_on_where_the_history_ended(register: Register) -> None:
    fleet = Fleet(register, START, DAYS, seed=3)
    drifts = {gateway.asset_id: gateway._drift_ms * 1_000_000 for gateway in fleet.gateways}
    sent: list[tuple[str, bytes]] = []

    class Enough(Exception):
        pass

    class Recorder:
        def send(self, topic: str, payload: bytes) -> None:
            sent.append((topic, payload))
            if len(sent) == 24 * 500:  # more than two days of each car
                raise Enough

        def drain(self) -> None:
            pass

    with pytest.raises(Enough):
        _live(Recorder(), fleet, speed=1e12)  # type: ignore[arg-type]
    contents = [_content(Sent(topic, payload, 0, 0)) for topic, payload in sent]
    telemetry = [c for c in contents if c.kind == "telemetry"]
    times = [c.samples[0]["ts"] * 1_000_000 - drifts[c.asset_id] for c in telemetry]
    assert all(later >= earlier for earlier, later in pairwise(times))
    assert times[0] >= _ns(fleet.end) - DAY
    assert times[-1] - times[0] > DAY
    assert {c.asset_id for c in telemetry} == {car.asset_id for car in fleet.cars}
    assert len({(c.asset_id, c.kind, c.seq) for c in contents}) == len(contents)
    by_car = defaultdict(list)
    for content, at in zip(telemetry, times, strict=True):
        by_car[content.asset_id].append(at)
    assert all(np.min(np.diff(found)) == PERIOD for found in by_car.values())


def test_too_few_days_or_cars_are_refused() -> None:
    cars = [f"C{n}" for n in range(11)]
    with pytest.raises(ValueError, match="needs 32 days and 11 cars"):
        drawn(cars, 0, 31, seed=1)
    with pytest.raises(ValueError, match="needs 32 days and 11 cars"):
        drawn(cars[:10], 0, 40, seed=1)
    assert len(drawn(cars, 0, 32, seed=1)) == 11


def _content(message: Sent) -> Content:
    _, asset_id, kind = message.topic.split("/")
    body = json.loads(message.payload)
    return Content(asset_id, kind, body["seq"], body.get("samples", [body]))


def _drifts(contents: list[Content]) -> dict[str, int]:
    """Return by how much (ns) each gateway's clock is wrong: samples are taken on the full five minutes."""
    drifts = {}
    for content in contents:
        if content.kind == "telemetry" and content.asset_id not in drifts:
            off = content.samples[0]["ts"] * 1_000_000 % PERIOD
            drifts[content.asset_id] = off if off < PERIOD // 2 else off - PERIOD
    return drifts


def _mean(car: Any, signal: str, day: date) -> float:
    values = car.day(day).values[signal]
    return float(np.mean(values)) if values.size else float("nan")


def _ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS
