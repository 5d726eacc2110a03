"""What follows from the settings of a runner alone: what the host keeps of them, what it needs, how long it may take.

Called by `runtimes.py` and `slots.py` for their steps, their links and the plan's notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from providers.runners import command, compose, systemd
from providers.runners.models import CommandRunner, ComposeRunner, NoRunner, Runner, SystemdRunner
from providers.shell import Sh, lines, sh

ENGINE = ("service:docker", "package:apt/docker.io", "package:apt/docker-ce", "package:apt/moby-engine")
"""What brings the engine, where it is declared."""


def how(runner: Runner) -> Sh:
    """The file in which the host keeps how something was started."""
    settings = sh("runner=none")
    if isinstance(runner, ComposeRunner):
        settings = compose.how(runner)
    elif isinstance(runner, SystemdRunner):
        settings = systemd.how(runner)
    elif isinstance(runner, CommandRunner):
        settings = command.how(runner)
    return lines([settings, sh("runner_made=@digest@", digest=made(runner))])


def made(runner: Runner) -> str:
    """Changes when something is to be started in another way."""
    text = runner.model_dump_json(exclude={"timeout", "pull", "status", "others"})
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def record(runner: Runner) -> dict[str, Any]:
    """What the inventory keeps, with the word that tells one kind of runner from another, which is a default in each."""
    return runner.model_dump(mode="json", exclude_defaults=True) | {"type": runner.type}


def names(runner: Runner) -> list[str]:
    """The services, or the unit, that a runner starts."""
    match runner:
        case ComposeRunner():
            return sorted(runner.services)
        case SystemdRunner():
            return [runner.unit]
        case CommandRunner():
            return ["command"]
        case NoRunner():
            return []


def links(runner: Runner) -> Iterable[str]:
    """What a runner needs by its nature, where it is declared."""
    if isinstance(runner, ComposeRunner):
        yield from ENGINE
        for package in ("docker-compose", "docker-compose-v2", "docker-compose-plugin", "docker-ce-cli", "docker-cli"):
            yield f"package:apt/{package}"
        if runner.sealed:
            yield "package:apt/age"
            for identity in sorted(set(runner.sealed.values())):
                yield f"file:{identity}"
    elif isinstance(runner, SystemdRunner):
        stem, _, suffix = runner.unit.rpartition(".")
        for unit in dict.fromkeys([runner.unit, f"{stem.partition('@')[0]}@.{suffix}" if "@" in stem else runner.unit]):
            yield f"file:/etc/systemd/system/{unit}"


def patience(runner: Runner) -> int:
    """Seconds that a step may take: what the runner itself waits, and a little for what stands around it."""
    return (
        60 if isinstance(runner, NoRunner) else 2 * runner.timeout if isinstance(runner, SystemdRunner) else runner.timeout + 60
    )


def notes(runner: Runner) -> tuple[str, ...]:
    """How it runs, for the plan."""
    match runner:
        case ComposeRunner():
            built = [name for name in sorted(runner.services) if name in runner.built]
            count = len(runner.services)
            files = " and ".join(runner.files)
            words = f"{files}: {count} service{'s' if count != 1 else ''} ({_some(sorted(runner.services))})"
            return (words + (f", {_some(built)} built" if built else ""),)
        case SystemdRunner():
            return (f"unit {runner.unit}",)
        case CommandRunner():
            return (f"command {runner.start}",)
        case NoRunner():
            return ()


def _some(names: list[str]) -> str:
    """The first of them, and how many more."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
