"""How many hosts are worked on at the same time, without one that hangs keeping a turn from another.

Used by `reconciler/loop/host.py` around each script, and around opening a connection. A turn bounds what the controller does at
once, memory and processor time; a host that is silent costs neither. So a turn is given back after a few seconds, whatever its
host does, and who waits for one never waits for the deadline of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 64
LONGEST = 5.0
"""Seconds that one may keep others waiting."""


class Turns:
    """Make it where the event loop runs."""

    def __init__(self, at_once: int = AT_ONCE, longest: float = LONGEST) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._longest = longest

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._free.acquire()
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._longest, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
