"""A room that hears what the loop says: an HTTP server on loopback that takes what Apprise posts to json:// addresses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Message:
    at: float
    title: str
    text: str
    raw: str
    """The whole request, for what must stand nowhere."""

    def __str__(self) -> str:
        return f"[{time.strftime('%H:%M:%S', time.gmtime(self.at))}] {self.title}\n{self.text}"


class Room:
    """`messages` are those that were accepted. While `away`, every one is turned down with status 503."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.away = False
        self.turned_down = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_port}/room"

    def heard(self, *words: str) -> list[Message]:
        """The messages in which all `words` stand."""
        return [message for message in self.messages if all(word in f"{message.title}\n{message.text}" for word in words)]

    def wait(self, what: Callable[[], object], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise AssertionError(f"not said within {seconds:g} s; what was said: {self}")
            time.sleep(0.1)

    def __str__(self) -> str:
        return "\n".join(map(str, self.messages)) or "(nothing)"


def _handler(room: Room) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode("utf-8", "replace")
            if room.away:
                room.turned_down += 1
                self.send_error(503)
                return
            said = json.loads(raw)
            room.messages.append(Message(time.time(), str(said.get("title", "")), str(said.get("message", "")), raw))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests print what matters."""

    return Handler
