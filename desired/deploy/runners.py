"""What runs from a project's tree: the runner of its runtime, or one for each of its two slots.

Called by `desired/deploy/build.py`. What the project's file leaves open is found in the tree (`desired/compose/read.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from desired.compose.file import NAMES
from desired.compose.read import ComposeProblem, compose_runner, compose_warnings, detect
from desired.deploy.tree import Blocked
from desired.project import CommandSettings, ComposeSettings, ProjectSettings, RuntimeSettings, SlotSettings, SystemdSettings
from desired.text import listing
from providers.blue_green import SLOTS, SlotName
from providers.runners.models import CommandRunner, NoRunner, Runner, SystemdRunner
from providers.tree import Tree

Runners: TypeAlias = Mapping[SlotName | None, Runner]
"""What runs in each slot; under None where there are no slots."""
Slot: TypeAlias = tuple[SlotName, SlotSettings]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs from a tree."""

    runners: Runners
    capabilities: tuple[str, ...] = ()
    """What the project can do, in words."""
    warnings: tuple[str, ...] = ()
    """What would go wrong later."""


def running(name: str, settings: ProjectSettings, tree: Tree) -> Running:
    """Raises `Blocked` where the project's file asks for what its tree does not hold."""
    given = settings.runtime if isinstance(settings.runtime, RuntimeSettings) else RuntimeSettings()
    slots: list[Slot | None] = [None]
    if settings.slots is not None:
        slots = [(slot, getattr(settings.slots, slot)) for slot in SLOTS]
    if given.systemd is not None or given.command is not None or settings.runtime == "none":
        return Running({slot[0] if slot else None: _own(given, slot) for slot in slots}, _offered(tree))
    try:
        offered = () if given.compose else _found(tree)
        compose = given.compose or (ComposeSettings() if offered else None)
        if compose is None:
            return Running(_nothing(settings), warnings=_deeper(tree))
        runners = {
            slot[0] if slot else None: compose_runner(compose, name, tree, settings, slot[0] if slot else None)
            for slot in slots
        }
        return Running(runners, offered, compose_warnings(compose, tree, settings))
    except ComposeProblem as problem:
        raise Blocked(str(problem), problem.hint) from problem


def _offered(tree: Tree) -> tuple[str, ...]:
    """What is there besides what the project's file asks for; a mistake in it is nobody's concern then."""
    try:
        return tuple(f"{words}: not used" for words in _found(tree))
    except ComposeProblem:
        return ()


def _found(tree: Tree) -> tuple[str, ...]:
    words = detect(tree)
    return () if words is None else (words,)


def _deeper(tree: Tree) -> tuple[str, ...]:
    """Compose files that are not where they would be found."""
    found = [file.path for file in tree.files if file.path.rpartition("/")[2] in NAMES]
    if not found:
        return ()
    hint = "say which is meant with runtime: {compose: FILE}, or runtime: none"
    return (f"nothing is started, as there is no compose file at the top; there are {listing(found, 5)}: {hint}",)


def _nothing(settings: ProjectSettings) -> Runners:
    if settings.slots is not None:
        raise Blocked("nothing would run in the slots: there is no compose file in the project", "say what runs: runtime")
    return {None: NoRunner()}


def _own(given: RuntimeSettings, slot: Slot | None) -> Runner:
    if given.systemd is not None:
        return _systemd(given.systemd, slot)
    return _command(given.command, slot) if given.command is not None else NoRunner()


def _systemd(settings: SystemdSettings, slot: Slot | None) -> SystemdRunner:
    """For a slot, the unit that systemd makes from the template for its name."""
    unit = settings.name if slot is None else settings.name.replace("@.", f"@{slot[0]}.")
    return SystemdRunner(unit=unit, enabled=settings.enabled, timeout=settings.timeout)


def _command(settings: CommandSettings, slot: Slot | None) -> CommandRunner:
    env = {} if slot is None else {**slot[1].env, "SLOT": slot[0], "PORT": str(slot[1].port)}
    return CommandRunner(start=settings.start, stop=settings.stop, status=settings.status, env=env, timeout=settings.timeout)
