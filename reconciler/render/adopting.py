"""What `reconcile adopt` found on a host and did there, as lines and as a JSON document (docs/adopt-and-pull.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciler.adopt.report import NearestReport, Report
from reconciler.check import paths_words
from reconciler.errors import Exit
from reconciler.render.lines import Line, Style, line
from reconciler.render.words import short
from reconciler.text import plural, shorten

_SUBJECT = 60


def adopt_document(commit: str | None, reports: Sequence[Report], code: Exit) -> dict[str, Any]:
    return {"format": 1, "commit": commit, "hosts": [report.model_dump() for report in reports], "exit_code": int(code)}


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def found_lines(report: Report) -> Iterator[Line]:
    """What is there. Everything but the first line is indented."""
    yield line((report.host, "bold"), f"  {report.path}")
    if report.state != "foreign":
        yield line(_state_words(report), indent=2)
        if report.hint:
            yield line((report.hint, "dim"), indent=2)
        return
    if report.nearest is None:
        yield line(report.reason, indent=2)
    else:
        yield from _comparison_lines(report, report.nearest)
    yield from _circumstances(report)


def _state_words(report: Report) -> str:
    match report.state:
        case "ours":
            return "is ours already: reconcile plan shows what is to do there"
        case "absent":
            return "holds nothing that is not ours: reconcile apply deploys there, and there is nothing to adopt"
        case "blocked":
            return f"cannot be compared, because the project cannot be deployed: {report.reason}"
    return f"{report.state}: {report.reason}"


def _comparison_lines(report: Report, nearest: NearestReport) -> Iterator[Line]:
    if report.release:
        yield line(f"current leads to the release {report.release}, which was not made by reconciler", indent=2)
    if report.newer == "unclear":
        searched = plural(nearest.searched, "commit")
        yield line(
            f"holds {plural(report.files, 'file')}, and none of them is as in any of {searched} of the project", indent=2
        )
        yield from _paths_lines(report.differs, report.extra, (), ())
        yield from _overwritten(report)
        return
    exact = not (report.differs or report.missing or report.extra)
    word = "equals" if exact else "is nearest to"
    subject = shorten(nearest.subject, _SUBJECT)
    yield line(
        f"{word} commit {short(nearest.commit)} of {moment(nearest.time)} (",
        (subject, "cyan"),
        f"), {_distance(report)}",
        indent=2,
    )
    if not exact:
        yield line(f"{report.equal} of {plural(report.files, 'file')} there are as in that commit", indent=2)
    yield from _paths_lines(report.differs, report.extra, report.missing, report.modes)
    yield from _overwritten(report)
    yield line(("which side is newer? ", "bold"), _newer_words(report, nearest), indent=2)


def _paths_lines(*groups: Sequence[str]) -> Iterator[Line]:
    """Files that differ, that the commit has not got, that it has besides, and that have other permissions."""
    sorts: tuple[tuple[str, Style, str], ...] = (
        ("~ ", "yellow", "differ"),
        ("+ ", "green", "not in it, and left alone"),
        ("- ", "red", "missing"),
        ("~ ", "dim", "with other permissions"),
    )
    for (sign, style, words), paths in zip(sorts, groups, strict=True):
        if paths:
            yield line((sign, style), f"{words}: {paths_words(paths)}", indent=4)


def _overwritten(report: Report) -> Iterator[Line]:
    if report.copied:
        words = f"the wanted commit overwrites {paths_words(report.copied)}: taking over copies that first"
        yield line(words, indent=2)


def _distance(report: Report) -> str:
    nearest = report.nearest
    assert nearest is not None
    if nearest.commit == report.wanted:
        return "the wanted one"
    behind = f"{plural(nearest.behind, 'commit')} behind the wanted one" if nearest.behind else ""
    ahead = f"{plural(nearest.ahead, 'commit')} that the wanted one lacks" if nearest.ahead else ""
    if behind and ahead:
        return f"on another branch: {behind}, with {ahead}"
    return behind or f"with {ahead}"


def _newer_words(report: Report, nearest: NearestReport) -> str:
    clean = not (report.differs or report.extra)
    match report.newer:
        case "neither":
            words = "neither" if clean else "neither, as far as the files of the project go"
        case "source":
            words = f"the source, by {plural(nearest.behind, 'commit')}; none of the project's files was edited on the host"
        case "host" if nearest.ahead and not report.differs:
            words = f"the host, by {plural(nearest.ahead, 'commit')}"
        case "host":
            words = "the host: it has edits that the source lacks"
        case "both":
            words = "both have what the other lacks: the source has commits, the host has " + (
                "edits" if report.differs else "others"
            )
        case _:
            words = "it cannot be told"
    return words + _clock_words(report)


def _clock_words(report: Report) -> str:
    """A hint, and called one: a copy may have given files any time."""
    if report.edited is None or report.newest is None or report.newer in ("neither", "source"):
        return ""
    order = "after" if report.edited > report.newest else "before"
    return (
        f". A hint by the clocks alone: the last change there is of {moment(report.edited)}, {order} the newest commit of the "
        f"wanted revision ({moment(report.newest)})"
    )


def _circumstances(report: Report) -> Iterator[Line]:
    """What else lies there, or uses it."""
    if report.git:
        yield line(_git_words(report), indent=2)
    if report.current is not None and not report.release:
        yield line(f"current leads to {report.current}", indent=2)
    if others := [name for name in report.releases if name != report.release]:
        yield line(f"releases/ holds {paths_words(others)}: made by somebody else, and left alone", indent=2)
    if report.shared:
        yield line(f"shared data: {paths_words(report.shared)}", indent=2)
    for words in report.mounts:
        yield line(f"mounted in it: {words}", indent=2)
    for words in report.containers:
        yield line(f"in use: container {words}", indent=2)
    if report.users:
        yield line(f"in use: {paths_words(report.users)}", indent=2)


def _git_words(report: Report) -> str:
    where = "on no branch" if report.branch in ("", "detached") else f"on {report.branch}"
    if report.head is None:
        return "a git clone whose HEAD could not be read"
    words = f"a git clone, {where} at {short(report.head)}"
    if report.head_known is False:
        words += ", a commit that the source lacks"
        if report.strategy == "checkout":
            words += ": it is kept under refs/reconciler/kept when the branch moves"
    elif report.differs:
        words += ", with changes that are not committed"
    if report.stash:
        words += "; its stash is left alone"
    if report.strategy != "checkout":
        words += f"; strategy {report.strategy} leaves .git where it is, and knows nothing of it"
    return words


def _pull_words(report: Report) -> str:
    stays = f"; without that they stay behind in the release {report.release}" if report.release else ""
    return f"the edits come back into git with reconcile pull {report.project} {report.host}, before the next apply{stays}"


def done_lines(report: Report) -> Iterator[Line]:
    """What came of it."""
    match report.done:
        case "taken over":
            yield line(("✓ ", "green"), (report.host, "bold"), " taken over: files that equal the commit were not touched")
            if report.kept:
                yield line(f"copied before anything overwrites it: {paths_words(report.copied)} to {report.kept}", indent=2)
            if report.differs:
                yield line(_pull_words(report), indent=2)
        case "set aside":
            yield line(("✓ ", "green"), (report.host, "bold"), f" set aside: all of it is in {report.kept}")
            if report.brought:
                yield line(f"moved into the new folder: {paths_words(report.brought)}", indent=2)
            left = [name for name in report.shared if name not in report.brought]
            for name in left:
                yield line(("shared data stays in ", "yellow"), f"{report.kept}/{name}", indent=2)
        case "failed" | "refused":
            yield line(("✗ ", "red"), (report.host, "bold"), f" {report.reason}")
            if report.hint:
                yield line((report.hint, "dim"), indent=2)
