"""Decoded content against the register: only what can be true is stored (see docs/decisions/0002)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from math import isfinite
from typing import cast

import msgspec

from config.nearest import did_you_mean
from config.register import SEVERITIES, AssetType, Register
from ingest.decoders.decoder import MAX_NAME, Decoded, FaultReport, Reject, Rejects, Sample, Samples
from telemetry.records import FaultEvent, Measurements

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MINUTE = 60 * 1_000_000_000
_LARGEST = sys.float_info.max  # so that infinity is out of every range
_MAX_ADVISED = 1000
"""Known names among which the nearest is looked for, and unknown ones whose nearest is remembered: it takes time."""
_ADVISED_A_MESSAGE = 3

# ``Measurements._make`` without its step through Python.
_new_measurements = cast("Callable[[tuple[object, ...]], Measurements]", partial(tuple.__new__, Measurements))
Bounds = Mapping[str, tuple[float, float]]


class Checked(msgspec.Struct, gc=False):
    """What of one message may be stored, and why the rest may not.

    ``rejected`` counts samples and faults of which nothing is stored; ``rejects`` gives reasons, also of single values.
    """

    measurements: list[Measurements] = []
    faults: list[FaultEvent] = []
    rejected: int = 0
    rejects: Rejects = msgspec.field(default_factory=Rejects)

    @property
    def taken(self) -> int:
        """Samples and faults that may be stored."""
        return sum([len(times) for _, _, times, _ in self.measurements]) + len(self.faults)

    def refuse(self, reject: Reject, samples: int = 1) -> None:
        """Note that ``samples`` samples or faults are not taken."""
        self.rejects.add(reject)
        self.rejected += samples


class Validator:
    """Checks decoded messages against the register; ``skew`` and ``age`` are ns ahead of and behind now."""

    def __init__(self, register: Register, *, skew: int, age: int) -> None:
        self._register, self._skew, self._age = register, skew, age
        self._bounds: dict[str, Bounds] = {
            name: {
                signal.name: (max(signal.low, -_LARGEST), min(signal.high, _LARGEST)) for signal in asset_type.signals
            }
            for name, asset_type in register.asset_types.items()
        }
        self._known: dict[str, tuple[AssetType, Bounds]] = {}
        self._advice: dict[tuple[str, str], str] = {}

    def unknown_asset(self, asset_id: str) -> Reject | None:
        """Return why this asset's messages are not taken, or ``None`` where they are."""
        if asset_id in self._register.assets:
            return None
        near = self._near("assets", asset_id, self._register.assets)
        return Reject("unknown-asset", "topic", f"asset {asset_id[:MAX_NAME]!r} is not in the register{near}")

    def check(self, asset_id: str, decoded: Decoded, now: int) -> Checked:
        """Check the content of a message of a known asset; ``now`` is ns since the epoch."""
        checked = Checked(rejected=decoded.rejected, rejects=decoded.rejects)
        if decoded.asset_id is not None and decoded.asset_id != asset_id:
            detail = f"{decoded.asset_id[:MAX_NAME]!r} contradicts the topic, which is of {asset_id!r}"
            samples = len(decoded.samples) + len(decoded.faults)
            checked.refuse(Reject("other-asset", "asset_id", detail), samples or 1)
            return checked
        asset_type, bounds = self._of(asset_id)
        oldest, newest = now - self._age, now + self._skew
        measurements = checked.measurements
        batch = decoded.samples
        if len(batch) > 1:
            together = _together(asset_id, batch, oldest, newest, bounds)
            if together is not None:  # as it mostly is
                measurements.append(together)
                batch = ()
        for sample in batch:
            if oldest <= sample.time <= newest:
                values = sample.values
                if values and _all_within(values, bounds):  # as they mostly are
                    measurements.append(
                        _new_measurements((asset_id, tuple(values), (sample.time,), tuple(values.values())))
                    )
                    continue
                self._sample(asset_id, asset_type, bounds, sample, checked)
            else:
                checked.refuse(_wrong_time(sample.time, f"{sample.where}ts", now))
        for fault in decoded.faults:
            if oldest <= fault.time <= newest:
                self._fault(asset_id, asset_type, fault, checked)
            else:
                checked.refuse(_wrong_time(fault.time, "ts", now))
        return checked

    def _of(self, asset_id: str) -> tuple[AssetType, Bounds]:
        known = self._known.get(asset_id)
        if known is None:
            asset_type = self._register.type_of(asset_id)
            known = self._known[asset_id] = asset_type, self._bounds[asset_type.id]
        return known

    def _sample(self, asset_id: str, asset_type: AssetType, bounds: Bounds, sample: Sample, checked: Checked) -> None:
        good, wrong = {}, []
        for name, value in sample.values.items():
            bound = bounds.get(name)
            if bound is not None and bound[0] <= value <= bound[1]:
                good[name] = value
            else:
                wrong.append(name)
        if good:
            checked.measurements.append(Measurements.at(asset_id, sample.time, good))
        elif wrong:
            checked.rejected += 1
        else:
            checked.refuse(Reject("missing", f"{sample.where}signals", "holds no value"))
        for name in wrong:
            where = f"{sample.where}signals.{name[:MAX_NAME]}"
            terse = len(checked.rejects) >= _ADVISED_A_MESSAGE
            checked.rejects.add(self._bad_value(asset_type, name, sample.values[name], where, terse))

    def _bad_value(self, asset_type: AssetType, name: str, value: float, where: str, terse: bool) -> Reject:
        signal = asset_type.signal.get(name)
        if signal is None:
            near = "" if terse else self._near(f"signals {asset_type.id}", name, asset_type.signal)
            return Reject("unknown-signal", where, f"{asset_type.id!r} has no signal {name[:MAX_NAME]!r}{near}")
        return Reject("out-of-range", where, f"{value:g} {signal.unit} is outside {signal.low:g} to {signal.high:g}")

    def _fault(self, asset_id: str, asset_type: AssetType, fault: FaultReport, checked: Checked) -> None:
        if fault.code not in asset_type.fault:
            if not asset_type.open_vocabulary:
                near = self._near(f"faults {asset_type.id}", fault.code, asset_type.fault)
                detail = f"{asset_type.id!r} has no fault {fault.code[:MAX_NAME]!r}{near}"
                checked.refuse(Reject("unknown-code", "code", detail))
                return
            if not _CODE.fullmatch(fault.code):
                checked.refuse(Reject("unknown-code", "code", f"{fault.code[:MAX_NAME]!r} cannot be a fault code"))
                return
        severity = fault.severity
        if severity and severity not in SEVERITIES:
            detail = f"{severity[:MAX_NAME]!r} is not one of {', '.join(SEVERITIES)}"
            checked.rejects.add(Reject("unknown-severity", "severity", detail))
            severity = ""
        checked.faults.append(
            FaultEvent(asset_id, fault.code, fault.time, fault.occurrence, fault.state, severity, fault.context)
        )

    def _near(self, kind: str, name: str, known: Collection[str]) -> str:
        if len(known) > _MAX_ADVISED or len(name) > MAX_NAME:
            return ""
        advice = self._advice.get((kind, name))
        if advice is None:
            if len(self._advice) >= _MAX_ADVISED:
                self._advice.clear()
            advice = self._advice[kind, name] = did_you_mean(name, known)
        return advice


def _together(
    asset_id: str, samples: Sequence[Sample], oldest: int, newest: int, bounds: Bounds
) -> Measurements | None:
    """Return a batch where all of it is of one shape and can be stored as it is: told by whole columns."""
    if isinstance(samples, Samples):
        times, rows = samples.times, samples.values
    else:
        times, rows, _ = zip(*samples, strict=True)
    signals = tuple(rows[0])
    if not signals or not (oldest <= min(times) and max(times) <= newest):
        return None
    if list(chain.from_iterable(rows)) != [*signals] * len(rows):
        return None
    values = list(chain.from_iterable([row.values() for row in rows]))
    # NaN is neither less nor more than anything, but spoils a sum.
    if not isfinite(sum(values)):
        return None
    for place, signal in enumerate(signals):
        # Sorting finds the least and the greatest sooner than min and max do: it knows that all are floats.
        bound, column = bounds.get(signal), sorted(values[place :: len(signals)])
        if bound is None or not (bound[0] <= column[0] and column[-1] <= bound[1]):
            return None
    return _new_measurements((asset_id, signals, times, values))


def _all_within(values: Mapping[str, float], bounds: Bounds) -> bool:
    for name, value in values.items():
        bound = bounds.get(name)
        if bound is None or not bound[0] <= value <= bound[1]:
            return False
    return True


def _wrong_time(time: int, where: str, now: int) -> Reject:
    if time > now:
        return Reject("future", where, f"is {(time - now) // _MINUTE} minutes ahead of now; the clock is wrong")
    return Reject("too-old", where, f"is {(now - time) // (1440 * _MINUTE)} days ago, older than is taken")
