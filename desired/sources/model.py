"""What the fetching of projects takes and gives, as plain values: `Wanted`, `SourceProblem`, `Commits`, `Nearest`.

Stands apart from the modules that speak to git, so that renderers and `desired/deploy/expand.py` can name these without pygit2.
Texts that come from a repository (subjects, authors, paths) are handed on as they are: who shows them escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from desired.project import Project
from desired.text import listing, visible
from providers.secret import Secret

HEX = re.compile(r"[0-9a-f]{40}")
"""A full commit id."""
ProblemKind: TypeAlias = Literal["unreachable", "vanished", "rewritten", "unknown-revision", "refused", "unusable"]

Direction: TypeAlias = Literal["same", "forward", "back", "apart"]


class SourceProblem(Exception):
    """Why a project's revision, or something of it, cannot be had. Never to be read as "empty".

    `unreachable`: nobody answered, or there is no repository. `vanished`: the branch or tag that was there is gone.
    `rewritten`: its history no longer contains what we deployed. `unknown-revision`: no such name or commit. `refused`: the
    URL, a host key, a certificate or a login. `unusable`: it was read, and cannot be deployed.
    """

    def __init__(
        self, kind: ProblemKind, message: str, hint: str = "", *, last: str | None = None, fetched: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.hint = hint
        self.last = last
        """The commit that this project's revision was the last time, still in the cache: it may stay in force."""
        self.fetched = fetched
        """When that was, in seconds since 1970."""
        self.ref: str | None = None
        """The branch or tag that the revision was then."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One project's source, as its file asks for it."""

    name: str
    url: str
    revision: str
    token: Secret | None = None
    username: str = "git"
    identity: str | None = None
    """Path of a private key on the controller."""
    rewritten: Literal["refuse", "allow"] = "refuse"

    @classmethod
    def by(cls, project: Project, token: Secret | None) -> Wanted:
        """From a project's file, and the secret that it names."""
        settings = project.settings
        return cls(
            project.name,
            settings.source,
            settings.revision,
            token,
            settings.username,
            settings.identity,
            settings.rewritten,
        )


class SourceFile(NamedTuple):
    """One file of a commit, with what has to be known to put it into a tree."""

    mode: Literal["0644", "0755", "link"]
    blob: str
    """Git's id of the content, in hex."""
    sha256: str
    """Of the content, or of a link's target, in hex."""
    size: int


class TreeProblem(NamedTuple):
    """An entry that cannot be deployed as it stands; it may be excluded."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The files of a commit, less what is excluded."""

    commit: str
    files: Mapping[str, SourceFile]
    problems: tuple[TreeProblem, ...] = ()

    def checked(self) -> Mapping[str, SourceFile]:
        """The files, when all of them can be deployed; `SourceProblem` names those that cannot."""
        if not self.problems:
            return self.files
        paths = [f"{visible(problem.path)} ({problem.reason})" for problem in self.problems]
        raise SourceProblem(
            "unusable",
            f"commit {self.commit[:10]} holds what cannot be deployed: {_joined(paths)}",
            "leave it out with `exclude:` in the project's file, or commit plain files in its place",
        )


def _joined(texts: list[str], most: int = 5) -> str:
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


class Commit(NamedTuple):
    """One line of a history."""

    id: str
    """Full hex id."""
    subject: str
    author: str
    time: int
    """When it was authored, in seconds since 1970."""

    @property
    def short(self) -> str:
        return self.id[:10]


@dataclass(frozen=True, slots=True)
class Commits:
    """What lies between the deployed commit and the wanted one."""

    direction: Direction
    """`back`: the wanted one is an ancestor; `apart`: each has commits that the other lacks."""
    count: int
    """How many commits come; in direction `back`, how many are left behind."""
    left: int
    """How many commits of the deployed one the wanted one lacks."""
    newest: tuple[Commit, ...]
    """Those that `count` counts, newest first, cut at the limit."""
    added: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    """Paths, sorted, cut at the limit of paths each."""
    files: int
    """How many paths differ in all."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The commit that a set of files on a host equals, or comes nearest to."""

    commit: Commit
    behind: int
    """How many commits the wanted revision has that this one lacks."""
    ahead: int
    """How many it has that the wanted revision lacks: more than 0 when it lies on another branch."""
    differs: tuple[str, ...]
    extra: tuple[str, ...]
    missing: tuple[str, ...]
    searched: int
    """How many commits were looked at."""

    @property
    def exact(self) -> bool:
        return not (self.differs or self.extra or self.missing)


def near(names: list[str]) -> str:
    """The hint for a name that is not there."""
    return f"there is: {listing(sorted(names), 8)}" if names else "the repository has no branch and no tag yet"
