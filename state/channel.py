"""How a script gets to a host and its output back: the contract of `ssh/` and `local.py`, and the errors of the wire.

The errors here are about the wire, never about a command: what a fragment or step did stands in its frame.

    HostError
    ├── Unreachable        no connection, or it broke: trying again may help
    ├── HostKeyError       the key is not the pinned one, or none is pinned: a person must look
    ├── LoginError         the host is there and refuses us
    ├── BecomeError        logged in, but sudo or doas is not to be had without a password
    ├── PortClosed         nothing accepts connections at a port of the host
    └── ForwardingRefused  the SSH server passes no connections on
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class HostError(Exception):
    """`str` is one sentence that names what happened; `hint` says what to do. Neither ever holds a secret or a script."""

    retry = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unreachable(HostError):
    retry = True


class HostKeyError(HostError):
    def __init__(self, message: str, hint: str = "", *, line: str = "") -> None:
        super().__init__(message, hint)
        self.line = line
        """The line that pins the offered key in `hosts/known_hosts`, once a person has compared it; or empty."""


class LoginError(HostError):
    pass


class BecomeError(HostError):
    pass


class PortClosed(HostError):
    retry = True


class ForwardingRefused(HostError):
    pass


@dataclass(frozen=True, slots=True)
class Output:
    """What came back from one script."""

    stdout: bytes
    stderr: bytes
    status: int | None
    """None: the connection or the shell went away, so the outcome is unknown. Never read as success."""
    cut: bool = False
    """More came than the limit allows; the rest was not read and the script was ended."""


class Stream(Protocol):
    """A TCP connection that the host made for us to one of its own ports. Whoever opened it closes it."""

    async def read(self, size: int) -> bytes:
        """Waits for up to `size` bytes; empty when the other side has ended, in order or not. Raises `Unreachable` when the way
        to the host is gone, which says nothing about the service."""
        ...

    async def write(self, data: bytes) -> None:
        """Sends `data`, and waits while too much is on its way. What the other side does not take any more is dropped: what it
        had to say about that can still be read. Raises `Unreachable` as `read` does."""
        ...

    async def close(self) -> None:
        """At once; what is still on its way is thrown away."""
        ...


class Channel(Protocol):
    """An open way to one host, as the user that `become` gives. One script at a time per call; calls may overlap."""

    async def run(
        self, script: bytes, *, limit: int = 16 << 20, deadline: float = 120.0, watch: Callable[[bytes], None] | None = None
    ) -> Output:
        """Sends `script` on stdin to a constant `/bin/sh -s` and collects up to `limit` bytes of stdout (and 1 MiB of stderr).
        `watch` sees each piece of stdout as it comes. After `deadline` seconds the channel is closed and `Unreachable` raised.
        Cancelling the call closes the channel: the script on the host notices at its next step boundary.
        Raises `HostError` when nothing could be run; a script that broke off in the middle comes back with `status` None."""
        ...

    async def upload(self, folder: str, name: str, data: bytes, *, deadline: float = 600.0) -> None:
        """Puts `data` into the file `folder`/`name` of the host (0600; the folder is made with 0700 if it is missing). The name
        appears only when all bytes have arrived and their sha256 was checked on the host. For content that is too large
        for a script. Raises `HostError` when that could not be done."""
        ...

    async def open(self, host: str, port: int, *, deadline: float) -> Stream:
        """A TCP connection that the host makes to itself: `host` is 127.0.0.1 or ::1, and `ValueError` says so otherwise.
        Raises `PortClosed` when nothing accepts it there, `ForwardingRefused` when the SSH server does not allow any, and
        `Unreachable` after `deadline` seconds or when the connection to the host is gone."""
        ...

    async def close(self) -> None: ...
