"""One HTTP/1.1 question over a `Stream`, and its answer: bounded in size, never trusted, and never lost where it breaks off.

Used by `ask.py` over the connection to a host, and by `smoke/script.py` to read what curl brought. The answer is filled as it
comes, so that whoever runs out of time still holds what there was. Nothing is followed: a redirect is an answer like any other.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import h11

from state.channel import Stream

BODY_LIMIT = 1 << 20
"""Bytes of a body that are read; the rest is not waited for."""
_WIRE_LIMIT = BODY_LIMIT + (1 << 18)
"""Bytes that are read in all: an answer may consist of nothing but preliminaries."""
_HEAD_LIMIT = 1 << 16
_PIECE = 1 << 16
_GREETING_LIMIT = 4096

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Question:
    """What is sent."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What has come so far. All of it is the host's word."""

    status: int | None = None
    reason: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names in lower case."""
    raw: bytes = b""
    """The body as it travelled; without HTTP all that was said."""
    whole: bool = False
    """The answer has ended as it should, or all of it that is read was read."""
    cut: bool = False
    """There may be more of the body than was read."""
    trouble: str = ""
    """Why it is not whole, where that is known."""

    def header(self, name: str) -> str | None:
        """Several of one name stand behind each other, as HTTP allows to write them."""
        found = [value for known, value in self.headers if known == name.lower().encode("latin-1")]
        return b", ".join(found).decode("latin-1") if found else None

    @property
    def body(self) -> bytes:
        """The body as it is meant, unpacked where the service packs it unasked: at most `BODY_LIMIT` bytes of it."""
        if (self.header("content-encoding") or "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
            return self.raw
        try:
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(self.raw, BODY_LIMIT)
        except zlib.error:
            return self.raw


async def converse(stream: Stream, question: Question, answer: Answer) -> None:
    """Asks, and fills `answer` until it is whole, is in trouble, or has as much as is read. The caller has the clock."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
    await stream.write(b"".join(connection.send(event) or b"" for event in _events(question)))
    received = b""
    total = 0
    try:
        while not answer.whole:
            event = connection.next_event()
            if event is not h11.NEED_DATA:
                _take(answer, event)
                continue
            if total >= _WIRE_LIMIT:
                answer.whole = answer.cut = True
                return
            data = await stream.read(_PIECE)
            total += len(data)
            received = received or data[:_GREETING_LIMIT]
            connection.receive_data(data)
    except h11.RemoteProtocolError as error:
        if not total:
            answer.trouble = "the connection was closed without an answer"
        elif answer.status is None:
            answer.trouble = "what answers there does not speak HTTP/1.1"
            answer.raw = received
        else:
            answer.trouble = f"the answer breaks off or is garbled: {error}"


def _events(question: Question) -> tuple[h11.Event, ...]:
    headers = list(question.headers)
    if question.body or question.method == "POST":
        headers.append(("Content-Length", str(len(question.body))))
    request = h11.Request(method=question.method, target=question.target, headers=headers)
    return (request, *([h11.Data(data=question.body)] if question.body else []), h11.EndOfMessage())


def _take(answer: Answer, event: object) -> None:
    if isinstance(event, h11.Response):
        answer.status, answer.reason = event.status_code, event.reason
        answer.headers = [(bytes(name), bytes(value)) for name, value in event.headers]
    elif isinstance(event, h11.Data):
        answer.raw += bytes(event.data[: BODY_LIMIT - len(answer.raw)])
        answer.whole = answer.cut = len(answer.raw) >= BODY_LIMIT
    elif isinstance(event, h11.EndOfMessage):
        answer.whole = True


class Recorded:
    """A `Stream` that says what somebody else has heard."""

    def __init__(self, heard: bytes) -> None:
        self._heard = heard

    async def read(self, size: int) -> bytes:
        data, self._heard = self._heard[:size], self._heard[size:]
        return data

    async def write(self, data: bytes) -> None:
        """It has been asked already."""

    async def close(self) -> None:
        """There is nothing to close."""


class Tls:
    """A `Stream` with TLS over another one. The certificate is not checked: it is made for a name, not for loopback, and the
    way there is the SSH connection's. Raises `ssl.SSLError` where the other side speaks no TLS, or none that we do."""

    def __init__(self, stream: Stream, name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    async def read(self, size: int) -> bytes:
        try:
            return await self._work(lambda: self._tls.read(size))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def write(self, data: bytes) -> None:
        if data:
            await self._work(lambda: self._tls.write(data))

    async def close(self) -> None:
        await self._stream.close()

    async def _work(self, step: Callable[[], ResultT]) -> ResultT:
        """Does one step of TLS, the handshake included, with as many exchanges as it takes."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._flush()
                if data := await self._stream.read(_PIECE):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
                continue
            await self._flush()
            return result

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            await self._stream.write(data)
