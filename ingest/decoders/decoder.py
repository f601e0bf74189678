"""What every payload decoder gives back. A decoder is one file here; it never raises on what a gateway sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

Kind = Literal["telemetry", "faults", "status"]
KINDS: tuple[Kind, ...] = ("telemetry", "faults", "status")


class Reject(NamedTuple):
    """Why something is not taken: ``reason`` as in docs/ingest.md, ``field`` says where, ``detail`` is for people."""

    reason: str
    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail} [{self.reason}]"


class Sample(NamedTuple):
    """Values of one instant (ns since the epoch); ``where`` names it within the payload."""

    time: int
    values: Mapping[str, float]
    where: str = ""


class FaultReport(NamedTuple):
    """A fault event as the gateway reports it (time in ns)."""

    time: int
    code: str
    state: Literal["set", "clear"]
    occurrence: int
    severity: str
    context: Mapping[str, float]


@dataclass(slots=True)
class Decoded:
    """One payload's content.

    ``samples`` and ``faults`` are what could be read; ``rejected`` counts samples and faults of which nothing could be,
    and ``rejects`` says why, also of single values.
    """

    seq: int | None = None
    asset_id: str | None = None
    samples: Sequence[Sample] = ()
    faults: Sequence[FaultReport] = ()
    online: bool | None = None
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one payload."""

    payload_bytes: int = 1_000_000
    samples: int = 10_000
    signals: int = 1_000
    context: int = 100


class Decoder(Protocol):
    """Turns the bytes of one message into samples and faults."""

    def decode(self, kind: Kind, payload: bytes) -> Decoded:
        """Read a payload; what is wrong with it is said in ``rejects``, and nothing is raised."""
