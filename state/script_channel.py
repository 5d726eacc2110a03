"""What all channels do the same: run a script, store a file, tell a refused `become` from a failed script.

`local.py` and `ssh/channel.py` add two methods: run a constant command with some bytes on its stdin, and connect to a port.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from abc import ABC, abstractmethod

from state.capture import Watch
from state.channel import HostError, Output, PortClosed, Stream, Unreachable
from state.entry import become_error, question, receive_command, script_command
from state.target import Target

LOOPBACK = ("127.0.0.1", "::1")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ScriptChannel(ABC):
    """The shared half of a `Channel`."""

    def __init__(self, target: Target, user: str) -> None:
        self.target = target
        self.user = user
        """Whom we are logged in as, before `become`."""

    @abstractmethod
    async def _execute(
        self, command: tuple[str, ...], stdin: bytes, limit: int, deadline: float, watch: Watch | None = None
    ) -> Output:
        """Runs the constant `command`, as `Channel.run` promises it for a script."""

    async def run(self, script: bytes, *, limit: int = 16 << 20, deadline: float = 120.0, watch: Watch | None = None) -> Output:
        """See `Channel.run`."""
        output = await self._execute(script_command(self.target.become), script, limit, deadline, watch)
        await self._check_become(output, deadline)
        return output

    async def upload(self, folder: str, name: str, data: bytes, *, deadline: float = 600.0) -> None:
        """See `Channel.upload`."""
        if not folder.startswith("/") or "\n" in folder or "\0" in folder or not _FILE_NAME.fullmatch(name):
            raise ValueError("an upload needs an absolute folder and a plain file name, each on one line")
        head = f"{folder}\n{name}\n{hashlib.sha256(data).hexdigest()}\n".encode("utf-8", "surrogateescape")
        output = await self._execute(receive_command(self.target.become), head + data, 1 << 16, deadline)
        await self._check_become(output, deadline)
        if output.status is None:
            raise Unreachable(f"the connection to {self.target.name} broke during an upload of {len(data)} bytes")
        if output.status != 0:
            said = "; ".join(output.stderr.decode("utf-8", "replace").strip().splitlines())
            raise HostError(
                f"{self.target.name} could not store {len(data)} bytes in {folder}: {said[:300] or 'no reason given'}",
                "is the disk full or read-only, and is there a sha256sum on the host?",
            )

    @abstractmethod
    async def _connect(self, host: str, port: int) -> Stream:
        """As `Channel.open` promises, but for the deadline."""

    async def open(self, host: str, port: int, *, deadline: float) -> Stream:
        """See `Channel.open`."""
        if host not in LOOPBACK or not 0 < port < 65536:
            raise ValueError("a stream leads to a port on the loopback of the host, and nowhere else")
        try:
            async with asyncio.timeout(deadline):
                return await self._connect(host, port)
        except TimeoutError:
            raise Unreachable(f"{self.target.name} did not connect to port {port} within {deadline:g} s") from None

    def closed(self, host: str, port: int, reason: str) -> PortClosed:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return PortClosed(f"nothing accepts connections at {where} on {self.target.name}: {reason}")

    def overdue(self, deadline: float) -> Unreachable:
        return Unreachable(f"no answer from {self.target.name} within {deadline:g} s; the channel was closed")

    async def _check_become(self, output: Output, deadline: float) -> None:
        """Raises `BecomeError` when `output` is not the script's but a refusal of sudo or doas.

        After any failure the tool is asked again by itself. That needs no guess from localised messages, nor from stdout, on
        which a login shell may have greeted us; and in the ordinary case it costs nothing."""
        if self.target.become == "none" or not output.status:
            return
        answer = await self._execute(question(self.target.become), b"", 1 << 16, deadline)
        if answer.status:
            raise become_error(self.target, self.user, answer.status, answer.stderr)
