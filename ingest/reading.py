"""What a message says, and what of that may be stored: routed, decoded and validated, the first of the three steps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from config.register import Register
from config.settings import Ingest
from ingest.counters import UNKNOWN_ASSET
from ingest.decoders.decoder import Decoded, Kind, Reject, Request
from ingest.message import Message
from ingest.routes import Routes
from ingest.validate import Checked, Validator

_SECOND = 1_000_000_000


class Read(msgspec.Struct, gc=False):
    """One message after decoding and validation."""

    message: Message
    asset_id: str
    kind: str
    decoded: Decoded
    checked: Checked


class Reader:
    """Reads messages by one register; ``use`` it before the first. ``age`` is what is taken at most, in ns."""

    def __init__(self, routes: Routes, settings: Ingest, age: int) -> None:
        self._routes, self._settings, self._age = routes, settings, age

    def use(self, register: Register) -> None:
        """Validate by this register from now on."""
        skew = int(self._settings.allowed_clock_skew_s * _SECOND)
        self._validator = Validator(register, skew=skew, age=self._age)

    def read(self, message: Message, now: int, requests: list[Request]) -> Read:
        """Read a message that came at ``now`` (ns); what is to be published joins ``requests``."""
        routed = self._routes.find(message.topic)
        if isinstance(routed, Reject):
            return refused(message, UNKNOWN_ASSET, routed)
        asset_id, kind = routed.place
        unknown = self._validator.unknown_asset(asset_id)
        if message.size > self._settings.max_payload_bytes:
            detail = f"{message.size} bytes, at most {self._settings.max_payload_bytes} are taken"
            known = asset_id if unknown is None else UNKNOWN_ASSET
            return refused(message, known, Reject("too-large", "payload", detail))
        # An empty retained message is how a status is cleared.
        if kind == "status" and not message.payload:
            decoded = Decoded()
        else:
            decoded, answers = self._routes.decode(routed, message.payload, now, known=unknown is None)
            if answers:
                requests += answers
        return self._check(message, asset_id, kind, decoded, now, unknown)

    def again(self, message: Message, now: int) -> Read | Reject:
        """Read a message that came at ``now`` (ns) and was refused, or say why nobody does; nothing is published."""
        routed = self._routes.find(message.topic)
        if isinstance(routed, Reject):
            return routed
        asset_id, kind = routed.place
        unknown = self._validator.unknown_asset(asset_id)
        decoded, _ = self._routes.decode(routed, message.payload, now, known=unknown is None, again=True)
        return self._check(message, asset_id, kind, decoded, now, unknown)

    def decoded(self, message: Message, asset_id: str, kind: Kind, decoded: Decoded, now: int) -> Read:
        """Check the content of a message that needs no decoding, at ``now`` (ns)."""
        return self._check(message, asset_id, kind, decoded, now, self._validator.unknown_asset(asset_id))

    def _check(
        self, message: Message, asset_id: str, kind: Kind, decoded: Decoded, now: int, unknown: Reject | None
    ) -> Read:
        if unknown is not None:
            if decoded.of_gateway and not (decoded.samples or decoded.faults or decoded.rejects):
                return Read(message, UNKNOWN_ASSET, kind, decoded, Checked())
            samples = len(decoded.samples) + len(decoded.faults) + decoded.rejected
            return refused(message, UNKNOWN_ASSET, unknown, samples or 1, decoded)
        checked = self._validator.check(asset_id, decoded, now)
        return Read(message, asset_id, kind, decoded, checked)


def refused(message: Message, asset_id: str, reject: Reject, samples: int = 1, decoded: Decoded | None = None) -> Read:
    """Return a message of which nothing is stored; of ``decoded`` counts what it says beside its samples."""
    checked = Checked()
    checked.refuse(reject, samples)
    said = Decoded() if decoded is None else Decoded(lost=decoded.lost, offline=decoded.offline)
    return Read(message, asset_id, "", said, checked)


def sample_times(checked: Checked) -> Sequence[int]:
    """Return the time of each sample and fault that may be stored."""
    measurements, faults = checked.measurements, checked.faults
    if len(measurements) == 1 and not faults:  # as it mostly is
        return measurements[0].times
    times = [time for _, _, of_block, _ in measurements for time in of_block]
    return times + [fault.time for fault in faults]
