"""What `reconcile project list`, `project check` and `status` do. Called by `project.py` and `status.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from desired.model import Fleet, Host, Resource
from desired.project import Project
from desired.secrets.vault import Vault
from providers.releases.model import ReleaseSpec
from reconciler.check import Deployed, Expected, HostReport, deployed, exit_code, host_report, status_code, with_distance
from reconciler.cli.editing import project_of
from reconciler.cli.loading import load_fleet, prepared, select, tell_uncommitted, tell_warnings
from reconciler.cli.origin import Origin, sources_of
from reconciler.cli.screen import Screen
from reconciler.cli.signing import refuse_unsigned
from reconciler.cli.survey import survey
from reconciler.errors import Exit
from reconciler.fleet_run import FleetRun, HostRun
from reconciler.policy import policy_hold, suspended
from reconciler.remembered import Remembered, ask
from reconciler.render import deployed as render
from state.channel import HostError


def list_projects(folder: Path, revision: str, screen: Screen, *, as_json: bool) -> Exit:
    loaded = load_fleet(folder, revision)
    projects = [project_of(loaded.fleet, name) for name in loaded.fleet.projects]
    if as_json:
        screen.document(render.list_document(loaded.fleet.commit, projects))
    else:
        screen.show_all(render.list_lines(projects))
    tell_uncommitted(loaded.uncommitted, screen, "are not in this list")
    return Exit.OK


def check_projects(
    folder: Path,
    names: Sequence[str],
    screen: Screen,
    *,
    expect: str | None,
    deep: bool,
    signers: Path | None,
    as_json: bool,
) -> Exit:
    loaded = load_fleet(folder)
    fleet = loaded.fleet
    refuse_unsigned(folder, fleet, signers)
    projects = [project_of(fleet, name) for name in dict.fromkeys(names or fleet.projects)]
    origins = origins_of(fleet, projects)
    expected = {}
    if expect is not None:
        expected = {name: Expected(expect, origin.resolve(expect).commit) for name, origin in origins.items()}
    hosts = {place.host for project in projects for place in project.deployments}
    asked = _Asked(fleet, tuple(projects), origins, expected)
    reports = asked.reports(_surveyed(fleet, [host for name, host in fleet.hosts.items() if name in hosts], screen, deep=deep))
    code = exit_code(reports)
    if as_json:
        screen.document(render.check_document(fleet.commit, reports, code))
    else:
        screen.show_all(render.check_lines(reports))
    tell_uncommitted(loaded.uncommitted, screen, "are not in this answer")
    return code


def show_status(
    folder: Path, words: Sequence[str], screen: Screen, *, state: Path | None, signers: Path | None, as_json: bool
) -> Exit:
    loaded = load_fleet(folder)
    fleet = loaded.fleet
    refuse_unsigned(folder, fleet, signers)
    chosen = select(fleet, words)
    names = {host.name for host in chosen}
    projects = tuple(
        replace(project, deployments=here)
        for project in (project_of(fleet, name) for name in fleet.projects)
        if (here := tuple(place for place in project.deployments if place.host in names))
    )
    found = _surveyed(fleet, chosen, screen)
    from reconciler.cli.last_seen import with_history

    hosts = with_history(_host_reports(fleet, found.runs), fleet, folder, state, screen)
    reports = _Asked(fleet, projects, origins_of(fleet, projects)).reports(found)
    code = status_code(hosts, reports)
    if as_json:
        screen.document(render.status_document(fleet.commit, hosts, reports, code))
    else:
        screen.show_all(render.status_lines(fleet.commit, hosts, reports))
    tell_uncommitted(loaded.uncommitted, screen, "are not in this answer")
    return code


def _host_reports(fleet: Fleet, runs: Mapping[str, HostRun]) -> list[HostReport]:
    now = datetime.now(UTC)
    return [
        host_report(run).model_copy(update={"suspended": suspended(fleet, fleet.hosts[name], now) or ""})
        for name, run in runs.items()
    ]


def origins_of(fleet: Fleet, projects: Sequence[Project]) -> dict[str, Origin]:
    if not projects:
        return {}
    sources, vault = sources_of(fleet), Vault()
    return {project.name: Origin(fleet, project, sources, vault) for project in projects}


@dataclass(frozen=True, slots=True)
class _Found:
    """What the hosts answered."""

    runs: Mapping[str, HostRun]
    remembered: Mapping[str, Mapping[str, Remembered]]
    """Host → project → what is noted there."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be told of the answers."""

    fleet: Fleet
    projects: tuple[Project, ...]
    origins: Mapping[str, Origin]
    expected: Mapping[str, Expected] | None = None

    def reports(self, found: _Found) -> list[Deployed]:
        reports = []
        for project in self.projects:
            for place in project.deployments:
                noted = found.remembered.get(place.host, {}).get(project.name)
                expected = (self.expected or {}).get(project.name)
                report = deployed(project, place, found.runs[place.host], noted, expected)
                reports.append(with_distance(report, self.origins[project.name].distance))
        return reports


def _surveyed(fleet: Fleet, chosen: Sequence[Host], screen: Screen, *, deep: bool = False) -> _Found:
    fleet, hosts = prepared(fleet, chosen)
    tell_warnings(fleet, screen)
    return asyncio.run(_survey(fleet, [_deeply(host) for host in hosts] if deep else hosts, screen))


async def _survey(fleet: Fleet, hosts: Sequence[Host], screen: Screen) -> _Found:
    """Probes the hosts, and asks over the same connections what they noted of their projects."""
    remembered: dict[str, Mapping[str, Remembered]] = {}

    async def one(run: HostRun) -> None:
        names = [name for name, project in fleet.projects.items() if run.host.name in {p.host for p in project.deployments}]
        if run.session is None or run.draft is None or not names:
            return
        try:
            remembered[run.host.name] = await ask(run.session.channel, names, run.host.inventory)
        except HostError:
            remembered[run.host.name] = {}

    async with FleetRun(fleet, hosts, hold=policy_hold(fleet, datetime.now(UTC))) as run:
        await survey(run, screen)
        await asyncio.gather(*(one(each) for each in run.runs.values()))
        return _Found(run.runs, remembered)


def _deeply(host: Host) -> Host:
    """The host, with every file of its projects to be hashed."""

    def deeper(resource: Resource) -> Resource:
        return replace(resource, spec=resource.spec.deep()) if isinstance(resource.spec, ReleaseSpec) else resource

    return replace(host, resources=tuple(map(deeper, host.resources)))
