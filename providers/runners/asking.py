"""How `runtime` and `slot` are asked for what runs, and how the answer is read: one question to each engine, for all of them.

Per resource the host says what it noted (`project_shell.py`, `how.*` of `shared.py`) and, for commands, what their status is;
then come the containers that compose made, and the units. Whether that is as it should be is judged by
`judging.py`, not on the host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from providers import project_shell
from providers.runners.models import Runner, SystemdRunner
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
  if [ -e "$noted/trying" ]; then echo 'trying yes'; fi
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
    runner_made='' compose_project='' compose_services='' compose_once='' unit='' command_status='' command_env=''
    # shellcheck source=/dev/null
    . "$noted/how.$3"
    printf 'how %s\nproject %s\nservices %s\nonce %s\nunit %s\nmade %s\n' \
      "$runner" "$compose_project" "$compose_services" "$compose_once" "$unit" "$runner_made"
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
  runner_id='' runner_since=''
  read -r _ runner_id runner_since 2>/dev/null <"$folder/projects/$1/$2" || return
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


@dataclass(slots=True)
class Noted:
    """What a host says of one resource."""

    words: dict[str, str] = field(default_factory=dict)
    closed: bool = False

    @property
    def known(self) -> bool:
        """Something of ours was started here."""
        return bool(self.words.get("note") or self.words.get("before") or not {"how", "trying"}.isdisjoint(self.words))

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


_WORDS = {"note", "before", "refused", "current", "how", "project", "services", "once", "unit", "made", "status", "trying"}


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
        elif key in _WORDS:
            noted.words[key] = rest
        elif key == "engine":
            answered.engine = rest
        elif key == "failed" or (key == "c" and not _container(answered, rest)):
            return None
        elif key == "units":
            answered.systemd, names, block = rest != "none", rest.split(), 0
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
