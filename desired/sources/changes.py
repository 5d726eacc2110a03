"""What differs between two commits of a project, and which commit a folder on a host comes from.

Called by `desired/sources/repository.py`. Both compare trees by their ids and go down only where these differ, so a step of a
history costs as much as it changed, and not as much as the project holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import pygit2
from pygit2.enums import ObjectType, SortMode

from desired.source import PACKAGE_LIMIT
from desired.sources.model import HEX, Commit, Commits, Direction, Nearest, SourceProblem
from desired.sources.remote import Damaged
from desired.sources.sums import Sum, Sums
from desired.sources.tree import DEPTH_LIMIT, FILES_LIMIT, Item, is_folder, items, object_size, read_object, sum_of
from desired.text import visible

_TEXT_LIMIT = 1 << 20
_TREES_KEPT = 4096
_SUBJECT = 200
_AUTHOR = 80
"""Characters of a commit's subject and of its author's name that are shown."""


class Changed(NamedTuple):
    """A path whose content or mode differs; None where there is no such file."""

    path: str
    old: Item | None
    new: Item | None


class Trees:
    """Reads trees and compares them; remembers those that it has read last."""

    def __init__(self, repo: pygit2.Repository) -> None:
        self.repo = repo
        self.read = lru_cache(maxsize=_TREES_KEPT)(self._read)

    def _read(self, tree: bytes) -> dict[str, Item]:
        return {item.name: item for item in items(self.repo, tree)}

    def changes(self, old: bytes | None, new: bytes | None) -> Iterator[Changed]:
        """Every file that differs, in no particular order; refused when there is no end to them."""
        waiting: list[tuple[str, int, bytes | None, bytes | None]] = [("", 1, old, new)]
        seen = 0
        while waiting:
            prefix, depth, left, right = waiting.pop()
            before = self.read(left) if left else {}
            after = self.read(right) if right else {}
            for name in before.keys() | after.keys():
                one, other = before.get(name), after.get(name)
                if one == other:
                    continue
                seen += 1
                if seen > FILES_LIMIT or depth > DEPTH_LIMIT:
                    raise SourceProblem("unusable", "the commits differ in more files and folders than can be compared")
                folders = [item.id if item and is_folder(item.mode) else None for item in (one, other)]
                files = [None if item and is_folder(item.mode) else item for item in (one, other)]
                if any(folders):
                    waiting.append((f"{prefix}{name}/", depth + 1, folders[0], folders[1]))
                if any(files):
                    yield Changed(prefix + name, files[0], files[1])


def commit_of(repo: pygit2.Repository, name: str) -> pygit2.Commit:
    """A commit by its full id; `SourceProblem` when there is none in the cache, `Damaged` when it cannot be read."""
    try:
        if not HEX.fullmatch(name) or name not in repo:
            message = f"commit {visible(name)} is not in the cache"
            hint = "it may have been rewritten at the source, or come from another repository"
            raise SourceProblem("unknown-revision", message, hint)
        found = repo[name]
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise Damaged(f"commit {name} cannot be read: {error}") from error
    if found.type != ObjectType.COMMIT:
        raise Damaged(f"{name} is not a commit")
    return found.peel(pygit2.Commit)


def line(commit: pygit2.Commit) -> Commit:
    """Of a commit, what a listing shows. Its texts are foreign, and need not be UTF-8."""
    subject = commit.raw_message.lstrip().partition(b"\n")[0].rstrip()
    author = commit.author
    return Commit(str(commit.id), _text(subject, _SUBJECT), _text(author.raw_name, _AUTHOR), int(author.time))


def _text(data: bytes, longest: int) -> str:
    """What one reads; a subject of a megabyte is nothing to read, and would fill every plan that names it."""
    text = data[: 4 * longest + 4].decode("utf-8", "replace")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def commits(repo: pygit2.Repository, old: str, new: str, limit: int, excluded: Callable[[str], bool]) -> Commits:
    """What comes with `new` where `old` is deployed."""
    before, after = commit_of(repo, old), commit_of(repo, new)
    try:
        left, count = repo.ahead_behind(before.id, after.id)
        direction: Direction = "same" if old == new else "apart" if left and count else "back" if left else "forward"
        tip, hidden = (before, after) if direction == "back" else (after, before)
        walker = repo.walk(tip.id, SortMode.TOPOLOGICAL | SortMode.TIME)
        walker.hide(hidden.id)
        newest = tuple(line(commit) for commit, _ in zip(walker, range(limit), strict=False))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise Damaged(f"the history from {old} to {new} cannot be read: {error}") from error
    found = Trees(repo).changes(before.tree_id.raw, after.tree_id.raw)
    paths: dict[str, list[str]] = {"added": [], "changed": [], "deleted": []}
    for change in found:
        if not excluded(change.path):
            paths["added" if change.old is None else "deleted" if change.new is None else "changed"].append(change.path)
    added, changed, deleted = (tuple(sorted(some)[:limit]) for some in paths.values())
    return Commits(
        direction, left if direction == "back" else count, left, newest, added, changed, deleted, sum(map(len, paths.values()))
    )


def diff_text(repo: pygit2.Repository, old: str, new: str, limit: int, excluded: Callable[[str], bool]) -> str:
    """A unified diff for the reader, cut after `limit` characters. Contents are foreign, and binary ones only named."""
    before, after = commit_of(repo, old), commit_of(repo, new)
    parts: list[str] = []
    room = limit
    for change in sorted(Trees(repo).changes(before.tree_id.raw, after.tree_id.raw)):
        if excluded(change.path):
            continue
        if room <= 0:
            parts.append("… more was changed than is shown here\n")
            break
        part = _patch(repo, change)
        parts.append(part[:room])
        room -= len(part)
    return "".join(parts)


def _patch(repo: pygit2.Repository, change: Changed) -> str:
    path = visible(change.path, 400)
    contents: list[bytes] = []
    for item in (change.old, change.new):
        if item is None or item.mode == 0o160000:
            contents.append(b"")
        elif object_size(repo, item.id) > _TEXT_LIMIT:
            return f"Large file {path} differs\n"
        else:
            contents.append(read_object(repo, item.id, ObjectType.BLOB))
    head = ""
    if change.old and change.new and change.old.mode != change.new.mode:
        head = f"mode of {path}: {change.old.mode:o} → {change.new.mode:o}\n"
    if any(b"\0" in content[:8000] for content in contents):
        return f"{head}Binary file {path} differs\n"
    patch = pygit2.Patch.create_from(contents[0], contents[1], "a", "b")
    body = patch.data.decode("utf-8", "replace")
    hunks = body[body.find("@@") :] if "@@" in body else ""
    names = (f"a/{path}" if change.old else "/dev/null", f"b/{path}" if change.new else "/dev/null")
    return f"{head}--- {names[0]}\n+++ {names[1]}\n{hunks}"


@dataclass(slots=True)
class _Score:
    """How a commit compares with the host: files of the commit, paths that both have, and those that are equal."""

    files: int
    common: int
    equal: int

    def distance(self, host: int) -> int:
        """Paths that differ, are extra or are missing."""
        return self.files + host - self.common - self.equal


class Search:
    """Looks for the commit that a host's files are nearest to."""

    def __init__(self, repo: pygit2.Repository, sums: Sums, hashes: Mapping[str, str], excluded: Callable[[str], bool]) -> None:
        self._repo = repo
        self._sums = sums
        self._trees = Trees(repo)
        self._hashes = {path: value.lower() for path, value in hashes.items() if not excluded(path)}
        self._excluded = excluded
        self._fresh: dict[bytes, Sum] = {}

    def run(self, resolved: str, tips: Iterable[str], limit: int) -> Nearest:
        """The best of the history of `resolved` and of the other `tips`; of equals, the one with the fewest commits behind."""
        self._sums.refresh()
        top = commit_of(self._repo, resolved)
        best, searched = top, 0
        try:
            own = {commit.id for commit in self._repo.walk(top.id)}
            fewest: tuple[int, bool] | None = None
            for commit, score in self._scores(top, tips, limit):
                searched += 1
                rank = (score.distance(len(self._hashes)), commit.id not in own)
                if fewest is None or rank < fewest:
                    fewest, best = rank, commit
                if rank == (0, False):
                    break
            behind, ahead = self._repo.ahead_behind(top.id, best.id)
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise Damaged(f"the history of {resolved} cannot be read: {error}") from error
        if self._fresh:
            self._sums.add(self._fresh)
        differs, extra, missing = self._compared(best)
        return Nearest(line(best), behind, ahead, differs, extra, missing, searched)

    def _scores(self, top: pygit2.Commit, tips: Iterable[str], limit: int) -> Iterator[tuple[pygit2.Commit, _Score]]:
        """Commits from the newest on, the history of `top` first. Each is scored by what differs from one of its children."""
        walked: set[pygit2.Oid] = set()
        start = _Score(0, 0, 0)
        self._adjust(start, None, top.tree_id.raw)
        for tip in [top, *(commit_of(self._repo, name) for name in tips)]:
            known: dict[pygit2.Oid, tuple[bytes, _Score]] = {tip.id: (top.tree_id.raw, start)}
            walker = self._repo.walk(tip.id, SortMode.TOPOLOGICAL | SortMode.TIME)
            for done in walked & {top.id}:
                walker.hide(done)
            for commit in walker:
                if len(walked) >= limit:
                    return
                near, score = known.pop(commit.id, (top.tree_id.raw, start))
                score = _Score(score.files, score.common, score.equal)
                self._adjust(score, near, commit.tree_id.raw)
                for parent in commit.parent_ids:
                    known.setdefault(parent, (commit.tree_id.raw, score))
                if commit.id not in walked:
                    walked.add(commit.id)
                    yield commit, score

    def _adjust(self, score: _Score, old: bytes | None, new: bytes) -> None:
        """Turns the score of one tree into that of another."""
        if old == new:
            return
        for change in self._trees.changes(old, new):
            for item, sign in ((change.old, -1), (change.new, 1)):
                if item is not None and not self._excluded(change.path):
                    value = self._hashes.get(change.path)
                    score.files += sign
                    score.common += sign * (value is not None)
                    score.equal += sign * (value is not None and self._same(item, value))

    def _same(self, item: Item, value: str) -> bool:
        """Whether a content has the hash that the host gave: git's blob id, or a sha256."""
        if len(value) == 40:
            return item.id.hex() == value
        one = self._sums.get(item.id) or self._fresh.get(item.id)
        if one is None and object_size(self._repo, item.id) > PACKAGE_LIMIT:
            return False
        if one is None:
            one = self._fresh[item.id] = sum_of(read_object(self._repo, item.id, ObjectType.BLOB))
        return one.sha256.hex() == value

    def _compared(self, commit: pygit2.Commit) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Paths that differ, are extra on the host, and are missing there."""
        files = {
            change.path: change.new
            for change in self._trees.changes(None, commit.tree_id.raw)
            if change.new is not None and not self._excluded(change.path)
        }
        differs = [path for path, item in files.items() if path in self._hashes and not self._same(item, self._hashes[path])]
        return (
            tuple(sorted(differs)),
            tuple(sorted(self._hashes.keys() - files.keys())),
            tuple(sorted(files.keys() - self._hashes.keys())),
        )
