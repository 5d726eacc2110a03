"""TCP connections that a host makes to its own ports for us, through the open SSH connection: what smoke tests are asked over.

Used by `channel.py`. No port is opened on the controller, so nobody else there can use the way.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeAlias

import asyncssh

from state.channel import ForwardingRefused, PortClosed, Unreachable
from state.target import Target

_PAUSE = 0.1
"""Before a connection is asked for again that a host had no room for."""

_Opened: TypeAlias = tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]


class _Owner(Protocol):
    """What a stream needs of the channel that it belongs to: its words."""

    target: Target
    user: str

    def broken(self) -> Unreachable: ...

    def closed(self, host: str, port: int, reason: str) -> PortClosed: ...


async def connect_through(connection: asyncssh.SSHClientConnection, owner: _Owner, host: str, port: int) -> SshStream:
    """Raises as `Channel.open` promises. The caller has the clock."""
    while True:
        opening: asyncio.Future[_Opened] = asyncio.ensure_future(connection.open_connection(host, port, encoding=None))
        try:
            return SshStream(connection, owner, *await asyncio.shield(opening))
        except asyncio.CancelledError:
            opening.add_done_callback(_forget)
            raise
        except asyncssh.ChannelOpenError as exc:
            if connection.is_closed():
                raise owner.broken() from None
            if exc.code in (asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, asyncssh.OPEN_UNKNOWN_CHANNEL_TYPE):
                raise ForwardingRefused(
                    f"the SSH server of {owner.target.name} passes no connections on to its own ports",
                    f"set AllowTcpForwarding local for {owner.user} in its sshd_config (PermitOpen has to allow {host}:{port})",
                ) from None
            if exc.code != asyncssh.OPEN_RESOURCE_SHORTAGE:
                raise owner.closed(host, port, exc.reason) from None
        except (asyncssh.Error, OSError):
            raise owner.broken() from None
        await asyncio.sleep(_PAUSE)


def _forget(opening: asyncio.Future[_Opened]) -> None:
    """A connection that nobody waits for any more is closed as soon as it is there; its error is nobody's."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].channel.abort()


class SshStream:
    """A `Stream` through an SSH connection."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        owner: _Owner,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._reader = reader
        self._writer = writer

    async def read(self, size: int) -> bytes:
        try:
            data = await self._reader.read(size)
        except (asyncssh.Error, OSError):
            data = b""
        if not data:
            self._check()
        return data

    async def write(self, data: bytes) -> None:
        try:
            if not self._writer.is_closing():
                self._writer.write(data)
                await self._writer.drain()
                return
        except (asyncssh.Error, OSError):
            pass
        self._check()

    async def close(self) -> None:
        """Without waiting for the host's word about it: a host that hangs does not give any."""
        self._writer.channel.abort()

    def _check(self) -> None:
        """Raises when it is the way to the host that has ended, not the service."""
        if self._connection.is_closed():
            raise self._owner.broken()
