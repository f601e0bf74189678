"""A signed HTTP request to whatever takes tickets.

``POST url`` carries the ticket as JSON. ``Idempotency-Key`` is the ticket's key: the receiver files one ticket for
it however often it comes. ``X-Fleetdx-Signature: t=<unix seconds>,v1=<hex>`` signs ``<t>.<body>`` with HMAC-SHA256.
The answer may name the ticket: ``{"external_key": ..., "url": ..., "status": ...}``. ``GET url?key=<key>`` is asked
before a ticket is sent; a receiver that cannot answer it says 404 or 405.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import ClassVar, Self

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, TicketDraft
from alerts.connectors.http import body, send
from config.settings import Tickets

_UNKNOWN = frozenset({404, 405, 501})


def signature(secret: str, at: int, payload: bytes) -> str:
    """Return the header's value for a payload sent at ``at`` (Unix seconds)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class WebhookConnector:
    """Files tickets by POST to ``url``, signed with ``secret``."""

    name: ClassVar[str] = "webhook"

    def __init__(self, url: str, secret: str, *, timeout_s: float = 10.0) -> None:
        self._url, self._secret = url, secret
        self._client = httpx.Client(timeout=timeout_s)

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url`` and the signing key."""
        if settings.url is None:
            raise Permanent("connector webhook needs a url")
        return cls(settings.url, secret, timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Ask the receiver for the ticket of this key."""
        response = self._signed("GET", b"", {"key": key}, accept=_UNKNOWN)
        return None if response.status_code in _UNKNOWN else self._filed(response, key)

    def create(self, draft: TicketDraft) -> FiledTicket:
        """Send the ticket."""
        payload = json.dumps(dict(draft.data) | {"key": draft.key, "title": draft.title, "body": draft.body})
        response = self._signed("POST", payload.encode(), {}, {"Idempotency-Key": draft.key})
        return self._filed(response, draft.key)

    def read(self, external_key: str) -> FiledTicket:
        """Ask the receiver for a ticket by its key here, which is its key there."""
        response = self._signed("GET", b"", {"key": external_key}, accept=_UNKNOWN)
        if response.status_code in _UNKNOWN:  # it took the ticket and keeps no record to ask for
            return FiledTicket(external_key, "", external_key)
        return self._filed(response, external_key)

    def _signed(
        self,
        method: str,
        payload: bytes,
        params: dict[str, str],
        headers: dict[str, str] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        signed = {
            "Content-Type": "application/json",
            "X-Fleetdx-Signature": signature(self._secret, int(time.time()), payload),
            **(headers or {}),
        }
        return send(self._client, method, self._url, accept=accept, content=payload, params=params, headers=signed)

    @staticmethod
    def _filed(response: httpx.Response, key: str) -> FiledTicket:
        answer = body(response) if response.content else {}
        url = str(answer.get("url", ""))
        if not url.startswith(("https://", "http://")):
            url = ""
        return FiledTicket(str(answer.get("external_key", key))[:120], url[:500], key, str(answer.get("status", "")))
