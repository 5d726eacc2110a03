"""What is really deployed, and how the hosts are, as lines and as JSON documents: for `project check`, `project list` and
`status`. docs/deploying.md describes every field of the documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from desired.project import Project
from reconciler.check import Deployed, HostReport, Verdict, paths_words
from reconciler.errors import Exit
from reconciler.render.lines import BLANK, Line, Span, Style, cells, line
from reconciler.render.times import moment
from reconciler.render.words import short
from reconciler.text import plural, visible

_VERDICTS: Mapping[Verdict, tuple[str, Style]] = MappingProxyType(
    {
        "equal": ("✓ ", "green"),
        "differs": ("✗ ", "red"),
        "missing": ("✗ ", "red"),
        "unknown": ("? ", "alarm"),
        "unreachable": ("✗ ", "red"),
        "away": ("· ", "dim"),
    }
)


def check_lines(reports: Sequence[Deployed]) -> Iterator[Line]:
    """Projects in order, each with its hosts."""
    for name, group in groupby(reports, key=lambda report: report.project):
        hosts = list(group)
        wanted = next((report.wanted for report in hosts if report.wanted), None)
        yield line((name, "bold"), f"  {_wanted_words(hosts[0].revision, wanted)}")
        for report in hosts:
            yield from deployed_lines(report)
        yield BLANK
    yield line(_summary(reports))


def _wanted_words(revision: str, wanted: str | None) -> str:
    if wanted is None:
        return f"{revision}, which could not be resolved"
    return f"commit {short(wanted)}" if wanted.startswith(revision) else f"{revision}, which is commit {short(wanted)}"


def deployed_lines(report: Deployed) -> Iterator[Line]:
    """One host of a project."""
    sign, style = _VERDICTS[report.verdict]
    there = f"  {short(report.commit)}" if report.commit else ""
    parts: list[str | Span] = [(sign, style), (report.host, "bold"), there, (f"  {_verdict_words(report)}", style)]
    yield line(*parts, indent=2, hang=4)
    if report.slots:
        yield line((slot_words(report), "dim"), indent=6)
    for words in report.drift:
        yield line(("drift: ", "yellow"), words, indent=6)
    if report.added:
        yield line((f"not the project's, left alone: {paths_words(report.added)}", "dim"), indent=6)
    if report.reason and report.verdict not in ("unreachable", "away", "missing"):
        yield line(report.reason, indent=6)
    if report.due:
        yield line((f"the next apply changes {', '.join(report.due)}", "dim"), indent=6)
    if report.quarantine:
        yield line((f"{plural(report.quarantine, 'release')} in quarantine there: failed a smoke test", "yellow"), indent=6)
    if report.hint:
        yield line((report.hint, "dim"), indent=6)


def _verdict_words(report: Deployed) -> str:
    match report.verdict:
        case "equal":
            return "as in the source"
        case "missing":
            return "not deployed there"
        case "unreachable" | "away":
            return f"{report.verdict}: {report.reason}"
        case "unknown":
            known = report.commit is not None and report.commit == report.wanted
            return "the right commit, but whether it is in order cannot be told" if known else "it cannot be told what is there"
    if report.commit == report.wanted:
        return "the right commit, but not as we left it" if report.drift else "the right commit, but not finished"
    return distance_words(report) or "another commit"


def distance_words(report: Deployed) -> str:
    """`3 commits behind`, `1 commit ahead`, or both."""
    parts = []
    if report.behind:
        parts.append(f"{plural(report.behind, 'commit')} behind")
    if report.ahead:
        parts.append(f"{plural(report.ahead, 'commit')} ahead")
    return " and ".join(parts)


def slot_words(report: Deployed) -> str:
    """`green has the traffic (1a2b3c4d5e); blue: 214f930e56, stopped`."""
    words = []
    for slot in sorted(report.slots, key=lambda slot: not slot.traffic):
        holds = short(slot.commit) if slot.commit else "empty" if slot.tree is None else "an earlier release"
        running = "" if slot.running is None else ", running" if slot.running else ", stopped"
        words.append(f"{slot.slot} has the traffic: {holds}{running}" if slot.traffic else f"{slot.slot}: {holds}{running}")
    return "; ".join(words)


def _summary(reports: Sequence[Deployed]) -> Span:
    good = sum(report.verdict == "equal" for report in reports)
    away = sum(report.verdict == "away" for report in reports)
    aside = f", {away} away" if away else ""
    style: Style = "green" if good + away == len(reports) else "bold"
    return (f"{good} of {plural(len(reports), 'deployment')} as in the source{aside}.", style)


def check_document(commit: str | None, reports: Sequence[Deployed], code: Exit) -> dict[str, Any]:
    return {
        "format": 1,
        "commit": commit,
        "projects": [report.model_dump() for report in reports],
        "exit_code": int(code),
    }


def list_lines(projects: Iterable[Project]) -> Iterator[Line]:
    """One line per project."""
    rows = [(project.name, project.settings.revision, project.settings.strategy, _where(project)) for project in projects]
    if not rows:
        yield line(("no projects", "dim"), ": describe one in projects/NAME.yaml")
    yield from _table(rows)


def _where(project: Project) -> str:
    places = [f"{place.host}:{place.path}" for place in project.deployments]
    return ", ".join(places) or "nowhere"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[Line]:
    """Columns as wide as what stands in them; the first is the name."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(cells(row[column]) for row in shown) for column in range(len(shown[0]))] if shown else []
    for name, *rest in shown:
        padded = [cell + " " * (width - cells(cell)) for cell, width in zip([name, *rest], widths, strict=True)]
        yield line((padded[0], "bold"), "  ", "  ".join(padded[1:]).rstrip())


def list_document(commit: str | None, projects: Iterable[Project]) -> dict[str, Any]:
    return {
        "format": 1,
        "commit": commit,
        "projects": [
            {
                "project": project.name,
                "file": project.place.file,
                "source": project.settings.source,
                "revision": project.settings.revision,
                "strategy": project.settings.strategy,
                "active": project.settings.slots.active if project.settings.slots is not None else None,
                "hosts": [{"host": place.host, "path": place.path} for place in project.deployments],
            }
            for project in projects
        ],
    }


def status_lines(commit: str | None, hosts: Sequence[HostReport], projects: Sequence[Deployed]) -> Iterator[Line]:
    """Hosts first, then what is deployed on them."""
    yield line(("Fleet", "bold"), f" at commit {short(commit)}, {plural(len(hosts), 'host')}")
    yield BLANK
    width = max((cells(visible(host.host)) for host in hosts), default=0)
    for host in hosts:
        gap = " " * (width - cells(visible(host.host)))
        words, style = _host_words(host)
        yield line((host.host, "bold"), f"{gap}  ", (words, style), (_past_words(host, commit), "dim"))
        yield from (line((reason, "dim"), indent=4, hang=2) for reason in _held_words(host))
        yield from (line(("! ", "yellow"), (warning, "yellow"), indent=2, hang=4) for warning in host.warnings)
    for name, group in groupby(projects, key=lambda report: report.project):
        reports = list(group)
        yield BLANK
        yield line((name, "bold"), f"  {_wanted_words(reports[0].revision, reports[0].wanted)}")
        for report in reports:
            yield from deployed_lines(report)


def _past_words(host: HostReport, commit: str | None) -> str:
    """How far it is behind, and what the loop remembers of it."""
    parts = [f"since {moment(host.since)}"] if host.since else []
    if host.state in ("unreachable", "away") and host.seen is not None:
        parts.append(f"last seen {moment(host.seen)}")
    if host.applied and host.applied != commit:
        parts.append(f"behind by {plural(host.behind, 'commit')}" if host.behind else "not at the fleet's commit")
        parts.append(f"applied {short(host.applied)}")
    return f"  {', '.join(parts)}" if parts else ""


def _held_words(host: HostReport) -> Iterator[str]:
    """Why things are held back; and that the host is suspended, also where nothing differs."""
    yield from (f"held back: {reason}" for reason in host.reasons)
    if host.suspended and host.suspended not in host.reasons:
        yield host.suspended


def _host_words(host: HostReport) -> tuple[str, Style]:
    if host.state in ("unreachable", "away"):
        return f"{host.state}: {host.reason}", "dim" if host.state == "away" else "red"
    parts = []
    if host.drift:
        parts.append(f"drift in {', '.join(host.drift[:3])}" + (f" and {len(host.drift) - 3} more" if host.drift[3:] else ""))
    if host.changes:
        parts.append(plural(host.changes, "change") + " to apply")
    if host.held:
        parts.append(f"{host.held} held back")
    if host.unknown:
        parts.append(f"{host.unknown} unknown")
    if not parts:
        return f"converged, {plural(host.resources, 'resource')}", "green"
    return ", ".join(parts), "yellow"


def status_document(
    commit: str | None, hosts: Sequence[HostReport], projects: Sequence[Deployed], code: Exit
) -> dict[str, Any]:
    return {
        "format": 1,
        "commit": commit,
        "hosts": [host.model_dump() for host in hosts],
        "projects": [report.model_dump() for report in projects],
        "exit_code": int(code),
    }
