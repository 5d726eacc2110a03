"""All hosts at once: connect, survey, and on request converge, each host on its own so that none can stop or delay another.

Used by `plan` and `apply`; whoever calls decides what to do between the two halves (ask, refuse, save). Nothing is printed
here: progress goes to a `Listener`, and what became of each host stands in its `HostRun`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from desired.model import Address, Fleet, Host
from reconciler.bringing import with_commits
from reconciler.cycle import Outcome, Session, converge
from reconciler.draft import Draft, Hold, nothing_held
from reconciler.errors import Exit
from reconciler.plan import HostPlan, Plan, describe
from reconciler.stages import Listener
from state.channel import BecomeError, HostError, HostKeyError, LoginError
from state.connect import connect
from state.target import Target

AT_ONCE = 64
"""Hosts that are worked on at the same time: more wait for their turn, with nothing opened for them yet."""
REPLANS = 2
"""How often a host is looked at anew because another run came in between, before it is reported."""


@dataclass(slots=True)
class HostRun:
    """One host's way through a run."""

    host: Host
    session: Session | None = None
    draft: Draft | None = None
    plan: HostPlan | None = None
    outcome: Outcome | None = None


def target_of(host: Host) -> Target:
    """How the host is reached, in the words of the state room."""
    address = host.address
    return Target(
        name=host.name,
        host=address.host,
        user=address.user,
        port=address.port,
        become=host.become,
        jump=tuple(_hop(hop, host.identity) for hop in host.jump),
        identity=host.identity,
    )


def _hop(address: Address, identity: str | None) -> Target:
    return Target(name=address.host, host=address.host, user=address.user, port=address.port, identity=identity)


class FleetRun:
    """The hosts of one command. Use as an async context manager: it closes what it opened."""

    def __init__(self, fleet: Fleet, hosts: Sequence[Host], *, at_once: int = AT_ONCE, hold: Hold = nothing_held) -> None:
        self.fleet = fleet
        self._hold = hold
        self.runs = {host.name: HostRun(host) for host in hosts}
        self._turns = asyncio.Semaphore(at_once)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        sessions = [run.session for run in self.runs.values() if run.session is not None]
        for result in await asyncio.gather(*(session.channel.close() for session in sessions), return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, (HostError, OSError)):
                raise result

    async def survey(self, told: Callable[[HostRun], None] | None = None) -> Plan:
        """Probes every host; `told` hears of each as soon as it is done."""

        async def one(run: HostRun) -> None:
            async with self._turns, contained(run):
                await self._survey(run)
            if told is not None:
                told(run)

        await asyncio.gather(*(one(run) for run in self.runs.values()))
        return self.plan()

    def plan(self, asked: tuple[str, ...] = ()) -> Plan:
        """The plan as it stands, hosts in the repository's order."""
        parts = [run.plan for run in self.runs.values() if run.plan is not None]
        return Plan(commit=self.fleet.commit, hosts=tuple(parts), hosts_asked=asked)

    async def converge(
        self, listener: Listener | None = None, told: Callable[[HostRun], None] | None = None, *, exact: bool = True
    ) -> None:
        """Applies every draft; a host that was not reached before is not tried again.

        Where another run came in between, the host is looked at again. What is then to be done is done if it is still the
        plan that somebody agreed to; without `exact` (nobody looked at it) also if it is another that deletes nothing new, as
        long as the other run was not one for another commit.
        """

        async def one(run: HostRun) -> None:
            async with self._turns, contained(run):
                await self._converge(run, listener, exact=exact)
            if told is not None:
                told(run)

        await asyncio.gather(*(one(run) for run in self.runs.values() if run.draft is not None))

    async def _survey(self, run: HostRun) -> None:
        try:
            if run.session is None:
                channel = await connect(target_of(run.host), known_hosts=self.fleet.known_hosts)
                run.session = Session(run.host, channel, hold=self._hold)
            run.draft = with_commits(await run.session.survey(), self.fleet.deployed)
            run.plan = describe(run.draft)
        except HostError as error:
            run.draft = None
            run.plan = problem_of(run.host, error)

    async def _converge(self, run: HostRun, listener: Listener | None, *, exact: bool) -> None:
        session, agreed = run.session, run.plan
        for _ in range(REPLANS + 1):
            if session is None or run.draft is None:
                return
            run.outcome = await converge(session, run.draft, self.fleet.commit, listener)
            if run.outcome.status != "stale":
                return
            await self._survey(run)
            if run.plan is None or agreed is None or _goes_beyond(run.plan, agreed, self.fleet.commit, exact=exact):
                return


def _goes_beyond(plan: HostPlan, agreed: HostPlan, commit: str | None, *, exact: bool) -> bool:
    """Whether it has to be agreed to anew. A host that was given another commit meanwhile is never taken back unasked."""
    if exact or plan.applied not in (agreed.applied, commit):
        return bool(plan.differing(agreed))
    return not set(agreed.deletions).issuperset(plan.deletions)


@asynccontextmanager
async def contained(run: HostRun) -> AsyncIterator[None]:
    """One host's trouble never stops another, not even where the fault is ours: it becomes the host's problem."""
    try:
        yield
    except Exception as fault:  # noqa: BLE001 see above; the sentence names what and where, for the report
        place = traceback.extract_tb(fault.__traceback__)[-1]
        run.draft, run.outcome = None, None
        run.plan = HostPlan(
            host=run.host.name,
            problem=f"a fault of reconciler itself: {type(fault).__name__}: {fault}",
            problem_kind="fault",
            hint=f"please report it; it happened in {Path(place.filename).name}:{place.lineno} ({place.name})",
        )


def problem_of(host: Host, error: HostError) -> HostPlan:
    kinds = ((HostKeyError, "key"), (LoginError, "login"), (BecomeError, "become"))
    kind = next((word for sort, word in kinds if isinstance(error, sort)), "unreachable")
    return HostPlan.model_validate(
        {
            "host": host.name,
            "problem": str(error),
            "problem_kind": kind,
            "hint": error.hint,
            "to_copy": error.line if isinstance(error, HostKeyError) else "",
            "intermittent": host.availability == "intermittent",
        }
    )


def exit_code(runs: Iterable[HostRun]) -> Exit:
    """The worst that a person must act on. An intermittent host that is away is nothing to act on."""
    codes = {_code(run) for run in runs}
    worst = (Exit.INVALID, Exit.ROLLED_BACK, Exit.FAILED, Exit.STALE, Exit.UNREACHABLE)
    return next((code for code in worst if code in codes), Exit.OK)


def _code(run: HostRun) -> Exit:
    if run.plan is not None and run.plan.problem_kind == "fault":
        return Exit.INVALID
    if run.outcome is None:
        away = run.plan is not None and run.plan.problem_kind == "unreachable" and run.plan.intermittent
        return Exit.OK if away else Exit.UNREACHABLE
    if run.outcome.rolled_back:
        return Exit.ROLLED_BACK
    by_status = {"converged": Exit.OK, "failed": Exit.FAILED, "busy": Exit.FAILED, "stale": Exit.STALE}
    return by_status.get(run.outcome.status, Exit.UNREACHABLE)
