"""A fleet repository as the loader sees it: paths with blob ids, read-only, and nothing that is not plain data.

Made by `desired/git.py` from a commit or a working tree; read by `desired/load.py` and `desired/content.py`. It stands apart
from git.py so that nothing but git.py needs pygit2, and so that every judgement about hostile names and modes is in one place.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from desired.text import nearest, visible

MEBIBYTE = 1 << 20
TEXT_LIMIT = 8 * MEBIBYTE
"""For everything that is parsed or rendered."""
FILE_LIMIT = 64 * MEBIBYTE
"""For a file that is sent to a host as it is."""
PACKAGE_LIMIT = 512 * MEBIBYTE
"""For a .deb."""

SYMLINK = 0o120000
SUBMODULE = 0o160000
_LFS_MARK = b"version https://git-lfs.github.com/spec/"
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Entry(NamedTuple):
    """One file of the repository."""

    id: str
    """Blob id in hex."""
    mode: int
    """Git's file mode: 0o100644, 0o100755, or one that we refuse (symbolic link, submodule)."""


class OddName(NamedTuple):
    """An entry that was left out because of its name."""

    folder: str
    """The folder it stands in; empty at the top."""
    name: str
    reason: str


class Unusable(Exception):
    """A path that a manifest names cannot be used. `str` is a sentence, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Source(Mapping[str, Entry]):
    """Read-only mapping of repository paths to entries. `read_blob` and `blob_size` fetch by entry and path."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        *,
        read_blob: Callable[[str, Entry], bytes],
        blob_size: Callable[[str, Entry], int],
        commit: str | None = None,
        odd: Sequence[OddName] = (),
    ) -> None:
        self._entries = entries
        self._read_blob = read_blob
        self._blob_size = blob_size
        self.commit = commit
        self.odd = tuple(odd)

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def under(self, folder: str) -> list[str]:
        """Paths below `folder` (`hosts/`), sorted."""
        return sorted(path for path in self._entries if path.startswith(folder))

    def check(self, path: str, limit: int = TEXT_LIMIT) -> Entry:
        """The entry of a path that can be read as a plain file of at most `limit` bytes; `Unusable` says why not."""
        entry = self._entries.get(path)
        if entry is None:
            raise self._missing(path)
        self._refuse_mode(path, entry)
        size = self._blob_size(path, entry)
        if size > limit:
            raise Unusable(f"{visible(path)} has {size / MEBIBYTE:.1f} MiB; the limit here is {limit // MEBIBYTE} MiB")
        return entry

    def read(self, path: str, limit: int = TEXT_LIMIT) -> bytes:
        """The content of a plain file; `Unusable` says why it cannot be had."""
        data = self._read_blob(path, self.check(path, limit))
        if data.startswith(_LFS_MARK):
            raise Unusable(f"{visible(path)} is only a pointer of Git LFS, not the file itself", "commit the file without LFS")
        return data

    def _refuse_mode(self, path: str, entry: Entry) -> None:
        if entry.mode == SYMLINK:
            raise Unusable(f"{visible(path)} is a symbolic link; links are not followed", "name the file itself")
        if entry.mode == SUBMODULE:
            raise Unusable(f"{visible(path)} is a submodule; submodules are not read", "commit the files themselves")

    def _missing(self, path: str) -> Unusable:
        folder = path.rstrip("/") + "/"
        if any(known.startswith(folder) for known in self._entries):
            return Unusable(f"{visible(path)} is a folder, not a file")
        for ancestor in ancestors(path):
            if entry := self._entries.get(ancestor):
                self._refuse_mode(ancestor, entry)
                return Unusable(f"{visible(path)} is not there: {visible(ancestor)} is a file")
        hint = nearest(path, self._entries)
        return Unusable(f"{visible(path)} is not in the repository", hint and f"did you mean {visible(hint)}?")


def overlaid(source: Source, path: str, content: bytes) -> Source:
    """`source` as it would be if `path` held `content`: what a commit would ask for before it is made."""
    entries = {**source, path: Entry(hashlib.sha256(content).hexdigest(), source[path].mode)}

    def read_blob(name: str, entry: Entry) -> bytes:
        return content if name == path else source._read_blob(name, entry)  # noqa: SLF001 our own

    def blob_size(name: str, entry: Entry) -> int:
        return len(content) if name == path else source._blob_size(name, entry)  # noqa: SLF001 our own

    return Source(entries, read_blob=read_blob, blob_size=blob_size, odd=source.odd)


def ancestors(path: str) -> Iterator[str]:
    """`a/b/c` → `a/b`, `a`; of an absolute path likewise, without the root."""
    while end := max(path.rfind("/"), 0):
        path = path[:end]
        yield path


def odd_name(name: str) -> str | None:
    """Why an entry of a git tree cannot be trusted to be one plain file or folder; None for an ordinary name."""
    if name in ("", ".", ".."):
        return "a name that points elsewhere"
    if "/" in name:
        return "a name with a slash in it"
    if name.lower() == ".git":
        return "a name that is reserved for git"
    if name.isprintable():
        return None
    categories = {unicodedata.category(character) for character in name}
    if "Cs" in categories:
        return "a name that is not UTF-8"
    if categories & _HIDDEN_CATEGORIES:
        return "a name with control or invisible characters"
    return None


def repository_path(text: str) -> str:
    """`text` checked to be a path inside the repository, as manifests write it (`files/motd`); `Unusable` otherwise."""
    if text.startswith("/"):
        raise Unusable(
            f"{visible(text)} is an absolute path", "write it relative to the top of the repository, as in files/motd"
        )
    parts = text.split("/")
    if ".." in parts:
        raise Unusable(f"{visible(text)} leads out of its folder with ..", "write it from the top of the repository")
    clean = "/".join(part for part in parts if part not in ("", "."))
    if not clean:
        raise Unusable("the path is empty", "write it relative to the top of the repository, as in files/motd")
    return clean
