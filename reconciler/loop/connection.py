"""The way to one host, kept open from cycle to cycle and from commit to commit.

Used by `reconciler/loop/host.py` alone. A connection is made anew where it broke, where the host is reached in another way,
where the pinned keys have changed, and when identities are to be read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from desired.model import Fleet, Host
from reconciler.cycle import Session
from reconciler.fleet_run import target_of
from reconciler.loop.turns import Turns
from state.channel import Channel, HostError, Unreachable
from state.connect import connect
from state.target import Target

AT_ONCE = 256
"""Connections that are begun at the same time, over all hosts."""
LONGEST = 300.0
"""Seconds for the whole way, over all its hops."""
GOODBYE = 5.0
"""Seconds for closing a connection in order."""
Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Starts something that nobody waits for."""


class Connection:
    """At most one open channel, and the session on it."""

    def __init__(self, opening: Turns, spawn: Spawn) -> None:
        self._opening = opening
        self._spawn = spawn
        self._session: Session | None = None
        self._way: tuple[Target, str] | None = None

    async def session(self, host: Host, fleet: Fleet) -> tuple[Session, bool]:
        """The session for what is asked of the host now, and whether its connection is a new one. Raises `HostError`."""
        way = (target_of(host), fleet.known_hosts)
        if self._way != way:
            self.drop()
        fresh = self._session is None
        if self._session is None:
            self._session, self._way = Session(host, await self._connect(*way)), way
        elif self._session.host is not host:
            self._session = Session(host, self._session.channel)
        return self._session, fresh

    async def _connect(self, target: Target, known_hosts: str) -> Channel:
        async with self._opening.turn():
            try:
                async with asyncio.timeout(LONGEST):
                    return await connect(target, known_hosts=known_hosts)
            except TimeoutError:
                raise Unreachable(f"the way to {target.name} could not be opened within {LONGEST:g} s") from None

    def drop(self) -> None:
        """The next session gets a new connection."""
        session, self._session, self._way = self._session, None, None
        if session is not None:
            self._spawn(_close(session.channel))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await _close(session.channel)


async def _close(channel: Channel) -> None:
    """A host that does not answer any more does not say goodbye either."""
    with suppress(HostError, OSError, TimeoutError):
        async with asyncio.timeout(GOODBYE):
            await channel.close()
