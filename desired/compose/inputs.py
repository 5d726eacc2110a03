"""What a compose service is made from, as one digest: another one when, and only when, its container is to be made anew.

That is what its files say of it, the variables that they ask for, and every file of the project's tree that it is built from,
mounts or reads. What cannot be followed for certain counts as the whole tree. Called by `desired/compose/read.py`.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from desired.compose.file import ComposeFiles, Part, inside
from desired.compose.values import Values
from providers.patterns import Patterns
from providers.tree import SENTINEL, Tree, TreeFile

_NOT_ASKED = {"depends_on", "profiles", "pull_policy", "scale", "extends", "develop"}
"""What may change without a new container, or is looked at by itself."""
_LINKS_LIMIT = 8


@dataclass
class Inputs:
    """What one service is made from."""

    files: dict[str, str] = field(default_factory=dict)
    """Path in the tree → its line of the tree's list."""
    missing: dict[str, None] = field(default_factory=dict)
    """Folders and files that it mounts from beside the compose file and that the tree does not hold."""
    unsure: bool = False
    """Something could not be followed."""


class Folders:
    """The files of a tree, by folder."""

    def __init__(self, tree: Tree) -> None:
        self._files = {file.path: file for file in tree.files if file.path != SENTINEL}
        self._sorted = list(self._files.values())

    def get(self, path: str) -> TreeFile | None:
        return self._files.get(path)

    def under(self, folder: str) -> list[TreeFile]:
        """All files in a folder; of the empty one: all there are."""
        return [file for file in self._sorted if not folder or file.path.startswith(f"{folder}/")]


def inputs_of(name: str, found: ComposeFiles, tree: Tree, folders: Folders, values: Values) -> Inputs:
    """What the service is made from."""
    collector = _Collector(tree, folders, values)
    if name in found.unsure:
        collector.inputs.unsure = True
    for part in found.services[name]:
        collector.service(part, found)
    return collector.inputs


def digest_of(name: str, found: ComposeFiles, inputs: Inputs, folders: Folders, values: Values) -> str:
    """16 hex digits that stand for all of it."""
    says = [{key: item for key, item in part.says.items() if key not in _NOT_ASKED} for part in found.services[name]]
    for part in says:
        if isinstance(deploy := part.get("deploy"), dict):
            part["deploy"] = {key: item for key, item in deploy.items() if key != "replicas"}
    says += [dict(part.says) for part in _used(name, found)]
    lines = [file.line for file in folders.under("")] if inputs.unsure else sorted(inputs.files.values())
    bare = [key for part in found.services[name] for key in _passed(part.says.get("environment"))]
    text = json.dumps([says, values.asked(says), values.lines(sorted(bare)), lines], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _used(name: str, found: ComposeFiles) -> Iterator[Part]:
    """What is said of the networks, volumes, configs and secrets that the service names."""
    for kind, known in sorted(found.shared.items()):
        named = {name_of(item) for part in found.services[name] for item in items(part.says.get(kind))}
        if kind == "networks" and not named:
            named = {"default"}
        for one in sorted(named & known.keys()):
            yield from known[one]


def name_of(item: Any) -> str:
    """The name of a network, volume, config or secret, short or long."""
    if isinstance(item, dict):
        return str(item.get("source", ""))
    return str(item).partition(":")[0]


def items(value: Any) -> list[Any]:
    """A list, or the keys of a mapping, or one item."""
    return [] if value is None else list(value) if isinstance(value, list | dict) else [value]


def _passed(environment: Any) -> list[str]:
    """Variables that go to the container as compose finds them."""
    if isinstance(environment, dict):
        return [key for key, value in environment.items() if value is None]
    return [item for item in items(environment) if isinstance(item, str) and "=" not in item]


class _Collector:
    def __init__(self, tree: Tree, folders: Folders, values: Values) -> None:
        self.inputs = Inputs()
        self._tree = tree
        self._folders = folders
        self._values = values

    def service(self, part: Part, found: ComposeFiles) -> None:
        says = part.says
        for volume in items(says.get("volumes")):
            self._volume(part.folder, volume)
        for key in ("env_file", "label_file"):
            for one in items(says[key]) if isinstance(says.get(key), list) else [says.get(key)]:
                self._read(part.folder, one.get("path") if isinstance(one, dict) else one)
        for kind in ("configs", "secrets"):
            for item in items(says.get(kind)):
                for shared in found.shared.get(kind, {}).get(name_of(item), []):
                    self._read(shared.folder, shared.says.get("file"))
        if says.get("build") is not None:
            self._build(part.folder, says["build"])

    def _path(self, folder: str, text: object) -> str | None:
        """The path in the tree; None where it is elsewhere. What cannot be told is noted as unsure."""
        if not isinstance(text, str) or not text:
            return None
        filled = self._values.fill(text)
        if filled is None:
            self.inputs.unsure = True
            return None
        return inside(folder, filled)

    def _read(self, folder: str, text: object) -> None:
        path = self._path(folder, text)
        if path is not None:
            self._add(path)

    def _volume(self, folder: str, volume: object) -> None:
        if isinstance(volume, dict):
            source = volume.get("source") if volume.get("type") == "bind" else None
        else:
            filled = self._values.fill(volume) if isinstance(volume, str) else None
            if filled is None:
                self.inputs.unsure = True
                return
            source = filled.partition(":")[0] if ":" in filled else None
            if source is not None and not source.startswith((".", "/", "~")):
                return  # a volume with a name
        path = self._path(folder, source)
        if path is not None and not self._add(path):
            self.inputs.missing[path] = None

    def _build(self, folder: str, build: object) -> None:
        says: Mapping[str, Any] = build if isinstance(build, dict) else {"context": build}
        context = says.get("context") or "."
        if isinstance(context, str) and "://" not in context and not context.startswith("git@"):
            path = self._path(folder, context)
            if path is not None:
                self._context(path, says.get("dockerfile"))
        further = says.get("additional_contexts")
        for one in further.values() if isinstance(further, dict) else [str(item).partition("=")[2] for item in items(further)]:
            if isinstance(one, str) and ":" not in one:
                self._read(folder, one)

    def _context(self, context: str, dockerfile: object) -> None:
        """All that docker would be sent. An ignore file that takes something back in is not followed."""
        recipe = self._path(context, dockerfile if isinstance(dockerfile, str) else "Dockerfile")
        if recipe is not None:
            self._add(recipe)
        ignore = self._ignored(context, recipe)
        for file in self._folders.under(context):
            within = file.path[len(context) + 1 :] if context else file.path
            if not ignore(within):
                self._add(file.path)

    def _ignored(self, context: str, recipe: str | None) -> Patterns:
        path = posixpath.join(context, ".dockerignore")
        entry = self._folders.get(path)
        own = recipe is not None and self._folders.get(f"{recipe}.dockerignore") is not None
        if own or entry is None or entry.mode == "link" or entry.digest.startswith("sealed:"):
            return Patterns(())
        self._add(path)
        lines = [line.strip() for line in self._tree.read(path).decode("utf-8", "surrogateescape").splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        if any(line.startswith("!") for line in lines):
            return Patterns(())
        # There, a pattern begins at the top of the context.
        return Patterns(f"/{posixpath.normpath(line).strip('/')}" for line in lines if line.strip("/. "))

    def _add(self, path: str, links: int = 0) -> bool:
        """Adds a file, or all files of a folder; false where the tree holds neither."""
        entry = self._folders.get(path)
        found: Iterable[TreeFile] = [entry] if entry is not None else self._folders.under(path)
        there = False
        for file in found:
            there = True
            if file.path in self.inputs.files:
                continue
            self.inputs.files[file.path] = file.line
            if file.mode == "link":
                self._follow(file, links)
        return there

    def _follow(self, file: TreeFile, links: int) -> None:
        target = inside(posixpath.dirname(file.path), self._tree.read(file.path).decode("utf-8", "surrogateescape"))
        if target is not None and links < _LINKS_LIMIT:
            self._add(target, links + 1)
