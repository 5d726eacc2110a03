"""Commands: the escape hatch, for what no kind describes. A guard tells whether the work is done; without one it is an error.

The guard is asked at every probe, and once more on the host right before the command would run, because what stands before it
in the same apply may have done the work or made the guard answerable (a package that brings the program that it calls).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from providers.account import AS_USER, AccountName
from providers.base import Answer, Change, Facts, Line, Provider, Spec, State, Step, Unknown
from providers.paths import check_path
from providers.shell import Sh, lines, sh

_LONGEST = 32768
"""Bytes of one text: it travels as an argument, and Linux allows 131072 for one."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GUARDS = (
    "creates: PATH (done when it exists), unless: COMMAND (done when it succeeds), only_if: COMMAND (to do when it succeeds)"
)


def _check_text(value: str) -> str:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a NUL or half a character cannot be sent to a host")
    if "\r" in value:
        raise ValueError("it has Windows line ends (CR LF), which a shell takes for part of the command")
    if len(value.encode()) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} bytes: put it into a file, and run that")
    if not value.strip():
        raise ValueError("there is nothing to run")
    return value


def _folder(value: str) -> str:
    return value if value == "/" else check_path(value)


class CommandSpec(Spec):
    """Something to run when a guard says that it is not done yet. The name is free text and says what for."""

    kind: ClassVar[str] = "command"

    run: Annotated[
        str,
        Field(
            description="What to run by /bin/sh -e: one line or several; the first that fails ends it",
            examples=["newaliases"],
        ),
    ]
    creates: Annotated[
        Annotated[Line, AfterValidator(check_path)] | None,
        Field(description="Done when this path exists", examples=["/etc/aliases.db"]),
    ] = None
    unless: Annotated[
        str | None,
        Field(
            description="Done when this command succeeds; it must only read, and quickly: every probe runs it",
            examples=["command -v node"],
        ),
    ] = None
    only_if: Annotated[
        str | None,
        Field(
            description="To be done when, and only when, this command succeeds; it must only read, and quickly",
            examples=["test -e /run/reboot-required"],
        ),
    ] = None
    user: Annotated[
        AccountName | None, Field(description="Runs it and its guard; default: the user of `become`", examples=["ops"])
    ] = None
    cwd: Annotated[Line, AfterValidator(_folder), Field(description="The folder to run it in", examples=["/srv/app"])] = "/"
    env: Annotated[
        dict[str, Line],
        Field(
            description="Variables for it and its guard; never secrets, they can be seen in `ps`",
            examples=[{"LANG": "C.UTF-8"}],
        ),
    ] = {}  # noqa: RUF012 pydantic copies it
    timeout: Annotated[
        int, Field(description="Seconds after which it is ended and counts as failed", ge=1, le=86400, examples=[300])
    ] = 300

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError("the name of a command is one line, without blanks around it")
        return value

    @field_validator("run", "unless", "only_if")
    @classmethod
    def _text(cls, value: str | None) -> str | None:
        return None if value is None else _check_text(value)

    @field_validator("env")
    @classmethod
    def _variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f'"{name}" is not the name of a variable: a letter or _, then letters, digits and _')
            if not content.isprintable() or len(content.encode()) > _LONGEST:
                raise ValueError(f"the value of {name} must be one line of at most {_LONGEST} bytes")
        return value

    @model_validator(mode="after")
    def _one_guard(self) -> Self:
        if not self.present:
            raise ValueError("a command cannot be absent, nothing tells how to undo it: delete the entry, and it is forgotten")
        given = [name for name in ("creates", "unless", "only_if") if getattr(self, name) is not None]
        if not given:
            raise ValueError(f"without a guard this would run every time; write one of {_GUARDS}")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot stand together; write exactly one of {_GUARDS}")
        return self

    def record(self) -> dict[str, Any]:
        """Nothing: a command that left the repository is forgotten, so the host need not remember what it was."""
        return {}


class CommandState(State):
    """Whether the guard says that there is nothing to do."""

    done: bool | None = None


# Shared by probe and step: how a guard is asked. Where that cannot be told, `complaint` says why.
# `command -v` of a missing program ends with 127 in silence, and a call of a missing program ends with 127 and says so.
_GUARD = lines(
    [
        AS_USER,
        Sh(r"""
newline='
'
guard_seconds=8
command_creates() { # PATH: 0 it exists, 1 it does not, 126 that cannot be told
  complaint=''
  if [ -e "$1" ] || [ -L "$1" ]; then return 0; fi
  above=$1
  while [ -n "$above" ] && [ ! -e "$above" ]; do above=${above%/*}; done
  above=${above:-/}
  if [ ! -d "$above" ] || [ -x "$above" ]; then return 1; fi
  complaint="$above cannot be entered"
  return 126
}
command_guard() { # DIRECTORY USER TEXT [A=1...]: its status
  guard_folder=$1 guard_user=$2 guard_text=$3
  shift 3
  if [ ! -d "$guard_folder" ]; then complaint="there is no folder $guard_folder"; return 127; fi
  set -- env "$@" /bin/sh -c "$guard_text"
  if command -v timeout >/dev/null; then set -- timeout -s KILL "$guard_seconds" "$@"; fi
  if [ -n "$guard_user" ]; then set -- as_user "$guard_user" "$@"; fi
  guard_answer=$(
    {
      (unset TZ; umask 022; cd "$guard_folder" && "$@") </dev/null 2>&1 >/dev/null
      printf '\n%s' "$?"
    } | tail -c 300
  )
  guard_status=${guard_answer##*"$newline"}
  guard_answer=${guard_answer%"$newline"*}
  while [ "${guard_answer#"$newline"}" != "$guard_answer" ]; do guard_answer=${guard_answer#"$newline"}; done
  complaint=${guard_answer%%"$newline"*}
  guard_status=${guard_status:-126}
  # What a signal ended is told as 128 and its number, but by yash as 384 and by ksh as 256.
  if [ "$guard_status" -ge 384 ]; then guard_status=$((guard_status - 256)); fi
  if [ "$guard_status" -ge 256 ]; then guard_status=$((guard_status - 128)); fi
  case $guard_status in
    126 | 127) if [ -z "$complaint" ]; then guard_status=1; fi ;;
    124 | 137) complaint="it did not end within $guard_seconds seconds" guard_seconds=2 ;; # whoever comes next waits less
    129 | 1[3-8]? | 19[0-2]) complaint="it was ended by signal $((guard_status - 128))" ;;
    *) complaint='' ;;
  esac
  return "$guard_status"
}
"""),
    ]
)

_PROBE = Sh(r"""
command_answer() { # NUMBER STATUS: a line, with the complaint where there is one
  printf '%s %s %s\n' "$1" "$2" "$complaint"
}
command_ask() { # NUMBER DIRECTORY USER TEXT [A=1...]
  number=$1
  shift
  command_guard "$@"
  command_answer "$number" "$?"
}
command_look() { # NUMBER PATH
  command_creates "$2"
  command_answer "$1" "$?"
}
""")

_RUN = Sh(r"""
command_go_on() { # STATUS WHEN: ends the step, unless the guard's status is the one (success or failure) that asks for the run
  if [ -n "$complaint" ]; then
    printf 'nothing was run, because its guard could not be asked: %s\n' "$complaint"
    exit 1
  fi
  case $2.$1 in
    success.0) return ;;
    success.* | failure.0) echo "nothing was run, because its guard says by now that there is nothing to do"; exit 0 ;;
  esac
}
command_run() { # DIRECTORY USER TEXT [A=1...]
  cd "$1" || return
  run_user=$2 run_text=$3
  shift 3
  unset TZ
  umask 022
  set -- env "$@" /bin/sh -e -c "$run_text"
  if [ -n "$run_user" ]; then as_user "$run_user" "$@"; else "$@"; fi
}
""")


class CommandProvider(Provider[CommandSpec, CommandState]):
    name = "command"
    section = "commands"
    rank = 70
    left_behind = "what it did is not undone"
    library = lines([_GUARD, _RUN])
    spec = CommandSpec
    state = CommandState

    def probe(self, specs: Sequence[CommandSpec]) -> Sh:
        questions = [
            sh("command_look @number@ @path@", number=number, path=spec.creates)
            if spec.creates is not None
            else sh("command_ask @number@ @arguments@", number=number, arguments=_arguments(spec, _guard(spec)))
            for number, spec in enumerate(specs)
        ]
        return lines([_GUARD, _PROBE, *questions])

    def parse(self, out: bytes, specs: Sequence[CommandSpec]) -> Mapping[str, Answer[CommandState]]:
        answers: dict[str, Answer[CommandState]] = {}
        # What follows the last line break was cut.
        for line in out.split(b"\n")[:-1]:
            number, _, rest = line.partition(b" ")
            status, blank, complaint = rest.partition(b" ")
            if blank and _is_number(number) and _is_number(status) and int(number) < len(specs):
                spec = specs[int(number)]
                answers[spec.name] = _answer(spec, int(status), complaint.decode("utf-8", "replace").strip())
        # A command that nobody wants any more needs no undoing, whatever its guard says.
        return answers | {spec.name: None for spec in specs if not spec.present}

    def want(self, spec: CommandSpec) -> CommandState | None:
        return CommandState(done=True) if spec.present else None

    def steps(self, changes: Sequence[Change[CommandSpec, CommandState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec = change.spec
            yield Step(
                refs=(spec.ref,), title=f"run {spec.name}", run=lines([_ask_again(spec), _run(spec)]), timeout=spec.timeout
            )

    def refresh(self, spec: CommandSpec) -> Step | None:
        """Runs it again, since what it was made from has changed. `creates` and `unless` only say that it was done once, so
        they are not asked; `only_if` says when it makes sense at all, so it is."""
        parts = [_ask_again(spec)] if spec.only_if is not None else []
        return Step(refs=(spec.ref,), title=f"run {spec.name}", run=lines([*parts, _run(spec)]), timeout=spec.timeout)

    def refresh_word(self, spec: CommandSpec) -> str:
        return "run"

    def renews(self, change: Change[CommandSpec, CommandState]) -> bool:
        """It is being run already: not a second time for what it follows."""
        return change.after is not None

    def links(self, spec: CommandSpec) -> Iterable[str]:
        if spec.user:
            yield f"user:{spec.user}"
        if spec.cwd != "/":
            yield f"directory:{spec.cwd}"

    def made(self, change: Change[CommandSpec, CommandState]) -> bool:
        return False


def _guard(spec: CommandSpec) -> str:
    return spec.unless if spec.unless is not None else spec.only_if or ""


def _arguments(spec: CommandSpec, text: str) -> list[str]:
    return [spec.cwd, spec.user or "", text, *(f"{name}={value}" for name, value in spec.env.items())]


def _ask_again(spec: CommandSpec) -> Sh:
    """Shell that goes on only where the guard asks for the command, on the host and now."""
    if spec.creates is not None:
        return sh('command_creates @path@\ncommand_go_on "$?" failure', path=spec.creates)
    return sh(
        'command_guard @arguments@\ncommand_go_on "$?" @word@',
        arguments=_arguments(spec, _guard(spec)),
        word="failure" if spec.only_if is None else "success",
    )


def _run(spec: CommandSpec) -> Sh:
    return sh("command_run @arguments@", arguments=_arguments(spec, spec.run))


def _answer(spec: CommandSpec, status: int, complaint: str) -> Answer[CommandState]:
    if not complaint:
        succeeded = status == 0
        return CommandState(done=succeeded if spec.only_if is None else not succeeded)
    if status == 127 and (spec.needs or spec.user or spec.cwd != "/"):
        # The program, the user or the folder may come with what stands before it: the step asks again, and runs nothing if not.
        return CommandState(done=False)
    return Unknown(f"its guard could not be asked: {complaint}")


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 10
