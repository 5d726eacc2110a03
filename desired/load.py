"""From a `Source` to a `Fleet`: the one way in to the desired state, and the place where the passes of this room meet.

    files      each file on its own: YAML, settings, asks            (kept by blob id)
    merge      bundles and the host's own file: what holds on a host
    graph      references, paths, order                              (once for hosts with the same asks)
    content    files and templates: the bodies                       (one child process for all templates)

Called by every command of `reconciler/` and by the loop, which passes a `Cache` so that a commit costs what it changed. All
mistakes are collected; `Invalid` carries the lot.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from desired.content import ContentCache, Contents
from desired.files import FleetFile, Manifest, Read, read_bundle, read_fleet, read_host, read_hosts, unread
from desired.graph import Arranger
from desired.known_hosts import bad_lines
from desired.memo import Memo
from desired.merge import Bundle, HostFile, Merger, Overlays
from desired.model import Fleet, Host, Invalid, Place, Resource
from desired.policies import Policies
from desired.policy_checks import Named, PolicyChecks, alerts_of, policies_of
from desired.projects import Projects, read_project, unread_project
from desired.render import Context
from desired.report import Report
from desired.schema import BundleSettings, FleetSettings, HostSettings
from desired.secrets.names import read_secret, secret_path
from desired.signatures.check import check_signers
from desired.source import Source, Unusable
from desired.text import visible
from desired.values import selected
from desired.yaml import SIZE_LIMIT, Document, parse

FLEET = "fleet.yaml"
HOSTS = "hosts.yaml"
KNOWN_HOSTS = "hosts/known_hosts"
ALLOWED = "secrets/allow"
FOLDERS = ("hosts", "bundles", "projects", "files", "secrets")
"""The folders that belong to a fleet; others are only read where a manifest names a file in them."""

READ_FOLDERS = ("hosts", "bundles", "projects")
"""Those that are read of themselves."""

ReadT = TypeVar("ReadT")


@dataclass
class Cache:
    """What one load leaves for the next in the same process. Not for two loads at once."""

    files: Memo[tuple[str, str], Any] = field(default_factory=Memo)
    """Path and blob id → what the file said."""
    overlays: Overlays = field(default_factory=Overlays)
    arranger: Arranger = field(default_factory=Arranger)
    contents: ContentCache = field(default_factory=ContentCache)

    def turn(self) -> None:
        """Forgets what the load before the last used and the last one did not."""
        self.files.turn()
        self.overlays.turn()
        self.arranger.turn()
        self.contents.turn()


def load(source: Source, *, cache: Cache | None = None, now: datetime | None = None) -> Fleet:
    """The whole desired state in `source`. Raises `Invalid` with every mistake that was found, in order of place. `now` decides
    nothing but whether it is told that a suspension is over."""
    cache = cache or Cache()
    collecting = gc.isenabled()
    gc.disable()  # a load makes many small objects that all stay: looking for garbage among them would double its time
    try:
        return _Loader(source, cache, now or datetime.now(UTC)).load()
    finally:
        cache.turn()
        if collecting:
            gc.enable()


class _Loader:
    """One load. The methods stand in the order in which they run."""

    def __init__(self, source: Source, cache: Cache, now: datetime) -> None:
        self._source = source
        self._cache = cache
        self._now = now
        self._report = Report()
        self._tree: dict[str, str] = {}
        self._secrets: dict[str, bytes] = {}

    def load(self) -> Fleet:
        self._check_names()
        fleet = self._fleet()
        settings = fleet.settings
        hosts = self._hosts()
        bundles = self._bundles()
        known_hosts = self._known_hosts()
        policies = policies_of(settings)
        projects = self._projects(hosts, policies)
        merger = Merger(bundles, settings.vars, self._cache.overlays, self._report)
        resources = self._resources(hosts, merger, fleet, projects)
        secrets, encrypted = projects.secrets(self._source)
        self._tree.update(encrypted)
        self._secrets.update(secrets)
        self._alert_secrets(fleet)
        self._tree.update(check_signers(self._source, fleet, self._report))
        self._policies(fleet, policies, hosts, projects, resources)
        allowed = self._allowed()
        found = tuple(self._report)
        if any(diagnostic.severity == "error" for diagnostic in found):
            raise Invalid(found)
        return Fleet(
            commit=self._source.commit,
            hosts={
                name: _host(hosts[name], settings, policies, variables, filled)
                for name, (variables, filled) in resources.items()
            },
            known_hosts=known_hosts,
            max_deletions=settings.max_deletions,
            settings=_plain(settings),
            policies=policies,
            interval=settings.interval,
            poll=settings.poll,
            alerts=alerts_of(settings),
            keep=settings.history.keep,
            warnings=found,
            tree=dict(sorted(self._tree.items())),
            projects=projects.projects,
            secrets=dict(sorted(self._secrets.items())),
            allowed=allowed,
        )

    def _check_names(self) -> None:
        """Hostile names are a mistake where we read; elsewhere in the repository they are none of our business."""
        for odd in self._source.odd:
            path = f"{odd.folder}/{odd.name}".removeprefix("/")
            if path.split("/")[0] in (*FOLDERS, FLEET, HOSTS):
                self._report.add(Place(visible(path, 200)), f"{odd.reason} cannot be used here", "rename it")
        for folder in READ_FOLDERS:
            if folder in self._source:
                self._report.add(Place(folder), "this has to be a folder", "links and submodules are not followed")
        for file in (FLEET, HOSTS):
            if file not in self._source and self._source.under(f"{file}/"):
                self._report.add(Place(file), "this has to be a file", "it is a folder")
            if (other := file.replace(".yaml", ".yml")) in self._source:
                self._report.add(Place(other), f"this is read by the name {file}", f"rename the file to {file}")

    def _fleet(self) -> FleetFile:
        if FLEET not in self._source:
            if not (self._report.errors or any(path == HOSTS or path.startswith("hosts/") for path in self._source)):
                message = "this is no fleet repository: there is neither fleet.yaml nor hosts/"
                below = next((path.removesuffix(f"/{FLEET}") for path in self._source if path.endswith(f"/{FLEET}")), "")
                hint = f"there is one in {visible(below)}: name it with -C" if below else "begin one with an empty fleet.yaml"
                self._report.add(Place(FLEET), message, hint)
            return FleetFile()
        read = self._file(FLEET, read_fleet)
        if read is None:
            return FleetFile(whole=False)
        self._report.extend(read.report)
        return read

    def _hosts(self) -> dict[str, HostFile]:
        reads: list[Read[HostSettings]] = []
        for path, name in self._yaml_files("hosts"):
            read = self._file(path, partial(read_host, name=name))
            reads.append(read or Read([unread(path, name, HostSettings)]))
        if HOSTS in self._source and (read := self._file(HOSTS, read_hosts)):
            reads.append(read)
        hosts = self._named(reads)
        if not hosts and not self._report.errors:
            self._report.add(Place(FLEET), "the fleet has no hosts", "describe one in hosts/NAME.yaml", severity="warning")
        return dict(sorted(hosts.items()))

    def _bundles(self) -> dict[str, Bundle]:
        reads: list[Read[BundleSettings]] = []
        for path, name in self._yaml_files("bundles"):
            read = self._file(path, partial(read_bundle, name=name))
            reads.append(read or Read([unread(path, name, BundleSettings)]))
        return self._named(reads)

    def _named(self, reads: Iterable[Read[Any]]) -> dict[str, Manifest[Any]]:
        """The hosts or bundles by name; two whose names differ in their case at most are one too many."""
        named: dict[str, Manifest[Any]] = {}
        lowered: dict[str, Manifest[Any]] = {}
        for read in reads:
            self._report.extend(read.report)
            for manifest in read.manifests:
                if first := lowered.get(manifest.name.lower()):
                    other = "" if first.name == manifest.name else f" (as {first.name})"
                    self._report.add(
                        manifest.place, f"{manifest.name} is already described at {first.place}{other}", "delete one"
                    )
                    continue
                named[manifest.name] = lowered[manifest.name.lower()] = manifest
        return named

    def _yaml_files(self, folder: str) -> list[tuple[str, str]]:
        """Path and name of the manifests in a folder. What looks like one but would not be read is a mistake."""
        found = []
        for path in self._source.under(f"{folder}/"):
            name, dot, ending = path.removeprefix(f"{folder}/").rpartition(".")
            if ending == "yaml" and dot and "/" not in name:
                found.append((path, name))
            elif ending == "yaml" or ".yaml/" in path:
                self._report.add(
                    Place(visible(path)), f"files in subfolders of {folder}/ are not read", f"move it to {folder}/"
                )
            elif ending == "yml":
                self._report.add(Place(visible(path)), f"{folder}/ is read by the ending .yaml", "rename the file to .yaml")
        return found

    def _file(self, path: str, read: Callable[[Document], ReadT]) -> ReadT | None:
        """What `read` makes of a YAML file, or what it made of the same blob before."""
        try:
            entry = self._source.check(path, SIZE_LIMIT)
            self._tree[path] = entry.id
            key = (path, entry.id)
            known: ReadT | None = self._cache.files.get(key)
            if known is None:
                known = read(parse(self._source.read(path), path))
                self._cache.files.put(key, known)
            return known
        except Unusable as error:
            self._report.add(Place(path), str(error), error.hint)
            return None

    def _known_hosts(self) -> str:
        if KNOWN_HOSTS not in self._source:
            return ""
        try:
            data = self._source.read(KNOWN_HOSTS)
            self._tree[KNOWN_HOSTS] = self._source[KNOWN_HOSTS].id
            text = data.decode()
            for line, reason in bad_lines(text):
                hint = "ssh-keyscan -t ed25519 HOST prints such lines"
                self._report.add(Place(KNOWN_HOSTS, line, 1), f"pins nothing: {reason}", hint, severity="warning")
            return text
        except Unusable as error:
            self._report.add(Place(KNOWN_HOSTS), str(error), error.hint)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self._report.add(Place(KNOWN_HOSTS, line, 1), "the line is not UTF-8", "host keys are plain ASCII")
        return ""

    def _allowed(self) -> bytes:
        if ALLOWED not in self._source:
            return b""
        try:
            data = self._source.read(ALLOWED)
        except Unusable as error:
            self._report.add(Place(ALLOWED), str(error), error.hint)
            return b""
        self._tree[ALLOWED] = self._source[ALLOWED].id
        return data

    def _projects(self, hosts: Mapping[str, HostFile], policies: Policies) -> Projects:
        reads: list[Read[Any]] = []
        for path, name in self._yaml_files("projects"):
            read = self._file(path, partial(read_project, name=name))
            reads.append(read or Read([unread_project(path, name)]))
        return Projects(self._named(reads), hosts, self._report, policies.timezone)

    def _alert_secrets(self, fleet: FleetFile) -> None:
        """Whether the secrets of alerts are there; they are opened when something is told."""
        for name, place in fleet.secrets.items():
            try:
                path = secret_path(name)
                self._secrets[path] = read_secret(self._source, path)
                self._tree[path] = self._source[path].id
            except Unusable as error:
                self._report.add(place, str(error), error.hint)

    def _policies(
        self,
        fleet: FleetFile,
        policies: Policies,
        hosts: Mapping[str, HostFile],
        projects: Projects,
        resources: Mapping[str, tuple[Mapping[str, Any], tuple[Resource, ...]]],
    ) -> None:
        refs: set[str] = set()
        if policies.ignore:  # nothing else names resources
            refs.update(resource.ref for _, filled in resources.values() for resource in filled)
            refs.update(ref for name in hosts for ref in projects.references(name))
        named = Named(hosts, projects.projects, refs, whole=not self._report.errors)
        checks = PolicyChecks(named, policies, self._now, self._report)
        checks.fleet(fleet)
        for host in hosts.values():
            checks.suspension(host.settings.suspend, host.where("suspend", "until"), f"host {host.name}")
        for project in projects.projects.values():
            checks.suspension(project.settings.suspend, project.where(("suspend", "until")), f"project {project.name}")

    def _resources(
        self, hosts: Mapping[str, HostFile], merger: Merger, fleet: FleetFile, projects: Projects
    ) -> dict[str, tuple[Mapping[str, Any], tuple[Resource, ...]]]:
        """Variables and resources of every host."""
        arrangements = {}
        doubtful = set()
        for name, host in hosts.items():
            asks = merger.asks(host)
            for problem in {problem for ask in asks for problem in ask.problems}:
                self._report.add(problem.place, problem.message, problem.hint)
            arrangement = self._cache.arranger.arrange(asks, projects.references(name))
            arrangements[name] = arrangement
            self._report.extend(arrangement.report, hosts=[name])
            if merger.whole(host):
                self._report.extend(arrangement.missing, hosts=[name])
            else:
                doubtful.add(name)
            projects.check(name, arrangement.resources, whole=name not in doubtful)
        variables = {name: merger.vars(host) for name, host in hosts.items()}
        contents = Contents(self._source, self._cache.contents, self._report, doubtful if fleet.whole else hosts)
        filled = contents.fill(arrangements, lambda: _context(hosts, variables, fleet.settings))
        self._tree.update(contents.used)
        self._secrets.update(contents.secrets)
        return {name: (variables[name], filled[name]) for name in hosts}


def _context(hosts: Mapping[str, HostFile], variables: Mapping[str, Any], settings: FleetSettings) -> Context:
    """What templates see. No facts: what a host says about itself never decides what it should be."""
    views = {
        name: {
            "name": name,
            "address": str(host.settings.address),
            "tags": list(host.settings.tags),
            "vars": variables[name],
        }
        for name, host in hosts.items()
    }
    return Context(views, settings.vars)


def _plain(settings: FleetSettings) -> dict[str, Any]:
    """Every setting with its value; what is inside of them, as it was written."""
    written = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {**settings.model_dump(mode="json", by_alias=True), **written}


def _host(
    file: HostFile,
    settings: FleetSettings,
    policies: Policies,
    variables: Mapping[str, Any],
    resources: tuple[Resource, ...],
) -> Host:
    own = file.settings
    return Host(
        name=file.name,
        place=file.place,
        address=own.address,
        become=own.become,
        jump=own.jump,
        identity=own.identity,
        inventory=own.inventory,
        tags=own.tags,
        availability=own.availability,
        sync=own.sync or settings.sync,
        interval=own.interval,
        away_after=own.away_after,
        suspend=own.suspend.within(policies.timezone) if own.suspend is not None else None,
        ignore=tuple(rule for rule in policies.ignore if selected(rule.hosts, file.name, own.tags)),
        vars=variables,
        resources=resources,
    )
