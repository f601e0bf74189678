"""InfluxDB line protocol, as Telegraf and many gateways write it: one point a line.

Source: InfluxDB v2 documentation, "Line protocol". Times are nanoseconds unless they are plainly coarser.
"""

from __future__ import annotations

import math
import re
from typing import ClassVar, NamedTuple

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
    refused,
)
from ingest.decoders.timestamp import WrongTime, nanoseconds

MAX_LINE = 100_000
"""Bytes of one line."""
FAULTS = "faults"
"""Points of this measurement are faults, where the topic does not say so already."""
_ESCAPED = re.compile(r"\\([,= \\])")
_TEXT_ESCAPED = re.compile(r'\\(["\\])')
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_TRUE, _FALSE = frozenset(("t", "T", "true", "True", "TRUE")), frozenset(("f", "F", "false", "False", "FALSE"))
_UNITS = ((10**12, 10**9), (10**15, 10**6), (10**18, 10**3))
"""A time below the first is in seconds, milliseconds or microseconds: so many ns. All are between 1971 and 2100."""
Value = float | str


class _Wrong(Exception):
    """A line, or a field of it, is not as it should be."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason)
        self.reject = Reject(reason, field, detail)


class _Point(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int


class LineDecoder:
    """Decodes telemetry and faults within ``limits``; each line is a sample or a fault."""

    name: ClassVar[str] = "line"

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def decode(self, kind: Kind, payload: bytes) -> Decoded:
        """Read a payload; see ``Decoder``."""
        limits = self._limits
        if len(payload) > limits.payload_bytes:
            return refused("too-large", "payload", f"{len(payload)} bytes, at most {limits.payload_bytes} are taken")
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            return refused("not-utf8", "payload", f"byte {error.start} is not UTF-8")
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip() and line[0] != "#"]
        if not lines:
            return refused("missing", "payload", "holds no line")
        if len(lines) > limits.samples:
            return refused("too-many", "payload", f"has {len(lines)} lines, at most {limits.samples} are taken")
        if kind == "status":
            return _status(lines)
        decoded, samples, faults = Decoded(), [], []
        for number, line in lines:
            where = f"line {number}."
            try:
                point = _parse(line.strip("\r"), where, limits.signals, decoded.rejects)
                decoded.asset_id = _same_asset(decoded.asset_id, point.tags.get("asset_id"), where)
                if kind == "faults" or point.measurement == FAULTS:
                    faults.append(_fault(point, where))
                else:
                    samples.append(_sample(point, where, decoded.rejects))
            except _Wrong as wrong:
                decoded.rejects.add(wrong.reject)
                decoded.rejected += 1
        decoded.samples, decoded.faults = samples, faults
        return decoded


def _status(lines: list[tuple[int, str]]) -> Decoded:
    decoded = Decoded()
    try:
        for number, line in lines:
            point = _parse(line.strip("\r"), f"line {number}.", 10, decoded.rejects)
            online = point.fields.get("online")
            if online not in (0.0, 1.0):
                raise _Wrong("missing", f"line {number}.online", "expected true or false")
            decoded.asset_id = _same_asset(decoded.asset_id, point.tags.get("asset_id"), f"line {number}.")
            decoded.online = online == 1.0
    except _Wrong as wrong:
        return refused(*wrong.reject)
    return decoded


def _same_asset(known: str | None, told: str | None, where: str) -> str | None:
    if known is not None and told is not None and told != known:
        raise _Wrong("other-asset", f"{where}asset_id", f"{told[:MAX_NAME]!r} is not {known[:MAX_NAME]!r} as before")
    return told if known is None else known


def _sample(point: _Point, where: str, rejects: Rejects) -> Sample:
    """Return the numbers of a point, by field; a field called ``value`` has the measurement's name."""
    values = {}
    for name, value in point.fields.items():
        if isinstance(value, float):  # text is no signal
            values[point.measurement if name == "value" else name] = value
    if not values:
        raise _Wrong("missing", f"{where}fields", "holds no number")
    return Sample(point.time, values, where)


def _fault(point: _Point, where: str) -> FaultReport:
    """Return the fault of a point as the store writes it: ``code`` and ``occurrence`` may be tags or fields."""
    told: dict[str, Value] = {**point.fields, **point.tags}
    code, state = told.get("code"), told.get("state", "set")
    if not isinstance(code, str):
        raise _Wrong("missing", f"{where}code", "expected text, as a tag or a field")
    if state not in ("set", "clear"):
        raise _Wrong("wrong-type", f"{where}state", f'expected "set" or "clear", got {str(state)[:40]!r}')
    severity = told.get("severity", "")
    if not isinstance(severity, str):
        raise _Wrong("wrong-type", f"{where}severity", "expected text, got number")
    occurrence = default_occurrence("set" if state == "set" else "clear")
    if "occurrence" in told:
        digits = str(told["occurrence"]).removesuffix(".0")
        if not re.fullmatch("[0-9]{1,18}", digits):
            raise _Wrong("wrong-type", f"{where}occurrence", f"{digits[:40]!r} is no count")
        occurrence = min(int(digits), LAST_SEQ)
    known = ("code", "state", "severity", "occurrence")
    context = {name: v for name, v in point.fields.items() if name not in known and isinstance(v, float)}
    return FaultReport(point.time, code, "set" if state == "set" else "clear", occurrence, severity, context)


def _parse(line: str, where: str, most: int, rejects: Rejects) -> _Point:
    """Read one line. A field whose value is wrong is told in ``rejects`` and left out. Raises ``_Wrong``."""
    if len(line) > MAX_LINE:
        raise _Wrong("too-long", where.rstrip("."), f"has {len(line)} characters, at most {MAX_LINE} are taken")
    line = line.strip(" ")
    head, rest = _cut(line, " ", quotes=False)
    if rest is None:
        raise _Wrong("not-line", where.rstrip("."), "has no fields; expected measurement,tag=value field=value time")
    fields_text, stamp = _cut(rest.lstrip(" "), " ", quotes=True)
    names = _split(head, ",", quotes=False)
    measurement = _unescape(names[0])
    tags: dict[str, str] = {}
    for item in names[1:]:
        name, value = _pair(item, where)
        if name in tags:
            raise _Wrong("duplicate-key", f"{where}{name[:MAX_NAME]}", "is given twice")
        tags[name] = _unescape(value)
    if not measurement:
        raise _Wrong("not-line", where.rstrip("."), "has no measurement")
    items = _split(fields_text, ",", quotes=True)
    if len(items) > most:
        raise _Wrong("too-many", f"{where}fields", f"has {len(items)} values, at most {most} are taken")
    fields, wrong = _fields(items, where)
    time = _time(stamp, where)
    if wrong and not fields:
        for reject in wrong[:-1]:
            rejects.add(reject)
        raise _Wrong(*wrong[-1])
    for reject in wrong:
        rejects.add(reject)
    return _Point(measurement, tags, fields, time)


def _fields(items: list[str], where: str) -> tuple[dict[str, Value], list[Reject]]:
    fields: dict[str, Value] = {}
    wrong, twice = [], set()
    for item in items:
        name, text = _pair(item, where)
        if name in fields or name in twice:
            twice.add(name)
            fields.pop(name, None)
            wrong.append(Reject("duplicate-key", f"{where}{name[:MAX_NAME]}", "is given twice"))
            continue
        try:
            fields[name] = _value(text, f"{where}{name[:MAX_NAME]}")
        except _Wrong as error:
            wrong.append(error.reject)
    return fields, wrong


def _pair(item: str, where: str) -> tuple[str, str]:
    name, value = _cut(item, "=", quotes=False)
    if not name or not value:
        raise _Wrong("not-line", where.rstrip("."), f"{item[:40]!r} is not name=value")
    return _unescape(name), value


def _value(text: str, field: str) -> Value:
    if text[0] == '"':
        if len(text) < 2 or text[-1] != '"':
            raise _Wrong("not-line", field, "is text without its end")
        return _TEXT_ESCAPED.sub(r"\1", text[1:-1])
    if text in _TRUE:
        return 1.0
    if text in _FALSE:
        return 0.0
    digits = text[:-1] if text[-1] in "iu" else text
    if digits != text and not _WHOLE.fullmatch(digits):
        raise _Wrong("wrong-type", field, f"expected a number, got {text[:40]!r}")
    if digits.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise _Wrong("not-finite", field, f"{text[:40]} is not a finite number")
    if not _NUMBER.fullmatch(digits):
        raise _Wrong("wrong-type", field, f"expected a number, got {text[:40]!r}")
    number = float(digits)
    if not math.isfinite(number):
        raise _Wrong("not-finite", field, f"{text[:40]} is not a finite number")
    return number


def _time(stamp: str | None, where: str) -> int:
    stamp = (stamp or "").strip(" ")
    if not stamp:
        raise _Wrong("missing", f"{where}time", "expected a time; a line without one would change with each sending")
    if not _WHOLE.fullmatch(stamp):
        raise _Wrong("bad-time", f"{where}time", f"{stamp[:40]!r} is no whole number")
    time = int(stamp)
    factor = next((factor for below, factor in _UNITS if abs(time) < below), 1)
    exact = time * factor
    try:
        return nanoseconds(exact // 1_000_000) + exact % 1_000_000 // 1000 * 1000
    except WrongTime:
        raise _Wrong("bad-time", f"{where}time", f"{stamp[:40]} is not between 1971 and 2100") from None


def _cut(text: str, mark: str, *, quotes: bool) -> tuple[str, str | None]:
    """Cut at the first mark that is not escaped, nor within ``quotes``; ``None`` where there is none."""
    at = _find(text, mark, 0, quotes)
    return (text, None) if at < 0 else (text[:at], text[at + 1 :])


def _split(text: str, mark: str, *, quotes: bool) -> list[str]:
    parts, start = [], 0
    while (at := _find(text, mark, start, quotes)) >= 0:
        parts.append(text[start:at])
        start = at + 1
    return [*parts, text[start:]]


# Quotation marks enclose text in the fields, and are letters like others before them.
_MARKS = {
    (mark, quotes): re.compile(
        (r'"(?:[^"\\]|\\.)*+(?:"|$)|' if quotes else "") + rf"\\.|({re.escape(mark)})", re.DOTALL
    )
    for mark in " ,="
    for quotes in (False, True)
}


def _find(text: str, mark: str, start: int, quotes: bool) -> int:
    for found in _MARKS[mark, quotes].finditer(text, start):
        if found[1] is not None:
            return found.start()
    return -1


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
