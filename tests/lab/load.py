"""Continuous requests against a site, over plain sockets: every answer is counted, and everything that is not one.

Half of the clients open a connection for each request; the others keep theirs as long as the server lets them, and one that the
server closed in an orderly way (`Connection: close` in its last answer) is opened anew without being counted. A connection that
goes away while a request is under way, or just when one is sent, is a failure, as it is to a browser that posts.

In tests: `with under_load(address, port, site) as tally`. By hand: `python load.py ADDRESS PORT SITE SECONDS` prints JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE = 10.0
"""Seconds after which an answer counts as missing."""


@dataclass
class Tally:
    """What came of the requests. `bodies` counts answers by their body: each release is to answer with its own name."""

    answers: int = 0
    bodies: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    slowest: float = 0.0

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class Client:
    """One client that asks again and again."""

    def __init__(self, tally: Tally, address: tuple[str, int], site: str, *, keeps: bool) -> None:
        self.tally, self.address, self.keeps = tally, address, keeps
        connection = "keep-alive" if keeps else "close"
        self.request = f"GET / HTTP/1.1\r\nHost: {site}\r\nConnection: {connection}\r\n\r\n".encode()
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, over: Callable[[], bool], pause: float) -> None:
        while not over():
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.ask()
            except TimeoutError:
                self.fail("no answer in time")
            except ConnectionRefusedError:
                self.fail("refused")
            except asyncio.IncompleteReadError as error:
                self.fail("closed in the middle of an answer" if error.partial else "closed without an answer")
            except OSError as error:
                self.fail(f"reset: {error.strerror or type(error).__name__}")
            self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
            await asyncio.sleep(pause)
        self.hang_up()

    def fail(self, why: str) -> None:
        self.tally.failures[f"{'kept' if self.keeps else 'new'} connection: {why}"] += 1
        self.hang_up()

    def hang_up(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None

    async def ask(self) -> None:
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
            self.tally.connections += 1
        reader, writer = self.streams
        writer.write(self.request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, *lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        body = await body_of(reader, headers)
        if status.split(" ")[1] == "200":
            self.tally.answers += 1
            self.tally.bodies[body.decode("utf-8", "replace").strip()[:40]] += 1
        else:
            self.tally.failures[f"status {status.split(' ')[1]}"] += 1
        if not self.keeps or headers.get("connection") == "close":
            self.hang_up()


async def body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    return await reader.read()


async def load(
    tally: Tally, address: tuple[str, int], site: str, over: Callable[[], bool], *, clients: int = 8, pause: float = 0.01
) -> None:
    """Half of the clients with new connections, half with kept ones, until it is over."""
    crowd = [Client(tally, address, site, keeps=bool(number % 2)) for number in range(clients)]
    await asyncio.gather(*(client.run(over, pause) for client in crowd))


@contextlib.contextmanager
def under_load(address: str, port: int, site: str, *, clients: int = 8, pause: float = 0.01) -> Iterator[Tally]:
    """Requests all the while, from a thread of their own."""
    tally, over = Tally(), threading.Event()
    requests = load(tally, (address, port), site, over.is_set, clients=clients, pause=pause)
    thread = threading.Thread(target=asyncio.run, args=(requests,), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    host, port, site, seconds = sys.argv[1:]
    end = time.monotonic() + float(seconds)
    counted = Tally()
    asyncio.run(load(counted, (host, int(port)), site, lambda: time.monotonic() >= end))
    sys.stdout.write(json.dumps(vars(counted)) + "\n")
