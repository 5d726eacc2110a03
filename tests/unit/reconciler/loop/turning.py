"""A loop that really turns: a repository made with git, hosts that are folders of this machine, reached by its own shell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from desired.model import Fleet as Desired
from reconciler.loop.engine import Loop
from reconciler.loop.following import Followed, Follower
from reconciler.loop.holds import Keepers
from reconciler.loop.patience import Patience
from reconciler.loop.places import LocalPlace
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView
from reconciler.policy import policy_hold
from tests.fleet import Fleet

LONG = "interval: 1h\npoll: 1h\n"
"""Nothing comes by itself: what happens, a test has asked for."""
SHORT = "interval: 1s\npoll: 1h\n"
PATIENCE = 120.0
"""Seconds after which a test gives up. It ends a test that fails, and measures nothing: the machine may be busy."""
WAITS = "touch @/begun; until [ -e @/go ]; do sleep 0.1; done; sleep 0.5"
"""What a step does that is at work until a test says `go`."""


@dataclass(slots=True)
class Recorder:
    """An observer that only listens."""

    reports: list[CycleReport] = field(default_factory=list)
    seen: list[Followed] = field(default_factory=list)
    begun: list[CycleReport] = field(default_factory=list)
    ticks: int = 0

    def followed(self, followed: Followed) -> None:
        self.seen.append(followed)

    def began(self, report: CycleReport) -> None:
        self.begun.append(report)

    def visited(self, report: CycleReport) -> None:
        self.reports.append(report)

    def ticked(self, now: float) -> None:
        self.ticks += 1

    async def told(self, host: str, count: int, seconds: float = PATIENCE) -> None:
        """Until a host was reported so many times."""
        await until(lambda: len(self.of(host)) >= count, seconds)

    def of(self, host: str) -> list[CycleReport]:
        return [report for report in self.reports if report.host == host]


@dataclass(slots=True)
class Turning:
    """A running loop."""

    loop: Loop
    heard: Recorder

    def host(self, name: str) -> HostView:
        return next(host for host in self.loop.view().hosts if host.host == name)

    async def visited(self, *hosts: str, seconds: float = PATIENCE) -> CycleReport:
        """Visits the hosts now, and waits until each has been reported once more; the last host's report."""
        before = {host: len(self.heard.of(host)) for host in hosts}
        for host in hosts:
            self.loop.visit(host, again=True)
        await until(lambda: all(len(self.heard.of(host)) > count for host, count in before.items()), seconds)
        await self.loop.idle()
        return self.heard.of(hosts[-1])[-1]

    async def looked(self) -> Desired:
        """Looks at git and waits for what follows from it."""
        await self.loop.look()
        await self.loop.idle()
        return self.loop.fleet


async def until(true: Callable[[], object], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.02)


def make_loop(fleet: Fleet, state: Path, *observers: Recorder) -> Loop:
    patience = Patience()
    return Loop(Follower(LocalPlace(fleet.root), state), Keepers(policy_hold, patience), patience, observers)


@asynccontextmanager
async def turning(fleet: Fleet, state: Path) -> AsyncIterator[Turning]:
    """The loop, with its clock: it has looked at git once, and visited every host."""
    heard = Recorder()
    loop = make_loop(fleet, state, heard)
    running = asyncio.ensure_future(loop.run())
    try:
        await until(lambda: heard.seen and (loop.fleet.hosts.keys() <= {report.host for report in heard.reports}))
        yield Turning(loop, heard)
    finally:
        loop.stop()
        await running


@asynccontextmanager
async def still(fleet: Fleet, state: Path) -> AsyncIterator[Turning]:
    """The loop without its clock: it does what a test asks for, and what follows from that."""
    heard = Recorder()
    loop = make_loop(fleet, state, heard)
    try:
        yield Turning(loop, heard)
    finally:
        await loop.close()
