"""An HTTP proxy before one server that fails on demand, in the ways that networks and busy servers do."""

from __future__ import annotations

import http.client
import threading
from collections import deque
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FaultyProxy:
    """Passes requests to ``127.0.0.1:port``. ``faults`` holds what happens to the next ones, first first.

    A number is answered as a status, and the request goes no further; ``drop`` passes it on and closes the connection
    without the answer; ``slow`` passes it on and keeps the answer back until ``release``. Only requests of ``method``
    whose path contains ``path`` take a fault.
    """

    def __init__(self, port: int, method: str = "", path: str = "") -> None:
        self.upstream, self.method, self.path = port, method, path
        self.faults: deque[int | str] = deque()
        self.seen: list[tuple[str, str]] = []
        self._released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                proxy._handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def release(self) -> None:
        """Let the answers go that were kept back."""
        self._released.set()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.seen.append((request.command, request.path))
        matches = self.method in ("", request.command) and self.path in request.path
        fault = self.faults.popleft() if self.faults and matches else None
        if isinstance(fault, int):
            request.send_response(fault)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        # As if the client had asked the server itself: some check where a request says that it comes from.
        here, there = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.upstream}"
        headers = {
            name: value.replace(here, there)
            for name, value in request.headers.items()
            if name.lower() not in ("connection", "accept-encoding")
        }
        # Closed also where the server behind ends meanwhile: a socket that is left open fails some later test.
        with closing(http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)) as upstream:
            upstream.request(request.command, request.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        if fault == "slow":
            self._released.wait(20)
        if fault is not None:
            request.close_connection = True
            return
        request.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("content-type", "location", "etag"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
