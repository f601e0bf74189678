"""Reading what changed, page by page, while people go on changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from alerts.connectors.connector import FiledTicket, Permanent

Page = Callable[[datetime, int], tuple[Sequence[FiledTicket], bool]]
"""Takes an instant and a page's number from 0; returns that page of what changed then or later, oldest first, and
whether another follows. It may begin earlier, where a system is asked in a time zone that is not known."""
_MOST_PAGES = 2_000


def in_order_of_change(page: Page, since: datetime) -> Iterator[FiledTicket]:
    """Yield every ticket with a key that changed at ``since`` or later, each state of it once.

    The next page is asked for by the last ticket's instant, not by number: a ticket that changes meanwhile leaves its
    place for the end, and counting would leave out the one that moved up. Raises ``Permanent`` where a system pages
    without end.
    """
    seen: set[tuple[str, datetime | None]] = set()
    begin, number = since, 0
    for _ in range(_MOST_PAGES):
        tickets, more = page(begin, number)
        for ticket in tickets:
            state = (ticket.external_key, ticket.changed_at)
            if ticket.key and state not in seen and (ticket.changed_at is None or ticket.changed_at >= since):
                seen.add(state)
                yield ticket
        if not more or not tickets:
            return
        last = tickets[-1].changed_at
        if last is not None and last > begin:
            begin, number = last, 0
        else:  # all of one instant, as when somebody changes hundreds in one go
            number += 1
    raise Permanent(f"more than {_MOST_PAGES:,} pages of tickets changed since {since.isoformat()}")
