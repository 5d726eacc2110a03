"""The fleet as the loop saw it last, as lines and as a JSON document: for `reconcile status --last`. docs/history.md describes
every field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.errors import Exit
from reconciler.loop.view import HostStatus, HostView, LoopView, ProjectView
from reconciler.render.lines import BLANK, Line, Style, cells, line
from reconciler.render.times import ago, moment, span
from reconciler.render.words import short
from reconciler.text import plural, visible

LONG_AGO = 600.0
"""Seconds after which it is worth telling when a host that is well was seen."""
_STYLES: Mapping[HostStatus, Style] = MappingProxyType(
    {
        "converged": "green",
        "drifted": "red",
        "failed": "red",
        "unreachable": "red",
        "away": "dim",
        "suspended": "dim",
    }
)


def view_lines(view: LoopView, now: float) -> Iterator[Line]:
    """Hosts first, then what is deployed on them."""
    source = view.source
    subject = f" ({source.subject})" if source.subject else ""
    yield line(("Fleet", "bold"), f" at commit {short(source.commit)}{subject}, {plural(len(view.hosts), 'host')}")
    yield line((f"as the loop saw it {ago(view.turned, now)}; it follows {_followed(view)}", "dim"), indent=2)
    if source.problem:
        yield line(("! ", "yellow"), (source.problem, "yellow"), indent=2, hang=4)
    yield BLANK
    width = max((cells(visible(host.host)) for host in view.hosts), default=0)
    for host in view.hosts:
        yield from _host_lines(host, width, now)
    projects = dict.fromkeys(one.project for host in view.hosts for one in host.projects)
    for name in projects:
        yield BLANK
        yield line((name, "bold"))
        for host in view.hosts:
            for one in host.projects:
                if one.project == name:
                    yield _project_line(host, one)


def _followed(view: LoopView) -> str:
    return f"{view.source.branch} of {view.source.url}" if view.source.branch else view.source.url or "no repository yet"


def _host_lines(host: HostView, width: int, now: float) -> Iterator[Line]:
    gap = " " * (width - cells(visible(host.host)))
    style = _STYLES.get(host.status, "yellow")
    yield line((host.host, "bold"), f"{gap}  ", (_host_words(host), style), (_time_words(host, now), "dim"), hang=width + 2)
    indent = width + 2
    if host.behind:
        applied = f": applied {short(host.commit)}" if host.commit else ""
        yield line((f"behind by {plural(host.behind, 'commit')}{applied}", "dim"), indent=indent)
    if host.suspended:
        yield line((host.suspended, "dim"), indent=indent)
    yield from (line((f"held back: {reason}", "dim"), indent=indent) for reason in host.reasons if reason != host.suspended)
    if host.problem and host.hint:
        yield line((host.hint, "dim"), indent=indent)


def _host_words(host: HostView) -> str:
    if host.problem:
        return f"{host.status}: {host.problem}"
    counts = ((host.drifted, "drifted"), (host.pending, "pending"), (host.held, "held back"), (host.unknown, "unknown"))
    parts = [f"{count} {word}" for count, word in counts if count and word != host.status]
    if host.status == "drifted":
        parts.insert(0, f"{host.drifted} drifted" if host.drifted else "drifted")
    elif host.status == "unknown" and host.tried is None:
        parts.insert(0, "not asked yet")
    else:
        parts.insert(0, host.status)
    if host.status == "converged" and not parts[1:]:
        parts.append(plural(host.resources, "resource"))
    return ", ".join(part for number, part in enumerate(parts) if part not in parts[:number])


def _time_words(host: HostView, now: float) -> str:
    since = f"since {moment(host.since)} ({span(now - host.since)})" if host.since else ""
    gone = host.status in ("unreachable", "away") or (host.seen is not None and now - host.seen > LONG_AGO)
    seen = "" if not gone else "never seen" if host.seen is None else f"last seen {ago(host.seen, now)}"
    return "".join(f"; {part}" for part in (since, seen) if part)


def _project_line(host: HostView, one: ProjectView) -> Line:
    commit = f"  {short(one.deployed)}" if one.deployed else ""
    behind = f", behind by {plural(one.behind, 'commit')}" if one.behind else ""
    slot = f", {one.slot} has the traffic" if one.slot else ""
    style: Style = "green" if one.status == "current" else "red" if one.status in ("failed", "quarantined") else "yellow"
    return line((host.host, "bold"), commit, (f"  {one.status}", style), f"{behind}{slot}", indent=2)


def view_document(view: LoopView, code: Exit) -> dict[str, Any]:
    return {"format": 1, "last": view.model_dump(), "exit_code": int(code)}
