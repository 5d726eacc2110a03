"""The files of a project's commit, judged: what can be put on a host as it is, and what not, with the reason.

Called by `desired/sources/repository.py`. Trees are parsed from their raw bytes, because a tree that was made by hand may hold
names that libgit2 would render as others; the names are judged by `desired.source.odd_name`, as those of the fleet are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import pygit2
from pygit2.enums import ObjectType

from desired.source import MEBIBYTE, PACKAGE_LIMIT, SUBMODULE, SYMLINK, odd_name
from desired.sources.model import SourceFile, SourceProblem, SourceTree, TreeProblem
from desired.sources.remote import Damaged
from desired.sources.sums import Sum, Sums
from desired.text import visible

FILES_LIMIT = 400_000
DEPTH_LIMIT = 64
_NAME_LIMIT = 255
_PATH_LIMIT = 3072
"""Linux takes 4095 bytes; the folder on the host and that of a release come before it."""
_PROBLEMS_LIMIT = 1000
_FOLDER = 0o040000
_LINKS_FOLLOWED = 40
_LFS_MARK = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024
"""A pointer is shorter than this: git-lfs says so."""
_MODES: Mapping[int, Literal["0644", "0755", "link"]] = {0o100644: "0644", 0o100664: "0644", 0o100755: "0755", SYMLINK: "link"}


class Item(NamedTuple):
    """One entry of a raw tree."""

    name: str
    mode: int
    id: bytes


def items(repo: pygit2.Repository, tree: bytes) -> Iterator[Item]:
    """The entries of a tree, as they stand in it. `Damaged` when it cannot be read."""
    data = read_object(repo, tree, ObjectType.TREE)
    at = 0
    while at < len(data):
        blank, end = data.find(b" ", at), data.find(b"\0", at)
        if not at < blank < end or end + 21 > len(data):
            raise Damaged(f"tree {tree.hex()} is not well-formed")
        try:
            mode = int(data[at:blank], 8)
        except ValueError as error:
            raise Damaged(f"tree {tree.hex()} is not well-formed") from error
        yield Item(data[blank + 1 : end].decode("utf-8", "surrogateescape"), mode, data[end + 1 : end + 21])
        at = end + 21


def read_object(repo: pygit2.Repository, name: bytes, kind: ObjectType) -> bytes:
    try:
        found, data = repo.odb.read(pygit2.Oid(raw=name))
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise Damaged(f"object {name.hex()} cannot be read: {error}") from error
    if found != kind:
        raise Damaged(f"object {name.hex()} is not what it should be")
    return data


def object_size(repo: pygit2.Repository, name: bytes) -> int:
    try:
        return int(repo.odb.read_header(pygit2.Oid(raw=name))[1])
    except (pygit2.GitError, KeyError, ValueError) as error:
        raise Damaged(f"object {name.hex()} cannot be read: {error}") from error


def is_folder(mode: int) -> bool:
    return mode & 0o170000 == _FOLDER


def tree_files(repo: pygit2.Repository, sums: Sums, commit: str, root: bytes, excluded: Callable[[str], bool]) -> SourceTree:
    """The files of a tree that are not excluded. `excluded` is asked for each folder, with a slash at its end, and for each
    file of those that are not."""
    problems: list[TreeProblem] = []
    plain: dict[str, Item] = {}
    for path, item, odd in _walk(repo, root, excluded):
        reason = odd or _odd_mode(item.mode)
        if reason is None:
            plain[path] = item
        else:
            problems.append(TreeProblem(path, reason))
    known = _sums(repo, sums, plain, problems)
    files = {
        path: SourceFile(_MODES[item.mode], item.id.hex(), one.sha256.hex(), one.size)
        for path, item in plain.items()
        if (one := known.get(item.id)) is not None
    }
    targets = {path: read_object(repo, item.id, ObjectType.BLOB) for path, item in plain.items() if item.mode == SYMLINK}
    for path, reason in _bad_links(targets):
        problems.append(TreeProblem(path, reason))
        files.pop(path, None)
    for path in [path for path, item in plain.items() if item.mode != SYMLINK and path in files and known[item.id].pointer]:
        problems.append(TreeProblem(path, "only a pointer of Git LFS, not the file itself"))
        del files[path]
    return SourceTree(commit, files, tuple(sorted(problems)[:_PROBLEMS_LIMIT]))


def _odd_mode(mode: int) -> str | None:
    if mode in _MODES:
        return None
    return "a submodule" if mode == SUBMODULE else f"an entry of the unknown mode {mode:o}"


def _walk(repo: pygit2.Repository, root: bytes, excluded: Callable[[str], bool]) -> Iterator[tuple[str, Item, str | None]]:
    """Every file that is not excluded; with a reason where it, or the folder that it would be, cannot be used."""
    waiting: list[tuple[str, int, bytes]] = [("", 1, root)]
    seen = 0
    judged: dict[str, str | None] = {}
    while waiting:
        prefix, depth, tree = waiting.pop()
        names: set[str] = set()
        for item in items(repo, tree):
            seen += 1
            if seen > FILES_LIMIT:
                raise SourceProblem(
                    "unusable",
                    f"the commit holds more than {FILES_LIMIT:,} files and folders",
                    "leave folders out with `exclude:` in the project's file",
                )
            path, folder = prefix + item.name, is_folder(item.mode)
            if item.name not in judged:
                judged[item.name] = odd_name(item.name)
            reason = judged[item.name] or ("a name that stands twice in one folder" if item.name in names else None)
            names.add(item.name)
            if reason is None and excluded(f"{path}/" if folder else path):
                continue
            if reason is None and _length(item.name) > _NAME_LIMIT:
                reason = f"a name of more than {_NAME_LIMIT} bytes"
            if reason is None and _length(path) > _PATH_LIMIT:
                reason = f"a path of more than {_PATH_LIMIT} bytes"
            if reason is None and folder and depth == DEPTH_LIMIT:
                reason = f"a folder more than {DEPTH_LIMIT} folders deep"
            if reason is None and folder:
                waiting.append((f"{path}/", depth + 1, item.id))
            else:
                yield path, item, reason


def _length(name: str) -> int:
    """In bytes, as a file system counts."""
    return len(name) if name.isascii() else len(name.encode("utf-8", "surrogateescape"))


def _sums(repo: pygit2.Repository, sums: Sums, plain: Mapping[str, Item], problems: list[TreeProblem]) -> dict[bytes, Sum]:
    """Digest and size of every content; those that are not known yet are read, once."""
    sums.refresh()
    found: dict[bytes, Sum] = {}
    fresh: dict[bytes, Sum] = {}
    for path, item in plain.items():
        one = found.get(item.id) or sums.get(item.id)
        if one is None:
            size = object_size(repo, item.id)
            if size > PACKAGE_LIMIT:
                reason = f"{size / MEBIBYTE:,.0f} MiB; the limit is {PACKAGE_LIMIT // MEBIBYTE} MiB"
                problems.append(TreeProblem(path, reason))
                continue
            one = fresh[item.id] = sum_of(read_object(repo, item.id, ObjectType.BLOB))
        found[item.id] = one
    if fresh:
        sums.add(fresh)
    return found


def sum_of(data: bytes) -> Sum:
    pointer = len(data) < _LFS_LIMIT and data.startswith(_LFS_MARK)
    return Sum(hashlib.sha256(data).digest(), len(data), pointer)


def _bad_links(targets: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Links that cannot be put on a host as they are. Where a link leads is followed through the tree's other links, for
    `up/../x` leads elsewhere when `up` is a link."""
    texts = {path: target.decode("utf-8", "surrogateescape") for path, target in targets.items()}
    for path, target in texts.items():
        if target.startswith("/"):
            yield path, f"a link to an absolute path, {visible(target, 60)}"
        elif not target or any(odd_name(part) for part in target.split("/") if part not in ("", ".", "..")):
            yield path, f"a link to a name that cannot be trusted, {visible(target, 60)}"
        elif fault := _astray(path, texts):
            yield path, f"{fault}, {visible(target, 60)}"


def _astray(path: str, links: Mapping[str, str]) -> str | None:
    """What is wrong with where a link leads, however many links are on the way; None when that lies in the tree."""
    here: list[str] = []
    ahead = _reversed(path.split("/"))
    followed = 0
    while ahead:
        part = ahead.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return "a link that leads out of the tree"
            here.pop()
            continue
        target = links.get("/".join([*here, part]))
        if target is None:
            here.append(part)
            continue
        followed += 1
        if target.startswith("/"):
            return "a link that leads out of the tree"
        if followed > _LINKS_FOLLOWED:
            return "a link that leads in a circle"
        ahead += _reversed(target.split("/"))
    return None


def _reversed(parts: Iterable[str]) -> list[str]:
    return list(parts)[::-1]
