"""A project's source as the commands ask it: which commit a revision is, and what lies between two of them.

Used by `deploy`, `rollback`, `project check` and `status`. What cannot be had becomes a sentence for the person who asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from desired.model import Fleet
from desired.project import Project
from desired.secrets.names import secret_path
from desired.secrets.vault import Vault
from desired.sources.model import Commits, SourceProblem, Wanted
from desired.sources.remote import Rules
from desired.sources.resolve import Resolved, Sources
from reconciler.errors import CommandError


def sources_of(fleet: Fleet) -> Sources:
    """The sources of a fleet's projects; its pinned host keys count for them as well."""
    try:
        return Sources(rules=Rules(fleet_hosts=fleet.known_hosts))
    except SourceProblem as problem:
        raise CommandError(str(problem), problem.hint) from problem


@dataclass
class Origin:
    """The source of one project."""

    fleet: Fleet
    project: Project
    sources: Sources
    vault: Vault

    @cached_property
    def wanted(self) -> Wanted:
        """Raises `VaultError` where the token cannot be opened."""
        token = self.project.settings.token
        opened = self.vault.open_from(self.fleet, secret_path(token.secret)) if token is not None else None
        return Wanted.by(self.project, opened)

    def resolve(self, revision: str | None = None) -> Resolved:
        """The commit of `revision`, or of the one in the project's file; `CommandError` says why it cannot be had."""
        try:
            return self.sources.resolve(replace(self.wanted, revision=revision or self.wanted.revision))
        except SourceProblem as problem:
            raise CommandError(str(problem), problem.hint) from problem

    def commits(self, old: str, new: Resolved) -> Commits | None:
        """What lies between two commits; None where the source has not got the old one."""
        try:
            if not new.repository.has(old):
                self.sources.resolve(replace(self.wanted, revision=old))
            return new.repository.commits(old, new.commit)
        except SourceProblem:
            return None

    def distance(self, old: str, new: str) -> tuple[int, int] | None:
        """(commits that `old` lacks, commits that `new` lacks)."""
        try:
            found = self.commits(old, self.resolve(new))
        except CommandError:
            return None
        if found is None:
            return None
        return (0, found.count) if found.direction == "back" else (found.count, found.left)
