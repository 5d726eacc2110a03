"""What lies between two commits, as lines and as a JSON document: for `reconcile diff`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from desired.compare import Action, Comparison, FieldChange, HostChange, ProjectChange, ResourceChange
from desired.text import listing
from reconciler.render.lines import BLANK, Line, Style, line
from reconciler.render.terminal import diff_lines
from reconciler.render.words import short
from reconciler.text import plural
from reconciler.wording import field_words

_SIGNS: Mapping[Action, tuple[str, Style]] = MappingProxyType(
    {"add": ("+ ", "green"), "change": ("~ ", "yellow"), "remove": ("- ", "red")}
)


def comparison_lines(comparison: Comparison, *, diff: bool = True) -> Iterator[Line]:
    """Settings first, then host by host."""
    yield line(("Between", "bold"), f" commit {short(comparison.old)} and {_newer(comparison)}")
    yield BLANK
    if comparison.settings:
        yield line(("fleet.yaml", "bold"))
        yield from _fields(comparison.settings, 2)
        yield BLANK
    if comparison.known_hosts:
        yield line(("hosts/known_hosts", "bold"), ": the pinned host keys differ")
        yield BLANK
    for project in comparison.projects:
        yield from _project(project)
        yield BLANK
    for host in comparison.hosts:
        yield from _host(host, diff=diff)
        yield BLANK
    yield line((_summary(comparison), "bold" if comparison else "green"))


def _newer(comparison: Comparison) -> str:
    return f"commit {short(comparison.new)}" if comparison.new else "the working tree"


def _host(host: HostChange, *, diff: bool) -> Iterator[Line]:
    sign, style = _SIGNS[host.action]
    if host.action == "change":
        yield line((host.name, "bold"))
    else:
        word = "new host" if host.action == "add" else "no longer in the fleet: nothing on the host itself is touched"
        yield line((sign, style), (host.name, "bold"), (f"  {word}", style))
    yield from _fields(host.settings, 2)
    for resource in host.resources:
        yield from _resource(resource, diff=diff)


def _project(project: ProjectChange) -> Iterator[Line]:
    sign, style = _SIGNS[project.action]
    words = {
        "add": f"new project, on {listing(project.hosts) or 'no host'}",
        "change": f"on {listing(project.hosts) or 'no host'}",
        "remove": f"no longer in the fleet: what it installed on {listing(project.hosts)} is removed" if project.hosts else "",
    }
    yield line(
        (sign, style),
        ("project ", "bold"),
        (project.name, "bold"),
        f"  {words[project.action]}",
        (f"  {project.place}", "dim"),
        hang=2,
    )
    yield from _fields(project.fields, 6)
    for path in project.secrets:
        yield line(f"{path}: another secret (not shown)", indent=6)


def _resource(resource: ResourceChange, *, diff: bool) -> Iterator[Line]:
    sign, style = _SIGNS[resource.action]
    yield line((sign, style), (resource.ref, "bold"), (f"  {resource.place}", "dim"), indent=2, hang=4)
    yield from _fields(resource.fields, 6)
    if resource.content is not None:
        yield from (line(note, indent=6) for note in resource.content.notes)
        if diff:
            yield from diff_lines(resource.content.diff)


def _fields(changes: tuple[FieldChange, ...], indent: int) -> Iterator[Line]:
    for change in changes:
        name, before, after = field_words(change.field, change.old, change.new)
        yield line(f"{name}: ", (before, "red"), " → ", (after, "green"), indent=indent)


def _summary(comparison: Comparison) -> str:
    if not comparison:
        return "No difference in what is asked for."
    counts = {action: sum(one.action == action for host in comparison.hosts for one in host.resources) for action in _SIGNS}
    words = {"add": "added", "change": "changed", "remove": "removed"}
    parts = [f"{count} {words[action]}" for action, count in counts.items() if count]
    told = []
    if comparison.projects:
        told.append(plural(len(comparison.projects), "project differs", "projects differ"))
    if comparison.hosts:
        resources = f"{', '.join(parts)} on " if parts else "settings of "
        told.append(f"{resources}{plural(len(comparison.hosts), 'host')}")
    return f"{'; '.join(told)}." if told else "Settings of the fleet changed."


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    return {"format": 1, **asdict(comparison)}
