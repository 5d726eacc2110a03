"""A project's repository as the rest of the program sees it: its files, its history, and a branch written on top of it.

Made by `desired/sources/resolve.py`, used by `desired/deploy/expand.py` and by the commands that adopt, pull and compare.
Nothing here needs the network. Each method may be called from any thread; whatever turns out to be damaged throws the cache
away, so that the next cycle fetches it again, and is told as a `SourceProblem`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pygit2
from pygit2.enums import FileMode, ObjectType

from desired.source import PACKAGE_LIMIT, ancestors, odd_name
from desired.sources.cache import Store
from desired.sources.changes import Search, commit_of, commits, diff_text
from desired.sources.model import HEX, Commits, Nearest, SourceProblem, SourceTree
from desired.sources.pack import pack
from desired.sources.remote import Damaged
from desired.sources.sums import Sums
from desired.sources.tree import object_size, read_object, tree_files
from desired.text import visible

OURS = "refs/reconciler/"


class Author(NamedTuple):
    """Who a commit is by, and when, in seconds since 1970."""

    name: str
    email: str
    time: int


class Written(NamedTuple):
    """A file of a new commit: its mode (0o100644, 0o100755, 0o120000 for a link) and its content."""

    mode: int
    content: bytes


def nothing(path: str) -> bool:
    """The exclude predicate that excludes nothing."""
    return False


class ProjectRepository:
    """The cache of one project's source, for reading, and for the branch of a `pull`."""

    def __init__(self, store: Store, shown: str, cancelled: threading.Event) -> None:
        self._store = store
        self._shown = shown
        self._cancelled = cancelled
        self._sums = Sums(store.sums)

    def has(self, commit: str) -> bool:
        """Whether a full commit id is in the cache."""
        try:
            return HEX.fullmatch(commit) is not None and isinstance(self._store.repo().get(commit), pygit2.Commit)
        except (Damaged, pygit2.GitError, KeyError, ValueError):
            return False

    def tree_files(self, commit: str, excluded: Callable[[str], bool] = nothing) -> SourceTree:
        """The files of a commit, with digests. `excluded` is asked for folders too, written with a slash at the end; what
        cannot be deployed is listed in `problems`."""
        with self._whole() as repo:
            return tree_files(repo, self._sums, commit, commit_of(repo, commit).tree_id.raw, excluded)

    def read(self, blob: str, limit: int = PACKAGE_LIMIT) -> bytes:
        """The content of a file by its blob id."""
        with self._whole() as repo:
            name = bytes.fromhex(blob)
            if (size := object_size(repo, name)) > limit:
                raise SourceProblem("unusable", f"a file of {self._shown} has {size:,} bytes; the limit here is {limit:,}")
            return read_object(repo, name, ObjectType.BLOB)

    def commits(self, old: str, new: str, limit: int = 20, excluded: Callable[[str], bool] = nothing) -> Commits:
        """What a deployment of `new` brings where `old` is deployed."""
        with self._whole() as repo:
            return commits(repo, old, new, limit, excluded)

    def diff_text(self, old: str, new: str, limit: int = 100_000, excluded: Callable[[str], bool] = nothing) -> str:
        """What differs, as a unified diff of at most about `limit` characters."""
        with self._whole() as repo:
            return diff_text(repo, old, new, limit, excluded)

    def pack(self, commit: str, have: Iterable[str]) -> tuple[bytes, bytes]:
        """(pack, index) of the history of `commit`, less what the commits in `have` hold."""
        with self._whole() as repo:
            return pack(repo, commit, have)

    def nearest(
        self, hashes: Mapping[str, str], resolved: str, excluded: Callable[[str], bool] = nothing, limit: int = 100_000
    ) -> Nearest:
        """The commit that a host's files (path → git blob id or sha256, in hex) equal or come nearest to."""
        with self._whole() as repo:
            tips = [str(ref.target) for ref in repo.references.iterator() if ref.name.startswith(OURS)]
            peeled = {str(found.id) for tip in tips if (found := _peeled(repo, tip))}
            return Search(repo, self._sums, hashes, excluded).run(resolved, sorted(peeled - {resolved}), limit)

    def commit_on_top(self, base: str, branch: str, changes: Mapping[str, Written | None], message: str, author: Author) -> str:
        """One commit on top of `base`, as the branch `branch` of the cache; its full id. None removes a path."""
        name = branch_name(branch)
        for path in changes:
            reason = next((reason for part in path.split("/") if (reason := odd_name(part))), None)
            if reason:
                raise SourceProblem("unusable", f"{visible(path)} cannot be committed: {reason}")
        with self._store.locked(self._cancelled), self._whole() as repo:
            parent = commit_of(repo, base)
            index = pygit2.Index()
            index.read_tree(parent.tree)
            _apply(repo, index, changes)
            tree = index.write_tree(repo)
            if tree == parent.tree_id:
                raise SourceProblem("unusable", f"nothing differs from {base[:10]}: there is nothing to commit")
            signature = pygit2.Signature(author.name, author.email, author.time)
            commit = repo.create_commit(None, signature, signature, message, tree, [parent.id])
            repo.references.create(name, commit, force=True)
            return str(commit)

    @property
    def folder(self) -> str:
        """Where the cache lies, for `git fetch`."""
        with self._whole() as repo:
            return repo.path

    def bring_into(self, folder: str, branch: str) -> None:
        """Puts a branch of the cache into the repository `folder` of this machine, as a new branch of the same name. No hook is
        run, and its working tree stays as it is."""
        name = branch_name(branch)
        with self._whole() as repo:
            source = repo.path
        try:
            found = pygit2.discover_repository(folder)
            target = pygit2.Repository(found) if found else None
            if target is None:
                raise SourceProblem(
                    "unusable", f"there is no git repository at {visible(folder)}", "name a clone of the project"
                )
            if name in target.references:
                raise SourceProblem("unusable", f"{visible(folder)} has a branch {visible(branch)} already", "delete it there")
            target.remotes.create_anonymous(source).fetch([f"{name}:{name}"], depth=0)
        except (pygit2.GitError, KeyError, ValueError, OSError) as error:
            reason = visible(str(error), 200)
            raise SourceProblem("unusable", f"the branch could not be put into {visible(folder)}: {reason}") from error

    @contextmanager
    def _whole(self) -> Iterator[pygit2.Repository]:
        try:
            yield self._store.repo()
        except (Damaged, pygit2.GitError, KeyError) as error:
            self._store.forget()
            raise SourceProblem(
                "unusable",
                f"the cache of {self._shown} cannot be read: {visible(str(error), 200)}",
                "it is thrown away and fetched again in the next cycle; if this comes back, check the source with git fsck",
            ) from error


def branch_name(branch: str) -> str:
    """The full name of a branch to be written; `SourceProblem` when git would not take it."""
    name = f"refs/heads/{branch}"
    if branch.startswith("-") or not pygit2.reference_is_valid_name(name):
        raise SourceProblem("unusable", f"{visible(branch)} is not a name for a branch", "use letters, digits, dashes, slashes")
    return name


def _peeled(repo: pygit2.Repository, name: str) -> pygit2.Commit | None:
    """The commit that a branch's or tag's target stands for; None for a tag on something else."""
    try:
        return repo[name].peel(pygit2.Commit)
    except (pygit2.GitError, ValueError):
        return None


def _apply(repo: pygit2.Repository, index: pygit2.Index, changes: Mapping[str, Written | None]) -> None:
    """Removals first: a file may take the place of a folder, and a folder that of a file."""
    paths = {entry.path for entry in index}
    for path, change in changes.items():
        if change is None and path in paths:
            index.remove(path)
            paths.discard(path)
    for path, change in changes.items():
        if change is not None:
            blocking = [folder for folder in ancestors(path) if folder in paths]
            blocking += [known for known in paths if known.startswith(f"{path}/")]
            if blocking:
                reason = f"{visible(os.path.commonpath([path, blocking[0]]))} is a file on one side and a folder on the other"
                raise SourceProblem("unusable", f"{visible(path)} cannot be committed: {reason}", "remove the old one as well")
            index.add(pygit2.IndexEntry(path, repo.create_blob(change.content), FileMode(change.mode)))
            paths.add(path)
