"""What a person asked for and may not do so; pages put the reason into the reader's words."""

from __future__ import annotations

from typing import Literal

Reason = Literal["no reason", "end in the past", "end too far off", "support only", "not confirmed", "not from here"]


class NotAllowed(Exception):
    """A decision that was refused; nothing was changed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
