"""The files of a project as they are to lie on a host: what a `release` installs, checks and, file by file, removes.

Made by `desired/deploy/expand.py` from a commit of the project, less what is excluded, plus what is made for the host
(`.sync_rev`, `.env`). The host keeps the same list beside its inventory as the `index` of what we installed: text that shell
can read line by line, because no name in it holds a control character.

    reconciler-tree 1 DIGEST COMMIT
    0644 SHA256 SIZE PATH             sorted by path, as bytes
    0755 SHA256 SIZE PATH
    link SHA256-OF-TARGET SIZE PATH
    0600 sealed:VERSION SIZE PATH     a file with secrets: its list says nothing from which they could be guessed
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

FileMode = Literal["0644", "0755", "0600", "link"]
SENTINEL = ".sync_rev"
"""Holds the full commit id and a newline, in every deployed tree but a checkout, whose HEAD says it."""


class TreeFile(NamedTuple):
    """One line of the list. `path` is relative, of plain parts (none empty, `.`, `..`, `.git`), without control characters."""

    path: str
    mode: FileMode
    digest: str
    size: int

    @property
    def line(self) -> str:
        return f"{self.mode} {self.digest} {self.size} {self.path}"


@dataclass(frozen=True)
class Tree:
    """A list of files, and the way to their contents."""

    commit: str
    """Full hex id of the project's commit."""
    files: tuple[TreeFile, ...]
    """Sorted by path, as bytes."""
    read: Callable[[str], bytes] = field(repr=False, compare=False)
    """The content of one of the files by its path (of a link: its target). Only called while a plan is applied."""
    pack: Callable[[frozenset[str]], tuple[bytes, bytes]] | None = field(default=None, repr=False, compare=False)
    """For a checkout: from the commits that a host has (some may be its own) to a pack of what the commit needs besides, and
    the pack's index. Only called while a plan is applied."""

    @cached_property
    def digest(self) -> str:
        """32 hex digits that stand for all of it: content, modes, names, the commit (by the sentinel), versions of secrets."""
        return digest_of(file.line for file in self.files)

    @cached_property
    def index(self) -> str:
        """The list as the host keeps it, title first."""
        return "\n".join([f"reconciler-tree 1 {self.digest} {self.commit}", *(file.line for file in self.files), ""])


def digest_of(lines: Iterable[str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def tree_of(commit: str, files: Iterable[TreeFile], read: Callable[[str], bytes]) -> Tree:
    """A tree from files in any order. Its list can be had again by `listed` for a while."""
    tree = Tree(commit, tuple(sorted(files, key=lambda file: file.path.encode("utf-8", "surrogateescape"))), read)
    _remember(tree)
    return tree


_LISTED_TREES, _LISTED_FILES = 64, 500_000
_lists: dict[str, tuple[TreeFile, ...]] = {}


def listed(digest: str) -> tuple[TreeFile, ...] | None:
    """The files of a tree that this process has made not long ago: where a host says that just this tree is installed there,
    it need not tell its list."""
    return _lists.get(digest)


def _remember(tree: Tree) -> None:
    """Each operation on the table is one that no thread can see halfway."""
    _lists.pop(tree.digest, None)
    _lists[tree.digest] = tree.files
    room = _LISTED_FILES
    for number, digest in enumerate(reversed(list(_lists))):
        room -= len(_lists.get(digest, ()))
        if number and (number >= _LISTED_TREES or room < 0):
            _lists.pop(digest, None)
