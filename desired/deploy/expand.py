"""From a fleet with projects to the resources that deploy them: fetches, checks, builds the trees and puts specs on the hosts.

Called by `reconciler/cli/loading.py` and by the loop after `desired/load.py`, before any host is asked, and in each cycle; what
has not changed since the last call comes out as the very same objects (`Cache`). A project of which it cannot be said what it
should be is blocked: its references stay on its hosts, nothing is done with them, and everything else goes on.

    resolve    the commit of each project, several at once      desired/sources/resolve.py
    build      tree, secrets, expected values, what runs        desired/deploy/tree.py, desired/deploy/build.py
    specs      for each path                                    desired/deploy/specs.py
    weave      in among the host's own resources                desired/deploy/weave.py
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from desired.deploy.build import Built, build, excluded, key_of
from desired.deploy.specs import Asked, specs_of, unknown
from desired.deploy.tree import Blocked
from desired.deploy.weave import weave
from desired.model import Diagnostic, Fleet, Host, Resource
from desired.project import Deployment, Project
from desired.scan.scanner import Scanner
from desired.secrets.vault import Vault, VaultError
from desired.sources.model import Commits, SourceProblem, Wanted
from desired.sources.resolve import Resolved, Sources
from desired.text import visible
from providers.runners.models import ComposeRunner
from providers.secret import Secret

_AT_ONCE = 8
"""Sources that are asked at the same time."""


@dataclass(frozen=True)
class Deployed:
    """What a project's revision is in this cycle, and what was found in it."""

    resolved: Resolved
    built: Built
    kept: str | None = None
    """Why it is an earlier commit that stays in force: the source could not be reached."""

    @property
    def commit(self) -> str:
        return self.resolved.commit

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the project can do, in words: "compose.yaml with 2 services (db, web)"."""
        return self.built.capabilities

    def commits(self, old: str, limit: int = 20) -> Commits:
        """What lies between the commit that a host has and this one. Raises `SourceProblem` where the old one is not known."""
        return self.resolved.repository.commits(old, self.commit, limit, excluded(self.built.deployable.settings))

    def diff(self, old: str, limit: int = 100_000) -> str:
        """The same as a text diff. Raises `SourceProblem`."""
        return self.resolved.repository.diff_text(old, self.commit, limit, excluded(self.built.deployable.settings))


Outcome: TypeAlias = Deployed | Blocked


@dataclass
class Cache:
    """What one call leaves for the next in the same process. Not for two calls at once."""

    builds: dict[str, tuple[str, Built | Blocked]] = field(default_factory=dict)
    """By project: what stands for all that its build depends on, and the build."""
    specs: dict[tuple[str, str], tuple[str, tuple[Asked, ...]]] = field(default_factory=dict)
    """By project and path: what its specs depend on, and the specs."""
    hosts: dict[str, tuple[tuple[Resource, ...], tuple[Resource, ...], tuple[Resource, ...]]] = field(default_factory=dict)
    """By host: its own resources, those of its projects, and all of them in order."""

    def forget(self, fleet: Fleet) -> None:
        """What the fleet has no more."""
        self.builds = {name: known for name, known in self.builds.items() if name in fleet.projects}
        paths = {(project.name, one.path) for project in fleet.projects.values() for one in project.deployments}
        self.specs = {key: known for key, known in self.specs.items() if key in paths}
        self.hosts = {name: known for name, known in self.hosts.items() if name in fleet.hosts}


def expand(
    fleet: Fleet,
    sources: Sources,
    vault: Vault,
    scanner: Scanner,
    hosts: Collection[str] | None = None,
    *,
    cache: Cache | None = None,
) -> Fleet:
    """`fleet` with the resources of its projects on `hosts` (None: all). Raises nothing for a project that cannot be deployed:
    that is a warning, and blocks the project alone."""
    cache = cache or Cache()
    chosen = fleet.hosts.keys() if hosts is None else fleet.hosts.keys() & set(hosts)
    projects = [project for project in fleet.projects.values() if any(one.host in chosen for one in project.deployments)]
    expansion = _Expansion(fleet, sources, vault, scanner, cache)
    cache.forget(fleet)
    return expansion.put(expansion.outcomes(projects), chosen)


class _Expansion:
    """One call of `expand`."""

    def __init__(self, fleet: Fleet, sources: Sources, vault: Vault, scanner: Scanner, cache: Cache) -> None:
        self._fleet = fleet
        self._sources = sources
        self._vault = vault
        self._scanner = scanner
        self._cache = cache
        self._warnings: list[Diagnostic] = []

    def outcomes(self, projects: Iterable[Project]) -> dict[str, Outcome]:
        """What became of each project. Servers are asked at the same time, everything else happens in turn."""
        wanted: dict[str, tuple[Project, Wanted | Blocked]] = {one.name: (one, self._wanted(one)) for one in projects}
        asked = [one for _, one in wanted.values() if isinstance(one, Wanted)]
        if not asked:
            resolved: dict[str, Resolved | SourceProblem] = {}
        elif len(asked) == 1:
            resolved = {asked[0].name: self._resolved(asked[0])}
        else:
            with ThreadPoolExecutor(min(_AT_ONCE, len(asked)), thread_name_prefix="source") as pool:
                answers = pool.map(self._resolved, asked)
                resolved = {one.name: answer for one, answer in zip(asked, answers, strict=True)}
        outcomes: dict[str, Outcome] = {}
        for name, (project, what) in wanted.items():
            outcomes[name] = what if isinstance(what, Blocked) else self._outcome(project, what, resolved[name])
        outcomes |= dict(_same_compose_project(self._fleet.projects, outcomes))
        for name, outcome in outcomes.items():
            self._tell(wanted[name][0], outcome)
        return outcomes

    def _wanted(self, project: Project) -> Wanted | Blocked:
        token = project.settings.token
        try:
            secret = self._vault.open_from(self._fleet, f"secrets/{token.secret}.age") if token is not None else None
        except VaultError as error:
            return Blocked(str(error), error.hint, at=("token",))
        return Wanted.by(project, secret)

    def _resolved(self, wanted: Wanted) -> Resolved | SourceProblem:
        try:
            return self._sources.resolve(wanted)
        except SourceProblem as problem:
            return problem

    def _outcome(self, project: Project, wanted: Wanted, found: Resolved | SourceProblem) -> Outcome:
        kept = None
        try:
            if isinstance(found, SourceProblem):
                if found.kind != "unreachable" or found.last is None:
                    return Blocked(str(found), found.hint, at=_about(found))
                kept = f"{found}; {found.last[:10]}, which it was {_when(found.fetched)}, stays in force"
                found = Resolved(found.last, found.ref, found.fetched or 0.0, self._sources.repository(wanted.url))
            built = self._built(project, found)
        except SourceProblem as problem:
            return Blocked(str(problem), problem.hint, at=_about(problem))
        except VaultError as error:
            return Blocked(str(error), error.hint, at=("secrets",))
        return built if isinstance(built, Blocked) else Deployed(found, built, kept)

    def _built(self, project: Project, found: Resolved) -> Built | Blocked:
        opened = self._opened(project)
        key = key_of(project, found, self._fleet)
        known = self._cache.builds.get(project.name)
        if known is None or known[0] != key:
            try:
                known = (key, build(project, found, self._fleet, opened, self._scanner))
            except Blocked as blocked:
                known = (key, blocked.told_again())
            self._cache.builds[project.name] = known
        return known[1]

    def _opened(self, project: Project) -> Mapping[str, Secret]:
        files = [secret.file for secret in project.settings.secrets.values() if not secret.sealed]
        return {path: self._vault.open_from(self._fleet, path) for path in files}

    def _tell(self, project: Project, outcome: Outcome) -> None:
        if isinstance(outcome, Blocked):
            self._warn(project, f"{visible(project.name)} is left as it is: {outcome}", outcome.hint, *outcome.at)
            self._warnings.extend(outcome.told)
            return
        if outcome.kept is not None:
            self._warn(project, f"{visible(project.name)}: {outcome.kept}", "", "source")
        self._warnings.extend(outcome.built.warnings)

    def _warn(self, project: Project, message: str, hint: str, *at: str) -> None:
        self._warnings.append(Diagnostic(project.where(at), message, hint, "warning"))

    def put(self, outcomes: Mapping[str, Outcome], chosen: Collection[str]) -> Fleet:
        """The fleet with what was found on its hosts."""
        added: dict[str, list[Resource]] = {}
        for name, outcome in outcomes.items():
            project: Project = self._fleet.projects[name]
            for deployment in project.deployments:
                if deployment.host in chosen:
                    added.setdefault(deployment.host, []).extend(self._resources(project, deployment, outcome))
        hosts = {
            name: self._host(host, tuple(added[name])) if name in added else host for name, host in self._fleet.hosts.items()
        }
        deployed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Deployed)}
        blocked = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, Blocked)}
        warnings = (*self._fleet.warnings, *self._warnings)
        return replace(self._fleet, hosts=hosts, warnings=warnings, deployed=deployed, blocked=blocked)

    def _resources(self, project: Project, deployment: Deployment, outcome: Outcome) -> list[Resource]:
        blocked = str(outcome) if isinstance(outcome, Blocked) else None
        if isinstance(outcome, Blocked):
            asked = tuple(specs_of(unknown(project.name, project.settings), deployment.path))
        else:
            asked = self._asked(project, outcome.built, deployment.path)
        written = project.settings.needs
        return [
            Resource(one.spec, deployment.place, frozenset((*written, *one.needs)), frozenset(one.follows), blocked)
            for one in asked
        ]

    def _asked(self, project: Project, built: Built, path: str) -> tuple[Asked, ...]:
        file = self._fleet.tree.get(project.place.file, "")
        key = f"{built.key} {file}"
        known = self._cache.specs.get((project.name, path))
        if known is None or known[0] != key:
            known = (key, tuple(specs_of(built.deployable, path, file)))
            self._cache.specs[project.name, path] = known
        return known[1]

    def _host(self, host: Host, added: tuple[Resource, ...]) -> Host:
        """Equal resources come out as the objects of the last call: what was compiled from them stays valid."""
        known = self._cache.hosts.get(host.name)
        if known is None or known[0] != host.resources or known[1] != added:
            known = (host.resources, added, weave(host.resources, added))
            self._cache.hosts[host.name] = known
        return replace(host, resources=known[2])


def _same_compose_project(projects: Mapping[str, Project], outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, Blocked]]:
    """Two projects that compose would take for one on a host: starting the one would remove the other's containers."""
    owners: dict[tuple[str, str], str] = {}
    for name, outcome in outcomes.items():
        if isinstance(outcome, Blocked):
            continue
        runners = outcome.built.deployable.runners.values()
        names = {runner.project for runner in runners if isinstance(runner, ComposeRunner)}
        for one, compose in ((one, compose) for one in projects[name].deployments for compose in sorted(names)):
            other = owners.setdefault((one.host, compose), name)
            if other != name:
                message = f"its compose project on {one.host} would be {compose}, as that of {visible(other)} is"
                hint = "give it a name of its own: runtime: {compose: {project: NAME}}"
                yield name, Blocked(message, hint, at=("runtime",))


def _about(problem: SourceProblem) -> tuple[str]:
    """The key of the project's file that a problem with its source is about."""
    return ("revision",) if problem.kind in ("vanished", "rewritten", "unknown-revision") else ("source",)


def _when(fetched: float | None) -> str:
    if fetched is None:
        return "the last time"
    return time.strftime("on %Y-%m-%d at %H:%M UTC", time.gmtime(fetched))
