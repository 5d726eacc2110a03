"""Services on loopback that answer well, badly or not at all, and channels that lead to them: what smoke tests are tried on."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from state.channel import Channel
from state.connect import connect
from state.target import Target
from tests.sshd import Sshd, make_key

Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Service:
    """One TCP service. `asked` holds what each connection began with."""

    def __init__(self, handler: Handler, *, greets: bool) -> None:
        self._handler = handler
        self._greets = greets
        self.asked: list[bytes] = []
        self.port = 0
        self._talks: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.current_task())
        try:
            await self._talk(reader, writer)
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def end(self) -> None:
        for talk in self._talks:
            assert talk
            talk.cancel()
            await asyncio.wait([talk])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            if not self._greets:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                self.asked.append(head + await reader.readexactly(size))
            await self._handler(reader, writer)


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, greets: bool = False, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Service]:
    """`greets`: the handler is called at once, without waiting for a request."""
    service = Service(handler, greets=greets)
    server = await asyncio.start_server(service.serve, host, port, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        await service.end()


def saying(*pieces: bytes | float) -> Handler:
    """Sends the pieces; a number is a pause in seconds."""

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                writer.write(piece)
                await writer.drain()

    return handler


def answer(body: bytes = b"hello\n", status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


async def without_end(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"more and more " * 4096)
        await writer.drain()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    key, certificate = folder / "tls.key", folder / "tls.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *curve, "-subj", "/CN=nobody.example", *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextlib.asynccontextmanager
async def over_ssh(folder: Path, *lines: str) -> AsyncIterator[tuple[Channel, Sshd]]:
    """A channel through a server of our own, with more lines of sshd_config."""
    folder.mkdir()
    key = make_key(folder / "key")
    server = Sshd(folder / "sshd", key, lines)
    server.start()
    try:
        target = Target("nas", "127.0.0.1", getpass.getuser(), server.port, identity=str(key))
        channel = await connect(target, known_hosts=server.pin, keepalive=0.2)
        try:
            yield channel, server
        finally:
            await channel.close()
    finally:
        server.stop()
