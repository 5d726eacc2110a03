"""Fixtures of the channels' tests: an operator with a home and a key, SSH servers, and a short way to connect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from state.channel import Channel
from state.connect import connect
from state.target import Become, Target
from tests.sshd import PROGRAM, USER, Sshd, make_key


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private key that the servers accept."""
    return make_key(tmp_path_factory.mktemp("keys") / "key")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's home: nothing of the developer's own settings, keys or agent is seen."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


StartServer = Callable[..., Sshd]


@pytest.fixture
def start_server(tmp_path: Path, key: Path) -> Iterator[StartServer]:
    """Starts an sshd with more lines of configuration."""
    if PROGRAM is None:
        pytest.skip("no sshd on this machine; once: apt-get install openssh-server")
    servers: list[Sshd] = []

    def start(*lines: str) -> Sshd:
        server = Sshd(tmp_path / f"sshd{len(servers)}", key, lines)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server: StartServer) -> Sshd:
    return start_server()


class Open(Protocol):
    """Connects to a server: with the right key and the right pin, unless told otherwise."""

    def __call__(
        self,
        server: Sshd,
        *,
        known_hosts: str | None = None,
        identity: Path | None = None,
        become: Become = "none",
        jump: tuple[Target, ...] = (),
        keepalive: float = 15,
    ) -> Awaitable[Channel]: ...


@pytest_asyncio.fixture
async def open_channel(home: Path, key: Path) -> AsyncIterator[Open]:
    channels: list[Channel] = []

    async def open_(
        server: Sshd,
        *,
        known_hosts: str | None = None,
        identity: Path | None = None,
        become: Become = "none",
        jump: tuple[Target, ...] = (),
        keepalive: float = 15,
    ) -> Channel:
        target = Target("nas", "127.0.0.1", USER, server.port, become, jump, str(identity or key))
        pins = server.pin if known_hosts is None else known_hosts
        channel = await connect(target, known_hosts=pins, keepalive=keepalive)
        channels.append(channel)
        return channel

    yield open_
    for channel in channels:
        await channel.close()
