"""What `reconcile adopt` does: look, compare, tell, ask, act, and show what is left to do. Called by `adopt.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from desired.deploy.expand import Deployed
from desired.model import Host, Resource
from desired.sources.model import SourceProblem
from providers.base import State, Step, Unknown
from providers.releases.kind import ReleaseSpec
from reconciler.adopt.adopting import (
    Compared,
    aside_name,
    beside,
    carry_out,
    compare,
    complaint,
    set_aside,
    shared_found,
    stamp,
    take_over,
)
from reconciler.adopt.look import Folder, look
from reconciler.adopt.report import Report, with_comparison, with_folder
from reconciler.adopt.report import State as ReportState
from reconciler.cli.asking import agreed, answer
from reconciler.cli.screen import Screen
from reconciler.cli.visiting import Visit, fetch_history, visited
from reconciler.errors import Exit, Refused
from reconciler.fleet_run import HostRun
from reconciler.plan import Plan, describe
from reconciler.render.adopting import adopt_document, done_lines, found_lines
from reconciler.render.lines import BLANK, Line, line
from reconciler.render.terminal import plan_lines
from reconciler.text import plural
from state.channel import HostError

Choice = Literal["", "take over", "set aside"]
_CODES = {"unreachable": Exit.UNREACHABLE, "stale": Exit.STALE}


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said on the command line."""

    project: str
    hosts: tuple[str, ...]
    choice: Choice
    bring_shared: bool
    yes: bool
    signers: Path | None
    as_json: bool


@dataclass(slots=True, kw_only=True)
class _Task(Visit[Report]):
    """One call of the command."""

    terms: Terms
    when: str = field(default_factory=stamp)


def adopt_project(folder: Path, terms: Terms, screen: Screen) -> Exit:
    fleet, project, hosts = visited(folder, terms.project, terms.hosts, screen, terms.signers)
    task = _Task(fleet=fleet, project=project, hosts=hosts, screen=screen, quiet=terms.as_json, terms=terms)
    if task.deployed is not None:
        fetch_history(fleet, project)
    asyncio.run(task.each(lambda run: _one(task, run), lambda report: _code(report, task)))
    if terms.as_json:
        screen.document(adopt_document(fleet.commit, task.reports, task.code))
    return task.code


async def _one(task: _Task, run: HostRun) -> Report:
    """One host, from what is there to what became of it."""
    found = await _looked(task, run)
    report = found.report
    task.tell(*found_lines(report))
    if report.state == "foreign":
        report = await _acted(task, run, found)
    return report


def _code(report: Report, task: _Task) -> Exit:
    match report.state:
        case "blocked":
            return Exit.INVALID
        case "unreachable":
            return Exit.UNREACHABLE
        case "unknown":
            return Exit.FAILED
        case "foreign" if task.terms.choice and not report.done:
            return Exit.REFUSED
    return Exit.OK


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found on one host, as far as it was looked."""

    report: Report
    folder: Folder | None = None
    compared: Compared | None = None


async def _looked(task: _Task, run: HostRun) -> _Found:
    """What is at the project's path there, and, where it is not ours, the commit that it is nearest to."""
    resource = task.resource(run.host)
    spec = resource.spec
    assert isinstance(spec, ReleaseSpec)
    deployed = task.deployed
    report = Report(
        project=task.project.name,
        host=run.host.name,
        path=spec.path,
        strategy=spec.strategy,
        state="unknown",
        wanted=deployed.commit if deployed is not None else None,
    )
    if run.session is None or run.draft is None or run.plan is None or run.plan.problem is not None:
        return _Found(_absent(report, run))
    if deployed is None or resource.blocked is not None:
        return _Found(_is(report, "blocked", resource.blocked or "see above"))
    there = run.draft.snapshot.answers.get(spec.ref, Unknown("the host was not asked"))
    if not isinstance(there, Unknown):
        return _Found(_is(report, "ours" if isinstance(there, State) else "absent"))
    try:
        folder = await look(run.session.channel, spec, run.host.inventory)
    except HostError as error:
        return _Found(_is(report, "unreachable", str(error), error.hint))
    if isinstance(folder, Unknown):
        return _Found(_is(report, "unknown", folder.reason))
    if folder.standing.ours or folder.standing.kind != "folder":
        return _Found(_is(report, "unknown", there.reason))
    return await asyncio.to_thread(_compared, report, spec, folder, deployed)


def _compared(report: Report, spec: ReleaseSpec, folder: Folder, deployed: Deployed) -> _Found:
    if spec.versioned and not folder.release:
        return _Found(_is(with_folder(report, folder, spec), "foreign", _no_release(spec)), folder)
    try:
        compared = compare(spec, folder, deployed)
    except SourceProblem as problem:
        return _Found(_is(report, "unknown", str(problem), problem.hint))
    head = folder.standing.head
    known = deployed.resolved.repository.has(head) if head is not None else None
    return _Found(_is(with_comparison(report, compared, head_known=known), "foreign"), folder, compared)


def _is(report: Report, state: ReportState, reason: str = "", hint: str = "") -> Report:
    return report.model_copy(update={"state": state, "reason": reason, "hint": hint})


def _no_release(spec: ReleaseSpec) -> str:
    folder = f"/{spec.sub}" if spec.sub else ""
    return (
        f"is not laid out as the strategy {spec.strategy} would: there is no link current to releases/NAME{folder}; "
        "so it can be set aside, and not be taken over"
    )


def _absent(report: Report, run: HostRun) -> Report:
    plan = run.plan
    if plan is None:
        return _is(report, "unreachable", "it was not asked")
    return _is(report, "away" if plan.away else "unreachable", plan.problem or "", plan.hint)


async def _acted(task: _Task, run: HostRun, found: _Found) -> Report:
    """What is asked for, once somebody said yes."""
    report, resource = found.report, task.resource(run.host)
    spec = resource.spec
    assert isinstance(spec, ReleaseSpec)
    choice = await _chosen(task, report, spec)
    if not choice:
        return report
    if problem := _refusal(report, choice, resource, run.host):
        task.codes.add(Exit.REFUSED)
        report = report.model_copy(update={"done": "refused", "reason": f"{problem}; nothing was changed there"})
        task.tell(*done_lines(report))
        return report
    name = beside(spec, aside_name(spec, task.when))
    if choice == "set aside":
        assert found.folder is not None
        bring = await _to_bring(task, spec, found.folder)
        report = report.model_copy(update={"kept": name, "brought": tuple(source for source, _ in bring)})
        return await _done(task, run, set_aside(spec, task.when, bring), report, choice)
    assert found.compared is not None
    report = report.model_copy(update={"kept": name if report.copied else ""})
    return await _done(task, run, take_over(found.compared, task.when), report, choice)


async def _chosen(task: _Task, report: Report, spec: ReleaseSpec) -> Choice:
    """What was asked for on the command line and agreed to, or what is chosen on the terminal."""
    terms, screen = task.terms, task.screen
    if terms.yes:
        return terms.choice
    if not screen.can_ask:
        if terms.choice:
            raise Refused("there is no terminal to ask on; nothing was changed", "look at what is there, then add --yes")
        task.tell(line(("nothing was changed: say --take-over or --set-aside, with --yes", "dim"), indent=2))
        return ""
    if terms.choice:
        words = {"take over": "Take it over", "set aside": "Set it aside"}[terms.choice]
        return terms.choice if await agreed(f"{words} on {report.host}?", screen) else ""
    task.tell(BLANK, *_choices(report, beside(spec, aside_name(spec, task.when))))
    typed = await answer(f"What shall be done on {report.host}? [1/2/N] ", screen)
    if typed == "1" and report.can_take_over:
        return "take over"
    if typed == "2":
        return "set aside"
    task.tell(line("nothing was changed"))
    return ""


def _choices(report: Report, name: str) -> Iterator[Line]:
    if report.can_take_over:
        copied = (
            f"; {plural(len(report.copied), 'file')} that the wanted commit overwrites copied to {name}"
            if report.copied
            else ""
        )
        yield line(
            ("1", "bold"), f"  take over: no file is touched, and what equals the commit becomes ours{copied}", indent=2, hang=3
        )
    yield line(("2", "bold"), f"  set aside: the folder becomes {name}, and the next apply deploys afresh", indent=2, hang=3)


def _refusal(report: Report, choice: Choice, resource: Resource, host: Host) -> str:
    """Why it must not be done."""
    if (resource.spec.sync or host.sync) == "observe":
        return "sync: observe says that nothing is changed"
    if choice == "take over" and not report.can_take_over:
        return f"{report.path} cannot be taken over: it {report.reason}"
    if choice == "set aside" and report.mounts:
        return f"{report.path} cannot be set aside while something is mounted in it: {', '.join(report.mounts)}"
    if choice == "set aside" and report.containers:
        return f"{report.path} cannot be set aside while containers use it: {', '.join(report.containers)}. Stop them first"
    return ""


async def _to_bring(task: _Task, spec: ReleaseSpec, folder: Folder) -> list[tuple[str, str]]:
    """Shared data that goes into the new folder: all of it by --bring-shared, or what is agreed to, each on its own."""
    found = shared_found(spec, folder)
    if task.terms.bring_shared or task.terms.yes or not task.screen.can_ask:
        return found if task.terms.bring_shared else []
    return [pair for pair in found if await agreed(f"Move {pair[0]}, which is shared, into the new {spec.path}?", task.screen)]


async def _done(task: _Task, run: HostRun, steps: Sequence[Step], report: Report, choice: Choice) -> Report:
    assert run.session is not None
    assert run.draft is not None
    resource = task.resource(run.host)
    outcome = await carry_out(run.session, run.draft, resource, steps)
    problem = complaint(outcome, resource.ref)
    if problem is not None:
        task.codes.add(_CODES.get(outcome.status, Exit.FAILED))
        hint = outcome.hint or (f"what was copied or renamed before that lies in {report.kept}" if report.kept else "")
        report = report.model_copy(update={"done": "failed", "reason": problem, "hint": hint, "kept": "", "brought": ()})
        task.tell(*done_lines(report))
        return report
    report = report.model_copy(update={"done": "taken over" if choice == "take over" else "set aside"})
    task.tell(*done_lines(report))
    if not task.terms.as_json:
        await _show_rest(task, run)
    return report


async def _show_rest(task: _Task, run: HostRun) -> None:
    """The ordinary plan of the host, as an apply would show it."""
    assert run.session is not None
    try:
        plan = Plan(commit=task.fleet.commit, hosts=(describe(await run.session.survey()),))
    except HostError as error:
        task.tell(line(f"what is left to do cannot be told: {error}", indent=2))
        return
    task.tell(BLANK, line("What reconcile apply ", (run.host.name, "bold"), " has to do now:"), BLANK)
    task.screen.show_all(plan_lines(plan, diff=False, allowed=task.fleet.max_deletions))
