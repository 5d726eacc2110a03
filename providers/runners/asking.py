"""How `runtime` and `slot` are asked for what runs, and how the answer is read: one question to each engine, for all of them.

Per resource the host says what it noted (`project_shell.py`, `how.*` of `shared.py`) and, for commands, what their status is;
then come the containers that compose made, and the units. Whether that is as it should be is judged here, not on the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers import project_shell
from providers.base import Unknown
from providers.runners import command, compose, systemd
from providers.runners.models import CommandRunner, ComposeRunner, NoRunner, Runner, SystemdRunner
from providers.shell import Sh, lines, sh

_ASK = sh(r"""
runner_units='' runner_docker=''

# runner_ask NUMBER NAME WHICH FILE HOME TREE RUNNER UNIT: what is noted of it; HOME is empty where there is no link to read
runner_ask() {
  printf 'spec %s\n' "$1"
  noted=$folder/projects/$2
  if [ -d "$folder/projects" ] && [ ! -x "$folder/projects" ]; then echo closed; return; fi
  for file in "$noted/$4" "$noted/before" "$noted/how.$3" "$noted/quarantine"; do
    if [ -e "$file" ] && [ ! -r "$file" ]; then echo closed; return; fi
  done
  printf 'note %s\n' "$(project_line "$2" "$4")"
  if [ -e "$noted/before" ]; then printf 'before %s\n' "$(project_line "$2" before)"; fi
  if [ -r "$noted/quarantine" ]; then
    while read -r marked rest; do
      if [ "$marked" = "$6" ]; then printf 'refused %s\n' "$rest"; fi
    done <"$noted/quarantine"
  fi
  if [ -n "$5" ] && [ -L "$5/current" ]; then
    runner_at=$(readlink -- "$5/current") && runner_at=${runner_at#releases/} && runner_at=${runner_at%%/*}
    printf 'current %s\n' "$(project_line "$2" "releases/$runner_at.index")"
  fi
  case $7 in compose) runner_docker=1 ;; systemd) runner_units="$runner_units $8" ;; esac
  runner=''
  if [ -r "$noted/how.$3" ]; then
    compose_project='' compose_services='' compose_once='' unit='' command_status='' command_env=''
    # shellcheck source=/dev/null
    . "$noted/how.$3"
    printf 'how %s\nproject %s\nservices %s\nonce %s\nunit %s\n' \
      "$runner" "$compose_project" "$compose_services" "$compose_once" "$unit"
  fi
  case $runner in
    compose) runner_docker=1 ;;
    systemd) runner_units="$runner_units $unit" ;;
    command) runner_status "$2" "$4" "$9" ;;
  esac
}

# runner_status NAME FILE RELEASE: of a command. Where it has no way to tell, it counts as running since it was started, unless
# the host was booted since.
runner_status() {
  runner_tree='' runner_id='' runner_since=''
  read -r runner_tree runner_id runner_since 2>/dev/null <"$folder/projects/$1/$2" || return
  if [ -z "$command_status" ]; then
    while read -r word value; do
      if [ "$word" = btime ]; then break; fi
    done </proc/stat
    if [ "$runner_since" -ge "$value" ] 2>/dev/null; then echo 'status 0'; else echo 'status booted'; fi
    return
  fi
  runner_limit=
  if command -v timeout >/dev/null; then runner_limit='timeout -s KILL 8'; fi
  (
    if [ "$runner_id" = - ]; then cd -P -- "$3"; else cd -P -- "$3/releases/$runner_id"; fi || exit 127
    RELEASE=$PWD
    export RELEASE
    unset TZ
    if [ -n "$command_env" ]; then eval "export $command_env"; fi
    # shellcheck disable=SC2086 # a command and its number, or nothing
    exec $runner_limit /bin/sh -c "$command_status"
  ) >/dev/null 2>&1
  printf 'status %s\n' "$?"
}

runner_containers() {
  if ! command -v docker >/dev/null; then
    if [ -S /var/run/docker.sock ]; then echo 'engine unknown its socket is there, but the command docker is not'
    else echo 'engine missing'; fi
    return
  fi
  runner_limit=
  if command -v timeout >/dev/null; then runner_limit='timeout 12'; fi
  # shellcheck disable=SC2086 # a command and its number, or nothing
  runner_list=$($runner_limit docker ps -a --no-trunc --filter label=com.docker.compose.oneoff=False --format 'c [{{
    json (.Label "com.docker.compose.project")}},{{json (.Label "com.docker.compose.service")}},{{json .State}},{{
    $parts := split .Status "("}}{{if gt (len $parts) 1}}{{json (index (split (index $parts 1) ")") 0)}}{{else}}""{{end}},{{
    json (.Label "reconciler.inputs")}}]' 2>&1)
  runner_code=$?
  if [ "$runner_code" = 0 ]; then
    echo 'engine up'
    if [ -n "$runner_list" ]; then printf '%s\n' "$runner_list"; fi
  else
    runner_list=$(printf '%s\n' "$runner_list" | tail -n 1)
    printf 'engine %s %s\n' "$runner_code" "$runner_list"
  fi
}

runner_systemd() {
  if [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null; then echo 'units none'; return; fi
  # shellcheck disable=SC2086 # names of units hold nothing that a shell would read
  set -- $runner_units
  printf 'units %s\n' "$*"
  systemctl show --property=LoadState,ActiveState,SubState,Type,Result,UnitFileState -- "$@" || echo failed
}
""")

_REST = sh(r"""
if [ -n "$runner_docker" ]; then runner_containers; fi
if [ -n "$runner_units" ]; then runner_systemd; fi
echo end
""")


@dataclass(frozen=True, slots=True)
class Asked:
    """One resource, as the question needs it."""

    project: str
    which: str
    """`runtime`, `blue` or `green`."""
    path: str
    folder: str | None
    tree: str
    runner: Runner
    link: bool = False
    """Whether PATH/current is this resource's to flip."""

    @property
    def note(self) -> str:
        """The file in which the host keeps what was started last."""
        return self.which if self.which == "runtime" else f"slot.{self.which}"


def question(asked: Iterable[Asked]) -> Sh:
    """The fragment for all of them."""
    questions = [
        sh(
            "runner_ask @number@ @name@ @which@ @file@ @home@ @tree@ @runner@ @unit@ @path@",
            number=number,
            name=one.project,
            which=one.which,
            file=one.note,
            home=one.path if one.link else "",
            tree=one.tree,
            runner=one.runner.type,
            unit=one.runner.unit if isinstance(one.runner, SystemdRunner) else "",
            path=one.path,
        )
        for number, one in enumerate(asked)
    ]
    return lines([project_shell.ASK, _ASK, *questions, _REST])


def how(runner: Runner) -> Sh:
    """The file in which the host keeps how something was started."""
    match runner:
        case ComposeRunner():
            return compose.how(runner)
        case SystemdRunner():
            return systemd.how(runner)
        case CommandRunner():
            return command.how(runner)
        case NoRunner():
            return sh("runner=none")


@dataclass(slots=True)
class Noted:
    """What a host says of one resource."""

    words: dict[str, str] = field(default_factory=dict)
    closed: bool = False

    @property
    def known(self) -> bool:
        """Something of ours was started here."""
        return bool(self.words.get("note") or self.words.get("before") or "how" in self.words)

    def tree(self, what: str) -> str | None:
        """The tree that a note names: `note` and `before` begin with it, the title of an index has it as its third word."""
        parts = self.words.get(what, "").split(" ")
        found = parts[2] if what == "current" and len(parts) > 3 else parts[0]
        return found if re.fullmatch(r"[0-9a-f]{32,64}", found) else None

    def names(self, what: str) -> list[str]:
        return self.words.get(what, "").split()


@dataclass(slots=True)
class Answered:
    """What a host says of all of them."""

    noted: dict[int, Noted] = field(default_factory=dict)
    engine: str = ""
    """`up`, `missing`, or why it did not answer."""
    containers: dict[tuple[str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    systemd: bool = True

    @property
    def engine_down(self) -> bool:
        """Docker was asked and does not answer. (That it does not let us in, or could not be asked, is another matter.)"""
        code = self.engine.partition(" ")[0]
        return code.isdecimal() and "permission denied" not in self.engine

    def services(self, project: str) -> list[str]:
        return [service for found, service in self.containers if found == project]


def read(out: bytes) -> Answered | None:
    """The whole answer; None when it is cut or broken."""
    text = out.decode("utf-8", "replace")
    if not text.endswith("\nend\n"):
        return None
    answered, noted, names, block = Answered(), Noted(), list[str](), 0
    for line in text.split("\n")[:-2]:
        key, _, rest = line.partition(" ")
        if key == "spec" and rest.isdecimal() and len(rest) < 8:
            noted = answered.noted[int(rest)] = Noted()
        elif key == "closed":
            noted.closed = True
        elif key in ("note", "before", "refused", "current", "how", "project", "services", "once", "unit", "status"):
            noted.words[key] = rest
        elif key == "engine":
            answered.engine = rest
        elif key == "c":
            if not _container(answered, rest):
                return None
        elif key == "units":
            answered.systemd, names, block = rest != "none", rest.split(), 0
        elif key == "failed":
            return None
        elif not line:
            block += 1
        elif "=" in key and block < len(names):
            name, _, value = line.partition("=")
            answered.units.setdefault(names[block], {})[name] = value
    return answered


def _container(answered: Answered, text: str) -> bool:
    try:
        project, service, *rest = json.loads(text)
        state, detail, label = rest
    except (ValueError, TypeError, RecursionError):
        return False
    if not all(isinstance(value, str) for value in (project, service, state, detail, label)):
        return False
    answered.containers.setdefault((project, service), []).append((state, detail, label))
    return True


def judge(answered: Answered, noted: Noted, runner: Runner, *, inputs: bool = True) -> dict[str, str] | Unknown:
    """Each service of `runner` in one word: `up`, or what is wrong."""
    match runner:
        case ComposeRunner():
            if answered.engine not in ("up", "missing"):
                return Unknown(engine_words(answered.engine))
            return {
                name: compose.word(
                    answered.containers.get((runner.project, name), []),
                    once=name in runner.once,
                    count=runner.replicas.get(name, 1),
                    inputs=digest if inputs else None,
                )
                for name, digest in sorted(runner.services.items())
            }
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
    for ref in ENGINE:
        if ref in answers and (answers[ref] is None or getattr(answers[ref], "running", None) is False):
            return True
    return False


ENGINE = ("service:docker", "package:apt/docker.io", "package:apt/docker-ce", "package:apt/moby-engine")
"""What brings the engine, where it is declared."""


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
    return 60 if isinstance(runner, NoRunner) else 2 * runner.timeout if isinstance(runner, SystemdRunner) else runner.timeout + 60


def notes(runner: Runner) -> tuple[str, ...]:
    """How it runs, for the plan."""
    match runner:
        case ComposeRunner():
            built = [name for name in sorted(runner.services) if name in runner.built]
            count = len(runner.services)
            files = " and ".join(runner.files)
            words = f"{files}: {count} service{'s' if count != 1 else ''} ({', '.join(sorted(runner.services))})"
            return (words + (f", {', '.join(built)} built" if built else ""),)
        case SystemdRunner():
            return (f"unit {runner.unit}",)
        case CommandRunner():
            return (f"command {runner.start}",)
        case NoRunner():
            return ()


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
