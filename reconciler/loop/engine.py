"""The loop: looks at git, visits every host when it is due, and hands on what it saw.

    schedule.py ──key──▶ Loop ──▶ Follower.look, in a thread ──▶ the fleet in force
                          └─────▶ one task per due host: Visitor.cycle ──▶ CycleReport ──▶ observers

Made by `reconciler/loop/service.py`. Each host has a task of its own, so that none can stop or delay another; what a host's
cycle raises ends in its report. `once.py` makes one pass of the same parts, without the clock.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from desired.model import Fleet, Host
from reconciler import __version__, log
from reconciler.loop.changes import changed, held_otherwise, kept
from reconciler.loop.commits import Commits
from reconciler.loop.connection import AT_ONCE as CONNECTIONS
from reconciler.loop.connection import Connection
from reconciler.loop.following import Followed
from reconciler.loop.health import Health
from reconciler.loop.holds import Keepers, left
from reconciler.loop.host import Surroundings, Visit, Visitor
from reconciler.loop.learning import learn, went_wrong
from reconciler.loop.observer import Listeners, Observer
from reconciler.loop.patience import Patience, pace
from reconciler.loop.report import CycleReport
from reconciler.loop.schedule import Schedule
from reconciler.loop.standing import Standing, source_view
from reconciler.loop.turns import Turns
from reconciler.loop.view import LoopView

POLL = "git"
"""The schedule's key for a look at git. No host can have a key without the prefix."""
HOST = "host "
FIRST_POLL = 5.0
"""Seconds between two looks as long as no fleet says otherwise: perhaps somebody has just accepted a commit, and waits."""
APART = 2.0
"""Seconds between two looks at least, however many hints come."""
LONGEST_LOOK = 900.0
"""Seconds after which a look at git is ended. Meanwhile the hosts are visited as ever."""
SOON = 5.0
"""Seconds until a host is visited again where another run was in our way, the connection was lost in the middle, or something
else was changed meanwhile."""
PARTING = 90.0
"""Seconds that running steps get when the loop is to end."""
SUPERSEDED = "a newer commit asks for something else; the host finished the step that it was at"
STOPPED = "the loop was stopped; the host finished the step that it was at"


class Source(Protocol):
    """What the loop follows: `following.Follower`."""

    def look(self) -> Followed: ...
    def reload(self) -> None: ...
    def cancel(self) -> None: ...
    def behind(self, commit: str) -> int | None: ...


class Loop:
    """Make it where the event loop runs."""

    def __init__(
        self,
        source: Source,
        keepers: Keepers,
        patience: Patience,
        observers: Sequence[Observer] = (),
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        view: LoopView | None = None,
    ) -> None:
        """`view`: how things stood when the loop last ran."""
        self._source = source
        self._patience = patience
        self._listeners = Listeners(observers)
        self._wall, self._monotonic = wall, monotonic
        self._began = wall()
        self._commits = Commits(source.behind, self.hint, monotonic)
        self._around = Surroundings(
            keepers, Turns(), self._commits.foreign, Fleet(None, {}), self._listeners.began, wall, monotonic
        )
        self._opening = Turns(CONNECTIONS)
        self._schedule = Schedule(self._due, wall=wall, monotonic=monotonic)
        self._health = Health(monotonic)
        self._before = {host.host: host for host in view.hosts} if view is not None else {}
        self._visitors: dict[str, Visitor] = {}
        self._standings: dict[str, Standing] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        """Hosts whose running cycle is to be followed by another at once."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._looker = ThreadPoolExecutor(1, "git")
        self._verdict = ""
        """What the deletion budget came to last."""
        self.followed: Followed | None = None
        self.heard: Callable[[CycleReport, Visit], None] | None = None
        """Hears of each cycle beside the observers, with what `once` needs for its exit code."""

    # What others see

    @property
    def fleet(self) -> Fleet:
        """In force; without hosts as long as nothing usable was found."""
        return self._around.fleet

    def hint(self) -> None:
        """Git may have moved."""
        self._asked.set()

    def ill(self) -> str | None:
        """Why the loop does not do its work; None: it does."""
        return self._health.ill()

    def unready(self) -> str | None:
        """Why nothing is known yet; None: there is a desired state."""
        if self.followed is None:
            return "the repository was not read yet"
        if self.followed.fleet is None:
            return next((problem.message for problem in self.followed.problems), "there is no usable desired state yet")
        return None

    def view(self) -> LoopView:
        now, fleet = self._wall(), self.fleet
        hosts = [
            self._standings[name].view(
                fleet,
                visitor.host,
                behind=self._commits.distance(self._standings[name].commit),
                due=None if (due := self._schedule.left(HOST + name)) is None else now + due,
                now=now,
            )
            for name, visitor in self._visitors.items()
        ]
        return LoopView(
            version=__version__,
            began=self._began,
            turned=self._health.turned(now),
            source=source_view(self.followed),
            hosts=tuple(hosts),
        )

    # Its life

    def watch(self, observer: Observer) -> None:
        self._listeners.add(observer)

    def write_ahead(self, written: Callable[[], Awaitable[None]]) -> None:
        """`written` is awaited before a host is changed: see `Listeners.written`."""
        self._listeners.written = written

    async def run(self) -> None:
        """Until `stop`."""
        self._schedule.derive({POLL: FIRST_POLL})
        self._schedule.start()
        self.hint()
        following, ticking = asyncio.ensure_future(self._follow()), asyncio.ensure_future(self._tick())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait((following, ticking, stopped), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (following, ticking, stopped):
                task.cancel()
            await self.close()

    def stop(self) -> None:
        """Running steps are finished; nothing new is begun."""
        self._stopping.set()

    def reload(self) -> None:
        """Secrets, keys and identities are read again, and git is looked at."""
        self._source.reload()
        for visitor in self._visitors.values():
            visitor.reconnect()
        self.hint()

    async def close(self) -> None:
        self._stopping.set()
        self._schedule.stop()
        self._source.cancel()
        for name, task in self._running.items():
            visitor = self._visitors.get(name)
            if visitor is None or not visitor.let_go(STOPPED):
                task.cancel()
        if running := list(self._running.values()):
            _, late = await asyncio.wait(running, timeout=PARTING)
            for task in late:
                task.cancel()
        await asyncio.gather(*(visitor.close() for visitor in self._visitors.values()), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        self._looker.shutdown(wait=False, cancel_futures=True)

    def tick(self) -> None:
        """The loop has turned."""
        now = self._wall()
        self._health.tick()
        self._listeners.tell(lambda observer: observer.ticked(now))

    async def idle(self) -> None:
        """Until no host is visited any more."""
        while self._running:
            await asyncio.wait(list(self._running.values()))
            await asyncio.sleep(0)  # what follows from them is begun by their callbacks

    async def _tick(self) -> None:
        while True:
            jump = self._schedule.tick()
            if jump:
                log.warning("the clock was changed; everything stays due as it was", seconds=round(jump))
            self.tick()
            await asyncio.sleep(1)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Git

    async def _follow(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.look()
            await asyncio.sleep(APART)

    async def look(self) -> Followed:
        """One look at git, and what follows from it."""
        began = self._monotonic()
        with self._health.busy(POLL):
            looking = asyncio.get_running_loop().run_in_executor(self._looker, self._source.look)
            if looking not in (await asyncio.wait((looking,), timeout=LONGEST_LOOK))[0]:
                log.warning("git takes too long; what is under way there is ended")
                self._source.cancel()
            followed = await looking
        before, self.followed = self.followed, followed
        if followed.read is not None and (before is None or before.read != followed.read):
            self._commits.looked(began)
        first = before is None or before.fleet is None
        if followed.fleet is not None and followed.fleet is not self.fleet:
            self._take(followed.fleet)
        self._listeners.tell(lambda observer: observer.followed(followed))
        if first and followed.fleet is not None:
            self.tick()  # what is over with it is told as over, together with what was kept until there was somebody to tell
        self._visit_all(self._commits.waited())
        return followed

    def _take(self, fleet: Fleet) -> None:
        """A desired state comes into force: whose part has changed is visited at once, everybody else in his time."""
        known = {name: visitor.host for name, visitor in self._visitors.items()}
        hosts = {name: kept(known[name], host) if name in known else host for name, host in fleet.hosts.items()}
        old, self._around.fleet = self.fleet, fleet
        judged = held_otherwise(old, fleet)
        moved = [name for name, host in hosts.items() if name not in known or name in judged or changed(known[name], host)]
        self._commits.follow(fleet.commit)
        for name in known.keys() - hosts.keys():
            self._part(name)
        for name, host in hosts.items():
            if name not in known:
                self._visitors[name] = Visitor(host, self._around, Connection(self._opening, self._spawn))
                self._standings[name] = Standing(self._wall(), self._before.pop(name, None))
            self._visitors[name].host = host
        keepers = self._around.keepers
        keepers.budget.begin(fleet.max_deletions, hosts, moved)
        self._verdict = "early" if moved else self._verdict
        first: list[str] = []
        if moved or known.keys() != hosts.keys() or old.policies.rollout != fleet.policies.rollout:
            keepers.rollout.begin(fleet.policies.rollout, hosts)
            first = keepers.rollout.first()
        self._patience.keep(hosts.keys(), self._monotonic())
        wanted = {POLL: float(fleet.poll)} | {HOST + name: self._interval(host) for name, host in hosts.items()}
        self._schedule.derive(wanted)
        self._health.expect(wanted)
        for name in moved:
            self._visitors[name].let_go(SUPERSEDED)
        self._visit_all(dict.fromkeys((*first, *moved)))

    def _interval(self, host: Host) -> float:
        return float(host.interval or self.fleet.interval)

    def _part(self, name: str) -> None:
        """It left the fleet: what runs there is let go, and nothing is undone."""
        visitor = self._visitors.pop(name)
        self._standings.pop(name)
        self._again.discard(name)
        visitor.let_go(SUPERSEDED)
        running = self._running.get(name)

        async def leave() -> None:
            if running is not None:
                await asyncio.wait((running,))
            await visitor.close()

        self._spawn(leave())

    # Hosts

    def _due(self, key: str) -> None:
        if key == POLL:
            self.hint()
        else:
            self.visit(key.removeprefix(HOST))

    def _visit_all(self, names: Iterable[str]) -> None:
        for name in list(names):
            self.visit(name, again=True)

    def visit(self, name: str, *, again: bool = False) -> None:
        """Begins a cycle of the host. Where one is running, it is followed by another only with `again`."""
        if self._stopping.is_set() or name not in self._visitors:
            return
        if name in self._running:
            if again:
                self._again.add(name)
            return
        task = asyncio.ensure_future(self._cycles(name, self._visitors[name]))
        self._running[name] = task
        task.add_done_callback(lambda _: self._ended(name, task))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._running.get(name) is task:
            del self._running[name]
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.fault("a cycle ended with a fault of reconciler itself", fault, host=name)
        if name in self._again and name in self._visitors and not self._stopping.is_set():
            self.visit(name)

    async def _cycles(self, name: str, visitor: Visitor) -> None:
        self._again.discard(name)
        with self._health.busy(HOST + name):
            report, visit = await visitor.cycle()
        spared = self._learn(report, visit)
        if self._visitors.get(name) is not visitor:
            return
        standing = self._standings[name]
        was_away = standing.away
        standing.heard(report, visit, self._wall())
        self._listeners.tell(lambda observer: observer.visited(report))
        if self.heard is not None:
            self.heard(report, visit)
        self._plan_next(name, report, standing, soon=spared or visit.upset)
        if was_away and report.reached:
            self._ask_the_others()
        if standing.commit is not None and self._commits.unmeasured(standing.commit):
            self._spawn(self._commits.measure(standing.commit))

    def _plan_next(self, name: str, report: CycleReport, standing: Standing, *, soon: bool) -> None:
        """The schedule goes on by itself; here is what comes sooner or later than that."""
        interval, outcome = self._interval(self._visitors[name].host), report.outcome
        if standing.tries:
            self._schedule.again(HOST + name, pace(standing.tries, interval, random.random()))  # noqa: S311 no secret
        elif (soon or (outcome is not None and outcome.status in ("busy", "stale"))) and name not in self._again:
            self._schedule.again(HOST + name, SOON * random.uniform(1, 2))  # noqa: S311 no secret

    def _ask_the_others(self) -> None:
        """One that was away answers: perhaps it was the network, and the others do so too."""
        for name, standing in self._standings.items():
            if standing.away and name not in self._running:
                left_over = self._schedule.left(HOST + name)
                if left_over is not None and left_over > SOON:
                    self._schedule.again(HOST + name, SOON * random.random())  # noqa: S311 no secret

    def _learn(self, report: CycleReport, visit: Visit) -> bool:
        """What a cycle means for patience, rollout and budget, and so for other hosts. The answer: see `learn`."""
        keepers, name, spared = self._around.keepers, report.host, False
        if visit.run.draft is not None and report.outcome is not None:
            spared = learn(self._patience, name, visit.run.draft, report.outcome, self._monotonic())
        if not report.reached:
            keepers.budget.asked(name, None)
        going = False
        if visit.fleet is self.fleet:
            failed = went_wrong(report) and not spared
            undone = visit.final is None or left(visit.final) or bool(visit.final.doubts)
            going = keepers.rollout.looked(name, left=undone, failed=failed)
        affected = keepers.rollout.affected() if going else []
        affected = [other for other in affected if other != name]
        before, self._verdict = self._verdict, keepers.budget.verdict
        if self._verdict not in (before, "early"):
            affected += keepers.budget.waiting()
        self._visit_all(dict.fromkeys(affected))
        return spared
