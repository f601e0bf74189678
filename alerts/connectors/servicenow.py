"""ServiceNow, over its Table API.

``correlation_id``, which every task table has for this, holds the key, and ``correlation_display`` says whose it is.
ServiceNow refuses no second record of one key, and by default ignores a part of a query that it does not understand
and answers every record; so what it finds is looked at. ``state`` is compared by its number: names are translated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import quote

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, Standing, TicketDraft
from alerts.connectors.http import body, send
from alerts.connectors.paging import in_order_of_change
from alerts.connectors.standing import Words
from config.settings import Tickets

_OURS = "fleetdx"
_SHORT_DESCRIPTION = 160
"""Characters of a short description; ServiceNow cuts what is longer."""
_CLOSED = frozenset({"6", "7", "8"})
"""Resolved, closed and cancelled."""
_IN_PROGRESS = "2"
_PAGE = 100
_WESTMOST = timedelta(hours=12)
"""Queries are read in the zone of the account, while values are UTC: what is asked for begins so much earlier."""


class ServiceNowConnector:
    """Files records of the table ``kind``, ``incident`` by default. Without a user the secret is a bearer token."""

    name: ClassVar[str] = "servicenow"

    def __init__(
        self,
        url: str,
        table: str,
        user: str | None,
        secret: str,
        *,
        group: str | None = None,
        words: Words | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._table, self._group = url.rstrip("/"), quote(table, safe=""), group
        self._words = words or Words.from_settings(Tickets())
        self._client = httpx.Client(
            base_url=f"{self._url}/api/now/table/",
            auth=(user, secret) if user is not None else None,
            headers={"Accept": "application/json"}
            | ({} if user is not None else {"Authorization": f"Bearer {secret}"}),
            timeout=timeout_s,
        )

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``kind``, ``queue`` (assignment group), and a user with a password or a token alone."""
        if settings.url is None:
            raise Permanent("connector servicenow needs url")
        return cls(
            settings.url, settings.kind or "incident", settings.user, secret, group=settings.queue,
            words=Words.from_settings(settings), timeout_s=settings.timeout_s,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Return the record whose key this is."""
        if "^" in key or "\n" in key:
            raise Permanent(f"ServiceNow cannot be asked for the key {key!r}: ^ ends a condition")
        found = self._records(f"correlation_id={key}^ORDERBYsys_created_on", 0)
        for record in found:
            if _value(record, "correlation_id") == key:
                return self._filed(record)
        if any(_value(record, "correlation_id").casefold() != key.casefold() for record in found):
            raise Permanent(f"ServiceNow does not search {self._table} by correlation_id: may its account read it?")
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """File the record, unless its key is there already."""
        filed = self.search(draft.key)
        if filed is not None:
            return filed
        record = {
            "correlation_id": draft.key,
            "correlation_display": _OURS,
            "short_description": " ".join(draft.title.split())[:_SHORT_DESCRIPTION],
            "description": draft.body,
        } | ({"assignment_group": self._group} if self._group is not None else {})
        made = body(send(self._client, "POST", self._table, json=record))["result"]
        held = self.read(_value(made, "sys_id"))
        if held.key != draft.key:
            raise Permanent(
                f"ServiceNow filed {draft.key} as {held.url} and dropped its key: may its account write it?"
            )
        return held

    def read(self, external_key: str) -> FiledTicket:
        """Return the record as it now stands; ``external_key`` is its ``sys_id``."""
        return self._filed(self._record(external_key))

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Add a work note that ends with the key, and set a resolved record in progress."""
        record, mark = self._record(external_key), f"[{draft.key}]"
        if mark in _shown(record, "work_notes"):
            return self._filed(record)
        change = {"work_notes": f"{draft.body}\n\n{mark}"}
        if self._filed(record).standing is not Standing.OPEN:
            change["state"] = _IN_PROGRESS
        send(self._client, "PATCH", self._path(external_key), json=change)
        return self.read(external_key)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the records of ours that changed."""
        return in_order_of_change(self._changed_page, since)

    def _changed_page(self, since: datetime, number: int) -> tuple[list[FiledTicket], bool]:
        at = (since - _WESTMOST).astimezone(UTC)
        when = f"javascript:gs.dateGenerate('{at:%Y-%m-%d}','{at:%H:%M:%S}')"
        query = f"correlation_display={_OURS}^sys_updated_on>={when}^ORDERBYsys_updated_on^ORDERBYsys_id"
        found = self._records(query, number * _PAGE)
        return [self._filed(record) for record in found], len(found) == _PAGE

    def _records(self, query: str, offset: int) -> list[dict[str, Any]]:
        asked = {
            "sysparm_query": query, "sysparm_display_value": "all", "sysparm_exclude_reference_link": "true",
            "sysparm_limit": str(_PAGE), "sysparm_offset": str(offset),
        }  # fmt: skip
        found = body(send(self._client, "GET", self._table, params=asked)).get("result")
        if not isinstance(found, list):
            raise Permanent(f"ServiceNow answers no list of {self._table}")
        return found

    def _record(self, number: str) -> dict[str, Any]:
        asked = {"sysparm_display_value": "all", "sysparm_exclude_reference_link": "true"}
        record = body(send(self._client, "GET", self._path(number), params=asked)).get("result")
        if not isinstance(record, dict):
            raise Permanent(f"ServiceNow answers no record of {self._table}")
        return record

    def _path(self, number: str) -> str:
        return f"{self._table}/{quote(number, safe='')}"

    def _filed(self, record: Mapping[str, Any]) -> FiledTicket:
        number, status = _value(record, "sys_id"), _shown(record, "state")
        closed = _value(record, "state") in _CLOSED
        return FiledTicket(
            external_key=number,
            url=f"{self._url}/{self._table}.do?sys_id={number}",
            key=_value(record, "correlation_id"),
            status=status,
            standing=self._words.standing(status, _shown(record, "close_code"), closed=closed),
            changed_at=_instant(_value(record, "sys_updated_on")),
            fields={
                name: shown
                for name in record
                if (name.startswith(("u_", "close_")) or name == "number") and (shown := _shown(record, name))
            },
        )


def _value(record: Mapping[str, Any], name: str) -> str:
    """Return a field as it is stored; the answer holds it alone, or beside what people see."""
    held = record.get(name)
    return str((held.get("value") if isinstance(held, dict) else held) or "")


def _shown(record: Mapping[str, Any], name: str) -> str:
    held = record.get(name)
    return str((held.get("display_value") if isinstance(held, dict) else held) or "")


def _instant(written: str) -> datetime | None:
    try:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
