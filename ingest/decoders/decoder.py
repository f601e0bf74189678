"""What every payload decoder gives back. A decoder is one file here; it never raises on what a gateway sent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol, overload

import msgspec

from ingest.memory import Memory

Kind = Literal["telemetry", "faults", "status"]
KINDS: tuple[Kind, ...] = ("telemetry", "faults", "status")
MAX_NAME = 64
"""Longest name of a value in a freeze frame, and how much of any name is repeated in a reason."""
LAST_SEQ = 2**63 - 1
"""Largest sequence number and occurrence."""


class Reject(NamedTuple):
    """Why something is not taken: ``reason`` as in docs/ingest.md, ``field`` says where, ``detail`` is for people."""

    reason: str
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail} [{self.reason}]"


class Rejects(msgspec.Struct, gc=False):
    """Reasons why parts of one message are not taken: all are counted, the first ``DETAILS`` are kept in words.

    A struct, as all that is made for each message: a plain class takes several times as long to make.
    """

    DETAILS: ClassVar[int] = 20

    counts: dict[str, int] = {}
    _kept: list[Reject] = []

    def add(self, reject: Reject) -> None:
        """Note one more."""
        self.counts[reject.reason] = self.counts.get(reject.reason, 0) + 1
        if not self.full:
            self._kept.append(reject)

    @property
    def full(self) -> bool:
        """Whether the words of a further one are kept no more."""
        return len(self._kept) >= self.DETAILS

    def __len__(self) -> int:
        return sum(self.counts.values())

    def __iter__(self) -> Iterator[Reject]:
        return iter(self._kept)

    def __str__(self) -> str:
        more = len(self) - len(self._kept)
        return "; ".join([*map(str, self._kept), *([f"and {more} more"] if more else [])])


class Sample(NamedTuple):
    """Finite values of one instant (ns since the epoch); ``where`` is its path within the payload, with a dot."""

    time: int
    values: Mapping[str, float]
    where: str = ""


class Samples(Sequence[Sample]):
    """Samples of one payload by column, as they mostly stay: only where one is looked at by itself it is made."""

    __slots__ = ("times", "values")

    def __init__(self, times: Sequence[int], values: Sequence[Mapping[str, float]]) -> None:
        self.times, self.values = times, values

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, place: int) -> Sample: ...

    @overload
    def __getitem__(self, place: slice) -> list[Sample]: ...

    def __getitem__(self, place: int | slice) -> Sample | list[Sample]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        return Sample(self.times[number], self.values[number], f"samples[{number}].")


class FaultReport(NamedTuple):
    """A fault event as the gateway reports it (time in ns); the values of ``context`` are finite."""

    time: int
    code: str
    state: Literal["set", "clear"]
    occurrence: int
    severity: str
    context: Mapping[str, float]


def default_occurrence(state: Literal["set", "clear"]) -> int:
    """Return the occurrence of a fault report that names none.

    So the set and the clear of one instant are two events, and the same report sent again is one.
    """
    return 0 if state == "set" else 1


class Place(NamedTuple):
    """What a topic says: of which asset a message is, and of what kind."""

    asset_id: str
    kind: Kind


class Request(NamedTuple):
    """What is to be published in answer; ``path`` is its topic below the prefix that the message came under."""

    path: str
    payload: bytes


class Decoded(msgspec.Struct, gc=False):
    """One payload's content.

    ``samples`` and ``faults`` are what could be read; ``rejected`` counts samples and faults of which nothing could be,
    and ``rejects`` says why, also of single values.

    What only a ``SessionDecoder`` says: ``lost`` messages are missing before this one; ``repeated``, it came before;
    ``of_gateway``, it speaks of a gateway that need not be an asset; ``offline`` are other assets that fell silent
    with this one; ``requests`` are to be published once the message is accounted for.
    """

    seq: int | None = None
    asset_id: str | None = None
    samples: Sequence[Sample] = ()
    faults: Sequence[FaultReport] = ()
    online: bool | None = None
    rejected: int = 0
    rejects: Rejects = msgspec.field(default_factory=Rejects)
    lost: int = 0
    repeated: bool = False
    of_gateway: bool = False
    offline: Sequence[str] = ()
    requests: Sequence[Request] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one payload: its bytes, its samples, the signals of one sample, the values of one freeze frame.

    ``ahead`` is how far ahead of now (ns) a time may be before it is not believed.
    """

    payload_bytes: int = 1_000_000
    samples: int = 10_000
    signals: int = 1_000
    context: int = 100
    ahead: int = 300 * 1_000_000_000


class Decoder(Protocol):
    """Turns the bytes of one message into samples and faults, by these bytes alone.

    Its topics are those of ``place_of``. A file here holds one class of this shape, or one ``SessionDecoder``, whose
    ``name`` is the file's.
    """

    name: ClassVar[str]

    def __init__(self, limits: Limits) -> None:
        """Decode within bounds."""

    def decode(self, kind: Kind, payload: bytes) -> Decoded:
        """Read a payload; what is wrong with it is said in ``rejects``, and nothing is raised."""


class SessionDecoder(ABC):
    """A decoder to which a message says more with those before it; all that it remembers is in its memory.

    ``filters`` are what is to be subscribed to, below its prefix.
    """

    name: ClassVar[str]
    filters: ClassVar[Sequence[str]] = ("#",)

    def __init__(self, limits: Limits, memory: Memory) -> None:
        self.limits, self.memory = limits, memory

    def place(self, path: str) -> Place | Reject:
        """Read a topic below the prefix."""
        return place_of(path)

    @abstractmethod
    def read(self, path: str, payload: bytes, now: int, *, known: bool, again: bool = False) -> Decoded:
        """Read a payload that came at ``now`` (ns) on a topic which ``place`` takes; ``known``: so is its asset.

        ``again``: it comes out of quarantine; it is read with what is remembered of its names, not of its neighbours,
        and nothing new is remembered.
        What is wrong with it is said in ``rejects``, and nothing is raised but what ``Memory.get`` raises.
        """


def place_of(path: str) -> Place | Reject:
    """Read a topic of the form ``<asset>/telemetry|faults|status``, below the prefix."""
    asset_id, _, rest = path.partition("/")
    for kind in KINDS:
        if rest == kind:
            return Place(asset_id, kind)
    if "/" in rest or not rest:
        return Reject("bad-topic", "topic", f"{path[:100]!r} is not <asset>/{'|'.join(KINDS)}")
    return Reject("bad-topic", "topic", f"{rest[:32]!r} is none of {', '.join(KINDS)}")


def refused(reason: str, field: str, detail: str) -> Decoded:
    """Return a message of which nothing is taken."""
    decoded = Decoded(rejected=1)
    decoded.rejects.add(Reject(reason, field, detail))
    return decoded
