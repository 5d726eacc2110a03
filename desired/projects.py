"""Reads the files of projects/, each on its own and then against the fleet: hosts, tags, paths, secrets, and what they need.

Offline: nothing of a project itself is looked at here, only what its file says; `desired/deploy/expand.py` fetches. Called by
`desired/load.py` in three moments: with the hosts (`Projects`), before the manifests are arranged (`references`: they may name
`release:site`), and after it (`check`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from pydantic import ValidationError

from desired.explain import complaints
from desired.files import Manifest, Read
from desired.graph import Arranged, circle
from desired.model import Place
from desired.project import Deployment, DeploySettings, Project, ProjectSettings, RuntimeSettings
from desired.project_checks import ProjectManifest, check_file
from desired.report import Report
from desired.schema import NAME, HostSettings
from desired.secrets.names import ENDING, FOLDER, read_secret, secret_path
from desired.source import Source, Unusable, ancestors
from desired.text import meant, show, visible
from desired.yaml import Document

UNITS = "/etc/systemd/system"
"""Where the unit of a project with `runtime: {systemd: …}` is put."""
_STAND_INS: Mapping[str, Any] = {"source": "/", "revision": "HEAD", "deploy": [{"tag": "none", "path": "/none"}]}
"""For required keys that are missing or wrong, so that the others can be checked."""

_REFERENCE = re.compile(r"[a-z]+:.")
_ELSEWHERE: Mapping[str, str] = {
    "ensure": "to remove the project from its hosts, delete its file",
    "follows": "a project follows its source; what comes first stands in needs",
    "branch": "write revision: BRANCH",
    "tag": "write revision: TAG; a tag of hosts stands in deploy: {tag: NAME, path: /srv/NAME}",
    "commit": "write revision: COMMIT",
    "repo": "write source: URL",
    "repository": "write source: URL",
    "url": "write source: URL",
    "host": "write deploy: {host: NAME, path: /srv/NAME}",
    "hosts": "write deploy: [{host: NAME, path: /srv/NAME}]",
    "path": "write deploy: {host: NAME, path: /srv/NAME}",
}
"""What people write who know another tool, and how it is said here."""


@dataclass(eq=False)
class ProjectFile(Manifest[ProjectSettings]):
    """What one file says of one project."""

    wrong: frozenset[str] = field(default_factory=frozenset)
    """Keys whose values could not be used."""


def read_project(document: Document, name: str) -> Read[ProjectSettings]:
    """The project of projects/NAME.yaml."""
    read = Read[ProjectSettings]()
    for problem in document.problems:
        read.report.claim(problem)
    if not NAME.fullmatch(name):
        hint = "letters, digits, dots, dashes and underscores, beginning with a letter or digit"
        read.report.add(Place(document.file), f'"{visible(name, 60)}" cannot be the name of a project', hint)
        return read
    data = {} if document.value is None else document.value
    if not isinstance(data, dict):
        read.report.add(document.place(), f"expected a mapping, found {show(data)}")
        data, lost = {}, True
    else:
        lost = not document.sound
    read.manifests.append(_project(document, name, data, read.report, lost=lost))
    return read


def unread_project(path: str, name: str) -> ProjectFile:
    """Stands in for the project of a file that could not be read."""
    return _project(Document(path, None, None), name, {}, Report(), lost=True)


def _project(document: Document, name: str, data: dict[str, Any], report: Report, *, lost: bool) -> ProjectFile:
    given = {key: value for key, value in data.items() if value is not None}
    wrong: set[str] = set(ProjectSettings.model_fields) if lost else set()
    try:
        settings = ProjectSettings.model_validate(given)
    except ValidationError as error:
        for one in complaints(error, given, ProjectSettings, written=document.written) if not lost else ():
            place = document.key_place(one.loc) if one.at_key or not one.loc else document.place(one.loc)
            elsewhere = _ELSEWHERE.get(str(one.loc[0])) if one.at_key and len(one.loc) == 1 else None
            report.add(place, one.message, elsewhere or one.hint)
        wrong |= {str(detail["loc"][0]) for detail in error.errors(include_input=False, include_url=False) if detail["loc"]}
        rest = {key: value for key, value in given.items() if key not in wrong}
        settings = ProjectSettings.model_validate({**_STAND_INS, **rest})
    file = ProjectFile(name, document, (), settings, {}, whole=not wrong, wrong=frozenset(wrong))
    check_file(file, wrong, report)
    return file


def references(name: str, settings: ProjectSettings) -> tuple[str, ...]:
    """The references of a project on each of its hosts, in the order of the work."""
    unit = unit_of(settings)
    units = (f"file:{UNITS}/{unit}",) if unit is not None else ()
    if settings.strategy == "slots":
        return (f"release:{name}", *units, f"slot:{name}/blue", f"slot:{name}/green", f"route:{name}")
    return (f"release:{name}", *units, f"runtime:{name}")


def unit_of(settings: ProjectSettings) -> str | None:
    """The systemd unit file that the project brings."""
    runtime = settings.runtime
    return runtime.systemd.name if isinstance(runtime, RuntimeSettings) and runtime.systemd is not None else None


@dataclass(frozen=True, slots=True)
class _Here:
    """A project on one host."""

    file: ProjectFile
    deployment: Deployment

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def path(self) -> str:
        return self.deployment.path


class Projects:
    """All projects of a fleet."""

    def __init__(
        self,
        files: Mapping[str, ProjectManifest],
        hosts: Mapping[str, Manifest[HostSettings]],
        report: Report,
        zone: tzinfo = UTC,
    ) -> None:
        self._hosts = hosts
        self._zone = zone
        self._report = report
        self._files = [file for file in files.values() if isinstance(file, ProjectFile)]
        self._on: dict[str, list[_Here]] = {}
        self._unsettled = frozenset(
            ref for file in self._files if "deploy" in file.wrong for ref in references(file.name, file.settings)
        )
        """What belongs to projects of which it cannot be said where they go."""
        self.projects = {file.name: self._placed(file) for file in self._files}

    def references(self, host: str) -> frozenset[str]:
        """What the manifests of `host` may name in `needs` and `follows`."""
        here = (ref for one in self._on.get(host, ()) for ref in references(one.name, one.file.settings))
        return self._unsettled.union(here)

    def secrets(self, source: Source) -> tuple[dict[str, bytes], dict[str, str]]:
        """The encrypted files that the projects name, and their blob ids, by path."""
        contents: dict[str, bytes] = {}
        used: dict[str, str] = {}
        for file in self._files:
            for path, place in _encrypted(file):
                try:
                    contents[path] = read_secret(source, path)
                    used[path] = source[path].id
                except Unusable as error:
                    self._report.add(place, str(error), error.hint)
        return contents, used

    def _placed(self, file: ProjectFile) -> Project:
        found: dict[str, Deployment] = {}
        deploys = () if "deploy" in file.wrong else file.settings.deploy
        for index, deploy in enumerate(deploys):
            place = file.where("deploy", index)
            for host in self._meant(file, index, deploy):
                first = found.setdefault(host, Deployment(host, deploy.path, place))
                if first.path != deploy.path:
                    message = f"{visible(file.name)} goes to {host} twice: here to {visible(deploy.path, 60)}"
                    self._report.add(place, message, f"at {first.place} it goes to {visible(first.path, 60)}")
        deployments = tuple(found[host] for host in sorted(found))
        for deployment in deployments:
            self._on.setdefault(deployment.host, []).append(_Here(file, deployment))
        settings = file.settings
        if settings.suspend is not None:
            settings = settings.model_copy(update={"suspend": settings.suspend.within(self._zone)})
        return Project(file.name, file.place, settings, deployments, file.document.place)

    def _meant(self, file: ProjectFile, index: int, deploy: DeploySettings) -> list[str]:
        """The hosts of one item of `deploy`."""
        if deploy.host is not None:
            if deploy.host in self._hosts:
                return [deploy.host]
            message = f"there is no host {visible(deploy.host, 60)}"
            self._report.add(file.where("deploy", index, "host"), message, meant(deploy.host, self._hosts))
            return []
        tag = deploy.tag or ""
        tagged = [name for name, host in self._hosts.items() if tag in host.settings.tags]
        if not tagged and all(host.whole for host in self._hosts.values()):
            tags = {one for host in self._hosts.values() for one in host.settings.tags}
            message = f"no host has the tag {visible(tag, 60)}: it goes nowhere"
            hint = meant(tag, tags, "no host has any tag" if not tags else "")
            self._report.add(file.where("deploy", index, "tag"), message, hint, severity="warning")
        return tagged

    def check(self, host: str, arranged: Iterable[Arranged], *, whole: bool) -> None:
        """What does not go together on one host. `whole`: all that the host is to be could be read."""
        here = self._on.get(host)
        if not here:
            return
        report = Report()
        resources = {one.spec.ref: one for one in arranged}
        for index, one in enumerate(here):
            for other in here[:index]:
                _beside(one, other, report)
            _among(one, resources, report)
            if whole:
                self._needs(one, host, resources.keys(), report)
        if not report:
            _circles(here, resources, report)
        self._report.extend(report, hosts=[host])

    def _needs(self, one: _Here, host: str, declared: Iterable[str], report: Report) -> None:
        known = {*declared, *self.references(host)}
        own = references(one.name, one.file.settings)
        for index, target in enumerate(one.file.settings.needs):
            place = one.file.where("needs", index)
            if target in own:
                report.add(place, f"needs: {visible(target)} is part of this project", "take it out of the list")
            elif not _REFERENCE.match(target):
                message = f'needs: "{visible(target, 60)}" is not the reference of a resource'
                report.add(place, message, "write its kind and its name, as in service:docker")
            elif target not in known:
                hint = meant(target, known, "declare it there, or bring in the bundle that does")
                report.add(place, f"needs: {visible(target)} is not declared on a host that this goes to", hint)


def encrypted_files(settings: ProjectSettings) -> frozenset[str]:
    """The paths of the fleet's encrypted files that a project uses."""
    token = () if settings.token is None else (secret_path(settings.token.secret),)
    return frozenset((*(secret.file for secret in settings.secrets.values()), *token))


def _encrypted(file: ProjectFile) -> Iterator[tuple[str, Place]]:
    """The encrypted files that a project names, and where."""
    for target, secret in file.settings.secrets.items():
        if secret.file.startswith(FOLDER) and secret.file.endswith(ENDING):
            yield secret.file, file.where("secrets", target, "file")
    if file.settings.token is not None:
        yield f"{FOLDER}{file.settings.token.secret}{ENDING}", file.where("token", "secret")


def _beside(one: _Here, other: _Here, report: Report) -> None:
    """Two projects on one host."""
    place, there = one.deployment.place, f"see {other.deployment.place}"
    if one.path == other.path:
        report.add(place, f"{visible(one.name)} and {visible(other.name)} both go to {visible(one.path, 60)}", there)
    elif one.path in ancestors(other.path) or other.path in ancestors(one.path):
        outer, inner = (one, other) if one.path in ancestors(other.path) else (other, one)
        message = f"{visible(inner.name)} would lie inside {visible(outer.name)}, in {visible(inner.path, 60)}"
        report.add(place, message, f"give them folders side by side; {there}")
    mine, others = _ports(one.file), _ports(other.file)
    for port in mine.keys() & others.keys():
        message = f"port {port} is also a slot's port of {visible(other.name)} on the same host"
        report.add(mine[port], message, f"see {others[port]}")
    unit = unit_of(one.file.settings)
    if unit is not None and unit == unit_of(other.file.settings):
        message = f"{visible(other.name)} brings a unit {visible(unit)} too"
        report.add(one.file.where("runtime", "systemd"), message, f"rename one of them; {there}")


def _ports(file: ProjectFile) -> dict[int, Place]:
    slots = file.settings.slots
    if slots is None:
        return {}
    named = (("blue", slots.blue), ("green", slots.green))
    return {slot.port: file.where("slots", name, "port") for name, slot in named}


def _among(one: _Here, resources: Mapping[str, Arranged], report: Report) -> None:
    """A project among the resources of the host's manifests: inside its folder they are neighbours, and otherwise apart."""
    place, name = one.deployment.place, visible(one.name)
    above = {*ancestors(one.path)}
    ours = _reserved(one)
    for ref, resource in resources.items():
        path, spec = resource.ask.path, resource.spec
        if path is None:
            continue
        kind = spec.kind
        hint = f"see {resource.ask.place}"
        if path == one.path and (kind != "directory" or not spec.present):
            wrong = "is to be absent" if not spec.present else f"is declared as a {kind}"
            report.add(place, f"{name} goes to {visible(path, 60)}, which {wrong}", hint)
        elif path == one.path and getattr(spec, "purge", False):
            report.add(place, f"{visible(ref)} is purged, and would be emptied of {name}", f"take out purge; {hint}")
        elif path in above and kind != "directory" and not (kind == "symlink" and spec.present):
            report.add(place, f"{name} would lie in {visible(ref)}, which is no folder", hint)
        elif path in above and not spec.present:
            report.add(place, f"{name} would lie in {visible(ref)}, which is to be absent", hint)
        elif any(path == own or path.startswith(f"{own}/") for own in ours):
            report.add(place, f"{visible(ref)} stands where {name} puts its own", f"move one of them; {hint}")


def _reserved(one: _Here) -> tuple[str, ...]:
    """Paths inside the project's folder that are made anew with every release, and its unit."""
    unit = unit_of(one.file.settings)
    units = (f"{UNITS}/{unit}",) if unit is not None else ()
    match one.file.settings.strategy:
        case "mirror":
            return units
        case "checkout":
            return (*units, f"{one.path}/.git")
    return (*units, f"{one.path}/releases", f"{one.path}/current")


def _circles(here: Iterable[_Here], resources: Mapping[str, Arranged], report: Report) -> None:
    """A project needs a resource that needs the project."""
    edges = {ref: dict.fromkeys(one.needs) for ref, one in resources.items()}
    for one in here:
        refs = references(one.name, one.file.settings)
        for ref in refs:
            edges[ref] = dict.fromkeys((*one.file.settings.needs, refs[0])) if ref != refs[0] else {}
            edges[ref] |= dict.fromkeys(one.file.settings.needs)
    known = {ref: {target: None for target in targets if target in edges} for ref, targets in edges.items()}
    way = circle(known)
    if not way:
        return
    for one in here:
        for index, target in enumerate(one.file.settings.needs):
            if target in way:
                shown = " → ".join(visible(ref) for ref in way)
                report.add(one.file.where("needs", index), f"a circle of needs: {shown}", "take one of them out")
                return
