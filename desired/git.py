"""From a git repository on this machine to a `Source`: one commit of it, or what lies in its working tree.

The only module of this room that imports pygit2. It reads objects and nothing else: no hook, filter, external diff or
configuration of the user or the system has a say, because libgit2 runs none of the former and the search paths of the latter
are emptied below. Called by the commands of `reconciler/` before they call `desired.load.load`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import pygit2
from pygit2.enums import ConfigLevel, FileStatus, ObjectType

from desired.model import RepositoryError
from desired.source import PACKAGE_LIMIT, SUBMODULE, SYMLINK, Entry, OddName, Source, odd_name
from desired.text import meant, show, visible

__all__ = [
    "Repository",
    "Source",
    "changed_paths",
    "commit_source",
    "fleet_folder",
    "folder_in",
    "open_repository",
    "read_worktree",
    "uncommitted",
    "worktree_source",
]

Repository: TypeAlias = pygit2.Repository
ValueT = TypeVar("ValueT")

FLEET_MARKS = ("fleet.yaml", "hosts.yaml")
"""A folder with one of these is a fleet of its own; the repository may hold other things beside it."""
FILES_LIMIT = 200_000
"""More entries than this in one commit is not a fleet, or a tree that repeats itself without end."""
DEPTH_LIMIT = 64

for _level in (ConfigLevel.PROGRAMDATA, ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
    pygit2.settings.search_path[_level] = ""


def open_repository(path: str | os.PathLike[str]) -> Repository:
    """The repository that `path` lies in, bare or not; `RepositoryError` when there is none or it cannot be trusted."""
    folder = Path(path)
    if not folder.is_dir():
        raise RepositoryError(f"{visible(str(folder))} is not a folder", "name the folder of the fleet repository with -C DIR")
    try:
        found = pygit2.discover_repository(str(folder))
        if found is None:
            raise RepositoryError(
                f"no git repository at {visible(str(folder.absolute()))}",
                "name the fleet repository with -C DIR, or begin one: git init, and a commit with an empty fleet.yaml",
            )
        return pygit2.Repository(found)
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _unopened(folder, error) from error


def _unopened(folder: Path, error: Exception) -> RepositoryError:
    place = visible(str(folder.absolute()))
    if "not owned by current user" in str(error) or "owner" in str(error).lower():
        return RepositoryError(
            f"the repository at {place} belongs to another user, and its configuration is therefore not trusted",
            "run as the user who owns it, or give it to this user with chown -R",
        )
    if "object format" in str(error) or "extension" in str(error):
        return RepositoryError(
            f"the repository at {place} has a format that this version cannot read: {visible(_reason(error), 200)}",
            "make one with git's usual format, SHA-1 and references in files (git init), and commit the fleet there",
        )
    message = f"the repository at {place} could not be opened: {visible(_reason(error), 200)}"
    return RepositoryError(message, "check it with: git status")


def _reason(error: Exception) -> str:
    """libgit2's words, without the path that they may begin with."""
    return str(error).rpartition(": ")[2]


def folder_in(repo: Repository, path: str | os.PathLike[str]) -> str:
    """Where `path` lies in the working tree (`machines/hosts`); empty at its top, and in a bare repository."""
    if repo.is_bare:
        return ""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(repo.workdir))
    return "" if inside == "." or inside.startswith("..") else inside


def fleet_folder(repo: Repository, folder: str, rev: str = "HEAD") -> str:
    """Where the fleet that `folder` lies in begins, in a commit: its paths count from there."""
    commit = _commit(repo, rev)
    return _fleet_folder(folder, lambda path: path in commit.tree)


def commit_source(repo: Repository, rev: str = "HEAD", folder: str = "") -> Source:
    """The files of one commit: of the fleet that `folder` lies in, or of the whole repository where that is none.

    `RepositoryError` when the revision is unknown or its objects are damaged.
    """
    commit = _commit(repo, rev)
    try:
        top = _fleet_folder(folder, lambda path: path in commit.tree)
        entries, odd = _walk(_tree(commit.tree, top))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _damaged(str(commit.id), error) from error

    def read_blob(path: str, entry: Entry) -> bytes:
        return _object(repo, entry.id)

    def blob_size(path: str, entry: Entry) -> int:
        return _size(repo, entry.id)

    return Source(entries, read_blob=read_blob, blob_size=blob_size, commit=str(commit.id), odd=odd)


def _fleet_folder(folder: str, has: Callable[[str], bool]) -> str:
    """The nearest folder from `folder` upwards in which a fleet begins; empty for the top of the repository."""
    parts = folder.split("/") if folder else []
    while parts and not any(has("/".join([*parts, mark])) for mark in FLEET_MARKS):
        parts.pop()
    return "/".join(parts)


def _tree(top: pygit2.Tree, folder: str) -> pygit2.Tree:
    found = top[folder] if folder else top
    assert isinstance(found, pygit2.Tree)
    return found


def worktree_source(repo: Repository, folder: str = "") -> Source:
    """What lies in the working tree: tracked files as they are now, and new ones that are not ignored. `folder` as above."""
    if repo.is_bare:
        raise RepositoryError("a bare repository has no working tree", "leave --worktree out: its commits can be read")
    top = _fleet_folder(folder, lambda path: os.path.lexists(Path(repo.workdir, path)))
    root = Path(repo.workdir, top)
    entries: dict[str, Entry] = {}
    odd: list[OddName] = []
    fresh: set[str] = set()
    try:
        repo.index.read()
        index = _below(top, {entry.path: Entry(str(entry.id), int(entry.mode)) for entry in repo.index})
        status = _below(top, repo.status(untracked_files="all"))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _unreadable_tree(error) from error
    for path in sorted(index.keys() | status.keys()):
        flags = status.get(path, FileStatus.CURRENT)
        if flags & FileStatus.IGNORED:
            continue
        if reason := _odd_path(path):
            odd.append(OddName(path.rpartition("/")[0], path.rpartition("/")[2], reason))
        elif path in index and not flags & _ON_DISK:
            entries[path] = index[path]
        elif not flags & FileStatus.WT_DELETED and (entry := _disk_entry(root, path)):
            entries[path] = entry
            fresh.add(path)

    def read_blob(path: str, entry: Entry) -> bytes:
        return _read_disk(root, path) if path in fresh else _object(repo, entry.id)

    def blob_size(path: str, entry: Entry) -> int:
        return (root / path).lstat().st_size if path in fresh else _size(repo, entry.id)

    return Source(entries, read_blob=read_blob, blob_size=blob_size, odd=odd)


def _unreadable_tree(error: Exception) -> RepositoryError:
    hint = "if git status fails as well, the clone is damaged: check it with git fsck"
    return RepositoryError(f"the working tree could not be read: {visible(str(error), 200)}", hint)


_ON_DISK = (
    FileStatus.WT_NEW
    | FileStatus.WT_MODIFIED
    | FileStatus.WT_DELETED
    | FileStatus.WT_TYPECHANGE
    | FileStatus.WT_RENAMED
    | FileStatus.WT_UNREADABLE
    | FileStatus.CONFLICTED
)


def _below(folder: str, paths: Mapping[str, ValueT]) -> dict[str, ValueT]:
    """Those of `paths` that lie in `folder`, named from there."""
    prefix = f"{folder}/" if folder else ""
    return {path.removeprefix(prefix): value for path, value in paths.items() if path.startswith(prefix)}


def uncommitted(repo: Repository, folder: str = "") -> list[str]:
    """Paths that differ from HEAD in the index or the working tree, new files included; empty for a bare repository."""
    if repo.is_bare:
        return []
    top = _fleet_folder(folder, lambda path: os.path.lexists(Path(repo.workdir, path)))
    try:
        status = _below(top, repo.status(untracked_files="all"))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _unreadable_tree(error) from error
    return sorted(path for path, flags in status.items() if flags != FileStatus.CURRENT and not flags & FileStatus.IGNORED)


def create_repository(folder: str | os.PathLike[str]) -> Repository:
    """A new repository in `folder`, with the branch main and no commit yet."""
    try:
        return pygit2.init_repository(str(folder), initial_head="main")
    except (pygit2.GitError, ValueError) as error:
        raise RepositoryError(f"no repository could be made in {visible(str(folder))}: {visible(str(error), 200)}") from error


def commit_all(repo: Repository, message: str, *, name: str, email: str, time: int) -> str:
    """Commits the whole working tree to the branch that is checked out; the commit's full id."""
    repo.index.add_all()
    repo.index.write()
    signature = pygit2.Signature(name, email, time)
    parents = [] if repo.head_is_unborn else [repo.head.target]
    return str(repo.create_commit("HEAD", signature, signature, message, repo.index.write_tree(), parents))


def changed_paths(old: Source, new: Source) -> list[str]:
    """Paths that were added, removed, or have other content or another mode."""
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def _commit(repo: Repository, rev: str) -> pygit2.Commit:
    shown = show(rev) if not rev.strip() else visible(rev)
    try:
        if rev == "HEAD" and repo.head_is_unborn:
            raise _unborn(repo)
        found = repo.revparse_single(rev).peel(pygit2.Commit)
    except KeyError as error:
        raise RepositoryError(f"there is no revision {shown}", _near_revision(repo, rev)) from error
    except ValueError as error:
        if "ambiguous" in str(error):
            raise RepositoryError(f"{shown} could be several commits", "write more of the commit id") from error
        hint = "name two revisions with a blank between them" if ".." in rev else "name a commit id, a branch or a tag"
        raise RepositoryError(f"{shown} is not a revision", hint) from error
    except pygit2.GitError as error:
        raise RepositoryError(
            f"{shown} cannot be followed to a commit: {visible(str(error), 200)}",
            "name a commit id, a branch or a tag; if it is one, the clone is damaged or incomplete: git fsck",
        ) from error
    return found


def _unborn(repo: Repository) -> RepositoryError:
    if branch := next((name.split("/", 2)[2] for name in repo.references if name.startswith("refs/heads/")), ""):
        hint = f"check out a branch that has one, or name it: --rev {visible(branch)}"
        return RepositoryError("the branch that is checked out has no commit", hint)
    hint = "commit the fleet first (git add, git commit); plan --worktree shows it before"
    return RepositoryError("the repository has no commit yet", hint)


def _near_revision(repo: Repository, rev: str) -> str:
    if rev == "HEAD":
        return "HEAD points to a branch that does not exist"
    names = [name.split("/", 2)[2] for name in repo.references if name.count("/") >= 2]
    return meant(rev, names, "name a commit id, a branch or a tag; a new one may have to be fetched first")


def _walk(tree: pygit2.Tree) -> tuple[dict[str, Entry], list[OddName]]:
    """All files of a tree whose names can be trusted, and the entries that were left out."""
    entries: dict[str, Entry] = {}
    odd: list[OddName] = []
    waiting: list[tuple[str, int, pygit2.Tree]] = [("", 1, tree)]
    seen = 0
    while waiting:
        prefix, depth, folder = waiting.pop()
        names: set[str] = set()
        for item in folder:
            name, mode = item.name or "", int(item.filemode)
            seen += 1
            if seen > FILES_LIMIT:
                raise RepositoryError(
                    f"the commit holds more than {FILES_LIMIT} files and folders", "is this a fleet repository?"
                )
            reason = odd_name(name) or ("a name that stands twice in one folder" if name in names else None)
            if reason is None and depth == DEPTH_LIMIT:
                reason = f"a name more than {DEPTH_LIMIT} folders deep"
            names.add(name)
            if reason:
                odd.append(OddName(prefix.rstrip("/"), name, reason))
            elif isinstance(item, pygit2.Tree):
                waiting.append((f"{prefix}{name}/", depth + 1, item))
            else:
                entries[prefix + name] = Entry(str(item.id), mode)
    return entries, odd


def _object(repo: Repository, blob: str) -> bytes:
    try:
        kind, data = repo.odb.read(pygit2.Oid(hex=blob))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _damaged(blob, error) from error
    if kind != ObjectType.BLOB:
        raise RepositoryError(f"object {blob} is not a file; the repository is damaged", "check it with: git fsck")
    return data


def _size(repo: Repository, blob: str) -> int:
    try:
        return int(repo.odb.read_header(pygit2.Oid(hex=blob))[1])
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise _damaged(blob, error) from error


def _damaged(name: str, error: Exception) -> RepositoryError:
    return RepositoryError(
        f"object {name} cannot be read from the repository: {visible(str(error), 200)}",
        "the clone is damaged or incomplete: check it with git fsck, or clone it again in full",
    )


def _odd_path(path: str) -> str | None:
    return next((reason for part in path.split("/") if (reason := odd_name(part))), None)


def _disk_entry(root: Path, path: str) -> Entry | None:
    """The entry of a file that was changed or added since the commit; None when it is gone."""
    try:
        status = (root / path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(status.st_mode):
        return Entry("", SUBMODULE)
    if stat.S_ISLNK(status.st_mode):
        return Entry("", SYMLINK)
    if status.st_size > PACKAGE_LIMIT:
        return Entry(f"size {status.st_size}", 0o100644)
    mode = 0o100755 if status.st_mode & stat.S_IXUSR else 0o100644
    return Entry(str(pygit2.hash(_read_disk(root, path))), mode)


def read_worktree(repo: Repository, path: str) -> bytes:
    """A file as it lies in the working tree; `RepositoryError` where it cannot be read."""
    return _read_disk(Path(repo.workdir), path)


def _read_disk(root: Path, path: str) -> bytes:
    """A file of the working tree, without following a link on the way out of it."""
    if any(parent.is_symlink() for parent in _folders(root, path)):
        raise RepositoryError(f"{visible(path)} lies behind a symbolic link; links are not followed")
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError as error:
        raise RepositoryError(f"{visible(path)} cannot be read: {error.strerror}") from error


def _folders(root: Path, path: str) -> Iterator[Path]:
    for folder in (root / path).relative_to(root).parents:
        if folder.name:
            yield root / folder
