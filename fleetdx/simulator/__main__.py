"""``python -m fleetdx.simulator``: publishes a simulated fleet, as a process of its own.

Says what it does as JSON lines on standard output: ``{"sent": n, "of": m}`` while the history goes out,
``{"history": "sent"}`` when the broker has acknowledged all of it, and, live, ``{"now": ns}`` for each step.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from config.installation import load
from fleetdx.simulator.car import PERIOD, SAMPLES
from fleetdx.simulator.fleet import Fleet, write_tally
from fleetdx.simulator.gateway import SAMPLES_A_MESSAGE, Sent, Tally

_UNACKNOWLEDGED = 500
"""Messages on their way at one time: what a crash of the broker could make us send again."""
_QOS = 1


class Publisher:
    """Sends messages and waits for the broker to take them; never more than a few hundred are on their way."""

    def __init__(self, host: str, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="fleetdx-simulator", protocol=paho.MQTTv311)
        self._client.max_inflight_messages_set(_UNACKNOWLEDGED)
        self._client.connect(host, port)
        self._client.loop_start()
        self._pending: list[paho.MQTTMessageInfo] = []

    def send(self, message: Sent) -> None:
        """Hand a message to the network; waits while too many are on their way."""
        retained = message.topic.endswith("/status")
        self._pending.append(self._client.publish(message.topic, message.payload, _QOS, retain=retained))
        if len(self._pending) >= 2 * _UNACKNOWLEDGED:
            self.drain(_UNACKNOWLEDGED)

    def drain(self, leave: int = 0) -> None:
        """Wait until all but ``leave`` of the messages are acknowledged."""
        done = len(self._pending) - leave
        for info in self._pending[:done]:
            info.wait_for_publish(timeout=120)
            if not info.is_published():
                raise SystemExit("the broker does not acknowledge what is published")
        del self._pending[:done]

    def close(self) -> None:
        """Send what is left and disconnect."""
        self.drain()
        self._client.disconnect()
        self._client.loop_stop()


def _tell(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _send_history(publisher: Publisher, messages: Iterable[Sent], expected: int) -> None:
    for number, message in enumerate(messages):
        publisher.send(message)
        if number % 500 == 0:
            _tell(sent=number, of=max(expected, number))
    publisher.drain()


def _live(publisher: Publisher, fleet: Fleet, speed: float) -> None:
    """Go on day after day, ``speed`` times as fast as the clock on the wall."""
    day = fleet.end
    step = PERIOD / 1e9 / speed
    while True:
        today = [car.day(day) for car in fleet.cars]
        for place in range(SAMPLES):
            begun = time.monotonic()
            for gateway, content in zip(fleet.gateways, today, strict=True):
                if place < len(content.times):
                    for message in gateway.live(content, place):
                        publisher.send(message)
            publisher.drain()
            newest = max((int(content.times[place]) for content in today if place < len(content.times)), default=0)
            if newest:
                _tell(now=newest)
            time.sleep(max(0.0, step - (time.monotonic() - begun)))
        day += timedelta(days=1)


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
    publisher = Publisher(options.host, options.port)
    expected = len(fleet.cars) * options.days * (SAMPLES // SAMPLES_A_MESSAGE + 2)
    _send_history(publisher, fleet.history(tally), expected)
    write_tally(tally, options.truth)
    _tell(history="sent")
    if options.live:
        _live(publisher, fleet, options.live)
    publisher.close()


if __name__ == "__main__":
    main()
