"""What is asked of a history: whether it only grew, what lies between two commits, and who signed a commit.

Called by `reconciler/loop/` for the fleet's own repository and by `desired/signatures/walk.py`. Reads objects and nothing else.
Whatever cannot be read is a `RepositoryError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pygit2
from pygit2.enums import SortMode

from desired.git import Repository
from desired.model import RepositoryError
from desired.signatures.model import Signed
from desired.source import SUBMODULE, SYMLINK, TEXT_LIMIT
from desired.sources.model import HEX
from desired.text import visible

_SUBJECT = 200


class Head(NamedTuple):
    """What is checked out."""

    commit: str
    branch: str
    """Empty where a commit is checked out by itself."""


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise RepositoryError(
            f"{what} cannot be read from the repository: {visible(str(error), 200)}",
            "the clone is damaged or incomplete: check it with git fsck, or clone it again in full",
        ) from error


def head(repo: Repository) -> Head | None:
    """None where the branch that is checked out does not exist, or has no commit yet."""
    with _reading("HEAD"):
        if repo.head_is_unborn:
            return None
        found = repo.head
        return Head(str(found.peel(pygit2.Commit).id), "" if repo.head_is_detached else found.shorthand)


def head_name(repo: Repository) -> str:
    """The branch that HEAD stands for, whether it exists or not."""
    with _reading("HEAD"):
        return str(repo.lookup_reference("HEAD").target).removeprefix("refs/heads/")


def has(repo: Repository, commit: str) -> bool:
    """Whether a full commit id is there."""
    try:
        return HEX.fullmatch(commit) is not None and isinstance(repo.get(commit), pygit2.Commit)
    except (pygit2.GitError, KeyError, ValueError):
        return False


def grew(repo: Repository, old: str, new: str) -> bool:
    """Whether the history of `new` contains `old`."""
    if old == new:
        return True
    with _reading(f"the history of {new[:10]}"):
        return bool(repo.descendant_of(new, old))


def subject(repo: Repository, commit: str) -> str:
    """First line of a commit's message."""
    with _reading(f"commit {commit[:10]}"):
        return _subject(_commit(repo, commit))


def first_parent(repo: Repository, commit: str) -> str | None:
    """None for the first commit of all."""
    with _reading(f"commit {commit[:10]}"):
        parents = _commit(repo, commit).parent_ids
        return str(parents[0]) if parents else None


def between(repo: Repository, old: str, new: str, limit: int) -> dict[str, tuple[str, ...]] | None:
    """All commits of the history of `new` that that of `old` lacks, each before its parents, with the ids of these; None where
    there are more than `limit`."""
    with _reading(f"the history of {new[:10]}"):
        walker = repo.walk(pygit2.Oid(hex=new), SortMode.TOPOLOGICAL)
        walker.hide(pygit2.Oid(hex=old))
        found: dict[str, tuple[str, ...]] = {}
        for commit in walker:
            found[str(commit.id)] = tuple(map(str, commit.parent_ids))
            if len(found) > limit:
                return None
        return found


def file_at(repo: Repository, commit: str, path: str) -> tuple[str, bytes | None] | None:
    """Id and content of a file in a commit; None where there is none. The content is None where it is no plain file, or too
    long."""
    with _reading(f"{visible(path)} in commit {commit[:10]}"):
        tree = _commit(repo, commit).tree
        if path not in tree:
            return None
        entry = tree[path]
        if int(entry.filemode) in (SYMLINK, SUBMODULE) or not isinstance(entry, pygit2.Blob):
            return str(entry.id), None
        _, size = repo.odb.read_header(entry.id)
        return str(entry.id), None if size > TEXT_LIMIT else entry.data


def signed(repo: Repository, commit: str) -> Signed:
    with _reading(f"commit {commit[:10]}"):
        found = _commit(repo, commit)
        signature, payload = found.gpg_signature
        author = found.author.raw_name.decode("utf-8", "replace")
        return Signed(commit, _subject(found), author, found.commit_time, signature or b"", payload or b"")


def shallow(repo: Repository) -> bool:
    """Whether it was cloned without its whole history."""
    return bool(repo.is_shallow)


def _commit(repo: Repository, commit: str) -> pygit2.Commit:
    return repo[pygit2.Oid(hex=commit)].peel(pygit2.Commit)


def _subject(commit: pygit2.Commit) -> str:
    lines = commit.raw_message.decode("utf-8", "replace").strip().split("\n", 1)
    return lines[0].strip()[:_SUBJECT]
