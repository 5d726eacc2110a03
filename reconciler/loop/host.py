"""One cycle of one host: survey, hold, converge, and what is told of it. The loop gives each host a `Visitor` of its own.

The work itself is `reconciler/cycle.py`, as for `plan` and `apply`. Here stands what only a loop needs: a connection that
stays, a plan that is not made again where nothing has changed, a second plan where something has to wait, and a running apply
that is let go when a newer commit asks for something else.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field

from desired.model import Fleet, Host
from providers.registry import PROJECT_PROVIDERS, PROVIDERS, provider_of
from providers.releases.model import ReleaseSpec
from providers.secret import redact
from reconciler import log
from reconciler.bringing import with_commits
from reconciler.cycle import LOOK_MARGIN, LOOK_SECONDS, Outcome, Session, StepRecord, converge, settle
from reconciler.draft import Draft
from reconciler.fleet_run import HostRun, contained, problem_of
from reconciler.loop.connection import LONGEST as LONGEST_WAY
from reconciler.loop.connection import Connection
from reconciler.loop.holds import ASKED_BY_GIT, Holds, Keepers, begun, left
from reconciler.loop.learning import upset, without
from reconciler.loop.projects import project_views
from reconciler.loop.report import CycleReport
from reconciler.loop.turns import Turns
from reconciler.loop.view import ProjectView
from reconciler.plan import HostPlan, describe
from reconciler.stages import StepEvent
from state.channel import HostError, Unreachable
from state.evidence import Evidence
from state.evidence import ask as ask_evidence
from state.snapshot import DEADLINE

QUICK = 5.0
"""Seconds within which a kept connection that broke shows it; then the host is asked once more over a new one."""
LOOKS = 4
"""Plans that one cycle makes at most, until nothing more has to wait."""
SETTLE = 60.0
"""Seconds that a host which was let go gets for the step that it is at."""
EVIDENCE_SECONDS = 60.0
LONGEST_SURVEY = (
    LONGEST_WAY + 2 * DEADLINE + LOOKS * (LOOK_SECONDS * len(PROVIDERS + PROJECT_PROVIDERS) + LOOK_MARGIN) + EVIDENCE_SECONDS
)
"""Seconds after which looking at a host is given up: the deadlines of all that it is asked, one after the other."""


@dataclass(slots=True)
class Surroundings:
    """What all visitors share; the loop keeps it up to date."""

    keepers: Keepers
    turns: Turns
    foreign: Callable[[str, str | None], Awaitable[str | None]]
    """Why what a host was brought to by another run is not undone now: see `Loop.foreign`."""
    fleet: Fleet
    began: Callable[[CycleReport], Awaitable[None]]
    """Hears of an apply before it begins; takes a moment at most."""
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was made of the last report of a host, for when the next one is the same."""

    raw: Draft
    draft: Draft
    plan: HostPlan


@dataclass(slots=True)
class Visit:
    """One cycle on its way, and what the loop wants to know of it when it is over."""

    fleet: Fleet
    host: Host
    run: HostRun
    name: str
    """Of the run."""
    began: float
    """Seconds since 1970."""
    start: float
    """The same by the monotonic clock."""
    evidence: Evidence | None = None
    after: HostPlan | None = None
    final: Draft | None = None
    """What was found last; None where the host could not be asked."""
    steps: list[StepRecord] = field(default_factory=list)
    """That ended so far."""
    commit: str | None = None
    """The fleet's commit that the host is at when it is over; None where that is not known."""
    guarded: bool = False
    """Something waits for a rollout, for git, or for a person."""
    closed: bool = False
    """Something waits for a window, or for the end of a suspension."""
    upset: bool = False
    """While it was changed, the host moved in something that was not to be changed."""
    projects: tuple[ProjectView, ...] | None = None
    """None: as before."""


class Visitor:
    """One host. Its cycles never overlap: the loop starts one when the one before is over."""

    def __init__(self, host: Host, around: Surroundings, connection: Connection) -> None:
        self.host = host
        self._around = around
        self._connection = connection
        self._holds: Holds | None = None
        self._seen: _Seen | None = None
        self._recorded: tuple[Draft, str | None] | None = None
        """What the inventory was last brought up to date with."""
        self._drifting: frozenset[str] = frozenset()
        self._last_well = 0.0
        """Since 1970: when the host was last as it should be."""
        self._applying: asyncio.Future[Outcome] | None = None
        self._let_go = ""
        self._anew = False
        self._projects: tuple[Host, Mapping[str, str]] | None = None
        self._shown: tuple[Host, HostPlan] | None = None

    async def cycle(self) -> tuple[CycleReport, Visit]:
        """Never raises for anything but being cancelled: what goes wrong is in the report."""
        around = self._around
        host, name = self.host, secrets.token_hex(6)
        visit = Visit(around.fleet, host, HostRun(host), name, around.wall(), around.monotonic())
        self._let_go = ""
        if self._anew:
            self._anew = False
            self._connection.drop()
        with log.about(run=name, host=visit.host.name):
            async with contained(visit.run):
                await self._go(visit)
        run = visit.run
        assert run.plan is not None
        if run.plan.problem is not None or (run.outcome is not None and run.outcome.status == "unreachable"):
            self._forget()
        return self._report(visit, run.plan), visit

    def _report(self, visit: Visit, plan: HostPlan, *, begun: bool = False) -> CycleReport:
        return CycleReport(
            run=visit.name,
            host=visit.host.name,
            commit=visit.fleet.commit,
            began=visit.began,
            seconds=self._around.monotonic() - visit.start,
            plan=plan,
            outcome=visit.run.outcome,
            after=visit.after,
            evidence=visit.evidence,
            begun=begun,
            projects=self._wanted(visit.host),
            tags=visit.host.tags,
            away_after=visit.host.away_after if visit.host.availability == "intermittent" else None,
        )

    def let_go(self, reason: str) -> bool:
        """The running cycle begins nothing more on the host; whether it had begun. The host finishes the step that it is at."""
        first, self._let_go = not self._let_go, self._let_go or reason
        if self._applying is not None and first:
            self._applying.cancel()
        return self._applying is not None

    def reconnect(self) -> None:
        """The next cycle logs in anew."""
        self._anew = True

    async def close(self) -> None:
        await self._connection.close()

    def _forget(self) -> None:
        self._connection.drop()
        self._seen = self._recorded = None

    async def _go(self, visit: Visit) -> None:
        around, host = self._around, visit.host
        self._holds = Holds(around.keepers, visit.fleet, host, wall=around.wall(), now=around.monotonic(), before=self._holds)
        try:
            async with asyncio.timeout(LONGEST_SURVEY):
                session, settled = await self._look(visit, self._holds)
                visit.evidence = await self._evidence(session, visit)
        except HostError as error:
            visit.run.draft, visit.run.plan = None, problem_of(host, error)
            return
        except TimeoutError:
            late = Unreachable(f"{host.name} took longer than all deadlines of its questions together")
            visit.run.draft, visit.run.plan = None, problem_of(host, late)
            return
        drafted = visit.final = visit.run.draft
        assert drafted is not None
        visit.commit = drafted.inventory.record.commit
        visit.guarded, visit.closed = self._holds.guarded(drafted), self._holds.closed(drafted)
        if self._let_go:
            return
        if settled and (drafted.active or any(refresh.held is None for refresh in drafted.refreshes)):
            await self._apply(session, drafted, visit)
        elif settled:
            await self._bring_up_to_date(session, drafted, visit)
        await self._look_at_projects(session, visit)

    async def _look_at_projects(self, session: Session, visit: Visit) -> None:
        """What is deployed, for the view: asked again only where something else was found than last time."""
        plan = visit.after or visit.run.plan
        shown = self._shown
        if visit.final is None or plan is None or (shown is not None and shown[0] is visit.host and shown[1] is plan):
            return
        self._shown = (visit.host, plan)
        with suppress(HostError, TimeoutError):
            visit.projects = await project_views(session.channel, visit.fleet, visit.host, visit.final, plan)

    async def _look(self, visit: Visit, holds: Holds) -> tuple[Session, bool]:
        """Survey and plan, until nothing more has to wait (True) or it could not be settled what has to (False)."""
        session, raw = await self._survey(visit, holds)
        settled = False
        for _ in range(LOOKS):
            drafted = await self._drafted(raw, visit.fleet)
            foreign = None
            if any(planned.why in ASKED_BY_GIT for planned in drafted.changes):
                foreign = await self._around.foreign(
                    visit.host.name, drafted.inventory.towards or drafted.inventory.record.commit
                )
            if self._let_go:
                break
            if not holds.judge(drafted, foreign):
                settled = True
                break
            async with self._around.turns.turn():
                raw = await session.planned(raw.snapshot)
        visit.run.session, visit.run.draft = session, await self._drafted(raw, visit.fleet)
        assert self._seen is not None
        visit.run.plan = self._seen.plan
        return session, settled

    async def _survey(self, visit: Visit, holds: Holds) -> tuple[Session, Draft]:
        """A connection that was kept may have broken unseen: that alone is no trouble of the host."""
        while True:
            session, fresh = await self._connection.session(visit.host, visit.fleet)
            session.hold = holds
            start = self._around.monotonic()
            try:
                async with self._around.turns.turn():
                    return session, await session.survey()
            except HostError as error:
                self._connection.drop()
                if fresh or not error.retry or self._around.monotonic() - start > QUICK:
                    raise

    async def _drafted(self, raw: Draft, fleet: Fleet) -> Draft:
        """With the commits that a deployment brings. Nothing is worded anew where nothing has changed."""
        seen = self._seen
        if seen is None or seen.raw is not raw:
            deploys = any(isinstance(planned.change.spec, ReleaseSpec) for planned in raw.changes)
            drafted = await asyncio.to_thread(with_commits, raw, fleet.deployed) if deploys else raw
            plan = describe(drafted)
            self._seen = seen = _Seen(raw, drafted, seen.plan if seen is not None and seen.plan == plan else plan)
        return seen.draft

    async def _evidence(self, session: Session, visit: Visit) -> Evidence | None:
        """Who was there: asked when something is seen to have drifted that had not before, and before it is put right."""
        drafted = visit.run.draft
        assert drafted is not None
        drifting = {planned.ref: planned for planned in drafted.changes if planned.why == "drift"}
        new = drifting.keys() - self._drifting
        self._drifting = frozenset(drifting)
        if not drifting:
            self._last_well = self._around.wall()
        if not new:
            return None
        paths = {ref: path for ref in new if (path := provider_of(ref).path(drifting[ref].change.spec)) is not None}
        try:
            async with asyncio.timeout(EVIDENCE_SECONDS):
                return await ask_evidence(session.channel, paths, self._last_well)
        except (HostError, TimeoutError):
            return None

    async def _apply(self, session: Session, drafted: Draft, visit: Visit) -> None:
        around, host = self._around, visit.host
        around.keepers.budget.deleted(host.name, drafted.deletions)
        waits = left(drafted) and not begun(drafted)
        commit = drafted.inventory.record.commit if waits else visit.fleet.commit

        here = copy_context()  # events come in that of the connection, which was opened in an earlier cycle

        def ended(event: StepEvent) -> None:
            if event.fate is not None:
                visit.steps.append(StepRecord(redact(event.title), (), event.fate))
                level: log.Level = "info" if event.fate in ("done", "skipped") else "warning"
                here.run(log.say, level, f"{event.title}: {event.fate}")

        async def apply() -> Outcome:
            assert visit.run.plan is not None
            session.verified = None  # it may be let go before it begins
            await around.began(self._report(visit, visit.run.plan, begun=True))
            async with around.turns.turn():
                return await converge(session, drafted, commit, ended)

        try:
            self._applying = asyncio.ensure_future(apply())
            visit.run.outcome = await self._applying
        except asyncio.CancelledError:
            if not self._let_go or _cancelled():
                raise
            await settle(session, SETTLE)
            visit.run.outcome = Outcome("stale", message=self._let_go, steps=tuple(visit.steps))
        finally:
            self._applying = None
        moved = upset(visit.run.outcome)
        visit.upset = bool(moved)
        outcome = visit.run.outcome = without(moved, drafted, visit.run.outcome)
        visit.final = session.verified
        if outcome.status in ("converged", "failed") and session.verified is not None:
            visit.commit = commit
        if session.verified is not None:
            visit.after = describe(session.verified)
            self._drifting &= {planned.ref for planned in session.verified.changes}  # the witnesses of others were not asked
        elif outcome.status in ("busy", "stale"):
            self._drifting = frozenset()  # it is told of, and its witnesses asked, when it is ours to put right

    async def _bring_up_to_date(self, session: Session, drafted: Draft, visit: Visit) -> None:
        """What the host remembers, where nothing has to be done: as `apply` does it, once for each report and commit."""
        commit = drafted.inventory.record.commit if left(drafted) else visit.fleet.commit
        if self._recorded is not None and self._recorded[0] is drafted and self._recorded[1] == commit:
            visit.commit = commit
            return
        async with self._around.turns.turn():
            await converge(session, drafted, commit)
        self._recorded = (drafted, commit)
        visit.commit = commit

    def _wanted(self, host: Host) -> Mapping[str, str]:
        """Project → commit, as git asks for it on the host."""
        if self._projects is None or self._projects[0] is not host:
            specs = [resource.spec for resource in host.resources if resource.blocked is None]
            wanted = {spec.name: spec.commit for spec in specs if isinstance(spec, ReleaseSpec) and spec.commit}
            self._projects = (host, wanted)
        return self._projects[1]


def _cancelled() -> bool:
    """Whether it is the cycle itself that is to end, and not only its apply."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
