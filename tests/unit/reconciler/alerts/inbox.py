"""A web server that keeps what it gets, and answers as it is told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Inbox:
    port: int
    got: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    redirect: str = ""


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            box.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(302 if box.redirect else box.status)
            if box.redirect:
                self.send_header("Location", box.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box = Inbox(server.server_port)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield box
    server.shutdown()
    server.server_close()
