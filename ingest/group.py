"""The loss of a share group: of its programs each sees some of an asset's messages, and all of them together all."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.accounting import Accounting


def group_lost(accounts: Iterable[Accounting], numberings: Iterable[tuple[str, str]]) -> int:
    """Return how many numbered messages of these (asset, topic kind) came to none of the accounts.

    Between the lowest and the highest number that any has seen; exact while each account still remembers its gaps one
    by one (``ingest.sequence.MAX_INTERVALS``) and no gateway has begun to count again. ``lost`` of one account alone
    says nothing here: what went to the others is missing in it.
    """
    opened = list(accounts)
    lost = 0
    for asset_id, kind in numberings:
        runs = sorted(
            run
            for account in opened
            for epoch in account.sequence(asset_id, kind).epochs
            for run in zip(epoch.lows, epoch.highs, strict=True)
        )
        reached = runs[0][0] - 1 if runs else 0
        for low, high in runs:
            lost += max(0, low - reached - 1)
            reached = max(reached, high)
    return lost
