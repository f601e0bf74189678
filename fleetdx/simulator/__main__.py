"""``python -m fleetdx.simulator``: publishes a simulated fleet, as a process of its own.

Says what it does as JSON lines on standard output: ``{"sent": n, "of": m}`` while the history goes out,
``{"history": "sent", "messages": n}`` when the broker has acknowledged all of it, and, live, ``{"now": ns}`` for each
step. It goes on live when a line comes on standard input, or that ends.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

from config.installation import load
from fleetdx.publisher import Publisher
from fleetdx.simulator.car import PERIOD, SAMPLES, CarDay
from fleetdx.simulator.fleet import Fleet, write_tally
from fleetdx.simulator.gateway import SAMPLES_A_MESSAGE, Gateway, Sent, Tally


def _tell(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _send_history(publisher: Publisher, messages: Iterable[Sent], expected: int) -> int:
    sent = 0
    for message in messages:
        publisher.send(message.topic, message.payload, retain=message.topic.endswith("/status"))
        if sent % 500 == 0:
            _tell(sent=sent, of=max(expected, sent))
        sent += 1
    publisher.drain()
    return sent


def _moments(fleet: Fleet, number: int) -> Iterator[tuple[int, Gateway, CarDay, int]]:
    """Yield each sample that a car takes after the history: its time, gateway, day and place within the day."""
    for later in itertools.count():
        content = fleet.cars[number].day(fleet.end + timedelta(days=later))
        for place, at in enumerate(content.times):
            yield int(at), fleet.gateways[number], content, place


def _live(publisher: Publisher, fleet: Fleet, speed: float) -> None:
    """Go on day after day, ``speed`` times as fast as the clock on the wall; the depots' days begin apart."""
    step = PERIOD / 1e9 / speed
    now = 0
    for at, gateway, content, place in heapq.merge(
        *(_moments(fleet, number) for number in range(len(fleet.cars))), key=lambda moment: moment[0]
    ):
        if at >= now + PERIOD:
            publisher.drain()
            if now:
                _tell(now=now)
                time.sleep(step)
            now = at
        for message in gateway.live(content, place):
            publisher.send(message.topic, message.payload)


def main() -> None:
    """Publish the history, and go on live if asked to."""
    parser = argparse.ArgumentParser(prog="python -m fleetdx.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="fleet")
    parser.add_argument("--config", type=Path, required=True, help="configuration folder with cars of type emu-car")
    parser.add_argument("--start", type=date.fromisoformat, required=True, help="first day")
    parser.add_argument("--days", type=int, default=49)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--truth", type=Path, required=True, help="folder for what really happens")
    parser.add_argument("--live", type=float, default=0.0, metavar="SPEED", help="go on live, so many times faster")
    options = parser.parse_args()
    fleet = Fleet(load(options.config).register, options.start, options.days, options.seed, options.prefix)
    fleet.write_truth(options.truth)
    tally = Tally()
    publisher = Publisher(options.host, options.port, "fleetdx-simulator")
    expected = len(fleet.cars) * options.days * (SAMPLES // SAMPLES_A_MESSAGE + 2)
    sent = _send_history(publisher, fleet.history(tally), expected)
    write_tally(tally, options.truth)
    _tell(history="sent", messages=sent)
    if options.live:
        sys.stdin.readline()
        _live(publisher, fleet, options.live)
    publisher.close()


if __name__ == "__main__":
    main()
