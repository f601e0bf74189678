"""A service that is known by its documentation alone: an HTTP server that gives the answers of a contract, in order.

A contract is a JSON file: under each name a list of exchanges. A request has ``method``, ``path``, and where they
matter ``query`` (values of parameters) and ``json``; ``$NAME`` in them stands for what the test gives. A request that
is not the next one of the list is answered 599 and kept in ``unexpected``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

CONTRACTS = Path(__file__).parent / "alerts" / "contracts"


class RecordedService:
    """Listens on ``url``; ``play`` says which exchanges come next. ``headers`` are those of the last request."""

    def __init__(self, contract: str) -> None:
        self._recorded = json.loads((CONTRACTS / f"{contract}.json").read_text(encoding="utf-8"))
        self._next: list[dict[str, Any]] = []
        self.unexpected: list[str] = []
        self.headers: dict[str, str] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                status, content = service._answer(self.command, self.path, self.rfile.read(length))
                service.headers = {name.lower(): value for name, value in self.headers.items()}
                payload = b"" if content is None else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_PATCH = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def play(self, *names: str, **given: str) -> None:
        """Expect these exchanges, one after the other."""
        for name in names:
            text = json.dumps(self._recorded[name])
            for word, value in given.items():
                text = text.replace(f"${word}", json.dumps(value)[1:-1])
            self._next += json.loads(text)

    def played(self) -> bool:
        """Whether all came that was expected, and nothing else."""
        assert self.unexpected == []
        return not self._next

    def _answer(self, method: str, path: str, content: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if self._next:
            request, response = self._next[0]["request"], self._next[0]["response"]
            same = (method, parts.path) == (request["method"], request["path"])
            same = same and all(query.get(name) == value for name, value in request.get("query", {}).items())
            sent = json.loads(content) if content else None
            if same and ("json" not in request or request["json"] == sent):
                self._next.pop(0)
                return int(response["status"]), response.get("json")
        self.unexpected.append(f"{method} {path} {content.decode(errors='replace')}")
        return 599, {"unexpected": self.unexpected[-1]}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
