"""SAE J1939 DM1: the fault codes that are active now, as a control unit says once a second.

Source: SAE J1939-73, DM1 (PGN 65226): two bytes of lamps, then four bytes for each code: SPN 19 bits, FMI 5 bits,
conversion method 1 bit, occurrence count 7 bits. A message says what is active, so an event is what changed since the
one before: a code that is new, or whose count rose, was set; one that is gone was cleared.
"""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec

from ingest.decoders.decoder import (
    LAST_SEQ,
    Decoded,
    FaultReport,
    Place,
    Reject,
    Rejects,
    SessionDecoder,
    default_occurrence,
    place_of,
    refused,
)
from ingest.decoders.timestamp import WrongTime, nanoseconds

MAX_BYTES = 1785
"""Of one DM1, which is what the transport protocol of J1939-21 can carry."""
MAX_JSON_BYTES = 8_192
_LAMPS = ("protect", "amber", "red_stop", "malfunction")  # from the lowest two bits of the first byte upwards
_ON = 1
_MICROSECOND = 1000
_NO_SPN = (0, 2**19 - 1)  # what stands for no code, in today's and in older units
_NOT_COUNTED = 127


class _Json(msgspec.Struct):
    ts: str | int
    dm1: str
    source: int = 0
    seq: int | None = None
    asset_id: str | None = None


class _Active(msgspec.Struct, frozen=True, array_like=True):
    """The codes of one control unit with their counts, and the time (ns) of the message that said so."""

    time: int
    counts: dict[str, int]


_json = msgspec.json.Decoder(_Json)


class J1939Decoder(SessionDecoder):
    """Decodes DM1 on the topic ``<asset>/faults``, as raw bytes or as hexadecimal text within JSON."""

    name: ClassVar[str] = "j1939"

    def place(self, path: str) -> Place | Reject:
        """Read a topic below the prefix."""
        place = place_of(path)
        if isinstance(place, Place) and place.kind != "faults":
            return Reject("bad-topic", "topic", f"{place.kind!r}: only DM1 is read here, on <asset>/faults")
        return place

    def read(self, path: str, payload: bytes, now: int, *, known: bool, again: bool = False) -> Decoded:
        """Read a payload; see ``SessionDecoder``. Raw bytes are of control unit 0 and of the moment they came."""
        decoded = Decoded()
        time, source, data = now, 0, payload
        if payload[:1] == b"{":
            try:
                time, source, data = _from_json(payload, decoded)
            except _Wrong as wrong:
                return refused(*wrong.reject)
        try:
            lamps, counts = _dm1(data, decoded.rejects)
        except _Wrong as wrong:
            return refused(*wrong.reject)
        if not known:  # nothing is remembered of what is not in the register
            return Decoded(decoded.seq, decoded.asset_id, rejected=max(1, len(counts)), rejects=_not_in_register())
        context = {f"lamp_{name}": float(state) for name, state in lamps.items()} | {"source": float(source)}
        key = f"j1939 {path}/{source}"
        before = (None if again else self.memory.get(key, _Active)) or _Active(0, {})
        if data is payload:
            time = max(time, before.time + _MICROSECOND)  # of one batch, all come at the same moment
        elif time > now + self.limits.ahead:
            return refused("future", "ts", "is ahead of now by more than is allowed; the clock is wrong")
        elif time <= before.time:
            # Late or again: what stands now was told after it. What is wrong in it was told then, too.
            return Decoded(decoded.seq, decoded.asset_id, repeated=True)
        # The lamps are the control unit's: only where one code is active are they that code's.
        severity = _severity(lamps) if len(counts) == 1 else ""
        faults = []
        for code, count in counts.items():
            if code not in before.counts or before.counts[code] < count:
                frame = context | ({"occurrence_count": float(count)} if count else {})
                faults.append(FaultReport(time, code, "set", default_occurrence("set"), severity, frame))
        gone = before.counts.keys() - counts.keys()
        faults += [FaultReport(time, code, "clear", default_occurrence("clear"), "", {}) for code in gone]
        if not again:
            self.memory.put(key, _Active(time, counts))
        decoded.faults = sorted(faults, key=lambda fault: (fault.state, fault.code))
        return decoded


class _Wrong(Exception):
    """A message is not as it should be."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(reason)
        self.reject = Reject(reason, field, detail)


def _from_json(payload: bytes, decoded: Decoded) -> tuple[int, int, bytes]:
    """Return time (ns), control unit and bytes of a DM1; its other fields go into ``decoded``."""
    if len(payload) > MAX_JSON_BYTES:
        raise _Wrong("too-large", "payload", f"{len(payload)} bytes, at most {MAX_JSON_BYTES} are taken")
    try:
        message = _json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Wrong("not-json", "payload", f"is not as it should be: {str(error)[:100]}") from None
    if not 0 <= message.source <= 255:
        raise _Wrong("out-of-range", "source", f"{str(message.source)[:40]} is not between 0 and 255")
    if message.seq is not None and not 0 <= message.seq <= LAST_SEQ:
        raise _Wrong("out-of-range", "seq", f"{str(message.seq)[:40]} is not between 0 and 2^63-1")
    digits = message.dm1.replace(" ", "").removeprefix("0x")
    if not re.fullmatch("(?:[0-9A-Fa-f]{2})*", digits):
        raise _Wrong("wrong-type", "dm1", f"{message.dm1[:40]!r} is not hexadecimal")
    try:
        time = nanoseconds(message.ts)
    except WrongTime as error:
        raise _Wrong("bad-time", "ts", str(error)) from None
    decoded.seq, decoded.asset_id = message.seq, message.asset_id
    return time, message.source, bytes.fromhex(digits)


def _dm1(data: bytes, rejects: Rejects) -> tuple[dict[str, int], dict[str, int]]:
    """Return the lamps that are known (1 is on), and the active codes with their counts (0: none told).

    Raises ``_Wrong``.
    """
    if not 6 <= len(data) <= MAX_BYTES:
        raise _Wrong("wrong-length", "dm1", f"has {len(data)} bytes, not 6 to {MAX_BYTES}")
    body = data[2:]
    filling = len(body) % 4
    if filling and body[-filling:] != b"\xff" * filling:
        raise _Wrong("wrong-length", "dm1", f"{len(body)} bytes are no whole number of codes of four bytes")
    lamps = {name: data[0] >> 2 * place & 3 for place, name in enumerate(_LAMPS)}
    known = {name: state for name, state in lamps.items() if state <= _ON}  # 2 is an error, 3 not available
    counts: dict[str, int] = {}
    for at in range(0, len(body) - filling, 4):
        low, middle, high, last = body[at : at + 4]
        spn, fmi, count = low | middle << 8 | (high >> 5) << 16, high & 31, last & 127
        if spn in _NO_SPN:
            continue
        if last & 128:
            rejects.add(
                Reject(
                    "old-conversion", f"dm1[{2 + at}]", "an SPN in the order of bits of older units, which is not clear"
                )
            )
            continue
        counts[f"{spn}-{fmi}"] = 0 if count == _NOT_COUNTED else count
    return known, counts


def _severity(lamps: dict[str, int]) -> str:
    if lamps.get("red_stop") == _ON:
        return "critical"
    if lamps.get("amber") == _ON or lamps.get("malfunction") == _ON:
        return "major"
    return "minor" if lamps.get("protect") == _ON else ""


def _not_in_register() -> Rejects:
    rejects = Rejects()
    rejects.add(Reject("unknown-asset", "topic", "is not in the register"))
    return rejects
