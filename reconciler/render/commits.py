"""The commits between two revisions of a project, and the files that differ, as lines: for `deploy` and `rollback`."""

from __future__ import annotations

from collections.abc import Iterator

from desired.sources.model import Commits
from reconciler.render.lines import Line, Style, line
from reconciler.text import plural

SUBJECTS = 20
"""Commits that are named before the rest is only counted."""
PATHS = 20


def commits_lines(commits: Commits) -> Iterator[Line]:
    """The commits that a deployment brings or leaves behind, and the files that differ."""
    yield line((_direction_words(commits), "bold"))
    for commit in commits.newest[:SUBJECTS]:
        yield line((commit.short, "cyan"), f"  {commit.subject}", (f"  {commit.author}", "dim"), indent=2)
    more = commits.count - len(commits.newest[:SUBJECTS])
    if more > 0:
        yield line((f"… and {plural(more, 'more commit')}", "dim"), indent=2)
    signs: tuple[tuple[str, Style, tuple[str, ...]], ...] = (
        ("+ ", "green", commits.added),
        ("~ ", "yellow", commits.changed),
        ("- ", "red", commits.deleted),
    )
    paths = [(sign, style, path) for sign, style, group in signs for path in group]
    if commits.files:
        yield line(plural(commits.files, "file") + (" differs" if commits.files == 1 else " differ"))
    for sign, style, path in paths[:PATHS]:
        yield line((sign, style), path, indent=2)
    if commits.files > PATHS:
        yield line((f"… and {plural(commits.files - PATHS, 'more file')}", "dim"), indent=2)


def _direction_words(commits: Commits) -> str:
    match commits.direction:
        case "same":
            return "the same commit"
        case "forward":
            return f"brings {plural(commits.count, 'commit')}"
        case "back":
            return f"goes back by {plural(commits.count, 'commit')}"
    left = plural(commits.left, "commit")
    return f"brings {plural(commits.count, 'commit')}, and leaves {left} behind: the two have gone apart"
