"""What `reconcile rollback` does. Called by `rollback.py`, which holds the options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from desired.git_write import versions
from desired.secrets.vault import Vault
from desired.sources.model import Commits
from reconciler.cli.deploying import active_slot, between, body, hosts_words, is_commit_id, shown
from reconciler.cli.editing import ProjectFile, Terms, carry_out, edited, open_project, refuse_terms
from reconciler.cli.origin import Origin, sources_of
from reconciler.cli.screen import Screen
from reconciler.cli.standing import Standing, look
from reconciler.errors import CommandError, Exit, Refused
from reconciler.going_back import Past, earlier_revisions, last_change, pasts
from reconciler.render.commits import commits_lines
from reconciler.render.lines import BLANK, Line, line
from reconciler.render.words import short

VERSIONS = 500
"""How many versions of the project's file are looked at."""


@dataclass(frozen=True, slots=True)
class _Aim:
    """Where to go back to."""

    values: Mapping[tuple[str, ...], str]
    title: str
    since: Past | None = None
    commits: Commits | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def roll_back(folder: Path, name: str, revision: str | None, terms: Terms, screen: Screen, *, offline: bool) -> Exit:
    file = open_project(folder, name)
    refuse_terms(file, terms, screen)
    history = pasts(islice(versions(file.repository, file.path), VERSIONS), file.place)
    before = last_change(history)
    origin = Origin(file.fleet, file.project, sources_of(file.fleet), Vault())
    standing = look(file, origin, offline=offline)
    if revision is not None:
        aim = _named(file, origin, standing, revision)
    elif before is None:
        raise CommandError(
            f"{name} has never been anything else than {shown(file.project.settings.revision)}",
            f"name where to go back to: reconcile rollback {name} --to REV",
        )
    elif before.revision == file.project.settings.revision:
        aim = _slot(file, before, standing)
    else:
        aim = _before(file, origin, standing, earlier_revisions(history))
    edit = edited(file, aim.values)
    message = f"{aim.title}\n{body(aim.commits)}"
    return carry_out(file, edit, message, terms, screen, _told(file, aim))


def _named(file: ProjectFile, origin: Origin, standing: Standing, revision: str) -> _Aim:
    new = origin.resolve(revision)
    if failed := standing.failed(revision):
        raise Refused(
            f"{shown(revision)} failed a smoke test on {', '.join(failed)}; nothing was changed",
            f"to try it all the same, say so: reconcile deploy {file.name} {revision}",
        )
    value = new.commit if is_commit_id(revision, new.commit) else revision
    return _to(file, origin, standing, Past("", "", value, None), ())


def _before(file: ProjectFile, origin: Origin, standing: Standing, candidates: Sequence[Past]) -> _Aim:
    """The nearest earlier revision that failed nowhere."""
    notes: list[str] = []
    for past in candidates:
        failed = standing.failed(past.revision)
        if not failed:
            return _to(file, origin, standing, past, notes)
        notes.append(f"{shown(past.revision)} is passed over: it failed a smoke test on {', '.join(failed)}")
    if notes:
        raise Refused(
            f"every earlier revision of {file.name} failed a smoke test on a host; nothing was changed",
            f"name one that did not: reconcile rollback {file.name} --to REV",
        )
    raise CommandError(
        f"there is nothing before {shown(file.project.settings.revision)} in the history of {file.place}",
        f"name where to go back to: reconcile rollback {file.name} --to REV",
    )


def _to(file: ProjectFile, origin: Origin, standing: Standing, past: Past, notes: Sequence[str]) -> _Aim:
    now = file.project.settings.revision
    said = [*notes, *standing.notes, *standing.ready(past.revision)]
    commits = None
    try:
        commits, doubt = between(origin, now, origin.resolve(past.revision))
    except CommandError as error:  # a rollback must not depend on a source that is away
        doubt = str(error)
    if doubt:
        said.append(f"which commits this takes back cannot be told: {doubt}")
    title = f"Roll back {file.name} to {shown(past.revision)} (was {shown(now)})"
    return _Aim({("revision",): past.revision}, title, past if past.commit else None, commits, said)


def _slot(file: ProjectFile, before: Past, standing: Standing) -> _Aim:
    now, slot = active_slot(file), before.active or "auto"
    if failed := standing.failed_slot(slot):
        raise Refused(
            f"what {slot} holds failed a smoke test on {', '.join(failed)}; nothing was changed",
            f"to deploy another revision there: reconcile deploy {file.name} REV",
        )
    title = f"Switch {file.name} back to {slot} (was {now})"
    notes = [*standing.notes, *standing.ready_slot(slot)]
    if slot == "auto":
        elsewhere = "blue" if now == "green" else "green"
        notes.append(f"auto leaves the traffic where it is; to move it: reconcile switch {file.name} {elsewhere}")
    return _Aim({("slots", "active"): slot}, title, before, notes=notes)


def _told(file: ProjectFile, aim: _Aim) -> Iterator[Line]:
    yield line((aim.title, "bold"), f", on {hosts_words(file)}")
    if aim.since is not None:
        yield line((f"as commit {short(aim.since.commit)} had it: {aim.since.subject}", "dim"))
    yield from (line(("note: ", "yellow"), note) for note in aim.notes)
    if aim.commits is not None:
        yield from commits_lines(aim.commits)
    yield BLANK
