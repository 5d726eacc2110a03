"""What a host's answer (`asking.py`) says of the services of one resource: each in one word, `up` or what is wrong with it.

Called by `parse` of `runtimes.py` and `slots.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.base import Unknown
from providers.runners import compose
from providers.runners.asking import Answered, Noted
from providers.runners.models import CommandRunner, ComposeRunner, NoRunner, Runner, SystemdRunner
from providers.runners.nature import ENGINE


def judge(answered: Answered, noted: Noted, runner: Runner, *, inputs: bool = True) -> dict[str, str] | Unknown:
    """Each service of `runner` in one word: `up`, or what is wrong."""
    match runner:
        case ComposeRunner():
            if answered.engine not in ("up", "missing"):
                return Unknown(engine_words(answered.engine))
            words = {
                name: compose.word(
                    answered.containers.get((runner.project, name), []),
                    once=name in runner.once,
                    count=runner.replicas.get(name, 1),
                    inputs=digest if inputs else None,
                )
                for name, digest in sorted(runner.services.items())
            }
            # What the files no longer name is to go.
            left = set(answered.services(runner.project)) - runner.services.keys() - set(runner.others) if runner.alone else ()
            return words | dict.fromkeys(sorted(left), "left over")
        case SystemdRunner():
            if not answered.systemd:
                return Unknown("this host is not run by systemd")
            if runner.unit not in answered.units:
                return Unknown("systemd said nothing about the unit")
            return {runner.unit: unit_word(answered.units[runner.unit], enabled=runner.enabled)}
        case CommandRunner():
            return {"command": _status_word(noted.words.get("status"))}
        case NoRunner():
            return {}


def running_as_started(answered: Answered, noted: Noted) -> bool | Unknown | None:
    """Whether what was started last runs, by how it was started then; None: nothing of ours was started."""
    match noted.words.get("how"):
        case "compose":
            if answered.engine not in ("up", "missing"):
                return Unknown(engine_words(answered.engine))
            words = started_words(answered, noted)
            return all(word == "up" for word in words.values())
        case "systemd":
            unit = noted.words.get("unit", "")
            if not answered.systemd:
                return Unknown("this host is not run by systemd")
            if unit not in answered.units:
                return Unknown("systemd said nothing about the unit")
            return unit_word(answered.units[unit], enabled=False) == "up"
        case "command":
            return _status_word(noted.words.get("status")) == "up"
        case "none":
            return True
    return None


def started_words(answered: Answered, noted: Noted) -> dict[str, str]:
    """The services that were started last, each in one word."""
    match noted.words.get("how"):
        case "compose":
            project, once = noted.words.get("project", ""), noted.names("once")
            found = {name: answered.containers.get((project, name), []) for name in noted.names("services")}
            return {
                name: compose.word(containers, once=name in once, count=max(1, len(containers)))
                for name, containers in found.items()
            }
        case "systemd":
            unit = noted.words.get("unit", "")
            return {unit: unit_word(answered.units.get(unit, {}), enabled=False)}
        case "command":
            return {"command": _status_word(noted.words.get("status"))}
    return {}


def exists(answered: Answered, runner: Runner, words: Mapping[str, str]) -> bool:
    """Whether there is something of it on the host, though we never started it."""
    if isinstance(runner, ComposeRunner):
        there = answered.services(runner.project)
        return bool(there) if runner.alone else any(name in there for name in runner.services)
    return isinstance(runner, SystemdRunner) and words.get(runner.unit) in ("up", "restarting", "not enabled")


def engine_comes(answers: Mapping[str, Any]) -> bool:
    """Whether Docker is at rest and this very run starts it: then what runs in it can be planned."""
    declared = [answers[ref] for ref in ENGINE if ref in answers]
    return any(answer is None or getattr(answer, "running", None) is False for answer in declared)


def engine_words(said: str) -> str:
    """Why nothing is known about containers, for people."""
    code, _, message = said.partition(" ")
    if code == "unknown":
        return f"the Docker engine could not be asked: {message}"
    if "permission denied" in message:
        return "the Docker engine does not let us in: use become, or a user in the group docker"
    if code == "124" or not message:
        return "the Docker engine does not answer"
    return f"the Docker engine does not answer: {message[:200]}"


def unit_word(block: Mapping[str, str], *, enabled: bool) -> str:
    """A unit in one word: `up`, or what is wrong with it."""
    active, load = block.get("ActiveState", "unknown"), block.get("LoadState")
    done = (block.get("Type"), active, block.get("Result")) == ("oneshot", "inactive", "success")
    if load == "not-found" and active == "inactive":
        return "missing"
    if active not in ("active", "reloading", "activating") and not done:
        return active
    if block.get("SubState", "").startswith("auto-restart"):
        return "restarting"
    if enabled and block.get("UnitFileState") not in ("enabled", "static", "indirect", "generated", "alias", "linked"):
        return "not enabled"
    return "up"


def _status_word(status: str | None) -> str:
    if status is None:
        return "missing"
    if status == "booted":
        return "stopped by a restart of the host"
    return "up" if status == "0" else f"down (status {status})"
