"""Something that takes tickets by webhook: a small real HTTP server which checks signatures and files each key once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

SECRET = "a key that both sides know"


class TicketDesk:
    """Listens on ``port`` of loopback. ``tickets`` are what was filed, by key; ``posts`` counts what came.

    ``keeps_record``: whether it answers questions. ``says`` is what it answers to a ticket; ``None``: its number.
    """

    def __init__(self) -> None:
        self.tickets: dict[str, dict[str, Any]] = {}
        self.posts, self.keeps_record = 0, True
        self.says: bytes | None = None
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"]))
                desk.posts += 1
                if not genuine(self.headers["X-Fleetdx-Signature"], payload):
                    self.answer(400, b"signature")
                    return
                ticket = json.loads(payload)
                assert self.headers["Idempotency-Key"] == ticket["key"]
                desk.tickets.setdefault(ticket["key"], ticket | {"number": f"T-{len(desk.tickets) + 1}"})
                self.answer(200, desk.says if desk.says is not None else desk.described(ticket["key"]))

            def do_GET(self) -> None:
                key = parse_qs(urlsplit(self.path).query).get("key", [""])[0]
                if not genuine(self.headers["X-Fleetdx-Signature"], b""):
                    self.answer(400, b"signature")
                elif not desk.keeps_record:
                    self.answer(405, b"")
                elif key in desk.tickets:
                    self.answer(200, desk.described(key))
                else:
                    self.answer(404, b"no such ticket")

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def described(self, key: str) -> bytes:
        number = self.tickets[key]["number"]
        return json.dumps({"external_key": number, "url": f"http://desk/{number}", "status": "open"}).encode()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/tickets"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def genuine(header: str, payload: bytes) -> bool:
    """Check a signature as the documentation tells receivers to."""
    match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", header)
    if match is None or abs(time.time() - int(match[1])) > 300:
        return False
    expected = hmac.new(SECRET.encode(), match[1].encode() + b"." + payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, match[2])
