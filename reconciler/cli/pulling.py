"""What `reconcile pull` does: look, read, scan, show, ask, commit, push. Called by `pull.py`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from desired.git import open_repository
from desired.git_identity import identity_of
from desired.model import Host
from desired.scan.gitleaks import Gitleaks
from desired.scan.scanner import Finding, Scanner, read_allow
from desired.sources.model import SourceProblem, SourceTree
from desired.sources.repository import Author
from providers.base import Unknown
from providers.releases.kind import ReleaseSpec
from reconciler.adopt import adopting
from reconciler.adopt import look as adopting_look
from reconciler.cli.asking import agreed
from reconciler.cli.origin import Origin
from reconciler.cli.screen import Screen
from reconciler.cli.visiting import Visit, fetch_history, origin_of, visited
from reconciler.errors import Exit, Refused
from reconciler.fleet_run import HostRun
from reconciler.pull import pulling
from reconciler.pull.pulling import Changes, Edits
from reconciler.pull.report import FindingReport, Report
from reconciler.pull.report import State as ReportState
from reconciler.remembered import Remembered
from reconciler.remembered import ask as remembered
from reconciler.render.lines import line
from reconciler.render.pulling import changes_lines, done_lines, edits_lines, pull_document
from reconciler.text import plural
from state.channel import Channel, HostError

_ASKED = 20
"""Added files that are asked for one by one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said on the command line."""

    project: str
    hosts: tuple[str, ...]
    added: bool
    push: bool
    into: str | None
    yes: bool
    signers: Path | None
    as_json: bool


@dataclass(slots=True, kw_only=True)
class _Task(Visit[Report]):
    """One call of the command."""

    folder: Path
    terms: Terms
    origin: Origin


def pull_project(folder: Path, terms: Terms, screen: Screen) -> Exit:
    identity_of(open_repository(folder), "author", os.environ)  # before any host is asked
    fleet, project, hosts = visited(folder, terms.project, terms.hosts, screen, terms.signers)
    task = _Task(
        fleet=fleet,
        project=project,
        hosts=hosts,
        screen=screen,
        quiet=terms.as_json,
        folder=folder,
        terms=terms,
        origin=origin_of(fleet, project),
    )
    asyncio.run(task.each(lambda run: _one(task, run), _code))
    if terms.as_json:
        screen.document(pull_document(fleet.commit, task.reports, task.code))
    return task.code


def _code(report: Report) -> Exit:
    states = {"blocked": Exit.INVALID, "unreachable": Exit.UNREACHABLE, "unknown": Exit.FAILED}
    done = {"refused": Exit.REFUSED, "failed": Exit.INVALID}
    return done.get(report.done) or states.get(report.state, Exit.OK)


async def _one(task: _Task, run: HostRun) -> Report:
    """One host, from its drift to a branch."""
    spec = task.resource(run.host).spec
    assert isinstance(spec, ReleaseSpec)
    report = Report(project=task.project.name, host=run.host.name, path=spec.path, state="unknown")
    try:
        report, edits = await _looked(task, run, spec, report)
        task.tell(*edits_lines(report))
        if edits is None or run.session is None or task.deployed is None:
            return report
        added = await _wanted(task, edits)
        if not (edits.some or added):
            task.tell(line(("nothing else differs: name them with --added to bring them along", "dim"), indent=2))
            return report
        return await _brought(task, run.session.channel, run.host, report, edits, added)
    except HostError as error:
        report = _is(report, "unreachable", str(error), error.hint)
    except SourceProblem as problem:
        report = _is(report, "unknown", str(problem), problem.hint)
    task.tell(*edits_lines(report))
    return report


def _is(report: Report, state: ReportState, reason: str = "", hint: str = "") -> Report:
    return report.model_copy(update={"state": state, "reason": reason, "hint": hint})


async def _looked(task: _Task, run: HostRun, spec: ReleaseSpec, report: Report) -> tuple[Report, Edits | None]:
    """What was edited there; None where nothing was, or it cannot be told."""
    plan = run.plan
    if run.session is None or run.draft is None or plan is None or plan.problem is not None:
        reason, hint = (plan.problem or "", plan.hint) if plan is not None else ("it was not asked", "")
        return _is(report, "away" if plan is not None and plan.away else "unreachable", reason, hint), None
    if task.deployed is None:
        reason = task.resource(run.host).blocked or "see above"
        return _is(report, "blocked", reason), None
    there = run.draft.snapshot.answers.get(spec.ref, Unknown("the host was not asked"))
    channel, inventory = run.session.channel, run.host.inventory
    noted = (await remembered(channel, [spec.name], inventory)).get(spec.name)
    if there is None:
        return _is(report, "absent"), None
    if isinstance(there, Unknown) and not (noted and noted.releases):
        return await _foreign(task, channel, spec, report, run.host, there.reason)
    edits = await _ours(task, channel, spec, noted or Remembered(), inventory)
    return _edited(report, edits) if isinstance(edits, Edits) else (_is(report, "unknown", edits.reason), None)


def _edited(report: Report, edits: Edits) -> tuple[Report, Edits | None]:
    some = edits.some or bool(edits.added)
    update = {
        "base": edits.commit,
        "edited": edits.edited,
        "missing": edits.missing,
        "modes": edits.modes,
        "added": edits.added,
        "state": "edited" if some else "clean",
    }
    return report.model_copy(update=update), edits if some else None


async def _ours(task: _Task, channel: Channel, spec: ReleaseSpec, noted: Remembered, inventory: str | None) -> Edits | Unknown:
    """Of a tree that we installed: what differs from the list of what was installed."""
    tree = await pulling.live_tree(channel, spec, noted, inventory)
    commit = noted.commit_of(tree)
    if tree is None or commit is None:
        return Unknown("it cannot be told which release is the one that people see")
    state = await pulling.look(channel, spec, tree, inventory)
    if isinstance(state, Unknown):
        return state
    base = await asyncio.to_thread(_base, task, commit)
    ignore = base.files.get(".gitignore")
    text = task.origin.sources.repository(task.origin.wanted.url).read(ignore.blob) if ignore is not None else b""
    edits = pulling.edits_of(spec, state, commit, task.project.settings, text.decode("utf-8", "replace"))
    return await pulling.without_data(channel, edits, base, inventory)


def _base(task: _Task, commit: str) -> SourceTree:
    """The files of the commit that is deployed; raises `SourceProblem` where the source has not got it."""
    repository = task.origin.sources.repository(task.origin.wanted.url)
    if not repository.has(commit):
        task.origin.sources.resolve(replace(task.origin.wanted, revision=commit))
    return repository.tree_files(commit)


async def _foreign(
    task: _Task, channel: Channel, spec: ReleaseSpec, report: Report, host: Host, reason: str
) -> tuple[Report, Edits | None]:
    """Of a folder that is not ours yet: what differs from the commit that it is nearest to. What is missing there was perhaps
    never there, and is not taken for removed."""
    deployed = task.deployed
    assert deployed is not None
    folder = await adopting_look.look(channel, spec, host.inventory)
    if isinstance(folder, Unknown) or folder.standing.ours or folder.standing.kind != "folder":
        return _is(report, "unknown", folder.reason if isinstance(folder, Unknown) else reason), None
    if spec.versioned and not folder.release:
        return _is(report, "unknown", f"{spec.path} has no release that is current", "see reconcile adopt"), None
    await asyncio.to_thread(fetch_history, task.fleet, task.project)
    compared = await asyncio.to_thread(adopting.compare, spec, folder, deployed)
    if not compared.equal:
        return _is(report, "unknown", "no file there is as in any commit of the project", "see reconcile adopt"), None
    nearest = compared.nearest
    edits = pulling.foreign_edits(spec, folder.root, nearest, task.project.settings)
    base = await asyncio.to_thread(_base, task, nearest.commit.id)
    edits = await pulling.without_data(channel, edits, base, host.inventory)
    return _edited(report.model_copy(update={"ours": False}), edits)


async def _wanted(task: _Task, edits: Edits) -> tuple[str, ...]:
    """The added files that come along."""
    if task.terms.added or not edits.added:
        return edits.added if task.terms.added else ()
    if task.terms.yes or task.terms.as_json or not task.screen.can_ask:
        return ()
    if len(edits.added) > _ASKED:
        task.tell(line((f"{plural(len(edits.added), 'file')} were added: --added brings them along", "dim"), indent=2))
        return ()
    return tuple([path for path in edits.added if await agreed(f"Bring {path!a} along, which nobody installed?", task.screen)])


async def _brought(task: _Task, channel: Channel, host: Host, report: Report, edits: Edits, added: Sequence[str]) -> Report:
    """Reads, scans, shows, asks and commits."""
    if (reason := pulling.too_many(edits, added)) is not None:
        return _ended(task, report, "refused", reason, "bring them back by hand, or deploy over them")
    base = await asyncio.to_thread(_base, task, edits.commit)
    changes = await pulling.fetch(channel, edits, added, base, host.inventory)
    if isinstance(changes, Unknown):
        return _ended(task, report, "refused", changes.reason)
    repository = task.origin.sources.repository(task.origin.wanted.url)
    diff = tuple(pulling.diff_of(changes, base, repository))
    findings = _scanned(task, changes)
    report = report.model_copy(
        update={"taken": tuple(sorted(changes.written)), "left": dict(changes.left), "diff": diff, "findings": findings}
    )
    task.tell(*changes_lines(report))
    if findings and task.fleet.settings.get("secret_scan") == "block":
        hint = "take them out there, or allow what is none with a line in secrets/allow: " + ", ".join(
            f"{finding.fingerprint}  # why" for finding in findings
        )
        return _ended(task, report, "refused", "what was edited looks like it holds secrets: nothing was committed", hint)
    if not changes.written:
        task.tell(line("nothing of it can be committed", indent=2))
        return report
    if not await _agreed(task, report):
        return report if task.terms.as_json else _ended(task, report, "refused", "not committed: nobody said yes")
    return await asyncio.to_thread(_committed, task, report, edits, changes)


def _ended(task: _Task, report: Report, done: str, reason: str, hint: str = "") -> Report:
    report = report.model_copy(update={"done": done, "reason": reason, "hint": hint})
    task.tell(*done_lines(report))
    return report


def _scanned(task: _Task, changes: Changes) -> tuple[FindingReport, ...]:
    """What looks like a secret in what would be committed, unless the fleet allows it or does not scan."""
    if task.fleet.settings.get("secret_scan") == "off":
        return ()
    contents = {path: mine.content for path, mine in changes.written.items() if mine is not None}
    blobs = {path: pulling.blob_id(content) for path, content in contents.items()}
    by_blob = {blobs[path]: content for path, content in contents.items()}
    allowed, _ = read_allow(task.fleet.allowed)
    scanner = Scanner(task.origin.sources.cache / "scan", gitleaks=Gitleaks.installed())
    return tuple(_told(finding) for finding in scanner.scan(blobs, by_blob.__getitem__, allowed))


def _told(finding: Finding) -> FindingReport:
    return FindingReport(
        path=finding.path, line=finding.line, rule=finding.rule, title=finding.title, fingerprint=finding.fingerprint
    )


async def _agreed(task: _Task, report: Report) -> bool:
    if task.terms.yes:
        return True
    if task.terms.as_json:
        return False
    if not task.screen.can_ask:
        raise Refused("there is no terminal to ask on; nothing was committed", "look at the diff, then add --yes")
    return await agreed(f"Commit {plural(len(report.taken), 'file')} from {report.host}?", task.screen)


def _committed(task: _Task, report: Report, edits: Edits, changes: Changes) -> Report:
    """The commit, and where else it is to be. What was made stays, whatever becomes of the rest."""
    wanted = task.origin.wanted
    repository = task.origin.sources.repository(wanted.url)
    who = identity_of(open_repository(task.folder), "author", os.environ)
    branch = pulling.branch_of(report.host, datetime.now(UTC))
    message = pulling.message_of(task.project.name, report.host, edits, changes)
    commit = repository.commit_on_top(edits.commit, branch, changes.written, message, Author(who.name, who.email, who.time))
    report = report.model_copy(
        update={"done": "committed", "branch": branch, "commit": commit, "cache": repository.folder.rstrip("/")}
    )
    try:
        if task.terms.push:
            task.origin.sources.push(wanted, branch)
            report = report.model_copy(update={"pushed": True})
        if task.terms.into is not None:
            repository.bring_into(task.terms.into, branch)
            report = report.model_copy(update={"into": task.terms.into})
    except SourceProblem as problem:
        by_hand = f"git fetch {report.cache} {branch}:{branch}"
        reason = f"the commit is made, and went no further: {problem}"
        return _ended(task, report, "failed", reason, f"{problem.hint}; to fetch it into a clone: {by_hand}".removeprefix("; "))
    task.tell(*done_lines(report))
    return report
