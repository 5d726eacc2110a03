"""Reads the compose files of a project's tree, as compose would find them: which services there are, and what each is told.

The files are not merged here. A service is known by all the parts that speak of it (the file, its override, what it extends,
what is included), each with the folder that its relative paths start from: that is enough to tell what it is made from, and
whether that has changed. What values come to is compose's own business, on the host. Called by `desired/compose/read.py`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from desired.compose.values import Values
from desired.text import show, visible
from providers.tree import Tree, TreeFile

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""Both in the order in which compose looks for them."""
_SIZE_LIMIT = 1 << 20
_NODE_LIMIT = 100_000
_DEPTH_LIMIT = 64
_FILES_LIMIT = 100
_SLIPS = (YAMLError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What ruamel raises on broken text, its own slips included."""


class ComposeProblem(Exception):
    """Why a project's compose files cannot be used as they are. `str` is a sentence, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Part:
    """What one file says of one service."""

    folder: str
    """Where its relative paths start, in the tree; empty at the top."""
    says: Mapping[str, Any]


@dataclass
class ComposeFiles:
    """All of them together."""

    files: tuple[str, ...]
    """Those that compose is told to read, in order."""
    services: dict[str, list[Part]] = field(default_factory=dict)
    shared: dict[str, dict[str, list[Part]]] = field(default_factory=dict)
    """Kind (`networks`, `volumes`, `configs`, `secrets`) → name → what is said of it."""
    unsure: set[str] = field(default_factory=set)
    """Services of which something could not be followed: anything in the tree may count."""


def find(tree: Tree, values: Values) -> tuple[str, ...]:
    """The files that compose itself would take, base and override; none where there is no base."""
    there = {file.path for file in tree.files}
    named = values.get("COMPOSE_FILE")
    if named:
        separator = values.get("COMPOSE_PATH_SEPARATOR") or ":"
        return tuple(posixpath.normpath(path) for path in named.split(separator) if path)
    base = next((name for name in NAMES if name in there), None)
    if base is None:
        return ()
    override = next((name for name in OVERRIDES if name in there), None)
    return (base, override) if override else (base,)


def read(tree: Tree, files: tuple[str, ...], values: Values) -> ComposeFiles:
    """What the files say. Raises `ComposeProblem`, with the file and the line of a mistake."""
    reader = _Reader(tree, values, ComposeFiles(files))
    folder = posixpath.dirname(files[0])
    for file in files:
        reader.take(file, folder)
    reader.extend()
    return reader.found


class _Reader:
    def __init__(self, tree: Tree, values: Values, found: ComposeFiles) -> None:
        self.found = found
        self._values = values
        self._tree = tree
        self._entries = {file.path: file for file in tree.files}
        self._loaded: dict[str, dict[str, Any]] = {}
        self._tagged: set[str] = set()
        self._origin: dict[int, str] = {}

    def take(self, file: str, folder: str, seen: tuple[str, ...] = ()) -> None:
        """Adds what `file` says, and what it includes."""
        data = self.load(file)
        for kind in ("services", "networks", "volumes", "configs", "secrets"):
            section = data.get(kind) or {}
            if not isinstance(section, dict):
                raise ComposeProblem(f"{visible(file, 80)}: {kind} is to be a mapping, and is {show(section)}")
            for name, says in section.items():
                if not isinstance(says, dict | None):
                    raise ComposeProblem(
                        f"{visible(file, 80)}: {kind}.{visible(name, 60)} is to be a mapping, and is {show(says)}"
                    )
                part = Part(folder, says or {})
                self._origin[id(part)] = file
                known = self.found.services if kind == "services" else self.found.shared.setdefault(kind, {})
                known.setdefault(name, []).append(part)
                if kind == "services" and file in self._tagged:
                    self.found.unsure.add(name)
        for one in _list(data.get("include")):
            self._include(file, folder, one, (*seen, file))

    def _include(self, file: str, folder: str, one: object, seen: tuple[str, ...]) -> None:
        says = one if isinstance(one, dict) else {"path": one}
        before = set(self.found.services)
        for path in _list(says.get("path")):
            target = self._within(folder, path)
            if target is None or "project_directory" in says or "env_file" in says:
                # What it brings is not known for certain, so that every service may depend on it.
                self.found.unsure |= set(self.found.services)
            if target is not None and target not in seen:
                self.take(target, posixpath.dirname(target), seen)
            elif target is not None:
                raise ComposeProblem(f"{visible(file, 80)} includes {visible(target, 80)}, which includes it again")
        if says.keys() & {"project_directory", "env_file"}:
            self.found.unsure |= set(self.found.services) - before

    def extend(self) -> None:
        """Adds to each service the parts of those that it extends."""
        for name, parts in self.found.services.items():
            for part in list(parts):
                parts.extend(self._extended(name, part, self._origin.get(id(part), ""), 0))

    def _extended(self, name: str, part: Part, file: str, depth: int) -> Iterator[Part]:
        extends = part.says.get("extends")
        if extends is None:
            return
        says = extends if isinstance(extends, dict) else {"service": extends}
        service, path = says.get("service"), says.get("file")
        target = file if path is None else self._within(part.folder, path)
        if target is None or not isinstance(service, str) or depth >= _DEPTH_LIMIT:
            self.found.unsure.add(name)
            return
        section = self.load(target).get("services")
        there = section.get(service) if isinstance(section, dict) else None
        if not isinstance(there, dict):
            message = f"{visible(name, 60)} extends the service {visible(service, 60)}, which is not in {visible(target, 80)}"
            raise ComposeProblem(message)
        if target in self._tagged:
            self.found.unsure.add(name)
        base = Part(part.folder if path is None else posixpath.dirname(target), there)
        yield base
        yield from self._extended(name, base, target, depth + 1)

    def _within(self, folder: str, path: object) -> str | None:
        """The path in the tree; None where it leads elsewhere, or cannot be told."""
        text = self._values.fill(path) if isinstance(path, str) else None
        return inside(folder, text) if text else None

    def load(self, file: str) -> dict[str, Any]:
        if file not in self._loaded:
            if len(self._loaded) >= _FILES_LIMIT:
                raise ComposeProblem(f"more than {_FILES_LIMIT} compose files")
            entry = self._entries.get(file)
            if entry is None:
                raise ComposeProblem(f"the compose file {visible(file, 80)} is not in the project's tree")
            self._loaded[file], tagged = _parse(entry, self._tree.read)
            if tagged:
                self._tagged.add(file)
        return self._loaded[file]


def inside(folder: str, path: str) -> str | None:
    """A path as compose files write it, as a path in the tree (empty: all of it); None where it leads out of the tree."""
    if path.startswith(("/", "~")) or "\0" in path:
        return None
    clean = posixpath.normpath(posixpath.join(folder, path))
    if clean == ".." or clean.startswith("../"):
        return None
    return "" if clean == "." else clean


def _list(value: object) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _parse(entry: TreeFile, read: Any) -> tuple[dict[str, Any], bool]:
    """The mapping in a file, and whether it holds tags, whose meaning only compose knows."""
    name = visible(entry.path, 80)
    if entry.mode == "link" or entry.digest.startswith("sealed:"):
        raise ComposeProblem(f"{name} cannot be a compose file: it is a link, or a secret")
    if entry.size > _SIZE_LIMIT:
        raise ComposeProblem(f"{name} has {entry.size / _SIZE_LIMIT:.1f} MiB; the limit for YAML is 1 MiB")
    return _parsed(name, read(entry.path))


@lru_cache(maxsize=64)
def _parsed(name: str, content: bytes) -> tuple[dict[str, Any], bool]:
    """A file of a thousand lines takes a tenth of a second, and is asked for several times. Nobody changes what comes back."""
    yaml = YAML(typ="rt", pure=True)
    yaml.max_depth = _DEPTH_LIMIT
    try:
        plain = _Plain()
        data = plain.of(yaml.load(content.decode("utf-8-sig")), 0)
    except UnicodeDecodeError:
        raise ComposeProblem(f"{name} is not UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise ComposeProblem(f"{name}{where}: this is not YAML: {visible(error.problem or error.context or '', 120)}") from None
    except _SLIPS as error:
        raise ComposeProblem(f"{name}: this is not YAML: {visible(str(error), 120)}") from None
    if not isinstance(data, dict):
        raise ComposeProblem(f"{name}: expected a mapping with services, found {show(data)}")
    return data, plain.tagged


class _Plain:
    """Plain values from what ruamel yields, within bounds: an alias counts as what it stands for."""

    def __init__(self) -> None:
        self.tagged = False
        self._left = _NODE_LIMIT

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEPTH_LIMIT:
            raise ComposeProblem("a compose file holds too many values, or nests them too deeply")
        if isinstance(value, TaggedScalar):
            self.tagged = True
            return str(value.value)
        if isinstance(value, dict | list) and getattr(getattr(value, "tag", None), "value", None):
            self.tagged = True
        if isinstance(value, dict):
            return {str(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item, depth + 1) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return int(value) if isinstance(value, int) else float(value)
        return str(value)
