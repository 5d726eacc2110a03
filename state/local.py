"""The channel to this machine itself (`address: local`): the same scripts, to a shell that is our child.

It behaves as a channel over SSH does. In particular cancelling a call only closes the pipes: the script notices at its next
step boundary and ends in order, as it would when a connection breaks, rather than being killed in the middle of `dpkg`.
So this module does without asyncio's own subprocess transport, which kills the child as soon as it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import IO

from state.capture import Capture, Watch
from state.channel import Output, Stream
from state.script_channel import ScriptChannel
from state.target import Target

_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR")


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may give us a number without a name
        return str(os.getuid())


class _Reader(asyncio.Protocol):
    """Hands on what comes from one pipe of the child."""

    def __init__(self, take: Callable[[bytes], bool], full: Callable[[], None]) -> None:
        self._take = take
        self._full = full
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self._take(data):
            self._full()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class LocalChannel(ScriptChannel):
    """A `Channel` to the machine that we run on."""

    def __init__(self, target: Target) -> None:
        super().__init__(target, _own_name())

    async def close(self) -> None:
        """Nothing is kept open between two scripts."""

    async def _connect(self, host: str, port: int) -> Stream:
        try:
            return LocalStream(*await asyncio.open_connection(host, port))
        except OSError as exc:
            raise self.closed(host, port, os.strerror(exc.errno) if exc.errno else type(exc).__name__) from None

    async def _execute(
        self, command: tuple[str, ...], stdin: bytes, limit: int, deadline: float, watch: Watch | None = None
    ) -> Output:
        capture = Capture(limit, watch)
        try:
            child = _Child(command)
        except FileNotFoundError:
            return Output(b"", b"", 127)  # what a shell would answer: there is no sudo, or no doas
        try:
            async with asyncio.timeout(deadline):
                status = await child.talk(stdin, capture)
        except TimeoutError:
            child.kill()
            raise self.overdue(deadline) from None
        finally:
            child.close()
        return capture.output(status)


class LocalStream:
    """A `Stream` to a port of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, size: int) -> bytes:
        try:
            return await self._reader.read(size)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def close(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class _Child:
    """One process in a session of its own, and our ends of its three pipes."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | {"LANG": "C", "LC_ALL": "C"},
            umask=0o022,
            start_new_session=True,
        )
        self._loop = asyncio.get_running_loop()
        self._transports: list[asyncio.BaseTransport] = []
        self._writer: asyncio.WriteTransport | None = None
        self._exit: asyncio.Future[int] = self._loop.create_future()
        # A thread, because somebody must wait for the child even when we do not: else it stays a zombie.
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        status = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile: nobody asks any more
            self._loop.call_soon_threadsafe(self._exited, status)

    def _exited(self, status: int) -> None:
        if not self._exit.done():
            self._exit.set_result(status)

    async def talk(self, stdin: bytes, capture: Capture) -> int | None:
        """Sends `stdin`, collects both streams, and answers the exit status: None when a signal ended the process."""
        process = self._process
        out = await self._read(process.stdout, capture.out)
        err = await self._read(process.stderr, capture.err)
        self._writer, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        self._writer.write(stdin)
        self._writer.write_eof()
        await asyncio.gather(out.ended, err.ended)
        status = await self._exit
        return status if status >= 0 else None

    async def _read(self, pipe: IO[bytes] | None, take: Callable[[bytes], bool]) -> _Reader:
        transport, reader = await self._loop.connect_read_pipe(lambda: _Reader(take, self.kill), pipe)
        self._transports.append(transport)
        return reader

    def kill(self) -> None:
        """Ends the child and all that it started. What became root by sudo is not ours to kill; its pipes break instead."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Closes our ends of the pipes, and leaves the process to end in its own time."""
        if self._writer and self._writer.get_write_buffer_size():
            self._writer.abort()  # closing it would first send the rest of a script that nobody waits for
        for transport in self._transports:
            transport.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()
