"""What can be kept of a JSON payload that is not right throughout, and for the rest a reason that names the field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from ingest.decoders.decoder import (
    LAST_SEQ,
    MAX_NAME,
    Decoded,
    FaultReport,
    Kind,
    Limits,
    Reject,
    Rejects,
    Sample,
    default_occurrence,
)
from ingest.decoders.timestamp import WrongTime, nanoseconds

_DEPTH = 8
_DIGITS = 40  # of a whole number; int() of very many takes quadratic time, and Python refuses from 4300 on
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A text, or a bracket outside of any. It never goes back: remembering where it could takes 100 bytes a character."""


class _Wrong(Exception):
    """A field is not as it should be."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason)
        self.reject = Reject(reason, field, detail)


class _Twice:
    """Stands for the value of a key that an object holds twice: nobody can say which one is meant."""


_TWICE = _Twice()


def salvage(kind: Kind, payload: bytes, limits: Limits) -> Decoded:
    """Read a payload of any content; nothing is raised."""
    try:
        if len(payload) > limits.payload_bytes:
            detail = f"{len(payload)} bytes, at most {limits.payload_bytes} are taken"
            raise _Wrong("too-large", "payload", detail)
        message = _parse(payload)
        asset_id = _optional(message, "asset_id", str, "text")
        if kind == "status":
            online = message.get("online")
            if not isinstance(online, bool):
                _wrong_type("online", "true or false", online)
            return Decoded(asset_id=asset_id, online=online)
        decoded = Decoded(_whole(message, "seq"), asset_id)
        if kind == "telemetry":
            _telemetry(message, limits, decoded)
        else:
            decoded.faults = [_fault(message, limits, decoded.rejects)]
        return decoded
    except _Wrong as wrong:
        decoded = Decoded(rejected=1)
        decoded.rejects.add(wrong.reject)
        return decoded


def _telemetry(message: Mapping[str, Any], limits: Limits, decoded: Decoded) -> None:
    if "samples" not in message:
        items = [("", message)]
    elif "signals" in message or "ts" in message:
        raise _Wrong("contradiction", "samples", "stands beside ts or signals; a message has one sample or a batch")
    else:
        batch = message["samples"]
        if not isinstance(batch, list):
            _wrong_type("samples", "an array", batch)
        if not batch:
            raise _Wrong("missing", "samples", "holds no sample")
        if len(batch) > limits.samples:
            raise _Wrong("too-many", "samples", f"has {len(batch)} items, at most {limits.samples} are taken")
        items = [(f"samples[{number}].", item) for number, item in enumerate(batch)]
    samples = []
    for where, item in items:
        try:
            samples.append(_sample(where, item, limits, decoded.rejects))
        except _Wrong as wrong:
            decoded.rejects.add(wrong.reject)
            decoded.rejected += 1
    decoded.samples = samples


def _sample(where: str, item: object, limits: Limits, rejects: Rejects) -> Sample:
    if not isinstance(item, dict):
        _wrong_type(where.rstrip("."), "an object", item)
    time = _time(item, where)
    signals = item.get("signals")
    if not isinstance(signals, dict):
        _wrong_type(f"{where}signals", "an object", signals)
    if len(signals) > limits.signals:
        raise _Wrong("too-many", f"{where}signals", f"has {len(signals)} values, at most {limits.signals} are taken")
    values, wrong = _numbers(signals, f"{where}signals.")
    if wrong and not values:
        # The sample is refused as a whole: its last reason stands for it, the others are of values beside.
        for reject in wrong[:-1]:
            rejects.add(reject)
        raise _Wrong(*wrong[-1])
    for reject in wrong:
        rejects.add(reject)
    return Sample(time, values, where)


def _fault(message: Mapping[str, Any], limits: Limits, rejects: Rejects) -> FaultReport:
    time = _time(message, "")
    code = message.get("code")
    if not isinstance(code, str):
        _wrong_type("code", "text", code)
    state: Literal["set", "clear"]
    match message.get("state", "set"):
        case "set":
            state = "set"
        case "clear":
            state = "clear"
        case str(other):
            raise _Wrong("wrong-type", "state", f'expected "set" or "clear", got {other[:40]!r}')
        case other:
            _wrong_type("state", '"set" or "clear"', other)
    occurrence = _whole(message, "occurrence")
    if occurrence is None:
        occurrence = default_occurrence(state)
    severity = _optional(message, "severity", str, "text")
    context = message.get("context", {})
    if not isinstance(context, dict):
        _wrong_type("context", "an object", context)
    if len(context) > limits.context:
        raise _Wrong("too-many", "context", f"has {len(context)} values, at most {limits.context} are taken")
    frame, wrong = _numbers(context, "context.")
    for name in [name for name in frame if len(name) > MAX_NAME]:
        del frame[name]
        wrong.append(Reject("too-long", f"context.{name[:MAX_NAME]}", f"the name has more than {MAX_NAME} characters"))
    for reject in wrong:
        rejects.add(reject)
    return FaultReport(time, code, state, occurrence, severity or "", frame)


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong("not-utf8", "payload", f"byte {error.start} is not UTF-8") from None
    if _too_deep(text):
        raise _Wrong("not-json", "payload", f"is nested deeper than {_DEPTH}")
    try:
        message = json.loads(text, parse_int=_int, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise _Wrong("not-json", "payload", f"is not JSON: {str(error)[:100]}") from None
    if not isinstance(message, dict):
        _wrong_type("payload", "an object", message)
    return message


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _TWICE if key in found else value
    return found


def _too_deep(text: str) -> bool:
    depth = 0
    for found in _TOKEN.finditer(text):
        bracket = text[found.start()]
        if bracket in "[{":
            depth += 1
            if depth > _DEPTH:
                return True
        elif bracket in "]}":
            depth -= 1
    return False


def _optional(message: Mapping[str, Any], field: str, kind: type[str], words: str) -> str | None:
    value = message.get(field)
    if field in message and not isinstance(value, kind):
        _wrong_type(field, words, value)
    return value


def _whole(message: Mapping[str, Any], field: str) -> int | None:
    if field not in message:
        return None
    value = message[field]
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong_type(field, "a whole number", value)
    if not 0 <= value <= LAST_SEQ:
        raise _Wrong("out-of-range", field, f"{value} is not between 0 and 2^63-1")
    return value


def _numbers(values: Mapping[str, Any], where: str) -> tuple[dict[str, float], list[Reject]]:
    good, wrong = {}, []
    for name, value in values.items():
        try:
            good[name] = _number(value, where + name[:MAX_NAME])
        except _Wrong as error:
            wrong.append(error.reject)
    return good, wrong


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong_type(field, "number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("not-finite", field, f"{number} is not a finite number")
    return number


def _time(item: Mapping[str, Any], where: str) -> int:
    value = item.get("ts")
    if isinstance(value, bool) or not isinstance(value, str | int):
        _wrong_type(f"{where}ts", "RFC 3339 text or whole milliseconds", value)
    try:
        return nanoseconds(value)
    except WrongTime as error:
        raise _Wrong("bad-time", f"{where}ts", str(error)) from None


def _wrong_type(field: str, expected: str, value: object) -> NoReturn:
    if value is None:
        raise _Wrong("missing", field, f"expected {expected}, got nothing")
    if isinstance(value, _Twice):
        raise _Wrong("duplicate-key", field, "is given twice")
    kinds: dict[type, str] = {bool: "boolean", str: "string", int: "number", float: "number", list: "array"}
    raise _Wrong("wrong-type", field, f"expected {expected}, got {kinds.get(type(value), 'object')}")
