"""A signed HTTP request to whatever takes tickets.

``POST url`` carries the ticket as JSON. ``Idempotency-Key`` is the ticket's key: the receiver files one ticket for
it however often it comes. ``X-Fleetdx-Signature: t=<unix seconds>,v1=<hex>`` signs ``<t>.<body>`` with HMAC-SHA256.
The answer may be anything, or name the ticket: ``{"external_key": ..., "url": ..., "status": ...}``.
``GET url?key=<key>`` is asked before a ticket is sent; a receiver that holds one for this key answers it with such an
object, and says with any other answer, or 404 or 405, that it holds none or keeps no record.
A ticket whose failure is back comes by ``POST`` under its new key, and names the old one as ``continues``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import httpx

from alerts.connectors.connector import FiledTicket, Permanent, TicketDraft
from alerts.connectors.http import send
from alerts.connectors.standing import Words
from config.settings import Tickets

_UNKNOWN = frozenset({404, 405, 501})


def signature(secret: str, at: int, payload: bytes) -> str:
    """Return the header's value for a payload sent at ``at`` (Unix seconds)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class WebhookConnector:
    """Files tickets by POST to ``url``, signed with ``secret``."""

    name: ClassVar[str] = "webhook"

    def __init__(self, url: str, secret: str, *, words: Words | None = None, timeout_s: float = 10.0) -> None:
        self._url, self._secret = url, secret
        self._words = words or Words.from_settings(Tickets())
        self._client = httpx.Client(timeout=timeout_s)
        self._sent: dict[str, FiledTicket] = {}

    @classmethod
    def from_settings(cls, settings: Tickets, secret: str) -> Self:
        """Build from ``url`` and the signing key."""
        if settings.url is None:
            raise Permanent("connector webhook needs a url")
        return cls(settings.url, secret, words=Words.from_settings(settings), timeout_s=settings.timeout_s)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def search(self, key: str) -> FiledTicket | None:
        """Ask the receiver for the ticket of this key."""
        response = self._signed("GET", b"", {"key": key}, accept=_UNKNOWN)
        answer = {} if response.status_code in _UNKNOWN else _answer(response)
        return self._filed(answer, key) if answer.get("external_key") else None

    def create(self, draft: TicketDraft) -> FiledTicket:
        """Send the ticket."""
        filed = self._filed(self._post(draft, {}), draft.key)
        self._sent[filed.external_key] = filed
        return filed

    def follow_up(self, external_key: str, draft: TicketDraft) -> FiledTicket:
        """Send it with the ticket that it continues; what that comes to is the receiver's to decide."""
        answer = self._post(draft, {"continues": external_key})
        return self._filed({"external_key": external_key} | answer, draft.key)

    def _post(self, draft: TicketDraft, more: Mapping[str, str]) -> dict[str, Any]:
        content = dict(draft.data) | {"key": draft.key, "title": draft.title, "body": draft.body} | dict(more)
        return _answer(self._signed("POST", json.dumps(content).encode(), {}, {"Idempotency-Key": draft.key}))

    def read(self, external_key: str) -> FiledTicket:
        """Ask the receiver for a ticket; where it keeps no record, what it answered when it took it is all there is."""
        sent = self._sent.get(external_key)
        key = sent.key if sent is not None else external_key
        return self.search(key) or sent or FiledTicket(external_key, "", key)

    def _filed(self, answer: Mapping[str, Any], key: str) -> FiledTicket:
        url, status = str(answer.get("url", "")), str(answer.get("status", ""))
        if not url.startswith(("https://", "http://")):
            url = ""
        external_key = str(answer.get("external_key") or key)[:120]
        return FiledTicket(external_key, url[:500], key, status, self._words.standing(status))

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


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the object that an answer holds; an empty one where it holds something else."""
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
