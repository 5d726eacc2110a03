"""What the commands that commit share: find the file of a host or project, edit it, show the commit, make it, push, apply.

Whatever is refused is refused before anything is changed, and a commit is only made when the fleet is valid with it.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from desired.edit import Value, set_value, take_out
from desired.git import Repository, commit_source, fleet_folder, folder_in, open_repository
from desired.git_write import Edit, commit_edit, refuse_unready
from desired.load import HOSTS, load
from desired.model import Fleet, Host
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
class Checkout:
    """The commit that is checked out."""

    folder: Path
    repository: Repository
    source: Source
    fleet: Fleet
    top: str
    """Folder of the repository in which the fleet begins."""


@dataclass(frozen=True, slots=True)
class FileOfFleet(ABC):
    """A file of the commit that is checked out, and whom it is about."""

    checkout: Checkout

    @property
    def folder(self) -> Path:
        return self.checkout.folder

    @property
    def fleet(self) -> Fleet:
        return self.checkout.fleet

    @property
    def source(self) -> Source:
        return self.checkout.source

    @property
    def repository(self) -> Repository:
        return self.checkout.repository

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def place(self) -> str:
        """The file's path in the fleet."""

    @property
    @abstractmethod
    def hosts(self) -> tuple[str, ...]:
        """Those that it is about."""

    @property
    def loc(self) -> tuple[str, ...]:
        """Where in the file its settings begin."""
        return ()

    @property
    def path(self) -> str:
        """The file's path in the repository."""
        return f"{self.checkout.top}/{self.place}" if self.checkout.top else self.place


@dataclass(frozen=True, slots=True)
class HostFile(FileOfFleet):
    """A host, in a file of its own or among others in hosts.yaml."""

    host: Host

    @property
    def name(self) -> str:
        return self.host.name

    @property
    def place(self) -> str:
        return self.host.place.file

    @property
    def hosts(self) -> tuple[str, ...]:
        return (self.host.name,)

    @property
    def loc(self) -> tuple[str, ...]:
        return (self.host.name,) if self.place == HOSTS else ()


@dataclass(frozen=True, slots=True)
class ProjectFile(FileOfFleet):
    """A project, and where it is written."""

    project: Project

    @property
    def name(self) -> str:
        return self.project.name

    @property
    def place(self) -> str:
        return self.project.place.file

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(deployment.host for deployment in self.project.deployments)


def open_checkout(folder: Path) -> Checkout:
    """Raises `Invalid` or `RepositoryError` as loading does."""
    repository = open_repository(folder)
    inside = folder_in(repository, folder)
    source = commit_source(repository, folder=inside)
    return Checkout(folder, repository, source, load(source), fleet_folder(repository, inside))


def open_project(folder: Path, name: str) -> ProjectFile:
    """As `open_checkout`; and raises `CommandError` where there is no such project."""
    checkout = open_checkout(folder)
    return ProjectFile(checkout, project_of(checkout.fleet, name))


def open_host_or_project(folder: Path, word: str) -> HostFile | ProjectFile:
    """What is meant by a name, or by host:NAME or project:NAME where both bear it."""
    checkout = open_checkout(folder)
    fleet = checkout.fleet
    sort, colon, name = word.partition(":")
    named = name if colon and sort in ("host", "project") else word
    is_host = named in fleet.hosts and sort != "project"
    is_project = named in fleet.projects and (sort != "host" or named == word)
    if is_host and is_project:
        raise CommandError(f"{word} is a host and a project", f"say which: host:{word} or project:{word}")
    if is_host:
        return HostFile(checkout, fleet.hosts[named])
    if is_project:
        return ProjectFile(checkout, project_of(fleet, named))
    if named != word:
        known: Iterable[str] = fleet.hosts if sort == "host" else fleet.projects
        raise CommandError(f'there is no {sort} "{named}"', meant(named, known))
    raise CommandError(f'there is no host or project "{word}"', meant(word, {**fleet.hosts, **fleet.projects}))


def project_of(fleet: Fleet, name: str) -> Project:
    """The project that is meant, by name."""
    found = fleet.projects.get(name)
    if found is None:
        nothing = "the fleet has no project yet: describe one in projects/NAME.yaml" if not fleet.projects else ""
        raise CommandError(f'there is no project "{name}"', meant(name, fleet.projects, nothing))
    assert isinstance(found, Project)
    return found


def edited(file: FileOfFleet, values: Mapping[tuple[str, ...], Value], without: Iterable[tuple[str, ...]] = ()) -> Edit:
    """The file, without the keys that are to go, and with `values` in it. Raises `Invalid` where the fleet would not be valid
    then."""
    before = after = file.source.read(file.place)
    for inner in without:
        after = take_out(after, (*file.loc, *inner), file.place)
    for inner, value in values.items():
        after = set_value(after, (*file.loc, *inner), value, file.place)
    if after != before:
        load(overlaid(file.source, file.place, after))
    return Edit(file.path, before, after)


def refuse_terms(file: FileOfFleet, terms: Terms, screen: Screen) -> None:
    """Raises where nothing could be committed, before a source or a host is asked."""
    if terms.apply and terms.branch is not None:
        raise click.UsageError("--apply takes what is checked out, and --branch leaves that as it is: one of them")
    if terms.yes and not terms.apply:
        raise click.UsageError("--yes answers the question of --apply, which is not given")
    if terms.apply and not (terms.yes or terms.dry_run or screen.can_ask):
        raise Refused("there is no terminal to ask on; nothing was changed", "leave --apply away, or add --yes")
    content = file.source.read(file.place)
    refuse_unready(file.repository, Edit(file.path, content, content), terms.branch)


def carry_out(file: FileOfFleet, edit: Edit, message: str, terms: Terms, screen: Screen, told: Iterable[Line] = ()) -> Exit:
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


def _commit(file: FileOfFleet, edit: Edit, message: str, terms: Terms, screen: Screen) -> None:
    made = commit_edit(file.repository, edit, message, branch=terms.branch)
    title = message.partition("\n")[0]
    screen.show(line(("committed ", "green"), (short(made.commit), "bold"), f" on {made.branch}: {title}"))
    screen.tell(*(line(("note: ", "yellow"), note) for note in made.notes))
    if terms.push:
        from desired.git_push import push

        screen.show(line(("pushed", "green"), f" to {push(file.repository, made.branch, file.fleet.known_hosts)}"))


def apply_project(file: FileOfFleet, terms: Terms, screen: Screen) -> Exit:
    """`reconcile apply` for the project's hosts, with its questions, its progress and its exit code."""
    if not file.hosts:
        raise CommandError(f"{file.name} goes to no host: there is nothing to apply", f"see `deploy:` in {file.place}")
    from reconciler.cli import applying

    screen.show(BLANK)
    asked = applying.Terms(file.hosts, "HEAD", None, yes=terms.yes, diff=True, allow_deletions=None, as_json=False)
    return applying.apply_fleet(file.folder, asked, screen)
