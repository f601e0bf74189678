"""The JSON payloads of docs/ingest.md.

A payload that is right throughout is decoded and checked in one pass by msgspec. Any other is read again by
``ingest.decoders.json_salvage``, field by field, so that its good part is kept and the reason names the field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType

from ingest.decoders.decoder import (
    LAST_SEQ,
    MAX_NAME,
    Decoded,
    FaultReport,
    Kind,
    Limits,
    Sample,
    Samples,
    default_occurrence,
)
from ingest.decoders.json_salvage import salvage
from ingest.decoders.timestamp import WrongTime, all_nanoseconds, nanoseconds


class _Sample(msgspec.Struct, gc=False):  # no payload makes a cycle
    ts: str | int
    signals: dict[str, float]


class _Telemetry(msgspec.Struct, gc=False):
    seq: int | UnsetType = UNSET
    asset_id: str | UnsetType = UNSET
    ts: str | int | UnsetType = UNSET
    signals: dict[str, float] | UnsetType = UNSET
    samples: list[_Sample] | UnsetType = UNSET


class _Fault(msgspec.Struct):
    ts: str | int
    code: str
    seq: int | UnsetType = UNSET
    asset_id: str | UnsetType = UNSET
    state: Literal["set", "clear"] | UnsetType = UNSET
    occurrence: int | UnsetType = UNSET
    severity: str | UnsetType = UNSET
    context: dict[str, float] | UnsetType = UNSET


class _Status(msgspec.Struct):
    online: bool
    ts: str | int | UnsetType = UNSET
    asset_id: str | UnsetType = UNSET


class _Odd(Exception):
    """Not plainly right: to be read field by field."""


# ``Sample._make`` without its step through Python.
_new_sample = cast("Callable[[tuple[object, ...]], Sample]", partial(tuple.__new__, Sample))
_telemetry = msgspec.json.Decoder(_Telemetry)
_fault = msgspec.json.Decoder(_Fault)
_status = msgspec.json.Decoder(_Status)


class JsonDecoder:
    """Decodes telemetry, faults and status within ``limits``."""

    name: ClassVar[str] = "json"

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    def decode(self, kind: Kind, payload: bytes) -> Decoded:
        """Read a payload; see ``Decoder``."""
        if len(payload) <= self._limits.payload_bytes:
            try:
                if kind == "telemetry":
                    return self._decode_telemetry(payload)
                if kind == "faults":
                    return self._decode_fault(payload)
                return _decode_status(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, WrongTime, _Odd):
                pass
        return salvage(kind, payload, self._limits)

    def _decode_telemetry(self, payload: bytes) -> Decoded:
        message = _telemetry.decode(payload)
        if message.samples is not UNSET:
            if message.ts is not UNSET or message.signals is not UNSET:
                raise _Odd
            if not 0 < len(message.samples) <= self._limits.samples:
                raise _Odd
            stamps = [sample.ts for sample in message.samples]
            values = [sample.signals for sample in message.samples]
            times, sizes = all_nanoseconds(stamps), list(map(len, values))
            samples: Sequence[Sample] = Samples(times, values)
            quotes = 2 + 4 * len(times) + 2 * list(map(type, stamps)).count(str) + 2 * sum(sizes)
            most = max(sizes)
        elif message.ts is not UNSET and message.signals is not UNSET:
            most = len(message.signals)
            samples = (_new_sample((nanoseconds(message.ts), message.signals, "")),)
            quotes = 4 + _of(message.ts) + 2 * most
        else:
            raise _Odd
        if most > self._limits.signals:
            raise _Odd
        if message.seq is not UNSET:
            quotes += 2
        if message.asset_id is not UNSET:
            quotes += 4
        _expect_quotes(payload, quotes)
        return Decoded(_seq(message.seq), _given(message.asset_id), samples)

    def _decode_fault(self, payload: bytes) -> Decoded:
        fault = _fault.decode(payload)
        context = {} if fault.context is UNSET else fault.context
        quotes = 4 + _of(fault.ts) + 2 + 2 * len(context) + (0 if fault.context is UNSET else 2)
        optional = (fault.seq, fault.asset_id, fault.state, fault.occurrence, fault.severity)
        _expect_quotes(payload, quotes, *optional)
        if len(context) > self._limits.context or any(len(name) > MAX_NAME for name in context):
            raise _Odd
        report = FaultReport(
            nanoseconds(fault.ts),
            fault.code,
            state := fault.state or "set",
            default_occurrence(state) if fault.occurrence is UNSET else _seq(fault.occurrence) or 0,
            fault.severity or "",
            context,
        )
        return Decoded(_seq(fault.seq), _given(fault.asset_id), faults=[report])


def _decode_status(payload: bytes) -> Decoded:
    status = _status.decode(payload)
    _expect_quotes(payload, 2, status.ts, status.asset_id)
    return Decoded(asset_id=_given(status.asset_id), online=status.online)


def _expect_quotes(payload: bytes, quotes: int, *optional: object) -> None:
    """Count quotation marks: msgspec keeps the last of two equal keys and says nothing, but then there are more."""
    for value in optional:
        if value is not UNSET:
            quotes += 4 if isinstance(value, str) else 2
    if payload.count(b'"') != quotes:
        raise _Odd


def _of(value: object) -> int:
    return 2 if isinstance(value, str) else 0


def _given(text: str | UnsetType) -> str | None:
    return None if text is UNSET else text


def _seq(seq: int | UnsetType) -> int | None:
    if seq is UNSET:
        return None
    if not 0 <= seq <= LAST_SEQ:
        raise _Odd
    return seq
