"""Request Tracker 5 (https://bestpractical.com/request-tracker), over REST 2.

A text field ``ExternalId`` for tickets holds the key. RT refuses no second ticket of one key: the outbox, which lets
one deliverer at a time have a ticket, and the search before each creation are what keeps it single. RT takes unknown
fields and values without a word and drops them, so what it holds is read back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import quote

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, Standing, TicketDraft
from alerts.connectors.http import body, send
from alerts.connectors.paging import in_order_of_change
from alerts.connectors.standing import Words, instant
from config.settings import Tickets

log = logging.getLogger(__name__)

FIELD = "ExternalId"
_SUBJECT = 200
"""Bytes of a subject that RT keeps."""
_PAGE = 100
_PAGES_OF_HISTORY = 50
_WESTMOST = timedelta(hours=12)
"""RT reads times in the zone of the account, and writes them in UTC: what is asked for begins so much earlier."""


class RtConnector:
    """Files tickets in one queue; ``url`` is RT's address. Without a user the secret is an authentication token."""

    name: ClassVar[str] = "rt"

    def __init__(
        self,
        url: str,
        queue: str,
        user: str | None,
        secret: str,
        *,
        words: Words | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._queue = url.rstrip("/"), queue
        self._words = words or Words.from_settings(Tickets())
        self._field_is_there = False
        self._client = httpx.Client(
            base_url=f"{self._url}/REST/2.0/",
            auth=(user, secret) if user is not None else None,
            headers={} if user is not None else {"Authorization": f"token {secret}"},
            timeout=timeout_s,
        )

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``queue``, and a user with a password or a token alone."""
        if settings.url is None or settings.queue is None:
            raise Permanent("connector rt needs url and queue")
        words = Words.from_settings(settings)
        return cls(settings.url, settings.queue, settings.user, secret, words=words, timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Return the ticket whose key this is, in whatever queue it lies by now."""
        quoted = key.replace("\\", "\\\\").replace("'", "\\'")
        query = {"query": f"CF.{{{FIELD}}} = '{quoted}'", "fields": "CustomFields", "per_page": "100", "orderby": "id"}
        for item in body(send(self._client, "GET", "tickets", params=query)).get("items", []):
            if _key(item) == key:  # RT compares without regard to case
                return self.read(str(item["id"]))
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """File the ticket with its text as the first message, unless its key is there already."""
        filed = self.search(draft.key)
        if filed is not None:
            return filed
        self._require_field()
        wanted = {"Subject": _subject(draft.title)} | _due(draft.data.get("act_by"))
        ticket = wanted | {
            "Queue": self._queue,
            "Content": draft.body,
            "ContentType": "text/plain",
            "CustomFields": {FIELD: draft.key},
        }
        made = str(body(send(self._client, "POST", "ticket", json=ticket)).get("id", ""))
        held = self._ticket(made)
        if _key(held) != draft.key:
            raise Permanent(f"RT filed {draft.key} as ticket {made} and dropped its key: may its account set {FIELD}?")
        lost = [name for name, value in wanted.items() if held.get(name) != value]
        if lost:  # it is filed, and would only be filed again
            log.warning("RT holds ticket %s of %s with another %s than was sent", made, draft.key, " and ".join(lost))
        return self._filed(held)

    def read(self, external_key: str) -> FiledTicket:
        """Return the ticket as it now stands."""
        return self._filed(self._ticket(external_key))

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Reply to the ticket with the key as the subject; RT opens a resolved ticket at this, unless told not to."""
        if not self._was_said(external_key, draft.key):
            reply = {"Subject": draft.key, "Content": draft.body, "ContentType": "text/plain"}
            send(self._client, "POST", f"{_path(external_key)}/correspond", json=reply)
        ticket = self._ticket(external_key)
        if self._filed(ticket).standing is not Standing.OPEN:
            for step in ticket.get("_hyperlinks") or ():
                status = str(step.get("to", ""))
                if step.get("ref") == "lifecycle" and self._words.standing(status) is Standing.OPEN:
                    send(self._client, "PUT", _path(external_key), json={"Status": status})
                    ticket = self._ticket(external_key)
                    break
        return self._filed(ticket)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the tickets with a key that changed."""
        return in_order_of_change(self._changed_page, since)

    def _changed_page(self, since: datetime, number: int) -> tuple[list[FiledTicket], bool]:
        begin = (since - _WESTMOST).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        query = {
            "query": f"CF.{{{FIELD}}} IS NOT NULL AND LastUpdated >= '{begin}'",
            "fields": "Status,LastUpdated,CustomFields", "orderby": "LastUpdated",
            "per_page": str(_PAGE), "page": str(number + 1),
        }  # fmt: skip
        found = body(send(self._client, "GET", "tickets", params=query))
        return [self._filed(item) for item in found.get("items", [])], number + 1 < int(found.get("pages") or 0)

    def _was_said(self, number: str, key: str) -> bool:
        """Return whether a reply with this subject stands on the ticket."""
        for page in range(1, _PAGES_OF_HISTORY + 1):
            query = {"fields": "Type,Data", "per_page": str(_PAGE), "page": str(page), "order": "DESC", "orderby": "id"}
            items = body(send(self._client, "GET", f"{_path(number)}/history", params=query)).get("items", [])
            if any(item.get("Type") == "Correspond" and str(item.get("Data")).strip() == key for item in items):
                return True
            if len(items) < _PAGE:
                return False
        raise Permanent(f"RT's ticket {number} has more than {_PAGE * _PAGES_OF_HISTORY:,} entries in its history")

    def _ticket(self, number: str) -> dict[str, Any]:
        return body(send(self._client, "GET", _path(number)))

    def _require_field(self) -> None:
        """Raise ``Permanent`` where the queue lacks the field: each attempt would leave a ticket without a key."""
        if not self._field_is_there:
            queue = body(send(self._client, "GET", f"queue/{quote(self._queue, safe='')}"))
            fields = [field.get("name") for field in queue.get("TicketCustomFields", [])]
            if FIELD not in fields:
                raise Permanent(f"RT's queue {self._queue} has no ticket field {FIELD} that its account can see")
            self._field_is_there = True

    def _filed(self, ticket: Mapping[str, Any]) -> FiledTicket:
        number = str(ticket.get("id", ""))
        return FiledTicket(
            external_key=number,
            url=f"{self._url}/Ticket/Display.html?id={number}",
            key=_key(ticket),
            status=str(ticket.get("Status", "")),
            standing=self._words.standing(str(ticket.get("Status", ""))),
            changed_at=instant(ticket.get("LastUpdated")),
            fields={
                str(field["name"]): ", ".join(map(str, field["values"]))
                for field in ticket.get("CustomFields") or ()
                if field.get("name") != FIELD and field.get("values")
            },
        )


def _path(number: str) -> str:
    return f"ticket/{quote(number, safe='')}"


def _key(ticket: Mapping[str, Any]) -> str:
    """Return the key that a ticket carries, or nothing."""
    for field in ticket.get("CustomFields") or ():
        if field.get("name") == FIELD and field.get("values"):
            return str(field["values"][0])
    return ""


def _subject(title: str) -> str:
    """Return as much of a title, on one line, as RT keeps; it would cut through a character."""
    return " ".join(title.split()).encode()[:_SUBJECT].decode(errors="ignore")


def _due(act_by: object) -> dict[str, str]:
    """Return RT's field for a deadline. It takes UTC alone: another offset becomes 1970 without a word."""
    try:
        at = datetime.fromisoformat(str(act_by))
    except ValueError:
        return {}
    return {"Due": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")} if at.tzinfo is not None else {}
