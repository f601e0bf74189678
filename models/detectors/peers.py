"""Peer deviation: signals that went another way than those of the same type at the same site on the same day."""

from __future__ import annotations

from typing import ClassVar

from models.signalwise import Signalwise


class Peers(Signalwise):
    """Reads the day against the other assets alone, so that neither weather nor the day's work is an anomaly.

    It sees an asset that has been wrong for months, which its own past can't show.
    """

    name: ClassVar[str] = "peers"
    reads: ClassVar[tuple[str, ...]] = (".peers",)
