"""What came from a broker."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message.

    ``size`` is the whole payload's, where only its beginning was kept. ``retained``: the broker kept it, so it says
    nothing of when it was sent. Where it waited in the spool, ``at`` is when it came (ns) and ``spooled`` its number
    there; else both are 0.
    """

    topic: str
    payload: bytes
    size: int = 0
    retained: bool = False
    at: int = 0
    spooled: int = 0
