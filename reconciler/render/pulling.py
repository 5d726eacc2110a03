"""What `reconcile pull` found on a host and made of it, as lines and as a JSON document (docs/adopt-and-pull.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from reconciler.check import paths_words
from reconciler.errors import Exit
from reconciler.pull.report import Report
from reconciler.render.lines import Line, Style, line
from reconciler.render.words import short

DIFF_LINES = 1000
_STYLES: Mapping[str, Style] = MappingProxyType({"+": "green", "-": "red", "@": "cyan"})


def pull_document(commit: str | None, reports: Sequence[Report], code: Exit) -> dict[str, Any]:
    return {"format": 1, "commit": commit, "hosts": [report.model_dump() for report in reports], "exit_code": int(code)}


def edits_lines(report: Report) -> Iterator[Line]:
    """What was edited, before anything is read."""
    yield line((report.host, "bold"), f"  {report.path}")
    if report.state != "edited":
        yield line(_state_words(report), indent=2)
        if report.hint:
            yield line((report.hint, "dim"), indent=2)
    if report.base is not None and report.state == "edited":
        word = "on top of commit" if report.ours else "not ours yet; nearest to commit"
        yield line(f"{word} {short(report.base)}", indent=2)
    sorts: tuple[tuple[str, Style, str, Sequence[str]], ...] = (
        ("~ ", "yellow", "edited", report.edited),
        ("- ", "red", "removed", report.missing),
        ("~ ", "dim", "permissions or owner changed", report.modes),
        ("+ ", "green", "not the project's", report.added),
    )
    for sign, style, words, paths in sorts:
        if paths:
            yield line((sign, style), f"{words}: {paths_words(paths)}", indent=2, hang=4)


def _state_words(report: Report) -> str:
    match report.state:
        case "clean":
            return f"as it was deployed ({short(report.base)}): nothing to bring back"
        case "absent":
            return "not deployed there: nothing to bring back"
        case "blocked":
            return f"cannot be compared, because the project cannot be deployed: {report.reason}"
    return f"{report.state}: {report.reason}"


def changes_lines(report: Report) -> Iterator[Line]:
    """What would be committed, and what not."""
    for path, reason in sorted(report.left.items()):
        yield line(("left out: ", "yellow"), f"{path}: {reason}", indent=2, hang=4)
    for text in report.diff[:DIFF_LINES]:
        style: Style = "bold" if text.startswith(("--- ", "+++ ")) else _STYLES.get(text[:1], "")
        yield line((text, style), indent=4, wrap=False)
    if len(report.diff) > DIFF_LINES:
        yield line((f"… {len(report.diff) - DIFF_LINES} more lines; --json shows all", "dim"), indent=4)
    for finding in report.findings:
        where = f"{finding.path}:{finding.line}"
        yield line(("secret: ", "alarm"), f"{where} looks like {finding.title} (rule {finding.rule})", indent=2, hang=4)


def done_lines(report: Report) -> Iterator[Line]:
    """What came of it."""
    if report.done == "committed":
        yield line(("✓ ", "green"), f"committed {short(report.commit)} to the branch ", (report.branch, "bold"), indent=2)
        if report.pushed:
            yield line("pushed to the project's source: make a pull request of it there", indent=2)
        if report.into:
            yield line(f"put into {report.into}", indent=2)
        if not (report.pushed or report.into):
            yield line(("to fetch it into a clone of the project:", "dim"), indent=2)
            yield line(f"git fetch {report.cache} {report.branch}:{report.branch}", indent=4, wrap=False)
    elif report.done:
        yield line(("✗ ", "red"), report.reason, indent=2)
    if report.done and report.hint:
        yield line((report.hint, "dim"), indent=2)
