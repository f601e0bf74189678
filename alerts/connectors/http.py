"""HTTP of the connectors: every answer and every failure to get one becomes a value or one of the two errors."""

from __future__ import annotations

from typing import Any

import httpx

from alerts.connectors.connector import Permanent, Retryable

MAX_ANSWER = 2_000_000
"""Bytes of an answer that are read."""
# 401 and 403 too: a wrong password is mended in the settings, and no ticket shall be lost until then.
_RETRYABLE = frozenset({401, 403, 408, 425, 429, 500, 502, 503, 504})


def send(
    client: httpx.Client, method: str, url: str, *, accept: frozenset[int] = frozenset(), **options: Any
) -> httpx.Response:
    """Send a request and return its answer; status codes in ``accept`` are answers too.

    Raises:
        Retryable: no answer in time, or one that says to come again.
        Permanent: an answer that says no, or one without end.
    """
    try:
        with client.stream(method, url, **options) as streamed:
            content = b""
            for piece in streamed.iter_bytes():
                content += piece
                if len(content) > MAX_ANSWER:
                    raise Permanent(f"{method} {url} answers more than {MAX_ANSWER:,} bytes")
    except httpx.HTTPError as error:
        raise Retryable(f"{method} {url}: {type(error).__name__} {error}") from error
    headers = {"content-type": streamed.headers.get("content-type", "")}
    response = httpx.Response(streamed.status_code, headers=headers, content=content, request=streamed.request)
    if response.is_success or response.status_code in accept:
        return response
    message = f"{method} {url} answers {response.status_code}: {response.text[:300]}"
    if response.status_code in _RETRYABLE:
        raise Retryable(message)
    raise Permanent(message)


def body(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that an answer holds. Raises ``Permanent`` where it holds none."""
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Permanent(
            f"{response.request.method} {response.request.url} answers no JSON object: {response.text[:200]}"
        )
    return value
