"""Roundup (https://www.roundup-tracker.org), over its REST interface.

The tracker's issues need a text property ``external_id`` as their key (``issue.setkey("external_id")`` in its
schema), so that the server itself refuses a second ticket of one key.
"""

from __future__ import annotations

from typing import ClassVar, Self
from urllib.parse import urlsplit

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, TicketDraft
from alerts.connectors.http import body, send
from config.settings import Tickets

_CONFLICT = frozenset({409})


class RoundupConnector:
    """Files tickets as Roundup issues; ``url`` is the tracker's address, such as ``http://host:8080/fleet``."""

    name: ClassVar[str] = "roundup"

    def __init__(self, url: str, user: str, password: str, *, timeout_s: float = 10.0) -> None:
        self._url, self._user = url.rstrip("/"), user
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
        return cls(settings.url, settings.user, secret, timeout_s=settings.timeout_s)

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
        # A message without an author would put "nobody" on the issue's list of people to tell, which Roundup refuses.
        content = {"content": draft.body, "author": self._user}
        message = body(send(self._client, "POST", "msg", json=content))["data"]["id"]
        issue = {"title": draft.title, "external_id": draft.key, "messages": [message]}
        response = send(self._client, "POST", "issue", accept=_CONFLICT, json=issue)
        if response.status_code in _CONFLICT:
            filed = self.search(draft.key)
            if filed is None:
                raise Permanent(f"Roundup refuses {draft.key}: {response.text[:300]}")
            return filed
        return self.read(str(body(response)["data"]["id"]))

    def read(self, external_key: str) -> FiledTicket:
        """Return the issue as it now stands."""
        data = body(send(self._client, "GET", f"issue/{external_key}", params={"@verbose": "2"}))["data"]
        attributes = data["attributes"]
        status = attributes.get("status") or {}
        return FiledTicket(
            external_key=str(data["id"]),
            url=f"{self._url}/issue{data['id']}",
            key=str(attributes.get("external_id") or ""),
            status=str(status.get("name", "")) if isinstance(status, dict) else str(status),
        )
