"""One honest commit of one edited file, made so that nobody's uncommitted work is touched, committed or lost.

Called by the commands that edit a project's file, through `reconciler/cli/editing.py`. It stands apart from `git.py`, which
only reads. No hook is run and nothing is signed, because libgit2 does neither: whoever expects it is told so in a note.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, FileStatus, RepositoryState

from desired.git import Repository, read_worktree
from desired.git_identity import identity_of, setting
from desired.model import RepositoryError
from desired.text import listing, visible
from desired.whole_file import write_whole

HOOKS = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")
_BUSY: Mapping[RepositoryState, str] = {
    RepositoryState.MERGE: "a merge",
    RepositoryState.REVERT: "a revert",
    RepositoryState.REVERT_SEQUENCE: "a revert",
    RepositoryState.CHERRYPICK: "a cherry-pick",
    RepositoryState.CHERRYPICK_SEQUENCE: "a cherry-pick",
    RepositoryState.BISECT: "a bisection",
}
_NOTHING_CHANGED = "nothing was changed"


@dataclass(frozen=True, slots=True)
class Edit:
    """A file of the commit that is checked out, and what it shall say instead."""

    path: str
    """From the top of the repository."""
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of an edit."""

    commit: str
    branch: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """A file as one commit left it."""

    commit: str
    subject: str
    content: bytes | None
    """None: the file was not there."""


def versions(repo: Repository, path: str, rev: str = "HEAD") -> Iterator[Version]:
    """How `path` was changed, newest first, along first parents: what the branch itself went through. The first one is as
    `rev` has it."""
    try:
        commit: pygit2.Commit | None = repo.revparse_single(rev).peel(pygit2.Commit)
        while commit is not None:
            parent = commit.parents[0] if commit.parent_ids else None
            mine = _blob(commit.tree, path)
            if mine != (_blob(parent.tree, path) if parent is not None else None):
                content = None if mine is None else repo.odb.read(mine)[1]
                yield Version(str(commit.id), subject_of(commit), content)
            commit = parent
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise RepositoryError(
            f"the history of {visible(path)} cannot be read: {visible(str(error), 200)}",
            "a shallow clone has only a part of it: git fetch --unshallow; a damaged one is found by git fsck",
        ) from error


def subject_of(commit: pygit2.Commit) -> str:
    """The first line of a commit's message, whatever its encoding."""
    return commit.raw_message.decode("utf-8", "replace").strip().partition("\n")[0].strip()


def _blob(tree: pygit2.Tree, path: str) -> pygit2.Oid | None:
    try:
        found = tree[path]
    except KeyError:
        return None
    return found.id if isinstance(found, pygit2.Blob) else None


def refuse_unready(repo: Repository, edit: Edit, branch: str | None = None) -> None:
    """Raises `RepositoryError` where `edit` could not be committed: asked before a person is shown what would be done."""
    if repo.is_bare:
        raise RepositoryError(
            "a bare repository has no working tree to edit", "run this in a clone of it, and push the commit from there"
        )
    state = RepositoryState(repo.state())
    if state is not RepositoryState.NONE:
        raise RepositoryError(
            f"{_BUSY.get(state, 'a rebase')} is in progress in the repository; {_NOTHING_CHANGED}",
            "finish or abort it first: git status says how",
        )
    if branch is None and repo.head_is_detached:
        raise RepositoryError(
            f"no branch is checked out (HEAD is detached): nobody would find the commit again; {_NOTHING_CHANGED}",
            "check out a branch (git switch main), or name a new one with --branch NAME",
        )
    if branch is not None:
        _refuse_branch(repo, branch)
    if (lock := Path(repo.path, "index.lock")).exists():
        raise RepositoryError(
            f"another git command is at work in the repository; {_NOTHING_CHANGED}",
            f"wait for it; if it has died, delete {visible(str(lock))}",
        )
    _worktree_bytes(repo, edit)


def _refuse_branch(repo: Repository, branch: str) -> None:
    if branch.startswith("-") or not pygit2.reference_is_valid_name(f"refs/heads/{branch}"):
        raise RepositoryError(f"{visible(branch)} cannot be the name of a branch", "take letters, digits and dashes")
    if f"refs/heads/{branch}" in repo.references:
        raise RepositoryError(
            f"there is already a branch {visible(branch)}; {_NOTHING_CHANGED}", "name another one, or delete it: git branch -D"
        )


def _worktree_bytes(repo: Repository, edit: Edit) -> bytes:
    """The file as it lies in the working tree; refused unless it is what was committed, in the index as well."""
    dirty = RepositoryError(
        f"{visible(edit.path)} has changes that are not committed; {_NOTHING_CHANGED}",
        "commit them first, or set them aside with git stash",
    )
    try:
        flags = FileStatus(repo.status_file(edit.path))
        staged = repo.index[edit.path].id
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise dirty from error
    if flags != FileStatus.CURRENT or staged != pygit2.hash(edit.before):
        raise dirty
    on_disk = read_worktree(repo, edit.path)
    if on_disk not in _both_endings(edit.before):
        raise dirty
    return on_disk


def _both_endings(content: bytes) -> tuple[bytes, bytes]:
    """As git stores it, and as `core.autocrlf` lays it out."""
    return content, content.replace(b"\n", b"\r\n")


def commit_edit(
    repo: Repository, edit: Edit, message: str, *, branch: str | None = None, environment: Mapping[str, str] = os.environ
) -> Committed:
    """Commits `edit`, and nothing else, to the branch that is checked out; or to a new `branch`, and then the working tree and
    the index stay as they are. `RepositoryError`: nothing was changed."""
    refuse_unready(repo, edit, branch)
    author = pygit2.Signature(*identity_of(repo, "author", environment))
    committer = pygit2.Signature(*identity_of(repo, "committer", environment))
    try:
        head = repo.head.peel(pygit2.Commit)
        tree = _tree_with(repo, head.tree, edit)
        if branch is None:
            # libgit2 refuses where HEAD is no longer at its parent.
            made = _commit_here(repo, edit, lambda: repo.create_commit("HEAD", author, committer, message, tree, [head.id]))
            branch = repo.head.shorthand
        else:
            made = repo.create_commit(None, author, committer, message, tree, [head.id])
            repo.references.create(f"refs/heads/{branch}", made)
    except (pygit2.GitError, OSError, KeyError, ValueError) as error:
        raise _failed(error) from error
    return Committed(str(made), branch, _notes(repo, environment))


def _failed(error: Exception) -> RepositoryError:
    words = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
    if "first parent" in words:
        hint = "somebody else committed meanwhile: run the same command again"
    elif "lock" in words:
        hint = "another git command is at work there: wait for it, or delete the lock file if it has died"
    else:
        hint = "look at the permissions and the free space of the repository"
    return RepositoryError(f"the commit could not be made: {visible(words, 300)}; {_NOTHING_CHANGED}", hint)


def _tree_with(repo: Repository, top: pygit2.Tree, edit: Edit) -> pygit2.Oid:
    """The commit's own tree with the one file replaced: what others have staged is not in it."""

    def replaced(tree: pygit2.Tree, parts: list[str]) -> pygit2.Oid:
        old = tree[parts[0]]
        builder = repo.TreeBuilder(tree)
        if len(parts) == 1:
            builder.insert(parts[0], repo.create_blob(edit.after), old.filemode)
        else:
            assert isinstance(old, pygit2.Tree)
            builder.insert(parts[0], replaced(old, parts[1:]), old.filemode)
        return builder.write()

    return replaced(top, edit.path.split("/"))


def _commit_here(repo: Repository, edit: Edit, create: Callable[[], pygit2.Oid]) -> pygit2.Oid:
    """File, index, branch, in this order: killed in between, the edit is there and only not committed. What fails is undone."""
    old = _worktree_bytes(repo, edit)
    new = edit.after if old == edit.before else edit.after.replace(b"\n", b"\r\n")
    file = Path(repo.workdir, edit.path)
    entry = repo.index[edit.path]
    _write(file, new)
    try:
        _stage(repo, edit.path, pygit2.hash(edit.after), entry.mode)
        return create()
    except BaseException:
        _write(file, old)
        with contextlib.suppress(pygit2.GitError, OSError):  # it may be the lock on the index that stopped us
            _stage(repo, edit.path, entry.id, entry.mode)
        raise


def _stage(repo: Repository, path: str, blob: pygit2.Oid, mode: FileMode) -> None:
    repo.index.read()
    repo.index.add(path)  # with the file's times, so that git need not look into it again
    if repo.index[path].id != blob:
        repo.index.add(pygit2.IndexEntry(path, blob, mode))
    repo.index.write()


def _write(file: Path, content: bytes) -> None:
    """With the mode that the file had."""
    write_whole(file, content, file.stat().st_mode & 0o7777)


def _notes(repo: Repository, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What a commit by git itself would have done besides."""
    notes = []
    if hooks := [name for name in HOOKS if os.access(_hooks(repo, environment) / name, os.X_OK)]:
        notes.append(f"the repository's hooks were not run: {listing(hooks)}")
    if (setting(repo, environment, "commit.gpgsign") or "").lower() in ("true", "yes", "on", "1"):
        notes.append("the commit is not signed, though commit.gpgSign asks for it: git commit --amend --no-edit -S signs it")
    return tuple(notes)


def _hooks(repo: Repository, environment: Mapping[str, str]) -> Path:
    if path := setting(repo, environment, "core.hookspath"):
        return Path(repo.workdir, Path(path).expanduser())
    common = Path(repo.path, "commondir")  # a linked working tree shares the hooks of the first
    return Path(repo.path, common.read_text().strip() if common.exists() else "", "hooks")
