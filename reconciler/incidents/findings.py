"""From what a cycle or a look at the repository came to, to what is wrong: one `Finding` per thing and place.

Pure; called by `desk.py`, which gathers findings into incidents. Drift is not found here but in `drifts.py`, which remembers.
What a finding's `group` says decides what counts as one cause, so nothing that differs from host to host or from cycle to cycle
may come into it: `fingerprint` takes numbers, times, process ids and made-up names out of error texts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator

from desired.schema import Event
from reconciler.cycle import Failure
from reconciler.incidents.model import Finding, Severity
from reconciler.loop.budget import OVER
from reconciler.loop.following import Followed, FollowProblem
from reconciler.loop.report import CycleReport
from reconciler.loop.rollout import STOPPED
from reconciler.order import REFRESH
from reconciler.plan import Action, HostPlan, UnknownResource
from reconciler.text import shorten

MOST_LINES = 12
"""Lines of a diff or of a host's last words that a finding carries."""
LONGEST_LINE = 200
LONGEST_TEXT = 2000
"""Characters of an error text that tell it from another."""
OF_PROJECTS = frozenset(("release", "slot", "route", "runtime"))
ASKED_BY_GIT = frozenset(("commit", "unfinished", "pruned", "follows", "pending"))
CANCELLED = "stopped between two steps"
"""How `cycle.converge` words that the loop itself called a run off, for a newer commit or at its end."""

_VOLATILE = (
    (re.compile(r"/(?:tmp|run|proc|var/tmp|dev/shm)/\S*"), "/#"),
    (re.compile(r"\b[0-9a-f]{7,}\b|\b[0-9a-f]+(?:-[0-9a-f]+){2,}\b", re.IGNORECASE), "#"),
    (re.compile(r"[._-](?=\w*[A-Z0-9])\w{6,}\b"), "#"),
    (re.compile(r"\d+(?:[.:,]\d+)*"), "#"),
    (re.compile(r"\s+"), " "),
)


def fingerprint(text: str, *names: str) -> str:
    """The same for texts that differ in numbers, times, ids, random paths, or in `names` alone (a host's, a project's)."""
    text = text[:LONGEST_TEXT]
    for name in names:
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "@", text) if name else text
    for pattern, instead in _VOLATILE:
        text = pattern.sub(instead, text)
    return hashlib.sha256(text.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:10]


def project_of(ref: str) -> str | None:
    """The project to which a resource belongs."""
    kind, _, name = ref.partition(":")
    return name.partition("/")[0] if kind in OF_PROJECTS else None


def remaining(report: CycleReport) -> frozenset[str] | None:
    """References that still differ or are unknown when the cycle has ended, held or not; None where that cannot be told."""
    if not report.reached:
        return None
    last = report.plan if report.outcome is None else report.after
    if last is None and report.outcome is not None and not report.outcome.fates:
        last = report.plan  # nothing was begun
    return None if last is None else refs_of(last)


def right(report: CycleReport, ref: str, left: frozenset[str] | None, group: str) -> bool:
    """Whether what failed is as it should be now. `left`: see `remaining`."""
    if group.startswith("fault:"):
        return report.reached
    if left is None:
        return False
    if ref:
        project = project_of(ref)
        return ref not in left and (project is None or all(project_of(other) != project for other in left))
    if report.outcome is not None:
        return report.outcome.status == "converged"
    return all((action.held or "").startswith("sync:") for action in report.plan.actions)


def refs_of(plan: HostPlan) -> frozenset[str]:
    return frozenset(action.ref for action in plan.actions) | frozenset(item.ref for item in plan.unknown)


def problem(report: CycleReport) -> Finding | None:
    """Why the host could not be asked. Whether an intermittent one was away for long enough is for the desk to say."""
    plan = report.plan
    if plan.problem is None or plan.problem_kind is None:
        return None
    kind, lines = plan.problem_kind, clipped((plan.to_copy,) if plan.to_copy else ())
    event: Event = "unreachable"
    severity: Severity = "error"
    group: str = kind
    if kind == "fault":
        event, group = "failed", f"fault:{fingerprint(plan.problem, report.host)}"
    elif kind == "unreachable":
        severity, group = "warning", "away" if plan.away else ""
    what = f"it has been away for longer than it may be (away_after): {plan.problem}" if plan.away else plan.problem
    return Finding(event, group, report.host, "", severity, what, plan.hint, lines, report.tags)


def tried(report: CycleReport) -> Iterator[Finding]:
    """What an apply did not manage, but for what was done and differs all the same: see `unsettled`. Another run at work, a
    plan overtaken and a run called off are no failures."""
    outcome = report.outcome
    if outcome is None or outcome.status not in ("failed", "converged"):
        return
    for failure in outcome.failures:
        yield _failed(report, failure)
    for ref in outcome.rolled_back:
        if project_of(ref) is None or not any(project_of(failure.name) == project_of(ref) for failure in outcome.failures):
            yield _failure(report, ref, f"{ref} was rolled back: what served before serves again")
    if outcome.message and not outcome.failures and outcome.message != CANCELLED and outcome.status == "failed":
        group = f"error:{fingerprint(outcome.message, report.host)}"
        yield Finding("failed", group, report.host, "", "error", outcome.message, outcome.hint, (), report.tags)


def unsettled(report: CycleReport) -> Iterator[Finding]:
    """What was done without a complaint and was not so when we looked; counted by `unsettled.py`."""
    outcome = report.outcome
    if outcome is None or outcome.status not in ("failed", "converged"):
        return
    named = {failure.name for failure in outcome.failures}
    for ref, fields in outcome.unconverged.items():
        if ref not in named:
            what = f"{ref} is not as it should be after it was applied"
            yield _failure(report, ref, what, "Something on the host changes it, or its kind cannot do what is asked.", fields)


def _failed(report: CycleReport, failure: Failure) -> Finding:
    ref = failure.name.removeprefix(REFRESH)
    fate = "took too long" if failure.fate == "late" else "failed"
    back = report.outcome is not None and any(project_of(other) == project_of(ref) for other in report.outcome.rolled_back)
    undone = "; what served before serves again" if back and project_of(ref) is not None else ""
    hint = "Commit another revision, or a change of the project's settings: this one is not tried again." if undone else ""
    lines = tuple(line for line in failure.output.split("\n") if line.strip())
    return _failure(report, ref, f"{failure.title} {fate}{undone}", hint, lines[-MOST_LINES:])


def _failure(report: CycleReport, ref: str, what: str, hint: str = "", lines: tuple[str, ...] = ()) -> Finding:
    """Grouped by what brought it: a project's commit, the fleet's, or, where a drift could not be put right, the error."""
    project = project_of(ref)
    if project is not None:
        group, ref = f"{project}@{report.projects.get(project, '')[:12]}", f"release:{project}"
    elif any(action.ref == ref and action.cause.why in ASKED_BY_GIT for action in report.plan.actions):
        group = f"commit:{(report.commit or '')[:12]}"
    else:
        last = lines[-1] if lines else ""
        group = f"error:{fingerprint(what, ref, report.host)}{fingerprint(last, ref, report.host)}"
    return Finding("failed", group, report.host, ref, "error", what, hint, clipped(lines), report.tags)


def refused(report: CycleReport, blocked: Collection[str] = ()) -> Iterator[Finding]:
    """What is known and must not be done: a revision in quarantine. `blocked`: projects of which the source is told already."""
    for item in (report.after or report.plan).unknown:
        project = project_of(item.ref)
        if not item.refused or project in blocked:
            continue
        where, group = item.ref, f"refused:{fingerprint(item.reason, report.host)}"
        if project is not None:
            where, group = f"release:{project}", f"{project}@{report.projects.get(project, '')[:12]}"
        yield Finding("failed", group, report.host, where, "error", item.reason, "", (), report.tags, standing=True)


def doubt(report: CycleReport, item: UnknownResource) -> Finding:
    """A resource of which nothing can be told, once that has lasted."""
    group = f"unknown:{fingerprint(item.reason, report.host, item.ref, item.ref.partition(':')[2])}"
    what = f"it cannot be told what {item.ref} is: {item.reason}"
    hint = "Nothing is done about it until the host can tell."
    return Finding("failed", group, report.host, item.ref, "warning", what, hint, (), report.tags, standing=True)


_WAITS = (
    (OVER, "deletions", "deletions wait for a person: there are more of them than max_deletions allows"),
    (STOPPED, "rollout", "the rollout stopped because hosts failed: the rest waits for a person"),
)


def held(report: CycleReport) -> Iterator[Finding]:
    """What waits for a person. What waits for a window, a suspension or its turn does not."""
    actions = (report.after or report.plan).actions
    for begins, group, what in _WAITS:
        waiting = [action for action in actions if action.held is not None and action.held.startswith(begins)]
        if waiting:
            lines = clipped((waiting[0].held or "", *(f"{action.action} {action.ref}" for action in waiting)))
            name = f"{group}:{(report.commit or '')[:12]}"
            yield Finding("held", name, report.host, "", "warning", what, "", lines, report.tags, standing=True)


def deployed(report: CycleReport) -> Iterator[Finding]:
    """Projects that have come to another commit on this host, in this cycle and whole."""
    outcome = report.outcome
    left = remaining(report)
    if outcome is None or left is None or outcome.status not in ("converged", "failed"):
        return
    failed = {failure.name for failure in outcome.failures} | set(outcome.unconverged) | set(outcome.rolled_back) | left
    bad = {project_of(name) for name in failed}
    for project, commit in report.projects.items():
        actions = [action for action in report.plan.actions if project_of(action.ref) == project]
        if project in bad or not any(_brought(action, outcome.fates.get(action.ref)) for action in actions):
            continue
        notes = next((action.notes for action in actions if action.ref == f"release:{project}"), ())
        what = f"{project} is at {commit[:10]}"
        ref = f"release:{project}"
        yield Finding("deployed", f"{project}@{commit[:12]}", report.host, ref, "info", what, "", clipped(notes), report.tags)


def _brought(action: Action, fate: str | None) -> bool:
    kind = action.ref.partition(":")[0]
    new = kind in ("release", "runtime") or (kind == "route" and action.cause.why == "unfinished")
    return new and fate == "done" and action.action in ("create", "change") and action.cause.why in ("commit", "unfinished")


_CALM: frozenset[str] = frozenset(("unreachable", "project"))
"""What may pass by itself, or blocks one project only."""


def of_source(followed: Followed) -> tuple[Finding, ...]:
    """What is wrong with the fleet's repository or with a project's."""
    return tuple(_of_source(problem) for problem in followed.problems)


def _of_source(problem: FollowProblem) -> Finding:
    group: str = problem.kind
    if problem.kind == "project":  # one server that is down blocks many projects, for one reason
        group = f"project:{fingerprint(problem.message, problem.subject)}"
    severity: Severity = "warning" if problem.kind in _CALM else "error"
    ref = f"project:{problem.subject}" if problem.subject else ""
    commit = None if problem.subject else problem.commit  # of a project's, it would be the one that is still used
    return Finding("source", group, "", ref, severity, problem.message, problem.hint, commit=commit)


def clipped(lines: tuple[str, ...]) -> tuple[str, ...]:
    short = tuple(shorten(line, LONGEST_LINE) for line in lines[:MOST_LINES])
    return (*short, f"… and {len(lines) - MOST_LINES} more lines") if len(lines) > MOST_LINES else short
