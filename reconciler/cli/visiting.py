"""A command that looks at one project on each of its hosts in turn, and tells of each: what `adopt` and `pull` share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from desired.deploy.expand import Deployed
from desired.model import Fleet, Host, Resource
from desired.project import Project
from desired.secrets.vault import Vault, VaultError
from desired.sources.model import SourceProblem
from reconciler.cli.editing import project_of
from reconciler.cli.loading import load_fleet, prepared, select, tell_uncommitted, tell_warnings
from reconciler.cli.origin import Origin, sources_of
from reconciler.cli.screen import Screen
from reconciler.cli.signing import refuse_unsigned
from reconciler.cli.survey import survey
from reconciler.errors import CommandError, Exit
from reconciler.fleet_run import FleetRun, HostRun
from reconciler.render.lines import BLANK, Line

ReportT = TypeVar("ReportT")
WORST = (Exit.INVALID, Exit.FAILED, Exit.STALE, Exit.UNREACHABLE, Exit.REFUSED)


@dataclass(slots=True, kw_only=True)
class Visit(Generic[ReportT]):
    """One call of such a command. With `quiet` only the document at the end is shown."""

    fleet: Fleet
    project: Project
    hosts: list[Host]
    screen: Screen
    quiet: bool
    reports: list[ReportT] = field(default_factory=list)
    codes: set[Exit] = field(default_factory=set)

    @property
    def deployed(self) -> Deployed | None:
        """None: the project is blocked."""
        found = self.fleet.deployed.get(self.project.name)
        return found if isinstance(found, Deployed) else None

    @property
    def code(self) -> Exit:
        return next((code for code in WORST if code in self.codes), Exit.OK)

    def resource(self, host: Host) -> Resource:
        """The project's files on a host."""
        return next(resource for resource in host.resources if resource.ref == f"release:{self.project.name}")

    def tell(self, *lines: Line) -> None:
        if not self.quiet:
            self.screen.show(*lines)

    async def each(self, one: Callable[[HostRun], Awaitable[ReportT]], code: Callable[[ReportT], Exit]) -> None:
        """Asks all hosts, and then sees to one after the other."""
        async with FleetRun(self.fleet, self.hosts) as run:
            await survey(run, self.screen)
            for number, host in enumerate(run.runs.values()):
                if number:
                    self.tell(BLANK)
                report = await one(host)
                self.reports.append(report)
                self.codes.add(code(report))


def visited(
    folder: Path, name: str, words: Sequence[str], screen: Screen, signers: Path | None
) -> tuple[Fleet, Project, list[Host]]:
    """The fleet with everything that is asked of the project's hosts (those of them that are named), the project, and they."""
    loaded = load_fleet(folder)
    refuse_unsigned(folder, loaded.fleet, signers)
    project = project_of(loaded.fleet, name)
    fleet, hosts = prepared(loaded.fleet, _hosts_of(loaded.fleet, project, words))
    tell_warnings(fleet, screen)
    tell_uncommitted(loaded.uncommitted, screen, "are not looked at here")
    return fleet, project, hosts


def _hosts_of(fleet: Fleet, project: Project, words: Sequence[str]) -> list[Host]:
    names = {place.host for place in project.deployments}
    if not names:
        raise CommandError(f"{project.name} goes to no host", f"see `deploy:` in {project.place.file}")
    chosen = [host for host in select(fleet, words) if host.name in names]
    if not chosen:
        listed = ", ".join(sorted(names))
        raise CommandError(f"{project.name} does not go to {', '.join(words)}", f"it goes to {listed}: {project.place.file}")
    return chosen


def origin_of(fleet: Fleet, project: Project) -> Origin:
    return Origin(fleet, project, sources_of(fleet), Vault())


def fetch_history(fleet: Fleet, project: Project) -> None:
    """All branches and tags: what lies on a host may come from any of them."""
    origin = origin_of(fleet, project)
    try:
        origin.sources.resolve(origin.wanted, everything=True)
    except (SourceProblem, VaultError) as problem:
        raise CommandError(str(problem), problem.hint) from problem
