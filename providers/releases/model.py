"""What the kind `release` asks for and what a host has: `ReleaseSpec`, `ReleaseState`, and which paths are not ours.

Made by `desired/deploy/expand.py`, one for each project and host; `kind.py` says how it is asked and done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, PrivateAttr, field_validator

from providers.base import Line, Seq, Spec, State
from providers.paths import Account, check_path
from providers.patterns import Patterns
from providers.tree import SENTINEL, Tree, TreeFile

Strategy: TypeAlias = Literal["mirror", "checkout", "releases", "slots"]
_GLOB = frozenset("*?[\\")
PATHS = 1000
"""Paths of one sort that a state names; what there is beyond is counted."""


def check_inside(path: str) -> str:
    """A path below the project's own, in its only spelling."""
    return check_path(f"/{path.removesuffix('/')}")[1:] + ("/" if path.endswith("/") else "")


class ReleaseSpec(Spec):
    """The files of a project, installed on a host."""

    kind = "release"

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    strategy: Annotated[Strategy, Field(description="How it is installed")]
    path: Annotated[Line, Field(description="Folder on the host that holds it", examples=["/srv/site"])]
    folder: Annotated[Line | None, Field(description="Folder in each release that holds the tree")] = None
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40,64})?$", description="Commit of the project")] = ""
    tree: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$", description="Digest of the list of files")] = ""
    exclude: Annotated[Seq[Line], Field(description="What is neither installed nor watched, as in .gitignore")] = ()
    shared: Annotated[Seq[Line], Field(description="Folders and files that outlive every release and are never touched")] = ()
    keep: Annotated[int, Field(ge=1, le=1000, description="Releases that are kept")] = 5
    owner: Annotated[Account | None, Field(description="User it belongs to; default: the one who installs")] = None
    group: Annotated[Account | None, Field(description="Group it belongs to; default: the one who installs")] = None
    origin: Annotated[Line, Field(description="Where the project comes from; without a password")] = ""
    branch: Annotated[Line | None, Field(description="Branch that a checkout stands on")] = None

    _tree: Tree | None = PrivateAttr(default=None)
    _inside: tuple[str, ...] = PrivateAttr(default=())
    _deep: bool = PrivateAttr(default=False)

    @field_validator("path")
    @classmethod
    def _path(cls, path: str) -> str:
        return check_path(path)

    @field_validator("folder")
    @classmethod
    def _folder(cls, folder: str | None) -> str | None:
        return None if folder is None else check_inside(folder).rstrip("/")

    @field_validator("shared")
    @classmethod
    def _shared(cls, shared: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_inside(name) for name in shared)

    @property
    def versioned(self) -> bool:
        """Whether each release has a folder of its own."""
        return self.strategy in ("releases", "slots")

    @property
    def sub(self) -> str:
        return (self.folder or "") if self.versioned else ""

    @property
    def files(self) -> Tree:
        if self._tree is None:
            raise ValueError(f"{self.ref}: its files were not loaded")
        return self._tree

    @property
    def loaded(self) -> bool:
        return self._tree is not None

    @property
    def is_deep(self) -> bool:
        return self._deep

    def with_tree(self, tree: Tree) -> Self:
        """A copy that carries the files themselves."""
        copy = self.model_copy(update={"tree": tree.digest, "commit": tree.commit})
        copy._tree = tree  # noqa: SLF001 our own
        return copy

    def deep(self) -> Self:
        """A copy whose probe hashes every file, whatever its times say."""
        copy = self.model_copy()
        copy._deep = True  # noqa: SLF001 our own
        return copy

    def beside(self, neighbours: Mapping[str, str | None]) -> Self:
        """A copy that leaves alone what other resources own inside."""
        root = f"{self.path}/"
        owned = {path.removeprefix(root) for path in neighbours.values() if path and path.startswith(root)}
        copy = self.model_copy()
        copy._inside = tuple(sorted(owned))  # noqa: SLF001 our own
        return copy

    @property
    def links(self) -> tuple[str, ...]:
        """The shared names, as they are linked into a release."""
        return tuple(name.rstrip("/") for name in self.shared) if self.versioned else ()

    @property
    def untouched(self) -> tuple[str, ...]:
        """Paths inside the tree that are not ours: shared data, and what other resources own."""
        return tuple(name.rstrip("/") for name in self.shared) + self._inside

    def is_untouched(self, path: str) -> bool:
        return any(path == name or path.startswith(f"{name}/") for name in self.untouched)

    @property
    def patterns(self) -> Patterns:
        return Patterns(self.exclude)

    def pruned(self) -> list[str]:
        """Words for `find` that keep it out of folders that are excluded, so that they cost nothing. What cannot be said in
        them exactly is left out by `parse`."""
        tests = ["-path", "./.git"] if self.strategy == "checkout" else []
        made = self.made_here()
        for number, pattern in enumerate(self.exclude):
            words = _find_words(pattern)
            if words and not _brought_back(pattern, self.exclude[number + 1 :]) and not any(map(Patterns([pattern]), made)):
                tests += [*(["-o"] if tests else []), *words]
        if not self.versioned:
            for name in self.untouched:
                tests += [*(["-o"] if tests else []), "-path", f"./{escaped(name)}"]
        return ["(", *tests, ")", "-prune", "-o"] if tests else []

    def made_here(self) -> tuple[str, ...]:
        """Files that are not from the commit but made for the host: no exclude pattern is meant for them."""
        if self._tree is None:
            return ()
        made = (file.path for file in self._tree.files if is_sealed(file) or file.path in (SENTINEL, ".env"))
        return tuple(made)


def is_sealed(file: TreeFile) -> bool:
    return file.digest.startswith("sealed:")


def escaped(name: str) -> str:
    return "".join(f"\\{sign}" if sign in _GLOB else sign for sign in name)


def _find_words(pattern: str) -> list[str]:
    """One pattern as a test of `find`; nothing where it has no exact counterpart."""
    body = pattern.removesuffix("/")
    if not body or body[0] in "#!" or body != body.strip(" ") or "\\" in body or "[" in body or "**" in body:
        return []
    folder = ["-type", "d"] if pattern.endswith("/") else []
    if "/" not in body:
        return [*folder, "-name", body]
    if _GLOB.isdisjoint(body) and all(part not in ("", ".", "..") for part in body.removeprefix("/").split("/")):
        return [*folder, "-path", f"./{body.removeprefix('/')}"]
    return []


def _brought_back(pattern: str, later: Iterable[str]) -> bool:
    """Whether a later pattern could bring back the very thing that this one names."""
    name = pattern.rstrip("/").rpartition("/")[2]
    if not _GLOB.isdisjoint(name):
        return any(line.startswith("!") for line in later)
    return any(line.startswith("!") and Patterns([line[1:].rstrip("/").rpartition("/")[2]]).matches(name) for line in later)


class ReleaseState(State):
    """What is installed. Paths are relative to the tree."""

    tree: str | None = None
    """Digest of the tree that is installed completely; None while an installation is unfinished."""
    commit: str | None = None
    """As the host itself says: the sentinel file, or the HEAD of a checkout."""
    branch: str | None = None
    owner: str | None = None
    group: str | None = None
    edited: tuple[str, ...] | None = None
    missing: tuple[str, ...] | None = None
    modes: tuple[str, ...] | None = None
    """Files whose permissions or owner were changed."""
    touched: int | None = None
    """More files than a probe reads look different from when they were installed."""
    added: tuple[str, ...] | None = None
    """Files that are not ours. Never compared."""
    kept: tuple[str, ...] | None = None
    """Old releases that were not removed, and why. Never compared."""
    formerly: bool | None = None
    """Another strategy has left its files there. Never compared."""
    id: str | None = None
    """The release that holds the tree. Never compared."""
