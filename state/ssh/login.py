"""Opens a connection to a host, hop by hop, each hop with the same checks: host key, keys offered, time.

Called by `state/connect.py` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

from state.channel import HostError, LoginError, Unreachable
from state.ssh.channel import SshChannel
from state.ssh.errors import login_error, tunnel_error, way_error
from state.ssh.host_keys import Accepted, accepted_keys, refused_authority, refused_key
from state.ssh.keys import Offers, offers
from state.ssh.options import Settings, read_settings
from state.target import Target

_LONGEST_CHAIN = 8

# At INFO asyncssh's logger tells commands and addresses: not ours to spread.
asyncssh.set_log_level(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each part may take, in seconds."""

    connect: float
    login: float
    keepalive: float


async def log_in(
    target: Target, *, known_hosts: str, connect_timeout: float, login_timeout: float, keepalive: float
) -> SshChannel:
    """An open channel to `target`, through its jump hosts. Raises `HostError`."""
    patience = Patience(connect_timeout, login_timeout, keepalive)
    hops: list[tuple[Settings, asyncssh.SSHClientConnection]] = []
    try:
        for settings in _chain(target):
            hops.append((settings, await _open(settings, hops[-1] if hops else None, known_hosts, patience)))
    except BaseException:
        for _, connection in reversed(hops):
            connection.abort()
        raise
    return SshChannel(target, hops[-1][0].user, [connection for _, connection in hops])


def _chain(target: Target, depth: int = 0) -> list[Settings]:
    """The hops to `target`, itself last. The first jump host may need one of its own, by ~/.ssh/config."""
    settings = read_settings(target)
    if depth > _LONGEST_CHAIN:
        raise LoginError(f"the jump hosts of {target.name} lead in a circle", "see `jump` and ProxyJump in ~/.ssh/config")
    if not settings.jump:
        return [settings]
    first, *rest = settings.jump
    return [*_chain(first, depth + 1), *(read_settings(hop) for hop in rest), settings]


class _Client(asyncssh.SSHClient):
    """Hears from asyncssh what happens during one login."""

    def __init__(self, reached: Callable[[], None]) -> None:
        self._reached = reached
        self.offered_key: asyncssh.SSHKey | None = None
        self.offered_authority: asyncssh.SSHKey | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._reached()

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered_key = key
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered_authority = key
        return False


async def _open(
    settings: Settings, through: tuple[Settings, asyncssh.SSHClientConnection] | None, known_hosts: str, patience: Patience
) -> asyncssh.SSHClientConnection:
    """One hop: connects, checks the host key, logs in."""
    accepted = accepted_keys(settings, known_hosts)
    loop = asyncio.get_running_loop()
    reached = False

    def on_reached() -> None:
        nonlocal reached
        reached = True
        clock.reschedule(loop.time() + patience.login)

    client = _Client(on_reached)
    offered = Offers()
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(patience.connect) as clock:
            offered = await offers(settings, stack)
            return await _connect(settings, through, accepted, offered, client, patience)
    except TimeoutError as exc:
        if exc.errno:  # the system's own, not our clock's
            raise way_error(settings, exc) from exc
        raise _late(settings, patience, reached=reached) from None
    except asyncssh.HostKeyNotVerifiable as exc:
        if client.offered_authority:
            raise refused_authority(settings, accepted, client.offered_authority) from None
        raise refused_key(settings, accepted, client.offered_key, exc.reason) from None
    except asyncssh.ChannelOpenError as exc:
        raise tunnel_error(settings, through[0], exc) if through else login_error(settings, offered, exc) from None
    except asyncssh.Error as exc:
        raise login_error(settings, offered, exc) from None
    except OSError as exc:
        raise way_error(settings, exc) from None


def _late(settings: Settings, patience: Patience, *, reached: bool) -> HostError:
    if reached:
        return Unreachable(f"{settings.where} took the connection, but the login was not done within {patience.login:g} s")
    return Unreachable(
        f"{settings.where} did not answer within {patience.connect:g} s",
        "is the host switched on, and does a firewall let us in?",
    )


async def _connect(
    settings: Settings,
    through: tuple[Settings, asyncssh.SSHClientConnection] | None,
    accepted: Accepted,
    offered: Offers,
    client: _Client,
    patience: Patience,
) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        settings.target.host,
        options=settings.options,
        config=None,  # read already
        client_factory=lambda: client,
        tunnel=through[1] if through else None,
        known_hosts=accepted.known_hosts,
        server_host_key_algs=accepted.algorithms,
        client_keys=offered.keys or None,
        agent_path=None,  # its keys are among the offered ones
        agent_forwarding=False,
        canonicalize_hostname=False,
        x509_trusted_certs=None,
        connect_timeout=None,  # ours is the clock
        login_timeout=0,
        keepalive_interval=patience.keepalive,
        keepalive_count_max=3,
        send_env=None,
        env=None,
        **settings.overrides,
    )
