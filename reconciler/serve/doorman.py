"""Who may hold a connection, and for how long. aiohttp itself waits for ever for the rest of a header.

Stands between the socket and aiohttp's own protocol, made by `server.py` for each connection. While no request is being
answered a connection has `Limits.patience` seconds: to send a whole header, to take its answer, or to ask again. When all
places are taken the one that has waited longest gives up its own, so that nobody can lock the others out by keeping still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reconciler.serve.settings import Limits


class Doorman:
    """All connections of a server."""

    def __init__(self, inner: Callable[[], asyncio.Protocol], limits: Limits) -> None:
        self.inner = inner
        self.limits = limits
        self.refused = 0
        self._inside: dict[Connection, None] = {}
        """In the order in which they began to wait; those that are being answered have `waits` off."""

    def connection(self) -> Connection:
        return Connection(self, self.inner())

    def admit(self, connection: Connection) -> bool:
        if len(self._inside) >= self.limits.places:
            self.refused += 1
            longest = next((one for one in self._inside if one.waits), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.abort()
        self._inside[connection] = None
        return True

    def again(self, connection: Connection) -> None:
        """It waits anew: to the end of the row."""
        if connection in self._inside:
            del self._inside[connection]
            self._inside[connection] = None

    def leave(self, connection: Connection) -> None:
        self._inside.pop(connection, None)


class Connection(asyncio.Protocol):
    """One of them. aiohttp's protocol does the work; this one watches the time."""

    def __init__(self, doorman: Doorman, inner: asyncio.Protocol) -> None:
        self.doorman = doorman
        self.inner = inner
        self.waits = True
        self._admitted = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._admitted = self.doorman.admit(self)
        if not self._admitted:
            transport.abort()
            return
        self._wait()
        self.inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._admitted:
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received() if self._admitted else None

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.doorman.leave(self)
        if self._admitted:
            self.inner.connection_lost(exc)

    def begun(self) -> None:
        """A request is here as a whole, but for its body: whoever answers it has a deadline of its own."""
        self.waits = False
        self._stop()

    def ended(self) -> None:
        """It is answered, but for the sending."""
        self.waits = True
        self.doorman.again(self)
        self._stop()
        self._wait()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.doorman.limits.patience, self.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
