"""Who asked for a line of the fleet, and who took it away: what `reconcile why` tells from git alone.

Called for `reconcile why`. Reads objects and nothing else. What cannot be told (a line that moved, a history that was cut
short) is None: it is told as not known, and nothing depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import pygit2
from pygit2.enums import DeltaStatus, SortMode

from desired.git import Repository

MOST_COMMITS = 5000
"""How far back a line that is gone is looked for."""
MOST_BYTES = 1 << 20
MOST_LINES = 200
_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Author:
    """A commit and its author. All of it is what somebody wrote: hostile."""

    commit: str
    name: str
    email: str
    time: int
    """When it was written, as it says itself; seconds since 1970."""
    subject: str


@dataclass(frozen=True, slots=True)
class Blamed:
    """A line as it stands in a commit, and the commit that it came with."""

    text: str
    author: Author
    changed: Author | None = None
    """Who last changed what is indented below it, where that is another commit."""


def blame(repo: Repository, commit: str, path: str, line: int) -> Blamed | None:
    """Who brought a line (from 1) of a file, as it is in `commit`. `path` counts from the top of the repository."""
    try:
        found = repo[pygit2.Oid(hex=commit)].peel(pygit2.Commit)
        lines = _text(found, path).splitlines()
        if not 1 <= line <= len(lines):
            return None
        hunks = repo.blame(path, newest_commit=found.id, min_line=line, max_line=(last := _end_of(lines, line)))
        commits = list(dict.fromkeys(str(hunks.for_line(number).final_commit_id) for number in range(line, last + 1)))
        newest = commits[0]
        for one in commits[1:]:  # by descent: the times of commits are whatever somebody's clock said
            newest = one if repo.descendant_of(one, newest) else newest
    except (pygit2.GitError, KeyError, ValueError, IndexError):
        return None
    author = author_of(repo, commits[0])
    if author is None:
        return None
    return Blamed(lines[line - 1], author, author_of(repo, newest) if newest != commits[0] else None)


def _end_of(lines: Sequence[str], line: int) -> int:
    """The last line (from 1) of the block that a line begins: what is indented more than it."""
    depth = _depth(lines[line - 1])
    end = line
    for number in range(line + 1, min(len(lines), line + MOST_LINES) + 1):
        if lines[number - 1].strip():
            if _depth(lines[number - 1]) <= depth:
                break
            end = number
    return end


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def author_of(repo: Repository, commit: str) -> Author | None:
    """None where the commit is not there."""
    try:
        found = repo[pygit2.Oid(hex=commit)].peel(pygit2.Commit)
    except (pygit2.GitError, KeyError, ValueError):
        return None
    return _author(found)


def removed(repo: Repository, commit: str, folder: str, name: str) -> Author | None:
    """The newest commit up to `commit` that took out the last line of a manifest in `folder` that has `name` as a word."""
    word = re.compile(r"(?<![\w./@:-])" + re.escape(name) + r"(?![\w./@-])")
    return _newest(repo, commit, lambda one: _takes_out(repo, one, folder, word))


def dropped(repo: Repository, commit: str, path: str) -> Author | None:
    """The newest commit up to `commit` that removed a file."""
    return _newest(repo, commit, lambda one: path in one.parents[0].tree and path not in one.tree)


def _newest(repo: Repository, commit: str, fits: Callable[[pygit2.Commit], bool]) -> Author | None:
    try:
        walker = repo.walk(pygit2.Oid(hex=commit), SortMode.TOPOLOGICAL)
        walker.simplify_first_parent()
        for one in islice(walker, MOST_COMMITS):
            if one.parents and one.parents[0].tree.id != one.tree.id and fits(one):
                return _author(one)
    except (pygit2.GitError, KeyError, ValueError):
        return None
    return None


def _takes_out(repo: Repository, commit: pygit2.Commit, folder: str, word: re.Pattern[str]) -> bool:
    parent = commit.parents[0]
    prefix = f"{folder}/" if folder else ""
    gone = False
    for delta in parent.tree.diff_to_tree(commit.tree).deltas:
        path = delta.old_file.path
        if delta.status == DeltaStatus.ADDED or not path.startswith(prefix) or not path.endswith((".yaml", ".yml")):
            continue
        before = word.search(_text(parent, path))
        after = word.search(_text(commit, path)) if delta.status != DeltaStatus.DELETED else None
        gone = gone or (before is not None and after is None)
    return gone


def _text(commit: pygit2.Commit, path: str) -> str:
    if path not in commit.tree:
        return ""
    blob = commit.tree[path]
    if not isinstance(blob, pygit2.Blob) or blob.size > MOST_BYTES:
        return ""
    return blob.data.decode("utf-8", "replace")


def _author(commit: pygit2.Commit) -> Author:
    who = commit.author
    lines = commit.raw_message.decode("utf-8", "replace").strip().split("\n", 1)
    name, email = who.raw_name.decode("utf-8", "replace"), who.raw_email.decode("utf-8", "replace")
    return Author(str(commit.id), name, email, int(who.time), lines[0].strip()[:_SUBJECT])
