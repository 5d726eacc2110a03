"""One pass over all hosts, for those who have a cron: the loop's own parts, without its clock. Called by `service.py`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.errors import Exit
from reconciler.fleet_run import REPLANS
from reconciler.loop.engine import Loop
from reconciler.loop.following import Followed, FollowProblemKind
from reconciler.loop.host import Visit
from reconciler.loop.report import CycleReport

WORST = (Exit.INVALID, Exit.ROLLED_BACK, Exit.FAILED, Exit.UNREACHABLE, Exit.REFUSED)
_GUARDS = frozenset({"rewritten", "unsigned", "secrets"})


@dataclass(slots=True)
class _Pass:
    """What became of each host: its last cycle counts."""

    loop: Loop
    codes: dict[str, set[Exit]] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    applied: bool = False
    closed: bool = False
    """Windows or suspensions hold something back."""

    def heard(self, report: CycleReport, visit: Visit) -> None:
        name = report.host
        self.codes[name] = set(codes_of(report, guarded=visit.guarded))
        self.applied = self.applied or report.outcome is not None
        self.closed = self.closed or visit.closed
        if visit.upset:
            self.codes[name].add(Exit.FAILED)
        if visit.upset or (report.outcome is not None and report.outcome.status in ("busy", "stale")):
            self.tries[name] = self.tries.get(name, 0) + 1
            if self.tries[name] <= REPLANS:
                self.loop.visit(name, again=True)


async def once(loop: Loop) -> Exit:
    """Looks at git once, visits every host, and those again that had to wait for others; the exit code."""
    passed = _Pass(loop)
    loop.heard = passed.heard
    followed = await loop.look()
    for name in loop.fleet.hosts:
        loop.visit(name)
    await loop.idle()
    loop.tick()
    codes = {code for host in passed.codes.values() for code in host} | set(source_codes(followed))
    if passed.closed and not passed.applied:  # as `apply` does: all that would change waits
        codes.add(Exit.REFUSED)
    return next((code for code in WORST if code in codes), Exit.OK)


def source_codes(followed: Followed) -> Iterable[Exit]:
    """What is wrong with the fleet's own repository. A project that cannot be had shows on its hosts. Where there is no fleet
    yet, the problem says why, and so does the code."""
    codes = [_code(problem.kind) for problem in followed.problems if not problem.subject and problem.kind != "memory"]
    return codes if codes or followed.fleet is not None else [Exit.INVALID]


def _code(kind: FollowProblemKind) -> Exit:
    if kind == "invalid":
        return Exit.INVALID
    return Exit.REFUSED if kind in _GUARDS else Exit.UNREACHABLE


def codes_of(report: CycleReport, *, guarded: bool) -> Iterable[Exit]:
    """As `apply` judges a host. An intermittent one that is away is nothing to act on."""
    plan, outcome = report.plan, report.outcome
    if plan.problem_kind == "fault":
        yield Exit.INVALID
    elif plan.problem is not None and not plan.away:
        yield Exit.UNREACHABLE
    if guarded:
        yield Exit.REFUSED
    if outcome is None:
        if plan.unknown:
            yield Exit.FAILED
    elif outcome.rolled_back:
        yield Exit.ROLLED_BACK
    elif outcome.status == "unreachable":
        yield Exit.UNREACHABLE
    elif outcome.status != "converged":
        yield Exit.FAILED
