"""How one host stands: what the loop's view shows of it, carried from report to report.

Kept by `reconciler/loop/engine.py`. The newest report decides; what failed stays failed until it was done or is asked for no
more.
"""

from __future__ import annotations

from datetime import UTC, datetime

from desired.model import Fleet, Host
from reconciler.loop.following import Followed
from reconciler.loop.host import Visit
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostStatus, HostView, ProjectView, SourceView
from reconciler.order import REFRESH
from reconciler.plan import HostPlan
from reconciler.policy import suspended


class Standing:
    """One host. `now` is seconds since 1970."""

    def __init__(self, now: float, before: HostView | None = None) -> None:
        """`before`: how it stood when the loop last ran, which holds until it is asked."""
        self._status: HostStatus = before.status if before is not None else "unknown"
        self._since = before.since if before is not None else now
        self._seen = before.seen if before is not None else None
        self._tried = before.tried if before is not None else None
        self._plan: HostPlan | None = None
        """The last one that was made of an answer."""
        self._problem: HostPlan | None = None
        self.commit = before.commit if before is not None else None
        """The fleet's commit that it was brought to last."""
        self._failed: frozenset[str] = frozenset()
        self._projects: tuple[ProjectView, ...] = before.projects if before is not None else ()
        self.tries = 0
        """How often it was asked in vain since it answered last."""

    @property
    def away(self) -> bool:
        return self._problem is not None and self._problem.problem_kind == "unreachable"

    def heard(self, report: CycleReport, visit: Visit, now: float) -> None:
        self._tried = report.began
        lost = report.outcome is not None and report.outcome.status == "unreachable"
        if report.reached:
            self._plan, self._problem, self._seen = report.after or report.plan, None, report.began
            self.commit = visit.commit
            self._failed = self._still_failed(report)
        else:
            self._problem = report.plan
        self.tries = self.tries + 1 if lost or not report.reached else 0
        if visit.projects is not None:
            self._projects = visit.projects
        self._judge(visit.fleet, visit.host, now)

    def _still_failed(self, report: CycleReport) -> frozenset[str]:
        plan, outcome = report.after or report.plan, report.outcome
        open_ = {action.ref for action in plan.actions} | {item.ref for item in plan.unknown}
        failed = set(self._failed)
        if outcome is not None and outcome.status == "failed":
            failed |= {name.removeprefix(REFRESH) for name, fate in outcome.fates.items() if fate in ("failed", "late")}
            failed |= {*outcome.unconverged, *outcome.rolled_back}
            if not outcome.fates:
                failed |= {action.ref for action in plan.actions if action.held is None}
        elif outcome is not None and outcome.status == "converged":
            failed -= outcome.fates.keys()
        return frozenset(failed & open_)

    def _judge(self, fleet: Fleet, host: Host, now: float) -> None:
        status = self._word(fleet, host, now)
        if status != self._status:
            self._status, self._since = status, now

    def _word(self, fleet: Fleet, host: Host, now: float) -> HostStatus:
        if self._problem is not None:
            if self._problem.problem_kind == "fault":
                return "failed"
            return "away" if self._problem.away else "unreachable"
        plan = self._plan
        if plan is None:
            return "unknown"
        words: tuple[tuple[HostStatus, bool], ...] = (
            ("failed", bool(self._failed) or any(item.refused for item in plan.unknown)),
            ("suspended", suspended(fleet, host, datetime.fromtimestamp(now, UTC)) is not None),
            ("unknown", bool(plan.unknown)),
            ("drifted", any(action.cause.why == "drift" for action in plan.actions)),
            ("pending", any(action.held is None for action in plan.actions)),
            ("held", bool(plan.actions)),
        )
        return next((word for word, holds in words if holds), "converged")

    def view(self, fleet: Fleet, host: Host, *, behind: int | None, due: float | None, now: float) -> HostView:
        plan, problem = self._plan or HostPlan(host=host.name), self._problem
        drifted = sum(action.cause.why == "drift" for action in plan.actions)
        return HostView(
            host=host.name,
            tags=host.tags,
            status=self._status,
            since=self._since,
            seen=self._seen,
            tried=self._tried,
            due=due,
            problem=(problem.problem or "") if problem is not None else "",
            problem_kind=(problem.problem_kind or "") if problem is not None else "",
            hint=problem.hint if problem is not None else "",
            commit=self.commit,
            behind=behind,
            resources=len(host.resources),
            pending=len(plan.actions) - drifted,
            drifted=drifted,
            held=sum(action.held is not None for action in plan.actions),
            unknown=len(plan.unknown),
            reasons=tuple(dict.fromkeys(action.held for action in plan.actions if action.held is not None)),
            suspended=suspended(fleet, host, datetime.fromtimestamp(now, UTC)) or "",
            sync=host.sync,
            intermittent=host.availability == "intermittent",
            projects=self._projects,
        )


def source_view(followed: Followed | None) -> SourceView:
    if followed is None:
        return SourceView()
    problem = next((problem for problem in followed.problems if not problem.subject), None)
    return SourceView(
        url=followed.url,
        branch=followed.branch,
        commit=followed.commit,
        subject=followed.subject,
        newest=followed.newest,
        read=followed.read,
        problem=problem.message if problem is not None else "",
        problem_kind=problem.kind if problem is not None else "",
    )
