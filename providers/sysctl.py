"""Kernel settings: the value that holds now, and the file that gives it back after a boot.

Both are compared, so a value that somebody changed with `sysctl -w` and a file that was lost are each told as what they are.
All values and files of a host are read by one `grep`: a shell's own `read` asks /proc for one byte at a time, and gets only the
first. The file is written by the functions of `files.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from providers.base import Answer, Change, Facts, Line, Provider, Spec, State, Step, Unknown
from providers.files import FileProvider
from providers.shell import Sh, lines, sh

FOLDER = "/etc/sysctl.d"
HEADER = "# Managed by reconciler: what is changed here by hand is undone.\n"

_SWAP = str.maketrans("./", "/.")


def _key(value: str) -> str:
    separator = re.search(r"[./]", value)
    if separator and separator[0] == "/":
        raise ValueError(f'write the key with dots, and a dot in a part of it as "/": "{value.translate(_SWAP)}"')
    parts = value.translate(_SWAP).split("/")
    if len(value) > 200 or len(parts) < 2 or not all(re.fullmatch(r"[A-Za-z0-9_@+.-]+", part) for part in parts):
        raise ValueError(f'"{value}" is no kernel key, as in vm.swappiness or net.ipv4.conf.eth0/100.forwarding')
    if {".", ".."} & set(parts):
        raise ValueError(f'"{value}" has a part that is only dots')
    return value


def _value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("write 1 or 0")
    if isinstance(value, int):
        return str(value)
    return re.sub(r"[ \t]+", " ", value).strip(" ") if isinstance(value, str) else value


def _not_empty(value: str) -> str:
    value.encode()
    if not value:
        raise ValueError("the value is empty")
    return value


def normal(value: str) -> str:
    """The value as the kernel would print it: single blanks, and numbers in decimals however they were written."""
    return " ".join(_decimal(word) for word in value.split())


def _decimal(word: str) -> str:
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", word):
        return str(int(word, 16))
    return str(int(word, 8)) if re.fullmatch(r"0[0-7]{1,22}", word) else word


class SysctlSpec(Spec):
    kind: ClassVar[str] = "sysctl"
    shorthand: ClassVar[str | None] = "value"

    name: Annotated[str, AfterValidator(_key)]
    value: Annotated[
        Line | None,
        AfterValidator(lambda value: value if value is None else _not_empty(value)),
        BeforeValidator(_value, json_schema_input_type=str | int),
        Field(description="Value; several numbers with blanks between", examples=[10, "32768 60999"]),
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.present and self.value is None:
            raise ValueError("value is needed")
        return self


class SysctlState(State):
    value: str | None = None
    """What the kernel has now; None where it has no such key."""
    persisted: str | None = None
    """What our file sets."""


class SysctlProvider(Provider[SysctlSpec, SysctlState]):
    name = "sysctl"
    section = "sysctl"
    rank = 65
    spec = SysctlSpec
    state = SysctlState
    library = lines(
        [
            FileProvider.library,
            Sh(r"""
sysctl_set() { # KEY PATH VALUE: status 2 where there is no such key
  if [ ! -f "$2" ]; then echo "the kernel has no key $1: is the module loaded that brings it?"; return 2; fi
  printf '%s\n' "$3" >"$2" || { echo "the kernel did not take the value $3 for $1"; return 1; }
}
"""),
        ]
    )

    def probe(self, specs: Sequence[SysctlSpec]) -> Sh:
        return sh(
            r"""sysctl_look() { # INDEX WHAT PATH: succeeds where there is a file to be read
  if [ -L "$3" ]; then kind='link'
  elif [ ! -e "$3" ]; then kind=absent
  elif [ ! -f "$3" ]; then kind=other
  elif [ ! -r "$3" ]; then kind=unreadable
  else kind='file'
  fi
  printf 'look %s %s %s\n' "$1" "$2" "$kind"
  [ "$kind" = file ]
}
if [ ! -d /proc/sys/kernel ]; then echo "/proc/sys is not there" >&2; exit 1; fi
if [ -e @folder@ ] && [ ! -x @folder@ ]; then echo "this login may not look into" @folder@ >&2; exit 1; fi
set --
@looks@
if [ $# -gt 0 ]; then grep -s '' /dev/null "$@"; fi
echo 'end sysctl'""",
            folder=FOLDER,
            looks=lines(
                sh('if sysctl_look @index@ @what@ @path@; then set -- "$@" @path@; fi', index=index, what=what, path=path)
                for index, spec in enumerate(specs)
                for what, path in (("value", _kernel_path(spec)), ("file", _path(spec)))
            ),
        )

    def parse(self, out: bytes, specs: Sequence[SysctlSpec]) -> Mapping[str, Answer[SysctlState]]:
        text = out.decode("utf-8", "backslashreplace")
        if not text.endswith("\nend sysctl\n"):
            return {}
        kinds: dict[tuple[str, str], str] = {}
        contents: dict[str, list[str]] = {}
        for line in text.split("\n"):
            words = line.split(" ")
            if words[0] == "look" and len(words) == 4:
                kinds[words[1], words[2]] = words[3]
            elif line.startswith("/"):
                path, _, rest = line.partition(":")
                contents.setdefault(path, []).append(rest)
        return {
            spec.name: _answer(spec, kinds.get((str(index), "value"), ""), kinds.get((str(index), "file"), ""), contents)
            for index, spec in enumerate(specs)
        }

    def want(self, spec: SysctlSpec) -> SysctlState | None:
        if not spec.present or spec.value is None:
            return None
        return SysctlState(value=normal(spec.value), persisted=normal(spec.value))

    def steps(self, changes: Sequence[Change[SysctlSpec, SysctlState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, path = change.spec, _path(change.spec)
            if spec.value is None or change.action == "delete":
                title = f"remove sysctl {spec.name} (its value stays until the next boot)"
                yield Step((spec.ref,), title, sh("file_remove @path@", path=path))
                continue
            # A value that the kernel refuses must not come back at each boot; one that waits for its module may.
            run = sh(
                """sysctl_set @key@ @kernel@ @value@
outcome=$?
if [ "$outcome" = 1 ]; then exit 1; fi
if [ ! -d @folder@ ]; then mkdir -m 0755 @folder@ || exit; fi
file_put @path@ root root 0644 '' '' || exit
exit $outcome""",
                folder=FOLDER,
                path=path,
                key=spec.name,
                kernel=_kernel_path(spec),
                value=spec.value,
            )
            content = f"{HEADER}{spec.name} = {spec.value}\n"
            yield Step((spec.ref,), f"set sysctl {spec.name} to {spec.value}", run, content.encode())

    def made(self, change: Change[SysctlSpec, SysctlState]) -> bool:
        """The key itself is the kernel's; what we make, and remove one day, is the file."""
        return change.before is None or change.before.persisted is None

    def path(self, spec: SysctlSpec) -> str:
        return _path(spec)


def _kernel_path(spec: SysctlSpec) -> str:
    return f"/proc/sys/{spec.name.translate(_SWAP)}"


def _path(spec: SysctlSpec) -> str:
    return f"{FOLDER}/99-reconciler-{spec.name.replace('/', ',')}.conf"


def _answer(spec: SysctlSpec, value: str, file: str, contents: Mapping[str, list[str]]) -> Answer[SysctlState]:
    persisted = _persisted(spec, file, contents.get(_path(spec), []))
    if isinstance(persisted, Unknown):
        return persisted
    if not spec.present:
        return None if persisted is None or file == "other" else SysctlState(persisted=persisted)
    found = contents.get(_kernel_path(spec))
    if value in {"absent", "other"}:
        return SysctlState(persisted=persisted)
    if value != "file" or not found:
        return Unknown("the kernel does not let its value be read")
    return SysctlState(value=normal(" ".join(found)), persisted=persisted)


def _persisted(spec: SysctlSpec, kind: str, rows: Sequence[str]) -> str | Unknown | None:
    """The value that our file sets; what else stands there is told in brackets."""
    if kind == "absent":
        return None
    if kind in {"link", "other"}:
        return "(a symbolic link)" if kind == "link" else "(no file)"
    if kind != "file":
        return Unknown(f"{_path(spec)} could not be read")
    settings = [row.strip() for row in rows if row.strip() and not row.strip().startswith(("#", ";"))]
    found = re.fullmatch(r"([^=]*?)\s*=\s*(.*)", settings[0]) if len(settings) == 1 else None
    if found and found[1] == spec.name:
        return normal(found[2])
    return f"({'; '.join(settings)[:200] or 'nothing'})"
