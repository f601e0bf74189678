"""Which sequence numbers of one asset and topic have been seen: what is new, what repeats, what is missing.

A gateway counts up by one for each message, and from the start again after it lost its memory: an *epoch*. The core
here is pure; ``ingest.accounting`` keeps it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

MAX_INTERVALS = 1000
"""Runs without a gap remembered in each epoch; past it the oldest gap is given up as lost for good."""
MAX_EPOCHS = 8
"""Epochs remembered; a message of an older one that comes late counts to the oldest that is left."""


@dataclass(slots=True)
class Epoch:
    """Numbers seen since a gateway began to count, as sorted disjoint closed intervals ``[low, high]``.

    ``since`` is the newest time (ns) of its first message.
    """

    since: int
    lows: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Numbers missing between those that came."""
        return sum(low - high - 1 for low, high in zip(self.lows[1:], self.highs[:-1], strict=True))

    @property
    def highest(self) -> int:
        """The highest number that came, -1 before any did."""
        return self.highs[-1] if self.highs else -1

    def holds(self, seq: int) -> bool:
        """Whether a number was seen."""
        at = bisect_right(self.lows, seq)
        return at > 0 and seq <= self.highs[at - 1]

    def add(self, seq: int) -> bool:
        """Note a number; False if it was seen before."""
        if self.holds(seq):
            return False
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
        return True

    def fold(self) -> int:
        """Give up the oldest gap; return how many numbers it missed."""
        gap = self.lows[1] - self.highs[0] - 1
        self.lows[0:2], self.highs[0:2] = [self.lows[0]], [self.highs[1]]
        return gap


@dataclass(slots=True)
class Sequence:
    """All that is known of one asset's numbering on one topic.

    ``latest`` is the newest time (ns) of any message; ``given_up`` counts numbers missing in what is no longer kept.
    """

    latest: int = 0
    given_up: int = 0
    epochs: list[Epoch] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Numbers that are missing between those that came, in each epoch."""
        return self.given_up + sum(epoch.missing for epoch in self.epochs)

    def copy(self) -> Sequence:
        """Return an independent copy."""
        epochs = [Epoch(epoch.since, epoch.lows.copy(), epoch.highs.copy()) for epoch in self.epochs]
        return Sequence(self.latest, self.given_up, epochs)

    def take(self, seq: int, time: int | None) -> bool:
        """Note a message with its newest time (ns, ``None`` where it has none); return False if it is a repetition."""
        if time is not None and self.epochs:
            current = self.epochs[-1]
            if time >= current.since and current.highs and seq == current.highs[-1] + 1:  # as it mostly is
                current.highs[-1] = seq
                self.latest = max(self.latest, time)
                return True
        epoch = self._epoch_of(seq, time)
        self.latest = max(self.latest, time or 0)
        is_new = epoch.add(seq)
        if len(epoch.lows) > MAX_INTERVALS:
            self.given_up += epoch.fold()
        return is_new

    def _epoch_of(self, seq: int, time: int | None) -> Epoch:
        if self.epochs:
            current = self.epochs[-1]
            if time is None:
                return current
            by_time = next((epoch for epoch in reversed(self.epochs) if epoch.since <= time), self.epochs[0])
            if seq == current.highest + 1 and not by_time.holds(seq):
                return current  # what goes on counting belongs here, even where the clock was set back
            if seq > current.highest or time <= self.latest:
                return by_time  # late, repeated, or after a gap: from before a restart, if its time says so
        # The first of all, or a number that falls back under a newer time: the gateway began to count again.
        if len(self.epochs) == MAX_EPOCHS:
            self.given_up += self.epochs.pop(0).missing
        self.epochs.append(Epoch(time or 0))
        return self.epochs[-1]
