"""What `reconcile deploy` and `reconcile switch` do. Called by `deploy.py` and `switch.py`, which hold the options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desired.secrets.vault import Vault
from desired.sources.model import Commits
from desired.sources.resolve import Resolved
from desired.text import visible
from providers.blue_green import other
from reconciler.cli.editing import ProjectFile, Terms, carry_out, edited, open_project, refuse_terms
from reconciler.cli.origin import Origin, sources_of
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.render.commits import commits_lines
from reconciler.render.lines import BLANK, Line, line
from reconciler.render.words import short
from reconciler.text import plural, shorten

SUBJECTS = 50
"""Commits that are named in a commit message before the rest is only counted."""
_HEX = frozenset("0123456789abcdef")


def deploy_revision(folder: Path, name: str, revision: str, terms: Terms, screen: Screen) -> Exit:
    file = open_project(folder, name)
    refuse_terms(file, terms, screen)
    origin = Origin(file.fleet, file.project, sources_of(file.fleet), Vault())
    new = origin.resolve(revision)
    value = new.commit if is_commit_id(revision, new.commit) else revision
    before = file.project.settings.revision
    commits, doubt = between(origin, before, new)
    edit = edited(file, {("revision",): value})
    message = f"Deploy {name} {shown(value)} (was {shown(before)})\n{body(commits)}"
    return carry_out(file, edit, message, terms, screen, _told(file, new, value, commits, doubt))


def is_commit_id(revision: str, commit: str) -> bool:
    """Whether a word that was resolved to `commit` is its id, or the beginning of it, rather than a name."""
    return len(revision) >= 4 and set(revision.lower()) <= _HEX and commit.startswith(revision.lower())


def shown(revision: str) -> str:
    """A revision as it stands in a title: the beginning of an id, a name whole."""
    return short(revision) if len(revision) == 40 and set(revision) <= _HEX else visible(revision, 60)


def between(origin: Origin, before: str, new: Resolved) -> tuple[Commits | None, str]:
    """The commits from one revision to another; or why they cannot be told, which stops nobody from mending it."""
    try:
        old = origin.resolve(before)
    except CommandError as error:
        return None, str(error)
    found = origin.commits(old.commit, new)
    return found, "" if found is not None else f"{shown(before)} is not in the source any more"


def body(commits: Commits | None) -> str:
    """What a deployment brings, for the message of its commit."""
    if commits is None or commits.direction == "same":
        return ""
    verb = {"forward": "Brings", "back": "Takes back"}.get(commits.direction, "Brings")
    lines = [f"{commit.short} {visible(shorten(commit.subject, 100))}" for commit in commits.newest[:SUBJECTS]]
    if (more := commits.count - len(lines)) > 0:
        lines.append(f"and {plural(more, 'more commit')}")
    apart = f"; leaves {plural(commits.left, 'commit')} behind" if commits.direction == "apart" else ""
    head = f"{verb} {plural(commits.count, 'commit')}{apart}:"
    return "\n".join(["", head, "", *(f"- {text}" for text in lines), ""])


def _told(file: ProjectFile, new: Resolved, value: str, commits: Commits | None, doubt: str) -> Iterator[Line]:
    name = "" if value == new.commit else f"{value}, which is "
    yield line((file.name, "bold"), f" to {name}commit {short(new.commit)}, on {hosts_words(file)}")
    if doubt:
        yield line(("note: ", "yellow"), f"which commits this brings cannot be told: {doubt}")
    elif commits is not None:
        yield from commits_lines(commits)
    yield BLANK


def hosts_words(file: ProjectFile) -> str:
    names = list(file.hosts)
    if not names:
        return "no host yet"
    return ", ".join(names) if len(names) <= 3 else plural(len(names), "host")


def switch_slot(folder: Path, name: str, slot: str | None, terms: Terms, screen: Screen) -> Exit:
    file = open_project(folder, name)
    refuse_terms(file, terms, screen)
    active = active_slot(file)
    if slot is None and active not in ("blue", "green"):
        raise CommandError(
            f"slots.active of {name} is auto: a new revision takes over of itself, so there is no other slot to name",
            f"hold the traffic where you want it: reconcile switch {name} green; reconcile status says who has it now",
        )
    chosen = slot or (other("blue") if active == "blue" else other("green"))
    edit = edited(file, {("slots", "active"): chosen})
    message = f"Switch {name} to {chosen} (was {active})\n"
    return carry_out(file, edit, message, terms, screen, _switch_told(file, active, chosen))


def active_slot(file: ProjectFile) -> str:
    """`slots.active` as it is; `CommandError` where the project has no slots."""
    slots = file.project.settings.slots
    if slots is None or file.project.settings.strategy != "slots":
        raise CommandError(
            f"{file.name} has no slots: its strategy is {file.project.settings.strategy}",
            f"a new revision is deployed with: reconcile deploy {file.name} REV",
        )
    return slots.active


def _switch_told(file: ProjectFile, active: str, chosen: str) -> Iterator[Line]:
    where = hosts_words(file)
    if chosen == "auto":
        meaning = "a new revision takes over of itself when it has passed its smoke tests; until then nothing moves"
        yield line((file.name, "bold"), f" from {active} to auto, on {where}: {meaning}")
    elif active == "auto":
        meaning = f"{chosen} gets the traffic and keeps it; a new revision waits in the other slot for a commit that switches"
        yield line((file.name, "bold"), f" from auto to {chosen}, on {where}: {meaning}")
    else:
        yield line((file.name, "bold"), f" from {active} to {chosen}, on {where}")
    yield BLANK
