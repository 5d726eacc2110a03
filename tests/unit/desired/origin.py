"""Project repositories made on the spot, and a real git server over TLS to fetch them from."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from desired.sources.model import SourceProblem, Wanted
from desired.sources.resolve import Sources

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


@dataclass(frozen=True)
class Origin:
    """A repository with a working tree, as a source."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Origin:
        root.mkdir(parents=True)
        origin = cls(root)
        origin.git("init", "--quiet", "--initial-branch=main")
        return origin

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.root, env=ENVIRONMENT, stdout=subprocess.PIPE, input=stdin, check=True)
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def commit(self, files: Mapping[str, str | bytes | None], message: str = "a change") -> str:
        """Writes and commits; the full id."""
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def bare(self, name: str = "bare.git") -> Origin:
        """A bare clone beside it."""
        self.git("clone", "--quiet", "--bare", str(self.root), str(self.root.parent / name))
        return Origin(self.root.parent / name)

    def wanted(self, revision: str = "main", **more: Any) -> Wanted:
        return Wanted("site", str(self.root), revision, **more)


def problem(sources: Sources, wanted: Wanted) -> SourceProblem:
    """Why it cannot be had."""
    with pytest.raises(SourceProblem) as caught:
        sources.resolve(wanted)
    assert str(caught.value)
    assert caught.value.hint
    return caught.value


def authority(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> Path:
    """A certificate authority, and a certificate for `names` signed by it: ca.pem, server.pem, server.key."""
    folder.mkdir(parents=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stderr=subprocess.DEVNULL)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", f"/CN={folder.name}", "-days", "2")
    openssl("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text(f"subjectAltName={names}\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
    return folder


@dataclass
class HttpServer:
    """`git http-backend` behind TLS. Remembers the headers of every request."""

    root: Path
    """The folder that holds the repositories."""
    login: str | None = None
    """`user:password` that must be given."""
    redirect: Callable[[str], str] | None = None
    port: int = 0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"https://localhost:{self.port}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append((request.path, dict(request.headers)))
        if self.redirect is not None:
            request.send_response(302)
            request.send_header("Location", self.redirect(request.path))
            request.end_headers()
            return
        wanted = f"Basic {base64.b64encode(self.login.encode()).decode()}" if self.login else None
        if wanted and request.headers.get("Authorization") != wanted:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="git"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        self._backend(request)

    def _backend(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        length = request.headers.get("Content-Length")
        body = request.rfile.read(int(length)) if length else _chunks(request)
        environment = ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": "somebody",
        }
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        request.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _chunks(request: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while request.headers.get("Transfer-Encoding") == "chunked" and (size := int(request.rfile.readline(), 16)):
        body += request.rfile.read(size)
        request.rfile.readline()
    return body


@contextmanager
def served(server: HttpServer, certificates: Path) -> Iterator[HttpServer]:
    """The server, running, with a certificate of `authority`'s."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def do_POST(self) -> None:
            server.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that turns away is no error."""

    with Server(("127.0.0.1", 0), Handler) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
        server.port = http.server_address[1]
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
