"""Which sequence numbers of one asset and topic have been seen: what is new, what repeats, what is missing.

A gateway counts up by one for each message, and from the start again after it lost its memory: an *epoch*. The cores
here are pure; ``ingest.accounting`` keeps them.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

MAX_INTERVALS = 1000
"""Gaps remembered per asset and topic; past it the oldest is given up as lost for good, so that memory is bounded."""


@dataclass(slots=True)
class Sequence:
    """Numbers seen in the current epoch, as sorted disjoint closed intervals ``[low, high]``.

    ``latest`` is the newest time (ns) of any message of it; ``lost_before`` counts what earlier epochs, or gaps given
    up, never delivered.
    """

    epoch: int = 0
    latest: int = 0
    lost_before: int = 0
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Numbers that are missing between those that came, in this epoch and before."""
        gaps = sum(low - high - 1 for low, high in zip(self.lows[1:], self.highs[:-1], strict=True))
        return self.lost_before + gaps

    def copy(self) -> Sequence:
        """Return an independent copy."""
        return Sequence(self.epoch, self.latest, self.lost_before, self.lows.copy(), self.highs.copy())

    def seen(self, seq: int) -> bool:
        """Whether this number came before in this epoch."""
        at = bisect_right(self.lows, seq) - 1
        return at >= 0 and seq <= self.highs[at]

    def take(self, seq: int, time: int) -> bool:
        """Note a message with its newest sample's time (ns); return False if it is a repetition."""
        if self.highs and seq <= self.highs[-1] and time > self.latest:
            # A number that falls back under a newer time: the gateway began to count again.
            self.lost_before = self.missing
            self.epoch += 1
            self.lows, self.highs = [], []
        self.latest = max(self.latest, time)
        if self.seen(seq):
            return False
        self._add(seq)
        return True

    def _add(self, seq: int) -> None:
        lows, highs = self.lows, self.highs
        at = bisect_right(lows, seq)
        joins_left = at > 0 and highs[at - 1] == seq - 1
        joins_right = at < len(lows) and lows[at] == seq + 1
        if joins_left and joins_right:
            highs[at - 1] = highs[at]
            del lows[at], highs[at]
        elif joins_left:
            highs[at - 1] = seq
        elif joins_right:
            lows[at] = seq
        else:
            lows.insert(at, seq)
            highs.insert(at, seq)
            if len(lows) > MAX_INTERVALS:
                self.lost_before += lows[1] - highs[0] - 1
                lows[0:2], highs[0:2] = [lows[0]], [highs[1]]
