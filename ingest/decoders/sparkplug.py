"""Sparkplug B: `spBv1.0/<group>/<type>/<node>[/<device>]`, protobuf, names told at birth and aliases after it.

Source: Sparkplug Specification 3.0.0. A device is an asset by its own id, an edge node by its; the group is none of our
business. What a node said at birth is remembered, so a restart of ours needs no new birth.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec
from google.protobuf.message import DecodeError

from config.naming import signal_name
from ingest.decoders.decoder import (
    MAX_NAME,
    Decoded,
    FaultReport,
    Place,
    Reject,
    Rejects,
    Request,
    Sample,
    SessionDecoder,
    default_occurrence,
    refused,
)
from ingest.decoders.sparkplug_schema import BITS, BOOLEAN, DOUBLE, FLOAT, NUMERIC, WHOLE, Payload
from ingest.decoders.timestamp import WrongTime, nanoseconds

REBIRTH = "Node Control/Rebirth"
FAULTS = "Faults/"
"""A Boolean metric in this folder is a fault, its code the rest of the name: true is set, false is clear."""
MAX_METRICS = 5_000
"""Metrics of one message."""
MAX_METRIC_NAME = 200
MAX_DEVICES = 1_000
"""Devices of one node."""
ASK_EVERY = 30 * 1_000_000_000
"""A node is asked for its birth no more often (ns)."""
_TYPES = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")
_RECENT = 16
"""Messages by which a repetition is told from a count that came round: the numbers go from 0 to 255."""
_NUMBERS = 256
_CONTROL = ("Node Control/", "Device Control/")


class _Node(msgspec.Struct, frozen=True, array_like=True):
    """What is known of an edge node: ``expected`` is its next number, -1 where that is not known.

    ``bd_seq`` numbers its births (-1: it told none); ``recent`` are number and checksum of its last messages; ``asked``
    is when it was last asked for a birth (ns).
    """

    alive: bool = False
    expected: int = -1
    bd_seq: int = -1
    devices: tuple[str, ...] = ()
    recent: tuple[tuple[int, int], ...] = ()
    asked: int = 0


class _Birth(msgspec.Struct, frozen=True, array_like=True):
    """What a node or device calls its metrics: ``metrics`` by name, target and data type; ``aliases`` to names.

    A target is a signal, a fault's code after ``Faults/``, or empty: the metric is neither.
    """

    metrics: dict[str, tuple[str, int]]
    aliases: dict[int, str]


class _Standing(msgspec.Struct, frozen=True, array_like=True):
    """Fault codes that stand, and all that were ever told."""

    set: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


class _Topic(NamedTuple):
    group: str
    kind: str
    node: str
    device: str

    @property
    def edge(self) -> str:
        """The node's key in the memory, of which the device's is made."""
        return f"sparkplug {self.group}/{self.node}"

    @property
    def source(self) -> str:
        """The key of whatever the message is of."""
        return f"{self.edge}/{self.device}"


class SparkplugDecoder(SessionDecoder):
    """Decodes births, data and deaths; asks a node for its birth where data cannot be understood without."""

    name: ClassVar[str] = "sparkplug"
    # Commands and states of host applications are not ours to read; below `spBv1.0` and below `spBv1.0/<group>`.
    filters: ClassVar[Sequence[str]] = [
        f"{group}{kind}/+{'/+' * (kind[0] == 'D')}" for group in ("+/", "") for kind in _TYPES
    ]

    def place(self, path: str) -> Place | Reject:
        """Read a topic below the prefix, which is `spBv1.0` or `spBv1.0/<group>`."""
        topic = _topic(path)
        if topic is None:
            return Reject(
                "bad-topic", "topic", f"{path[:100]!r} is no [group/]type/node[/device] of {', '.join(_TYPES)}"
            )
        return Place(topic.device or topic.node, "status" if topic.kind.endswith("DEATH") else "telemetry")

    def read(self, path: str, payload: bytes, now: int, *, known: bool, again: bool = False) -> Decoded:
        """Read a payload; see ``SessionDecoder``."""
        topic = _topic(path)
        assert topic is not None, "place refuses it before"
        if len(payload) > self.limits.payload_bytes:
            detail = f"{len(payload)} bytes, at most {self.limits.payload_bytes} are taken"
            return refused("too-large", "payload", detail)
        try:
            message = Payload.FromString(payload)
        except DecodeError:
            return refused("not-sparkplug", "payload", "is no protobuf message of Sparkplug B")
        if len(message.metrics) > MAX_METRICS:
            return refused("too-many", "metrics", f"has {len(message.metrics)} items, at most {MAX_METRICS} are taken")
        if again:
            return self._alone(topic, message)
        node = self.memory.get(topic.edge, _Node) or _Node()
        mark = (message.seq, zlib.crc32(payload, zlib.crc32(path.encode(errors="replace"))))
        if message.HasField("seq") and topic.kind != "NDEATH":
            if message.seq >= _NUMBERS:
                return refused("out-of-range", "seq", f"{message.seq} is not between 0 and {_NUMBERS - 1}")
            if mark in node.recent:
                return Decoded(repeated=True, of_gateway=not topic.device)
            node = msgspec.structs.replace(node, recent=(*node.recent, mark)[-_RECENT:])
        decoded, node = self._session(topic, message, node, now, known=known)
        decoded.of_gateway = not topic.device
        self.memory.put(topic.edge, node)
        return decoded

    def _alone(self, topic: _Topic, message: Any) -> Decoded:
        """Read a message without its session: the births that are known are all that it needs."""
        rejects = Rejects()
        if topic.kind.endswith("DEATH"):
            return Decoded(of_gateway=True)
        if topic.kind.endswith("BIRTH"):
            birth: _Birth | None = _birth_of(message, rejects)
        else:
            birth = self.memory.get(f"{topic.source} birth", _Birth)
        if birth is None:
            return refused("no-birth", "payload", "data without a birth before")
        is_birth = topic.kind.endswith("BIRTH")
        decoded = self._values(topic, message, birth, rejects, is_birth=is_birth, known=False)
        decoded.of_gateway = not topic.device
        return decoded

    def _session(self, topic: _Topic, message: Any, node: _Node, now: int, *, known: bool) -> tuple[Decoded, _Node]:
        """Return what a message says, and its node after it."""
        if topic.kind == "NDEATH":
            return _node_death(message, node)
        if topic.kind == "NBIRTH":
            node, lost = _Node(True, -1, _bd_seq(message), (), node.recent, node.asked), 0
        else:
            lost = _missing(node, message)
        if message.HasField("seq") and (lost or node.expected in (-1, message.seq)):
            node = msgspec.structs.replace(node, expected=(message.seq + 1) % _NUMBERS)
        if topic.kind == "DDEATH":
            left = tuple(device for device in node.devices if device != topic.device)
            return Decoded(online=False, lost=lost), msgspec.structs.replace(node, devices=left)
        ask = lost > 0 or not node.alive
        if topic.kind.endswith("BIRTH"):
            decoded, node = self._birth(topic, message, node, known=known)
        elif not known:
            decoded = refused("unknown-asset", "topic", "is not in the register")
        else:
            decoded, understood = self._data(topic, message, node)
            ask = ask or not understood
        decoded.lost = lost
        if ask and known and now - node.asked >= ASK_EVERY:
            node = msgspec.structs.replace(node, asked=now)
            decoded.requests = [_rebirth(topic, now)]
        return decoded, node

    def _birth(self, topic: _Topic, message: Any, node: _Node, *, known: bool) -> tuple[Decoded, _Node]:
        if known and topic.device and topic.device not in node.devices:
            if len(node.devices) >= MAX_DEVICES:
                return refused("too-many", "topic", f"the node has {MAX_DEVICES} devices already"), node
            node = msgspec.structs.replace(node, devices=(*node.devices, topic.device))
        rejects = Rejects()
        birth = _birth_of(message, rejects)
        if known:  # the names of what is not in the register are not ours to keep
            self.memory.put(f"{topic.source} birth", birth)
        decoded = self._values(topic, message, birth, rejects, is_birth=True, known=known)
        decoded.online = True
        return decoded, node

    def _data(self, topic: _Topic, message: Any, node: _Node) -> tuple[Decoded, bool]:
        """Return what data says, and whether it could be understood with the birth that is known."""
        birth = self.memory.get(f"{topic.source} birth", _Birth)
        if birth is None or not node.alive or (topic.device and topic.device not in node.devices):
            whose = f"device {topic.device[:MAX_NAME]!r}" if topic.device else "this node"
            return refused("no-birth", "payload", f"data without a birth of {whose} before; one is asked for"), False
        decoded = self._values(topic, message, birth, Rejects(), is_birth=False, known=True)
        return decoded, "unknown-metric" not in decoded.rejects.counts

    def _values(
        self, topic: _Topic, message: Any, birth: _Birth, rejects: Rejects, *, is_birth: bool, known: bool
    ) -> Decoded:
        decoded = Decoded(rejects=rejects)
        values: dict[int, dict[str, float]] = {}
        wrong: set[int] = set()
        changes: list[tuple[int, str, bool]] = []
        for metric in message.metrics:
            stamp = metric.timestamp if metric.HasField("timestamp") else message.timestamp
            named = _resolve(metric, birth)
            if isinstance(named, Reject):
                if not is_birth:  # a birth's own names were judged when it was read
                    rejects.add(named)
                    wrong.add(stamp)
                continue
            name, target, datatype = named
            if not target:
                continue
            try:
                time = nanoseconds(stamp)
                value = _number(metric, datatype)
            except (WrongTime, _WrongValueError) as error:
                reason = error.reason if isinstance(error, _WrongValueError) else "bad-time"
                rejects.add(Reject(reason, name[:MAX_NAME], str(error)))
                wrong.add(stamp)
                continue
            if target.startswith(FAULTS):
                changes.append((time, target.removeprefix(FAULTS), bool(value)))
            elif time in values or len(values) < self.limits.samples:
                values.setdefault(time, {})[target] = value
            else:
                rejects.add(Reject("too-many", "metrics", f"has more times than {self.limits.samples}"))
                wrong.add(stamp)
        decoded.samples = [Sample(time, of_time) for time, of_time in values.items()]
        decoded.rejected = len({stamp for stamp in wrong if stamp * 1_000_000 not in values})
        if changes and known:
            decoded.faults = self._faults(topic, changes)
        elif changes:
            decoded.faults = [_fault(time, code, is_set) for time, code, is_set in changes]
        return decoded

    def _faults(self, topic: _Topic, told: Sequence[tuple[int, str, bool]]) -> list[FaultReport]:
        """Return the changes among what was told: a state that is told again is no event."""
        key = f"{topic.source} faults"
        before = self.memory.get(key, _Standing) or _Standing()
        standing, known = dict.fromkeys(before.set), dict.fromkeys(before.told)
        found = []
        for time, code, is_set in told:
            if code not in known or (code in standing) != is_set:
                found.append(_fault(time, code, is_set))
            known[code] = None
            if is_set:
                standing[code] = None
            else:
                standing.pop(code, None)
        after = _Standing(tuple(standing), tuple(known)[-MAX_METRICS:])
        if after != before:
            self.memory.put(key, after)
        return found


class _WrongValueError(Exception):
    """A metric's value is not as its data type wants it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _topic(path: str) -> _Topic | None:
    parts = path.split("/")
    if len(parts) < 3 or parts[1] not in _TYPES:
        parts = ["", *parts]
    if len(parts) not in (3, 4) or parts[1] not in _TYPES or (parts[1][0] == "D") != (len(parts) == 4):
        return None
    if not all(0 < len(part) <= MAX_NAME for part in parts[2:]) or len(parts[0]) > MAX_NAME:
        return None
    return _Topic(parts[0], parts[1], parts[2], parts[3] if len(parts) == 4 else "")


def _node_death(message: Any, node: _Node) -> tuple[Decoded, _Node]:
    """A death whose number is not the birth's is of an earlier session, whose will the broker publishes late."""
    if node.alive and node.bd_seq != _bd_seq(message):
        return Decoded(), node
    dead = msgspec.structs.replace(node, alive=False, devices=(), expected=-1)
    return Decoded(online=False, offline=node.devices), dead


def _bd_seq(message: Any) -> int:
    for metric in message.metrics:
        if metric.name == b"bdSeq":
            return int(metric.long_value or metric.int_value)
    return -1


def _missing(node: _Node, message: Any) -> int:
    """Return how many messages are missing before this one; none where it is late or the count is not known."""
    if node.expected == -1 or not message.HasField("seq"):
        return 0
    gap = (message.seq - node.expected) % _NUMBERS
    return int(gap) if gap < _NUMBERS // 2 else 0


def _birth_of(message: Any, rejects: Rejects) -> _Birth:
    metrics: dict[str, tuple[str, int]] = {}
    aliases: dict[int, str] = {}
    for metric in message.metrics:
        name = _name(metric)
        if isinstance(name, Reject):
            rejects.add(name)
            continue
        if metric.HasField("alias"):
            aliases[metric.alias] = name
        metrics[name] = (_target(name, metric.datatype), metric.datatype)
    uses: Counter[str] = Counter(target for target, _ in metrics.values() if target)
    for name, (target, datatype) in metrics.items():
        if uses[target] > 1:
            detail = f"makes the name {target[:MAX_NAME]!r}, which another metric makes too"
            rejects.add(Reject("duplicate-key", name[:MAX_NAME], detail))
            metrics[name] = ("", datatype)
    return _Birth(metrics, aliases)


def _name(metric: Any) -> str | Reject:
    if not metric.name:
        return Reject("missing", "metrics", "a metric of a birth has no name")
    if len(metric.name) > MAX_METRIC_NAME:
        return Reject(
            "too-long", "metrics", f"a name has {len(metric.name)} bytes, at most {MAX_METRIC_NAME} are taken"
        )
    try:
        return bytes(metric.name).decode()
    except UnicodeDecodeError:
        return Reject("not-utf8", "metrics", "a metric's name is not UTF-8")


def _target(name: str, datatype: int) -> str:
    """Return what a metric stands for; see ``_Birth``."""
    if name == "bdSeq" or name.startswith(_CONTROL):
        return ""
    if name.startswith(FAULTS):
        return name if datatype == BOOLEAN else ""
    if datatype not in NUMERIC:
        return ""
    try:
        return signal_name(name)
    except ValueError:
        return name  # which no signal is called: it is told as unknown


def _resolve(metric: Any, birth: _Birth) -> tuple[str, str, int] | Reject:
    """Return a metric's name, target and data type."""
    name: str | Reject | None
    if metric.name:
        name = _name(metric)
        if isinstance(name, Reject):
            return name
    else:
        name = birth.aliases.get(metric.alias) if metric.HasField("alias") else None
        if name is None:
            return Reject("unknown-metric", "metrics", f"alias {metric.alias} was told in no birth; one is asked for")
    if name not in birth.metrics:
        return Reject("unknown-metric", name[:MAX_NAME], "was told in no birth; one is asked for")
    target, datatype = birth.metrics[name]
    return name, target, datatype


def _number(metric: Any, datatype: int) -> float:
    kind = metric.WhichOneof("value")
    if metric.is_null or kind is None:
        raise _WrongValueError("missing", "has no value at the moment")
    if datatype == BOOLEAN and kind == "boolean_value":
        return float(metric.boolean_value)
    if datatype in (FLOAT, DOUBLE) and kind in ("float_value", "double_value"):
        value = float(getattr(metric, kind))
        if not math.isfinite(value):
            raise _WrongValueError("not-finite", f"{value} is not a finite number")
        return value
    if datatype in (*BITS, *WHOLE) and kind in ("int_value", "long_value"):
        whole = getattr(metric, kind)
        if datatype in WHOLE:
            return float(whole)
        return float(_signed(whole, BITS[datatype], 32 if kind == "int_value" else 64))
    raise _WrongValueError("wrong-type", f"data type {datatype} came as {kind}")


def _signed(whole: int, bits: int, sent_bits: int) -> int:
    """Return a signed number from its two's complement, written in its own ``bits`` or extended to ``sent_bits``."""
    for width in (bits, sent_bits):
        if bits <= width and whole < 1 << width:
            value = whole - (1 << width) if whole >> (width - 1) else whole
            if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
                return value
    raise _WrongValueError("out-of-range", f"{whole} is no whole number of {bits} bits")


def _fault(time: int, code: str, is_set: bool) -> FaultReport:
    if is_set:
        return FaultReport(time, code, "set", default_occurrence("set"), "", {})
    return FaultReport(time, code, "clear", default_occurrence("clear"), "", {})


def _rebirth(topic: _Topic, now: int) -> Request:
    message = Payload(timestamp=now // 1_000_000)
    message.metrics.add(name=REBIRTH.encode(), timestamp=now // 1_000_000, datatype=BOOLEAN, boolean_value=True)
    path = f"NCMD/{topic.node}"
    return Request(f"{topic.group}/{path}" if topic.group else path, message.SerializeToString())
