"""What a project can do with compose: the runner of its runtime or of a slot, a sentence for the plan, and warnings.

Pure reading of the project's tree, offline; compose itself is only asked on the host. Called by `desired/deploy/runners.py`.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from desired.compose.file import ComposeFiles, ComposeProblem, find, inside, read
from desired.compose.inputs import Folders, Inputs, digest_of, inputs_of, items
from desired.compose.values import Values
from desired.project import ComposeSettings, ProjectSettings, SlotSettings
from desired.text import listing, meant, visible
from providers.blue_green import SlotName
from providers.runners.models import ComposeRunner
from providers.tree import Tree

__all__ = ["ComposeProblem", "compose_runner", "compose_warnings", "detect"]

_SERVICE = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)


@dataclass(frozen=True)
class _Files:
    """The compose files of a tree, with what is needed to judge them."""

    found: ComposeFiles
    tree: Tree
    folders: Folders
    values: Values
    profiles: tuple[str, ...]

    @classmethod
    def of(cls, settings: ComposeSettings, tree: Tree, given: Mapping[str, str], environment: Mapping[str, str]) -> _Files:
        values = Values.of(tree, given, environment)
        files = tuple(posixpath.normpath(file) for file in settings.files) or find(tree, values)
        if not files:
            hint = "commit a compose.yaml, or say which file it is: runtime: {compose: FILE}"
            raise ComposeProblem("the project has no compose file", hint)
        if folder := posixpath.dirname(files[0]):
            values = Values.of(tree, given, environment, folder)
        found = read(tree, files, values)
        if not found.services:
            raise ComposeProblem(f"{visible(files[0], 80)} has no services")
        for name in found.services:
            if not _SERVICE.fullmatch(name):
                raise ComposeProblem(f'{visible(files[0], 80)}: "{visible(name, 60)}" cannot be the name of a service')
        named = (values.get("COMPOSE_PROFILES") or "").split(",")
        return cls(found, tree, Folders(tree), values, tuple(dict.fromkeys([*settings.profiles, *filter(None, named)])))

    def wanted(self, settings: ComposeSettings, slot: SlotSettings | None) -> list[str]:
        """The services that are started, sorted."""
        for name in (*settings.services, *([slot.service] if slot is not None and slot.service else [])):
            self.check(name)
        if slot is not None and slot.service:
            return [slot.service]
        chosen = settings.services or [name for name in self.found.services if self.enabled(name)]
        if not chosen:
            raise ComposeProblem(f"all services of {visible(self.found.files[0], 80)} belong to profiles", "name a profile")
        return sorted(set(chosen))

    def check(self, name: str) -> None:
        if name not in self.found.services:
            message = f"there is no service {visible(name, 60)} in {listing(self.found.files)}"
            raise ComposeProblem(message, meant(name, self.found.services))

    def enabled(self, name: str) -> bool:
        own = [str(profile) for part in self.found.services[name] for profile in items(part.says.get("profiles"))]
        return not own or "*" in self.profiles or not set(own).isdisjoint(self.profiles)

    def all_of(self, name: str, key: str) -> Iterator[Any]:
        """What each part says under a key, where it says something."""
        return (part.says[key] for part in self.found.services[name] if part.says.get(key) is not None)

    def needed(self, name: str) -> dict[str, str]:
        """Services that a service depends on → the condition."""
        needed: dict[str, str] = {}
        for says in self.all_of(name, "depends_on"):
            for one in items(says):
                told = says.get(one) if isinstance(says, dict) else None
                needed[str(one)] = str(told.get("condition", "")) if isinstance(told, dict) else ""
        return {one: condition for one, condition in needed.items() if one in self.found.services}

    def closure(self, name: str) -> list[str]:
        """All that it depends on, directly or not."""
        known: dict[str, None] = {}
        waiting = [name]
        while waiting:
            fresh = [one for one in self.needed(waiting.pop()) if one not in known and one != name]
            known |= dict.fromkeys(fresh)
            waiting += fresh
        return sorted(known)

    def ends(self, name: str) -> bool:
        """Whether the service may end with status 0: it serves nobody, and is not to be restarted."""
        for other in self.found.services:
            if self.needed(other).get(name) == "service_completed_successfully":
                return True
        if any(restart not in ("no", False) for restart in self.all_of(name, "restart")):
            return False
        deploys = [says for says in self.all_of(name, "deploy") if isinstance(says, dict) and "restart_policy" in says]
        serves = any(True for key in ("ports", "expose", "healthcheck") for _ in self.all_of(name, key))
        return not (deploys or serves)

    def replicas(self, name: str) -> int:
        """How many containers; -1 where that is only known on the host."""
        asked = list(self.all_of(name, "scale"))
        asked += [says["replicas"] for says in self.all_of(name, "deploy") if isinstance(says, dict) and "replicas" in says]
        if not asked:
            return 1
        text = self.values.fill(str(asked[-1])) or ""
        return int(text) if text.isdecimal() and len(text) < 6 else -1

    def bound(self, name: str) -> list[str]:
        """With whose containers its own is made anew: it lives in their network, uses their volumes, or says so."""
        found = [str(one).partition(":")[0] for says in self.all_of(name, "volumes_from") for one in items(says)]
        for key in ("network_mode", "ipc", "pid"):
            found += [str(says).removeprefix("service:") for says in self.all_of(name, key) if str(says).startswith("service:")]
        for says in self.all_of(name, "depends_on"):
            found += (
                [one for one, told in says.items() if isinstance(told, dict) and told.get("restart")]
                if isinstance(says, dict)
                else []
            )
        return sorted({one for one in found if one in self.found.services and one != name})

    def digest(self, name: str, above: tuple[str, ...] = ()) -> str:
        """Stands for all that a service is made from, and for the containers that it goes with."""
        own = digest_of(name, self.found, self.inputs(name), self.folders, self.values)
        others = [self.digest(one, (*above, name)) for one in self.bound(name) if one not in above]
        return hashlib.sha256(" ".join([own, *others]).encode()).hexdigest()[:16] if others else own

    def inputs(self, name: str) -> Inputs:
        return inputs_of(name, self.found, self.tree, self.folders, self.values)


def compose_runner(
    settings: ComposeSettings, name: str, tree: Tree, project: ProjectSettings, slot: SlotName | None = None
) -> ComposeRunner:
    """How the project `name` runs, or one of its slots. Raises `ComposeProblem`."""
    own: SlotSettings | None = getattr(project.slots, slot) if slot is not None else None
    environment = {**own.env, "SLOT": slot, "PORT": str(own.port)} if slot is not None and own is not None else {}
    files = _Files.of(settings, tree, project.env, environment)
    alone = own is None or own.service is None
    wanted = files.wanted(settings, own)
    digests = {one: files.digest(one) for one in wanted}
    counts = {one: files.replicas(one) for one in wanted}
    return ComposeRunner(
        files=files.found.files,
        project=_project_name(settings.project or name) + (f"-{slot}" if own is not None and alone else ""),
        services=digests,
        others=tuple(sorted(files.found.services.keys() - digests.keys())) if alone else (),
        built=tuple(one for one in wanted if any(True for _ in files.all_of(one, "build"))),
        once=tuple(one for one in wanted if files.ends(one)) if alone else (),
        depends=() if alone else tuple(files.closure(wanted[0])),
        replicas={one: count for one, count in counts.items() if count != 1},
        alone=alone,
        profiles=files.profiles,
        pull=settings.pull,
        env=environment,
        sealed={path: secret.identity for path, secret in project.secrets.items() if secret.sealed and secret.identity},
        timeout=settings.timeout,
    )


def _project_name(name: str) -> str:
    """As compose writes the names of its projects."""
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-") or "project"


def compose_warnings(settings: ComposeSettings, tree: Tree, project: ProjectSettings) -> tuple[str, ...]:
    """What would go wrong later, in sentences. Raises `ComposeProblem`."""
    slots = (project.slots.blue, project.slots.green) if project.slots is not None else ()
    files = _Files.of(settings, tree, project.env, {"SLOT": "", "PORT": "", **slots[0].env} if slots else {})
    told: dict[str, None] = dict.fromkeys(_unset(files))
    for name in files.found.services:
        if files.enabled(name):
            told |= dict.fromkeys(_unread(files, name, project))
        # Each release has a folder of its own, and is removed one day.
        if project.strategy in ("releases", "slots"):
            missing = files.inputs(name).missing
            told |= dict.fromkeys(_lost(path, name) for path in missing if not _is_shared(path, project.shared))
        if slots and not any(slot.service for slot in slots):
            told |= dict.fromkeys(_clashes(files, name))
        if any(secret.sealed for secret in project.secrets.values()):
            told |= dict.fromkeys(_unopened(files, name, project))
    return tuple(told)


def _is_shared(path: str, shared: tuple[str, ...]) -> bool:
    kept = [one.strip("/") for one in shared]
    return any(path == one or path.startswith(f"{one}/") for one in kept)


def _lost(path: str, service: str) -> str:
    shown = visible(path or ".", 80)
    return f"{service} keeps data in ./{shown}, which would be lost with the release: add {shown} to shared"


def _unset(files: _Files) -> Iterator[str]:
    """Variables without a value. Compose fills in the whole file, whatever is started."""
    parts = [
        part.says for named in (files.found.services, *files.found.shared.values()) for some in named.values() for part in some
    ]
    unset = files.values.unset(parts)
    hint = "set them with env, or in a secret for .env"
    if required := sorted(name for name, needed in unset.items() if needed):
        yield f"{files.found.files[0]} does not start without {listing(required)}, and nothing sets that: {hint}"
    if empty := sorted(unset.keys() - set(required)):
        yield f"{files.found.files[0]} asks for {listing(empty)}, and nothing sets that, so it will be empty: {hint}"


def _unread(files: _Files, name: str, project: ProjectSettings) -> Iterator[str]:
    """Files with variables that must be there, and are not in the tree."""
    for part in files.found.services[name]:
        says = part.says.get("env_file")
        for one in says if isinstance(says, list) else [says]:
            path, needed = (one.get("path"), one.get("required") is not False) if isinstance(one, dict) else (one, True)
            filled = files.values.fill(path) if isinstance(path, str) else None
            target = inside(part.folder, filled) if filled and needed else None
            if target is None or files.folders.get(target) is not None or _is_shared(target, project.shared):
                continue
            if target not in project.secrets and f"{target}.age" not in project.secrets:
                shown = visible(target, 80)
                hint = f"make it from a secret: secrets: {{{shown}: secrets/….age}}"
                yield f"{name} reads {shown} by env_file, and that is not in the project: {hint}"


def _clashes(files: _Files, name: str) -> Iterator[str]:
    """What two copies of the same project cannot both have."""
    if any("$" not in str(says) for says in files.all_of(name, "container_name")):
        yield f"{name} has a container_name, so the two slots cannot run side by side: delete it, or add ${{SLOT}} to it"
    for port in (one for says in files.all_of(name, "ports") for one in items(says)):
        published = str(port.get("published") or "") if isinstance(port, dict) else str(port).rpartition(":")[0]
        if published and "$" not in published:
            yield f"{name} publishes the port {visible(published, 40)} in both slots: write ${{PORT}} instead"


def _unopened(files: _Files, name: str, project: ProjectSettings) -> Iterator[str]:
    """What is opened when the project starts fills in variables of the compose file; a container cannot read it as a file."""
    sealed = [path for path, secret in project.secrets.items() if secret.sealed]
    for says in files.all_of(name, "env_file"):
        for one in items(says) if isinstance(says, list) else [says]:
            path = one.get("path") if isinstance(one, dict) else one
            if any(str(path).removeprefix("./") in (secret, secret.removesuffix(".age")) for secret in sealed):
                hint = "name the variables under environment instead"
                yield f"{name} reads {visible(str(path), 60)} by env_file, and on the host that stays encrypted: {hint}"


def detect(tree: Tree) -> str | None:
    """What the tree's own compose files offer: "compose.yaml with 2 services (db, web); web is built from .". None: there is no
    such file. Raises `ComposeProblem` where it cannot be read."""
    if not find(tree, Values.of(tree, {}, {})):
        return None
    files = _Files.of(ComposeSettings(), tree, {}, {})
    names = sorted(files.found.services)
    words = f"{' and '.join(map(visible, files.found.files))} with {len(names)} service{'' if len(names) == 1 else 's'}"
    built: dict[str, list[str]] = {}
    for name in names:
        for says in files.all_of(name, "build"):
            built.setdefault(_context(says), []).append(name)
    contexts = [f"{listing(some, 6)} {_are(some)} built from {visible(context, 60)}" for context, some in built.items()]
    return "; ".join([f"{words} ({listing(names)})", *contexts])


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _context(build: object) -> str:
    return str(build.get("context") or ".") if isinstance(build, dict) else str(build)
