"""What a car's gateway makes of a day: numbered messages, and all that links and clocks do to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from config.operating_day import NS
from fleetdx.simulator.car import Car, CarDay

SAMPLES_A_MESSAGE = 12
_DUPLICATES = 0.01
_OUTAGES_A_DAY = 0.012
_OUTLIERS_A_DAY = 0.02
_JUMP_NS = 400 * 86_400 * NS


class Sent(NamedTuple):
    """One message as it goes out; ``time`` (ns) is that of its newest sample."""

    topic: str
    payload: bytes
    samples: int
    time: int


@dataclass(slots=True)
class Tally:
    """What gateways sent, each sample once: the measure of what must have arrived."""

    messages: int = 0
    samples: int = 0
    duplicate_samples: int = 0
    quarantined_samples: int = 0
    flagged_values: int = 0
    by_asset: dict[str, int] = field(default_factory=dict)


class Gateway:
    """Numbers and sends one car's messages, day after day; its clock drifts, and may jump on one day."""

    def __init__(self, car: Car, prefix: str, seed: int, number: int, jumps_on: date | None) -> None:
        self._car, self._topic, self._jumps_on = car, f"{prefix}/{car.asset_id}", jumps_on
        self._seed, self._number = seed, number
        self._seq = {"telemetry": 0, "faults": 0}
        self._drift_ms = int(np.random.default_rng([seed, 6, number]).normal(0, 15_000))
        self._held: list[Sent] = []

    @property
    def asset_id(self) -> str:
        """The car's id."""
        return self._car.asset_id

    def hello(self) -> Sent:
        """Return the retained message that says the gateway is there."""
        return Sent(f"{self._topic}/status", b'{"online": true}', 0, 0)

    def day(self, day: date, tally: Tally) -> Iterator[Sent]:
        """Yield a day's messages in the order in which they reach the broker."""
        rng = np.random.default_rng([self._seed, 7, self._number, day.toordinal()])
        content = self._car.day(day)
        messages = sorted([*self._telemetry(rng, day, content, tally), *self._faults(content)], key=lambda m: m.time)
        tally.messages += len(messages)
        tally.samples += sum(message.samples for message in messages)
        sent = sum(message.samples for message in messages)
        tally.by_asset[self.asset_id] = tally.by_asset.get(self.asset_id, 0) + sent
        yield from self._held  # what an outage held back yesterday comes before today's
        self._held = []
        outage = rng.random() < _OUTAGES_A_DAY and len(messages) > 6
        begin = int(rng.integers(1, len(messages))) if outage else len(messages)
        back = begin + max(1, int(rng.integers(2, 20)))
        late = messages[begin:back]
        for message in [*messages[:begin], *messages[back:]]:
            yield message
            if rng.random() < _DUPLICATES:
                tally.duplicate_samples += message.samples
                yield message
        # After an outage the newest data goes first and the buffer is emptied behind it.
        if back >= len(messages):
            self._held = late
        else:
            yield from late

    def rest(self) -> Iterator[Sent]:
        """Yield what is still held back when the run ends."""
        yield from self._held
        self._held = []

    def live(self, content: CarDay, place: int) -> Iterator[Sent]:
        """Yield one sample of a day, and the faults since the one before, as they happen."""
        since = int(content.times[place - 1]) if place else 0
        yield from self._faults(content, since, int(content.times[place]))
        yield self._message("telemetry", [self._sample(content, place)], int(content.times[place]))

    def _telemetry(self, rng: np.random.Generator, day: date, content: CarDay, tally: Tally) -> Iterator[Sent]:
        outlier = int(rng.integers(1, 200)) if rng.random() < _OUTLIERS_A_DAY else -1
        jump = range(96, 120) if day == self._jumps_on else range(0)
        for first in range(0, len(content.times), SAMPLES_A_MESSAGE):
            places = range(first, min(first + SAMPLES_A_MESSAGE, len(content.times)))
            samples = []
            for place in places:
                sample = self._sample(content, place)
                if place == outlier:
                    sample["signals"]["door_close_time"] = 999.0
                    tally.flagged_values += 1
                if place in jump:
                    sample["ts"] += _JUMP_NS // 1_000_000
                    tally.quarantined_samples += 1
                samples.append(sample)
            yield self._message("telemetry", samples, int(content.times[places[-1]]))

    def _sample(self, content: CarDay, place: int) -> dict[str, Any]:
        signals = {name: round(float(column[place]), 3) for name, column in content.values.items()}
        return {"ts": int(content.times[place]) // 1_000_000 + self._drift_ms, "signals": signals}

    def _faults(self, content: CarDay, after: int = 0, until: int = 2**62) -> Iterator[Sent]:
        events = []
        for fault in content.faults:
            events.append((fault.time, "set", fault))
            if fault.cleared is not None:
                events.append((fault.cleared, "clear", fault))
        for at, state, fault in sorted(events, key=lambda event: event[0]):
            if not after < at <= until:
                continue
            body: dict[str, Any] = {"ts": at // 1_000_000 + self._drift_ms, "code": fault.code, "state": state}
            if state == "set":
                body |= {"severity": fault.severity, "context": fault.context}
            yield self._numbered("faults", body, 1, at)

    def _message(self, kind: str, samples: list[dict[str, Any]], time: int) -> Sent:
        return self._numbered(kind, {"samples": samples}, len(samples), time)

    def _numbered(self, kind: str, body: dict[str, Any], samples: int, time: int) -> Sent:
        seq = self._seq[kind]
        self._seq[kind] = seq + 1
        return Sent(f"{self._topic}/{kind}", json.dumps({"seq": seq, **body}).encode(), samples, time)
