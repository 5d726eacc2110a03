"""What lies between two commits, host by host: for `reconcile diff REV1 REV2`, without asking a single machine.

Two loaded fleets go in, plain data comes out; the words and colours are found in `reconciler/`. What only the file in the
repository changed, and not what it asks for (a comment, another order), is no difference here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from desired.model import Fleet, Host, Place, Resource
from desired.project import Project
from desired.projects import encrypted_files
from providers import diffs
from providers.base import Detail, Spec
from providers.sealed import SealableSpec

Action = Literal["add", "remove", "change"]
_NOT_SETTINGS = {"name", "place", "resources", "vars", "ignore"}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that is another one now. None: not given."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource that one of the two commits asks for differently, or not at all."""

    ref: str
    action: Action
    place: Place
    """Where the newer commit asks for it; where the older one did, if it is removed."""
    fields: tuple[FieldChange, ...] = ()
    content: Detail | None = None
    """How the content differs; None when it does not."""


@dataclass(frozen=True, slots=True)
class HostChange:
    """One host that changes. An added or removed one comes with all its resources."""

    name: str
    action: Action
    settings: tuple[FieldChange, ...] = ()
    resources: tuple[ResourceChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """One project of which the two commits say different things. What its revisions hold is known to its source alone."""

    name: str
    action: Action
    place: Place
    """Of its revision, in the newer commit; in the older one, if it is removed."""
    hosts: tuple[str, ...]
    """Where it goes; where it went, if it is removed."""
    fields: tuple[FieldChange, ...] = ()
    secrets: tuple[str, ...] = ()
    """Encrypted files that it uses and that are other ones now."""


@dataclass(frozen=True, slots=True)
class Comparison:
    old: str | None
    """The commits; None for the working tree."""
    new: str | None
    hosts: tuple[HostChange, ...] = ()
    projects: tuple[ProjectChange, ...] = ()
    settings: tuple[FieldChange, ...] = ()
    """Settings of fleet.yaml."""
    known_hosts: bool = False
    """Whether the pinned host keys changed."""

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.hosts or self.projects or self.settings or self.known_hosts)


def compare(old: Fleet, new: Fleet) -> Comparison:
    """What `new` asks for and `old` did not, and the other way round."""
    changes = (_host(name, old.hosts.get(name), new.hosts.get(name)) for name in sorted(old.hosts.keys() | new.hosts.keys()))
    projects = (_project(name, old, new) for name in sorted(old.projects.keys() | new.projects.keys()))
    return Comparison(
        old=old.commit,
        new=new.commit,
        hosts=tuple(change for change in changes if change),
        projects=tuple(change for change in projects if change),
        settings=tuple(_mappings(_masked(old.settings), _masked(new.settings))),
        known_hosts=old.known_hosts != new.known_hosts,
    )


def _host(name: str, old: Host | None, new: Host | None) -> HostChange | None:
    before = {resource.ref: resource for resource in (old.resources if old else ())}
    after = {resource.ref: resource for resource in (new.resources if new else ())}
    resources = tuple(
        change for ref in sorted(before.keys() | after.keys()) if (change := _resource(ref, before.get(ref), after.get(ref)))
    )
    if old is None or new is None:
        return HostChange(name, "remove" if new is None else "add", resources=resources)
    settings = tuple(_mappings(_settings(old), _settings(new)))
    return HostChange(name, "change", settings, resources) if settings or resources else None


def _project(name: str, old: Fleet, new: Fleet) -> ProjectChange | None:
    before, after = old.projects.get(name), new.projects.get(name)
    there = after or before
    assert isinstance(there, Project)
    place, hosts = there.where(("revision",)), tuple(one.host for one in there.deployments)
    if before is None or after is None:
        return ProjectChange(name, "add" if before is None else "remove", place, hosts)
    fields = tuple(_mappings(_project_settings(before), _project_settings(after)))
    used = encrypted_files(before.settings) & encrypted_files(after.settings)
    secrets = tuple(sorted(path for path in used if old.tree.get(path) != new.tree.get(path)))
    return ProjectChange(name, "change", place, hosts, fields, secrets) if fields or secrets else None


def _project_settings(project: Project) -> dict[str, Any]:
    """What a project's file says, as plain data; where it goes as the hosts that are meant by it."""
    values = project.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"deploy"})
    return _flat(values) | {"deploy": [f"{one.host} {one.path}" for one in project.deployments]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Mappings in mappings as one: `slots.blue.port`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _settings(host: Host) -> dict[str, Any]:
    """A host's settings as plain data."""
    values = {field.name: getattr(host, field.name) for field in fields(host) if field.name not in _NOT_SETTINGS}
    values["address"] = str(host.address)
    values["jump"] = [str(hop) for hop in host.jump]
    values["tags"] = list(host.tags)
    values["suspend"] = host.suspend.model_dump(mode="json", exclude_defaults=True) if host.suspend is not None else None
    return values | {"vars": dict(host.vars)}


def _masked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the addresses of alerts, which may hold a token: only their scheme is shown."""
    alerts = [
        alert | {"url": f"{alert['url'].partition('://')[0]}://…"} if isinstance(alert.get("url"), str) else alert
        for alert in settings.get("alerts", ())
    ]
    return {**settings, "alerts": alerts}


def _mappings(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[FieldChange]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if name == "vars" and not prefix:
            yield from _mappings(before or {}, after or {}, "vars.")
        elif before != after or type(before) is not type(after):
            yield FieldChange(prefix + name, before, after)


def _resource(ref: str, old: Resource | None, new: Resource | None) -> ResourceChange | None:
    if old is None or new is None:
        there = new or old
        assert there is not None
        return ResourceChange(ref, "add" if old is None else "remove", there.place)
    if old.spec is new.spec or old.spec == new.spec:
        return None
    changed = tuple(_mappings(_plain(old.spec), _plain(new.spec)))
    return ResourceChange(ref, "change", new.place, changed, _content(ref, old.spec, new.spec))


def _plain(spec: Spec) -> dict[str, Any]:
    """The fields as they are written in a manifest, without the name and without an inline content."""
    hidden = {"name", "content"} if spec.body is not None else {"name"}
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=hidden)


def _content(ref: str, old: Spec, new: Spec) -> Detail | None:
    """How the bodies differ; without their text where not everybody may read the file on the host, or where one is secret."""
    if (sealed := [one.sealed for one in (old, new) if isinstance(one, SealableSpec)]) and sealed[0] != sealed[-1]:
        return Detail(notes=("content differs (not shown: a secret)",))
    if old.body == new.body:
        return None
    if closed := next((mode for mode in (_mode(old), _mode(new)) if mode and not int(mode, 8) & 0o004), None):
        return Detail(notes=(f"content differs (not shown: mode {closed})",))
    detail = diffs.compare(ref, old.body or b"", new.body or b"")
    return Detail(diff=(f"--- {ref} (old)", f"+++ {ref} (new)", *detail.diff[2:]) if detail.diff else (), notes=detail.notes)


def _mode(spec: Spec) -> str | None:
    mode = getattr(spec, "mode", None)
    return mode if isinstance(mode, str) else None
