"""Cron entries: one file in /etc/cron.d for each, with one job.

The file is written as a whole by the functions of `files.py`, and read back into its fields, so that an edit by hand is told as
what it is: another schedule, another command. What has no place in those fields (a second job, a line that cron would not
understand) is told as `other_lines`. Cron ignores a file that others may write to, so owner and mode belong to the state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from providers.account import AccountName
from providers.base import Answer, Change, Facts, Line, Provider, Spec, State, Step, Unknown
from providers.contents import ASK, LIMIT, Contents, read_contents
from providers.files import FileProvider
from providers.schedule import Schedule
from providers.shell import Sh, sh

FOLDER = "/etc/cron.d"
HEADER = "# Managed by reconciler: what is changed here by hand is undone."
LONGEST = 998
"""Characters of a command, and of a variable with its name, that every cron takes whole."""
SHOWN = 10
"""Lines of a file that are told when they should not be there."""

_JOB = re.compile(r"(@\S+|\S+(?:[ \t]+\S+){4})[ \t]+(\S+)[ \t]+(.+)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(.*)")


def _name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}", value):
        return value
    raise ValueError(
        f'"{value}" cannot be the name of a file in {FOLDER}: cron reads only names of letters, digits, "_" and "-"'
    )


def _text(value: str) -> str:
    value.encode()
    return value.strip(" ")


def _command(value: str) -> str:
    if not value:
        raise ValueError("the command is empty")
    if re.search(r"(?<!\\)(?:\\\\)*%", value):
        raise ValueError(r'cron turns "%" into a line break: write "\%" for a percent sign (in YAML without double quotes)')
    if len(value.encode()) > LONGEST:
        raise ValueError(f"the command is longer than the {LONGEST} bytes that cron takes: put it into a script")
    return value


def _variable(value: str) -> str:
    if _quoted(value) is None:
        raise ValueError(
            "cron has no way to write a value with both kinds of quotes and one of them at its begin: "
            "set it in the command instead"
        )
    if len(value.encode()) > LONGEST - 100:
        raise ValueError(f"the value is longer than the {LONGEST - 100} bytes that cron takes")
    return value


def _quoted(value: str) -> str | None:
    """The value as it stands in a crontab, which knows quotes around a whole value but no escapes."""
    if value and value == value.strip(" ") and value[0] not in "'\"":
        return value
    return next((f"{quote}{value}{quote}" for quote in "\"'" if quote not in value), None)


Text: TypeAlias = Annotated[Line, AfterValidator(_text)]
Command: TypeAlias = Annotated[Text, AfterValidator(_command)]
VariableName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Variable: TypeAlias = Annotated[Line, AfterValidator(_variable)]


class CronSpec(Spec):
    kind: ClassVar[str] = "cron"

    name: Annotated[str, AfterValidator(_name)]
    schedule: Annotated[
        Schedule | None, Field(description="Minute, hour, day, month, weekday; or @daily and the like", examples=["17 3 * * *"])
    ] = None
    command: Annotated[Command | None, Field(description="What /bin/sh runs", examples=["/usr/local/bin/backup"])] = None
    user: Annotated[AccountName, Field(description="Who runs it", examples=["ops"])] = "root"
    env: Annotated[
        dict[VariableName, Variable],
        Field(description="Variables for the command", examples=[{"MAILTO": "ops@lan"}]),
    ] = Field(default_factory=dict)
    comment: Annotated[Text, Field(description="A line that says what it is for", examples=["Nightly backup"])] = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.present and (self.schedule is None or self.command is None):
            raise ValueError("schedule and command are needed")
        return self


class CronState(State):
    schedule: str | None = None
    command: str | None = None
    user: str | None = None
    env: dict[str, str] | None = None
    comment: str | None = None
    other_lines: tuple[str, ...] | None = None
    owner: str | None = None
    mode: str | None = None


class CronProvider(Provider[CronSpec, CronState]):
    name = "cron"
    section = "cron"
    rank = 65
    library = FileProvider.library
    spec = CronSpec
    state = CronState

    def probe(self, specs: Sequence[CronSpec]) -> Sh:
        return sh(
            """@ask@
if [ -e @folder@ ] && [ ! -x @folder@ ]; then echo "this login may not look into" @folder@ >&2; exit 1; fi
contents @paths@""",
            ask=ASK,
            folder=FOLDER,
            paths=[_path(spec) for spec in specs],
        )

    def parse(self, out: bytes, specs: Sequence[CronSpec]) -> Mapping[str, Answer[CronState]]:
        contents = read_contents(out)
        return {spec.name: _answer(spec, contents) for spec in specs} if contents else {}

    def want(self, spec: CronSpec) -> CronState | None:
        if not spec.present:
            return None
        return CronState(
            schedule=spec.schedule,
            command=spec.command,
            user=spec.user,
            env=spec.env,
            comment=spec.comment,
            other_lines=(),
            owner="root",
            mode="0644",
        )

    def steps(self, changes: Sequence[Change[CronSpec, CronState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, path = change.spec, _path(change.spec)
            if change.action == "delete":
                yield Step((spec.ref,), f"remove cron entry {spec.name}", sh("file_remove @path@", path=path))
                continue
            put = sh(
                """if [ ! -d @folder@ ]; then echo @folder@ "is not there: declare the package cron"; exit 1; fi
file_put @path@ root root 0644 '' ''""",
                folder=FOLDER,
                path=path,
            )
            yield Step((spec.ref,), f"write cron entry {spec.name}", put, _content(spec).encode())

    def links(self, spec: CronSpec) -> Iterable[str]:
        return ("package:apt/cron", f"user:{spec.user}")

    def path(self, spec: CronSpec) -> str:
        return _path(spec)


def _path(spec: CronSpec) -> str:
    return f"{FOLDER}/{spec.name}"


def _content(spec: CronSpec) -> str:
    rows = [HEADER]
    if spec.comment:
        rows.append(f"# {spec.comment}")
    rows += [f"{name}={_quoted(value)}" for name, value in spec.env.items()]
    rows.append(f"{spec.schedule} {spec.user} {spec.command}")
    return "".join(f"{row}\n" for row in rows)


def _answer(spec: CronSpec, contents: Contents) -> Answer[CronState]:
    file = contents.files.get(_path(spec))
    if file is None:
        return Unknown(contents.trouble) if contents.trouble else None
    if not file.regular and not file.link:
        # What stands there is no file: not ours to remove, and in the way of one.
        return CronState(other_lines=("(no file)",)) if spec.present else None
    if file.link:
        return CronState(other_lines=("(a symbolic link)",))
    if file.data is None and file.size <= LIMIT:
        return Unknown("the file is there, but it could not be read")
    owner = "root" if file.uid == "0" else f"uid {file.uid}"
    found = (
        CronState(other_lines=("(more than 64 KiB)",))
        if file.data is None
        else _read(file.data.decode("utf-8", "backslashreplace"))
    )
    return found.model_copy(update={"owner": owner, "mode": file.permissions})


def _read(text: str) -> CronState:
    """The fields of a file as cron would understand it."""
    *rows, unfinished = text.split("\n")
    job: tuple[str, str, str] | None = None
    env: dict[str, str] = {}
    comment = ""
    other: list[str] = []
    for number, row in enumerate(rows):
        text = row.strip(" \t")
        variable, found = _read_variable(text), _JOB.fullmatch(text)
        if not text or (number == 0 and text == HEADER):
            continue
        if text.startswith("#") and not comment and not env and job is None:
            comment = text[1:].strip(" ")
        elif text.startswith("#") or job is not None:
            other.append(text)
        elif variable and variable[0] not in env:
            env[variable[0]] = variable[1]
        elif found and not variable:
            job = (" ".join(found[1].split()), found[2], found[3])
        else:
            other.append(text)
    if unfinished:
        other.append(f"{unfinished} (a line without an end: cron ignores the file)")
    if len(other) > SHOWN:
        other = [*other[:SHOWN], f"(and {len(other) - SHOWN} more)"]
    schedule, user, command = job or (None, None, None)
    shown = tuple(row if len(row) <= 200 else f"{row[:200]}…" for row in other)
    return CronState(schedule=schedule, command=command, user=user, env=env, comment=comment, other_lines=shown)


def _read_variable(text: str) -> tuple[str, str] | None:
    found = _VARIABLE.fullmatch(text)
    if not found:
        return None
    name, value = found.groups()
    if value[:1] not in {"'", '"'}:
        return name, value
    inside, closing, rest = value[1:].partition(value[0])
    return (name, inside) if closing and not rest.strip(" \t") else None
