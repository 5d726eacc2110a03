"""Why something is as it is, as plain data: who asks for it, and what happened to it. For `reconcile why`.

Made by `reconciler/cli/explaining.py`, shown by `reconciler/render/why.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from desired.git_blame import Author, Blamed
from desired.model import Place
from reconciler.history.records import ActionRecord, DeploymentRecord
from reconciler.incidents.model import DriftRecord


@dataclass(frozen=True, slots=True)
class Asker:
    """One place in the repository that asks for it."""

    place: Place
    hosts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    wanted: str = ""
    """present, absent; of a project its revision and source."""
    sync: str | None = None
    blamed: Blamed | None = None
    """The line, and the commit that it came with; None: that cannot be told."""

    @property
    def origin(self) -> tuple[str, str]:
        """What sort of file it is, and its name: ("bundle", "base")."""
        folder, _, name = self.place.file.rpartition("/")
        sort = {"bundles": "bundle", "hosts": "host", "projects": "project"}.get(folder.partition("/")[0], "file")
        return sort, name.rpartition(".")[0] or self.place.file


@dataclass(frozen=True, slots=True)
class Past:
    """What the history tells, oldest first."""

    actions: tuple[ActionRecord, ...] = ()
    drifts: tuple[DriftRecord, ...] = ()
    deployments: tuple[DeploymentRecord, ...] = ()

    @property
    def anything(self) -> bool:
        return bool(self.actions or self.drifts or self.deployments)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known."""

    ref: str
    commit: str | None
    """The fleet's commit that was read."""
    askers: tuple[Asker, ...] = ()
    """None: it is not in the repository."""
    removed: Author | None = None
    """Who took it out of the repository, as far as git tells."""
    host: str | None = None
    past: Past | None = None
    """None: there is no history."""
