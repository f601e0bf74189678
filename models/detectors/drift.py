"""Change detection: signals that creep away from where the asset's own were, too slowly for any one day to tell."""

from __future__ import annotations

from typing import ClassVar

from models.signalwise import Signalwise


class Drift(Signalwise):
    """Reads the exponentially weighted means of ``models.derive``: days add up that are nothing each by itself.

    The means are taken over days as they pass, of nothing later, so a score of yesterday stays as it was.
    """

    name: ClassVar[str] = "drift"
    reads: ClassVar[tuple[str, ...]] = (".drift",)
