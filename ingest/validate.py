"""Decoded content against the register: only what can be true is stored (see docs/decisions/0002)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from config.nearest import did_you_mean
from config.register import SEVERITIES, AssetType, Register
from ingest.decoders.decoder import Decoded, FaultReport, Reject, Sample
from telemetry.records import FaultEvent, Measurement

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_MINUTE = 60 * 1_000_000_000


@dataclass(slots=True)
class Checked:
    """What of one message may be stored, and why the rest may not.

    ``rejected`` counts samples and faults of which nothing is stored; ``rejects`` gives reasons, also of single values.
    """

    measurements: list[Measurement] = field(default_factory=list)
    faults: list[FaultEvent] = field(default_factory=list)
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list)


class Validator:
    """Checks decoded messages against the register; ``skew`` and ``age`` are ns ahead of and behind now."""

    def __init__(self, register: Register, *, skew: int, age: int) -> None:
        self._register, self._skew, self._age = register, skew, age
        self._bounds: dict[str, Mapping[str, tuple[float, float]]] = {
            name: {signal.name: (signal.low, signal.high) for signal in asset_type.signals}
            for name, asset_type in register.asset_types.items()
        }

    def unknown_asset(self, asset_id: str) -> Reject | None:
        """Return why this asset's messages are not taken, or ``None`` where they are."""
        if asset_id in self._register.assets:
            return None
        near = did_you_mean(asset_id, self._register.assets)
        return Reject("unknown-asset", "topic", f"asset {asset_id[:64]!r} is not in the register{near}")

    def check(self, asset_id: str, decoded: Decoded, now: int) -> Checked:
        """Check the content of a message of a known asset; ``now`` is ns since the epoch."""
        checked = Checked(rejected=decoded.rejected, rejects=list(decoded.rejects))
        if decoded.asset_id is not None and decoded.asset_id != asset_id:
            detail = f"{decoded.asset_id[:64]!r} contradicts the topic, which is of {asset_id!r}"
            checked.rejects.append(Reject("other-asset", "asset_id", detail))
            checked.rejected += len(decoded.samples) + len(decoded.faults)
            return checked
        asset_type = self._register.type_of(asset_id)
        bounds = self._bounds[asset_type.id]
        for sample in decoded.samples:
            self._sample(asset_id, asset_type, bounds, sample, now, checked)
        for fault in decoded.faults:
            self._fault(asset_id, asset_type, fault, now, checked)
        return checked

    def _sample(
        self,
        asset_id: str,
        asset_type: AssetType,
        bounds: Mapping[str, tuple[float, float]],
        sample: Sample,
        now: int,
        checked: Checked,
    ) -> None:
        wrong = self._wrong_time(sample.time, f"{sample.where}ts", now)
        if wrong is not None:
            checked.rejects.append(wrong)
            checked.rejected += 1
            return
        good = {}
        for name, value in sample.values.items():
            bound = bounds.get(name)
            if bound is not None and bound[0] <= value <= bound[1] and value - value == 0:  # the last: finite
                good[name] = value
            else:
                checked.rejects.append(_bad_value(asset_type, name, value, f"{sample.where}signals.{name[:64]}"))
        if good:
            checked.measurements.append(Measurement(asset_id, sample.time, good))
        else:
            checked.rejected += 1
            if not sample.values:
                checked.rejects.append(Reject("missing", f"{sample.where}signals", "holds no value"))

    def _fault(self, asset_id: str, asset_type: AssetType, fault: FaultReport, now: int, checked: Checked) -> None:
        wrong = self._wrong_time(fault.time, "ts", now)
        if wrong is None and fault.code not in asset_type.fault:
            if not asset_type.open_vocabulary:
                near = did_you_mean(fault.code, asset_type.fault)
                wrong = Reject("unknown-code", "code", f"{asset_type.id!r} has no fault {fault.code[:32]!r}{near}")
            elif not _CODE.fullmatch(fault.code):
                wrong = Reject("unknown-code", "code", f"{fault.code[:32]!r} cannot be a fault code")
        if wrong is not None:
            checked.rejects.append(wrong)
            checked.rejected += 1
            return
        severity = fault.severity
        if severity and severity not in SEVERITIES:
            checked.rejects.append(
                Reject("unknown-severity", "severity", f"{severity[:32]!r} is not one of {SEVERITIES}")
            )
            severity = ""
        frame = {name[:64]: value for name, value in fault.context.items() if value - value == 0}
        checked.faults.append(
            FaultEvent(asset_id, fault.code, fault.time, fault.occurrence, fault.state, severity, frame)
        )

    def _wrong_time(self, time: int, where: str, now: int) -> Reject | None:
        if time > now + self._skew:
            return Reject("future", where, f"is {(time - now) // _MINUTE} minutes ahead of now; the clock is wrong")
        if time < now - self._age:
            return Reject("too-old", where, f"is {(now - time) // (1440 * _MINUTE)} days ago, older than is taken")
        return None


def _bad_value(asset_type: AssetType, name: str, value: float, where: str) -> Reject:
    signal = asset_type.signal.get(name)
    if signal is None:
        near = did_you_mean(name, asset_type.signal)
        return Reject("unknown-signal", where, f"{asset_type.id!r} has no signal {name[:64]!r}{near}")
    return Reject("out-of-range", where, f"{value:g} {signal.unit} is outside {signal.low:g} to {signal.high:g}")
