"""Scripts over one open SSH connection.

Made by `login.py`. One command costs a channel of its own and no more: asyncssh's own `run` would decode, buffer without limit
and keep a process object; the session class here only counts and collects.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Sequence
from typing import TypeAlias

import asyncssh

from state.capture import Capture, Watch
from state.channel import LoginError, Output, Stream, Unreachable
from state.script_channel import ScriptChannel
from state.ssh.stream import connect_through
from state.target import Target

_AT_ONCE = 4
"""Sessions per connection: OpenSSH allows 10 by default, and one that we gave up may still count there."""
_REFUSALS = 6
"""How often a host may refuse a session while none of ours is open: the pauses add up to three seconds."""

_Opened: TypeAlias = tuple[asyncssh.SSHClientChannel[bytes], asyncssh.SSHClientSession[bytes]]


class _Session(asyncssh.SSHClientSession[bytes]):
    """One command: sends its stdin, counts and keeps what it says."""

    def __init__(self, stdin: bytes, capture: Capture) -> None:
        self._stdin = stdin
        self._capture = capture
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._abandoned = False
        self.status: int | None = None
        self.ended = asyncio.get_running_loop().create_future()

    @property
    def begun(self) -> bool:
        """The command was asked for, so it may have run."""
        return self._channel is not None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        if self._abandoned:
            chan.abort()
        else:
            # asyncssh asks for the command as soon as this returns, and then waits for the answer; the script goes right
            # behind the question, which saves a round trip per command.
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        if self._channel and not self._channel.is_closing():
            self._channel.write(self._stdin)
            self._channel.write_eof()
        self._stdin = b""

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        take = self._capture.err if datatype == asyncssh.EXTENDED_DATA_STDERR else self._capture.out
        if not take(data):
            self.abandon()
            self._end()

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def abandon(self) -> None:
        """Closes the channel now; what is on its way is thrown away."""
        self._abandoned = True
        if self._channel:
            self._channel.abort()


class SshChannel(ScriptChannel):
    """A `Channel` to a host behind `connections`: the jump hosts in order, the host itself last."""

    def __init__(self, target: Target, user: str, connections: Sequence[asyncssh.SSHClientConnection]) -> None:
        super().__init__(target, user)
        self._connections = tuple(connections)
        self._connection = connections[-1]
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._open = 0
        self._one_ended = asyncio.Event()

    async def close(self) -> None:
        """Closes the connection, and those that it goes through."""
        for connection in reversed(self._connections):
            connection.close()
            await connection.wait_closed()

    async def _connect(self, host: str, port: int) -> Stream:
        """Such a connection is no session, so that `MaxSessions` and the places below do not count it."""
        return await connect_through(self._connection, self, host, port)

    async def _execute(
        self, command: tuple[str, ...], stdin: bytes, limit: int, deadline: float, watch: Watch | None = None
    ) -> Output:
        async with self._slots:
            capture = Capture(limit, watch)
            session = _Session(stdin, capture)
            try:
                async with asyncio.timeout(deadline):
                    await self._converse(session, "exec " + shlex.join(command))
            except TimeoutError:
                raise self.overdue(deadline) from None
            finally:
                session.abandon()
            return capture.output(session.status)

    async def _converse(self, session: _Session, command: str) -> None:
        """Opens a channel for `session` and waits until it has ended."""
        refusals = 0
        while not await self._started(session, command):
            if not self._open:
                refusals += 1
                if refusals == _REFUSALS:
                    raise LoginError(f"{self.target.name} opens no session", "is MaxSessions in its sshd_config at least 1?")
                await asyncio.sleep(0.05 * 2**refusals)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._one_ended.wait(), 1)
        self._open += 1
        try:
            await session.ended
        finally:
            self._open -= 1
            self._one_ended.set()
            self._one_ended = asyncio.Event()

    async def _started(self, session: _Session, command: str) -> bool:
        """False: the host refuses one session more, for now."""
        opening = asyncio.ensure_future(
            self._connection.create_session(lambda: session, command, encoding=None, request_pty=False)
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            session.abandon()
            opening.add_done_callback(_forget)
            raise
        except asyncssh.ChannelOpenError as exc:
            if self._connection.is_closed():
                if session.begun:
                    return True  # it may have run: the session ends without a status
                raise self.broken() from None
            if exc.code not in (asyncssh.OPEN_CONNECT_FAILED, asyncssh.OPEN_RESOURCE_SHORTAGE):
                raise LoginError(f"{self.target.name} opens no session: {exc.reason}") from None
            return False
        except (asyncssh.Error, OSError):
            if session.begun:
                return True
            raise self.broken() from None
        return True

    def broken(self) -> Unreachable:
        return Unreachable(f"the connection to {self.target.name} is broken or closed")


def _forget(opening: asyncio.Future[_Opened]) -> None:
    """A session that nobody waits for any more: its channel is closed as soon as it is there, its error is nobody's."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].abort()
