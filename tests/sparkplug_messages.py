"""Sparkplug B payloads for tests, written byte by byte: an independent check of what protobuf reads."""

from __future__ import annotations

import struct
from collections.abc import Sequence

INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = range(1, 13)


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """A varint field, or one of bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def double(value: float) -> bytes:
    return varint(13 << 3 | 1) + struct.pack("<d", value)


def single(value: float) -> bytes:
    return varint(12 << 3 | 5) + struct.pack("<f", value)


def metric(
    value: bytes, *, name: str | bytes | None = None, alias: int | None = None, datatype: int = 0, ts: int | None = None
) -> bytes:
    """A metric whose value field is given whole; null where it is empty."""
    out = b"" if name is None else field(1, name)
    out += b"" if alias is None else field(2, alias)
    out += b"" if ts is None else field(3, ts)
    out += field(4, datatype) if datatype else b""
    return out + (value or field(7, 1))


def payload(metrics: Sequence[bytes], *, seq: int | None, ts: int | None) -> bytes:
    out = b"" if ts is None else field(1, ts)
    out += b"".join(field(2, one) for one in metrics)
    return out + (b"" if seq is None else field(3, seq))


def bd_seq(number: int) -> bytes:
    return metric(field(11, number), name="bdSeq", datatype=UINT64)


def rebirth_control() -> bytes:
    return metric(field(14, 0), name="Node Control/Rebirth", datatype=BOOLEAN)
