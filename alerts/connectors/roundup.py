"""Roundup (https://www.roundup-tracker.org), over its REST interface.

The tracker's issues need a text property ``external_id`` as their key (``issue.setkey("external_id")`` in its
schema), so that the server itself refuses a second ticket of one key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self
from urllib.parse import quote, urlsplit

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, Retryable, Standing, TicketDraft
from alerts.connectors.http import body, send
from alerts.connectors.paging import in_order_of_change
from alerts.connectors.standing import Words
from config.settings import Tickets

_CONFLICT = frozenset({409})
_STALE = frozenset({412})
_TIME = "%Y-%m-%d.%H:%M:%S"
_PAGE = 100
_WESTMOST = timedelta(hours=12)
"""Roundup reads times in the zone of the account, and writes them in UTC: what is asked for begins so much earlier."""
_OWN = frozenset({"activity", "actor", "creation", "creator", "external_id", "id", "status", "title"})


class RoundupConnector:
    """Files tickets as Roundup issues; ``url`` is the tracker's address, such as ``http://host:8080/fleet``."""

    name: ClassVar[str] = "roundup"

    def __init__(self, url: str, user: str, password: str, *, words: Words | None = None, timeout_s: float = 10.0):
        self._url, self._user = url.rstrip("/"), user
        self._words = words or Words.from_settings(Tickets())
        parts = urlsplit(self._url)
        self._client = httpx.Client(
            base_url=f"{self._url}/rest/data/",
            auth=(user, password),
            timeout=timeout_s,
            # Roundup asks writers for both, against forged requests.
            headers={"X-Requested-With": "rest", "Origin": f"{parts.scheme}://{parts.netloc}"},
        )

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url``, ``user`` and the password."""
        if settings.url is None or settings.user is None:
            raise Permanent("connector roundup needs url and user")
        words = Words.from_settings(settings)
        return cls(settings.url, settings.user, secret, words=words, timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Return the issue whose key this is, retired or not."""
        found = body(send(self._client, "GET", "issue", params={"external_id:": key, "@fields": "external_id,status"}))
        for item in found.get("data", {}).get("collection", []):
            if item.get("external_id") == key:
                return self.read(str(item["id"]))
        return None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """Write the message, then the issue that holds it."""
        issue = {"title": draft.title, "external_id": draft.key, "messages": [self._message(draft)]}
        response = send(self._client, "POST", "issue", accept=_CONFLICT, json=issue)
        if response.status_code in _CONFLICT:
            filed = self.search(draft.key)
            if filed is None:
                raise Permanent(f"Roundup refuses {draft.key}: {response.text[:300]}")
            return filed
        return self.read(str(body(response)["data"]["id"]))

    def read(self, external_key: str) -> FiledTicket:
        """Return the issue as it now stands."""
        return self._filed(self._issue(external_key)[0])

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Add the message, known by its Message-ID, to the issue. Trackers open a resolved issue at this themselves."""
        found = body(send(self._client, "GET", "msg", params={"messageid:": _message_id(draft)}))["data"]["collection"]
        message = str(found[0]["id"]) if found else self._message(draft)
        issue, tag = self._issue(external_key)
        if message in {str(one["id"]) for one in issue["attributes"].get("messages") or ()}:
            return self._filed(issue)
        self._change(external_key, {"@op": "add", "messages": [message]}, tag)
        issue, tag = self._issue(external_key)
        if self._filed(issue).standing is not Standing.OPEN:
            self._change(external_key, {"status": self._first_open_status()}, tag)
            issue, _ = self._issue(external_key)
        return self._filed(issue)

    def changed(self, since: datetime) -> Iterator[FiledTicket]:
        """Yield the issues with a key that changed."""
        return in_order_of_change(self._changed_page, since)

    def _changed_page(self, since: datetime, number: int) -> tuple[list[FiledTicket], bool]:
        query = {
            "activity": f"{(since - _WESTMOST).astimezone(UTC).strftime(_TIME)};", "@sort": "activity,id",
            "@fields": "activity,external_id", "@page_size": str(_PAGE), "@page_index": str(number + 1),
        }  # fmt: skip
        listed = body(send(self._client, "GET", "issue", params=query))["data"]["collection"]
        found = []
        for item in listed:
            key, at = str(item.get("external_id") or ""), _instant(item.get("activity"))
            if key and at is not None and at >= since:
                # By the list's instant: if it changed since, it comes again, and nothing between is passed over.
                found.append(replace(self.read(str(item["id"])), changed_at=at))
            else:  # counted as read, not worth a question of its own
                found.append(FiledTicket(str(item["id"]), "", key, changed_at=at))
        return found, len(listed) == _PAGE

    def _message(self, draft: TicketDraft) -> str:
        # A message without an author would put "nobody" on the issue's list of people to tell, which Roundup refuses.
        content = {"content": draft.body, "author": self._user, "messageid": _message_id(draft)}
        return str(body(send(self._client, "POST", "msg", json=content))["data"]["id"])

    def _issue(self, number: str) -> tuple[dict[str, Any], str]:
        """Return an issue and the tag of this state of it."""
        query = {"@verbose": "2", "@protected": "true"}
        data = body(send(self._client, "GET", f"issue/{quote(number, safe='')}", params=query))["data"]
        return data, str(data.get("@etag", ""))

    def _change(self, number: str, change: Mapping[str, Any], tag: str) -> None:
        """Change an issue, unless somebody changed it meanwhile: then it is looked at again, later."""
        path = f"issue/{quote(number, safe='')}"
        answer = send(self._client, "PATCH", path, accept=_STALE, json=change, headers={"If-Match": tag})
        if answer.status_code in _STALE:
            raise Retryable(f"issue {number} was changed by somebody else at this moment")

    def _first_open_status(self) -> str:
        query = {"@fields": "name", "@sort": "order"}
        for status in body(send(self._client, "GET", "status", params=query))["data"]["collection"]:
            if self._words.standing(str(status["name"])) is Standing.OPEN:
                return str(status["name"])
        raise Permanent("Roundup has no status that is open, by the settings closed and wont_fix")

    def _filed(self, data: Mapping[str, Any]) -> FiledTicket:
        attributes = data["attributes"]
        status = _text(attributes.get("status"))
        return FiledTicket(
            external_key=str(data["id"]),
            url=f"{self._url}/issue{data['id']}",
            key=str(attributes.get("external_id") or ""),
            status=status,
            standing=self._words.standing(status),
            changed_at=_instant(attributes.get("activity")),
            fields={name: _text(value) for name, value in attributes.items() if name not in _OWN and _text(value)},
        )


def _message_id(draft: TicketDraft) -> str:
    return f"<{draft.key}@fleetdx>"


def _text(value: object) -> str:
    """Return a property as text; a link by the name of what it leads to, a list of links not at all."""
    if isinstance(value, dict):
        return str(value.get("name") or value.get("username") or "")
    return "" if value is None or isinstance(value, list) else str(value)


def _instant(written: object) -> datetime | None:
    try:
        return datetime.strptime(str(written).split(".000")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
