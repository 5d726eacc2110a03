"""What `deploy`, `switch` and `rollback` share: find a project's file, edit it, show the commit, make it, push it, apply it.

Whatever is refused is refused before anything is changed, and a commit is only made when the fleet is valid with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from desired.edit import set_value
from desired.git import Repository, commit_source, fleet_folder, folder_in, open_repository
from desired.git_write import Edit, commit_edit, refuse_unready
from desired.load import load
from desired.model import Fleet
from desired.project import Project
from desired.source import Source, overlaid
from desired.text import meant
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit, Refused
from reconciler.render.lines import BLANK, Line, line
from reconciler.render.terminal import diff_lines
from reconciler.render.words import short

CONTEXT = 2
"""Lines of the file that are shown around the one that is edited."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was said on the command line about the commit."""

    dry_run: bool = False
    push: bool = False
    branch: str | None = None
    apply: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """A project of the commit that is checked out, and where it is written."""

    folder: Path
    repository: Repository
    source: Source
    fleet: Fleet
    project: Project
    top: str
    """Folder of the repository in which the fleet begins."""

    @property
    def name(self) -> str:
        return self.project.name

    @property
    def place(self) -> str:
        """The file's path in the fleet."""
        return self.project.place.file

    @property
    def path(self) -> str:
        """The file's path in the repository."""
        return f"{self.top}/{self.place}" if self.top else self.place

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(deployment.host for deployment in self.project.deployments)


def open_project(folder: Path, name: str) -> ProjectFile:
    """Raises `Invalid` or `RepositoryError` as loading does, and `CommandError` where there is no such project."""
    repository = open_repository(folder)
    inside = folder_in(repository, folder)
    source = commit_source(repository, folder=inside)
    fleet = load(source)
    return ProjectFile(folder, repository, source, fleet, project_of(fleet, name), fleet_folder(repository, inside))


def project_of(fleet: Fleet, name: str) -> Project:
    """The project that is meant, by name."""
    found = fleet.projects.get(name)
    if found is None:
        nothing = "the fleet has no project yet: describe one in projects/NAME.yaml" if not fleet.projects else ""
        raise CommandError(f'there is no project "{name}"', meant(name, fleet.projects, nothing))
    assert isinstance(found, Project)
    return found


def edited(file: ProjectFile, values: Mapping[tuple[str, ...], str]) -> Edit:
    """The file with `values` in it. Raises `Invalid` where the fleet would not be valid with them."""
    before = after = file.source.read(file.place)
    for loc, value in values.items():
        after = set_value(after, loc, value, file.place)
    if after != before:
        load(overlaid(file.source, file.place, after))
    return Edit(file.path, before, after)


def refuse_terms(file: ProjectFile, terms: Terms, screen: Screen) -> None:
    """Raises where nothing could be committed, before a source or a host is asked."""
    if terms.apply and terms.branch is not None:
        raise click.UsageError("--apply takes what is checked out, and --branch leaves that as it is: one of them")
    if terms.yes and not terms.apply:
        raise click.UsageError("--yes answers the question of --apply, which is not given")
    if terms.apply and not (terms.yes or terms.dry_run or screen.can_ask):
        raise Refused("there is no terminal to ask on; nothing was changed", "leave --apply away, or add --yes")
    content = file.source.read(file.place)
    refuse_unready(file.repository, Edit(file.path, content, content), terms.branch)


def carry_out(file: ProjectFile, edit: Edit, message: str, terms: Terms, screen: Screen, told: Iterable[Line] = ()) -> Exit:
    """Shows `told` and the edit, and makes it come true as far as the terms say. What `apply` ends with, if it is asked for."""
    unchanged = edit.after == edit.before
    screen.show_all(told)
    if unchanged:
        screen.show(line((file.place, "bold"), " says so already: there is nothing to commit"))
    else:
        screen.show(line((file.place, "bold")), *diff_lines(_diff(edit)))
    if terms.dry_run:
        screen.show(line(("nothing was changed: --dry-run", "dim")))
        return Exit.OK
    if not unchanged:
        _commit(file, edit, message, terms, screen)
    return apply_project(file, terms, screen) if terms.apply else Exit.OK


def _diff(edit: Edit) -> tuple[str, ...]:
    before, after = (content.decode("utf-8", "replace").splitlines() for content in (edit.before, edit.after))
    return tuple(difflib.unified_diff(before, after, n=CONTEXT, lineterm=""))[2:]


def _commit(file: ProjectFile, edit: Edit, message: str, terms: Terms, screen: Screen) -> None:
    made = commit_edit(file.repository, edit, message, branch=terms.branch)
    title = message.partition("\n")[0]
    screen.show(line(("committed ", "green"), (short(made.commit), "bold"), f" on {made.branch}: {title}"))
    screen.tell(*(line(("note: ", "yellow"), note) for note in made.notes))
    if terms.push:
        from desired.git_push import push

        screen.show(line(("pushed", "green"), f" to {push(file.repository, made.branch, file.fleet.known_hosts)}"))


def apply_project(file: ProjectFile, terms: Terms, screen: Screen) -> Exit:
    """`reconcile apply` for the project's hosts, with its questions, its progress and its exit code."""
    if not file.hosts:
        raise CommandError(f"{file.name} goes to no host: there is nothing to apply", f"see `deploy:` in {file.place}")
    from reconciler.cli import applying

    screen.show(BLANK)
    asked = applying.Terms(file.hosts, "HEAD", None, yes=terms.yes, diff=True, allow_deletions=None, as_json=False)
    return applying.apply_fleet(file.folder, asked, screen)
