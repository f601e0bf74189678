"""The JSON payloads of docs/ingest.md.

A payload that is right throughout is decoded and checked in one pass by msgspec. One that is not is read
again slowly, field by field, so that the good part is kept and the reason names the field.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any, Literal

import msgspec

from ingest.decoders.decoder import Decoded, FaultReport, Kind, Limits, Reject, Sample

_MS = 1_000_000
_LAST_MS = 4_102_444_800_000  # the year 2100; before it a count of microseconds would be read as one of milliseconds
_LAST_SEQ = 2**63 - 1
_DEPTH = 8


class _Sample(msgspec.Struct):
    ts: str | int
    signals: dict[str, float]


class _Telemetry(msgspec.Struct):
    seq: int | None = None
    asset_id: str | None = None
    ts: str | int | None = None
    signals: dict[str, float] | None = None
    samples: list[_Sample] | None = None


class _Fault(msgspec.Struct):
    ts: str | int
    code: str
    seq: int | None = None
    asset_id: str | None = None
    state: Literal["set", "clear"] = "set"
    occurrence: int | None = None
    severity: str = ""
    context: dict[str, float] = {}


class _Status(msgspec.Struct):
    online: bool
    ts: str | int | None = None
    asset_id: str | None = None


class _Wrong(Exception):
    """A field is not as it should be."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason)
        self.reject = Reject(reason, field, detail)


_telemetry = msgspec.json.Decoder(_Telemetry)
_fault = msgspec.json.Decoder(_Fault)
_status = msgspec.json.Decoder(_Status)


class JsonDecoder:
    """Decodes telemetry, faults and status within ``limits``."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def decode(self, kind: Kind, payload: bytes) -> Decoded:
        """Read a payload; see ``Decoder``."""
        limit = self._limits.payload_bytes
        if len(payload) > limit:
            return _nothing(Reject("too-large", "payload", f"{len(payload)} bytes, at most {limit} are taken"))
        try:
            return self._fast(kind, payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, _Wrong, RecursionError):
            return self._slow(kind, payload)

    def _fast(self, kind: Kind, payload: bytes) -> Decoded:
        if kind == "telemetry":
            message = _telemetry.decode(payload)
            if message.samples is not None:
                if len(message.samples) > self._limits.samples or message.signals is not None:
                    raise _Wrong("too-many", "samples", "")
                samples = [
                    Sample(_time(sample.ts, "ts"), sample.signals, f"samples[{n}].")
                    for n, sample in enumerate(message.samples)
                ]
            elif message.ts is not None and message.signals is not None:
                samples = [Sample(_time(message.ts, "ts"), message.signals)]
            else:
                raise _Wrong("missing", "ts", "")
            if any(len(sample.values) > self._limits.signals for sample in samples):
                raise _Wrong("too-many", "signals", "")
            return Decoded(_seq(message.seq), message.asset_id, samples)
        if kind == "faults":
            fault = _fault.decode(payload)
            return Decoded(_seq(fault.seq), fault.asset_id, faults=[self._report(fault)])
        status = _status.decode(payload)
        return Decoded(asset_id=status.asset_id, online=status.online)

    def _report(self, fault: _Fault) -> FaultReport:
        if len(fault.context) > self._limits.context:
            raise _Wrong(
                "too-many", "context", f"has {len(fault.context)} values, at most {self._limits.context} are taken"
            )
        occurrence = fault.occurrence
        if occurrence is None:  # set and clear of one instant are two events, the same one sent again is one
            occurrence = 0 if fault.state == "set" else 1
        if not 0 <= occurrence <= _LAST_SEQ:
            raise _Wrong("out-of-range", "occurrence", f"{occurrence} is not a count")
        return FaultReport(
            _time(fault.ts, "ts"), fault.code, fault.state, occurrence, fault.severity[:32], fault.context
        )

    def _slow(self, kind: Kind, payload: bytes) -> Decoded:
        try:
            message = _parse(payload)
            if kind == "telemetry":
                return self._slow_telemetry(message)
            if kind == "faults":
                return self._slow_fault(message)
            _expect(message.get("online"), bool, "online", "true or false")
            return Decoded(online=message["online"])
        except _Wrong as wrong:
            return _nothing(wrong.reject)

    def _slow_telemetry(self, message: dict[str, Any]) -> Decoded:
        decoded = Decoded(*_heading(message))
        if "samples" in message and "signals" in message:
            raise _Wrong("contradiction", "samples", "stands beside signals; a message has one of them")
        if "samples" not in message:
            items = [("", message)]
        else:
            _expect(message["samples"], list, "samples", "an array")
            if len(message["samples"]) > self._limits.samples:
                count = len(message["samples"])
                raise _Wrong("too-many", "samples", f"has {count} items, at most {self._limits.samples} are taken")
            items = [(f"samples[{number}].", item) for number, item in enumerate(message["samples"])]
        samples = []
        for where, item in items:
            try:
                samples.append(self._slow_sample(where, item, decoded.rejects))
            except _Wrong as wrong:
                decoded.rejects.append(wrong.reject)
                decoded.rejected += 1
        decoded.samples = samples
        return decoded

    def _slow_sample(self, where: str, item: object, rejects: list[Reject]) -> Sample:
        if not isinstance(item, dict):
            raise _Wrong("wrong-type", where.rstrip("."), f"expected an object, got {_kind(item)}")
        time = _time(item.get("ts"), f"{where}ts")
        signals = item.get("signals")
        _expect(signals, dict, f"{where}signals", "an object")
        assert isinstance(signals, dict)
        if len(signals) > self._limits.signals:
            raise _Wrong("too-many", f"{where}signals", f"has {len(signals)} values, at most {self._limits.signals}")
        values = {}
        wrong: _Wrong | None = None
        for name, value in signals.items():
            try:
                values[name] = _number(value, f"{where}signals.{name[:64]}")
            except _Wrong as error:
                rejects.append(error.reject)
                wrong = error
        if wrong is not None and not values:
            rejects.pop()
            raise wrong
        return Sample(time, values, where)

    def _slow_fault(self, message: dict[str, Any]) -> Decoded:
        seq, asset_id = _heading(message)
        _expect(message.get("code"), str, "code", "text")
        if message.get("state", "set") not in ("set", "clear"):
            raise _Wrong("wrong-type", "state", f'expected "set" or "clear", got {str(message["state"])[:40]!r}')
        _expect(message.get("severity", ""), str, "severity", "text")
        context = message.get("context", {})
        _expect(context, dict, "context", "an object")
        occurrence = message.get("occurrence")
        if occurrence is not None:
            _expect(occurrence, int, "occurrence", "a whole number")
        rejects: list[Reject] = []
        frame = {}
        for name, value in context.items():
            try:
                frame[name] = _number(value, f"context.{name[:64]}")
            except _Wrong as wrong:
                rejects.append(wrong.reject)
        _time(message.get("ts"), "ts")
        fault = _Fault(
            message["ts"], message["code"], seq, asset_id, message.get("state", "set"), occurrence,
            message.get("severity", ""), frame,
        )  # fmt: skip
        return Decoded(seq, asset_id, faults=[self._report(fault)], rejects=rejects)


def _nothing(reject: Reject) -> Decoded:
    return Decoded(rejected=1, rejects=[reject])


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong("not-utf8", "payload", f"byte {error.start} is not UTF-8") from None
    if _too_deep(text):
        raise _Wrong("not-json", "payload", f"is nested deeper than {_DEPTH}")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also of a number with too many digits
        raise _Wrong("not-json", "payload", f"is not JSON: {str(error)[:100]}") from None
    if not isinstance(message, dict):
        raise _Wrong("wrong-type", "payload", f"expected an object, got {_kind(message)}")
    return message


def _too_deep(text: str) -> bool:
    depth = 0
    for bracket in re.findall(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', text):
        if bracket in "[{":
            depth += 1
            if depth > _DEPTH:
                return True
        elif bracket in "]}":
            depth -= 1
    return False


def _heading(message: dict[str, Any]) -> tuple[int | None, str | None]:
    seq = message.get("seq")
    if seq is not None:
        _expect(seq, int, "seq", "a whole number")
    asset_id = message.get("asset_id")
    if asset_id is not None:
        _expect(asset_id, str, "asset_id", "text")
    return _seq(seq), asset_id


def _seq(seq: int | None) -> int | None:
    if seq is not None and not 0 <= seq <= _LAST_SEQ:
        raise _Wrong("out-of-range", "seq", f"{str(seq)[:40]} is not between 0 and 2^63-1")
    return seq


def _expect(value: object, kind: type, field: str, words: str) -> None:
    if value is None:
        raise _Wrong("missing", field, "is missing")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Wrong("wrong-type", field, f"expected {words}, got {_kind(value)}")


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("wrong-type", field, f"expected a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("not-finite", field, f"{number} is not a finite number")
    return number


def _time(value: object, field: str) -> int:
    """Return ns since the epoch of an RFC 3339 text or of integer milliseconds."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise _Wrong("bad-time", field, f"{value[:40]!r} is not an RFC 3339 time") from None
        if at.tzinfo is None:
            raise _Wrong("bad-time", field, f"{value[:40]!r} names no time zone; end it with Z or an offset")
        if not 1970 < at.year < 2100:
            raise _Wrong("bad-time", field, f"{value[:40]!r} is not between 1971 and 2100")
        # Whole seconds and microseconds apart: a float of seconds is too coarse by then.
        return int(at.replace(microsecond=0).timestamp()) * 1_000_000_000 + at.microsecond * 1000
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 < value < _LAST_MS:
            raise _Wrong("bad-time", field, f"{str(value)[:40]} is no count of milliseconds since 1970 before 2100")
        return value * _MS
    if value is None:
        raise _Wrong("missing", field, "is missing")
    raise _Wrong("wrong-type", field, f"expected RFC 3339 text or whole milliseconds, got {_kind(value)}")


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false",
        str: "text",
        int: "a number",
        float: "a number",
        list: "an array",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)
