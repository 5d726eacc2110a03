"""What files, directories and links share: how a path may be written, how many are asked at once, how answers are read.

One `stat` answers for all paths of a kind. A plain name (letters, digits and a few signs) comes back as the key of its line;
any other name could break a line or be quoted in three styles, so it is asked alone and comes back as `#` and its index.
Absent is only what the tool itself reports as missing: every other failure is unknown.
How things are put in their place is in `placing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, field_validator

from providers.acl import AclEntry, accounts, normal, read_acl
from providers.base import Line, Mode, Seq, Spec, SpecT, State, Unknown
from providers.shell import Sh, lines, sh

Kind: TypeAlias = Literal["file", "directory", "symlink", "other"]

_PLAIN = re.compile(r"[A-Za-z0-9/._@+:,=-]+")
_CHUNK = 32_768
"""Bytes of names per command: far below what one command line may hold, on the smallest system."""
_MISSING = ("No such file or directory", "Not a directory", "Too many levels of symbolic links", "Symbolic link loop")
_STAT_LINE = re.compile(r"([0-9a-f]{4,8}):([0-9]{1,20}):([0-9]{1,10}):([0-9]{1,10}):([^:\n]*):([^:\n]*):(.+)")
_ERROR_LINE = re.compile(r".*'([^']+)': ([^:']+)")
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def _account(value: str) -> str:
    if not value or value[0] in "-+." or value != value.strip() or any(sign in value for sign in ":/,"):
        raise ValueError('expected the name of an account, or its number in quotes, as in "root" or "1000"')
    return str(int(value)) if value.isascii() and value.isdigit() else value


Account: TypeAlias = Annotated[Line, AfterValidator(_account)]
"""A user or group: by name, or by number in quotes."""


def check_path(path: str) -> str:
    """An absolute path in its only spelling; raises `ValueError` with a sentence for the person who wrote it."""
    if not path.startswith("/"):
        raise ValueError(f"expected an absolute path, as in /{path}")
    if "\0" in path:
        raise ValueError("a NUL character cannot stand in a path")
    try:
        parts = path.encode().split(b"/")[1:]
    except UnicodeEncodeError:
        raise ValueError("the path is not valid Unicode text") from None
    if path == "/":
        raise ValueError("the root directory itself is not managed")
    if any(part in (b"", b".", b"..") for part in parts):
        straight = "/".join(part for part in path.split("/") if part not in ("", "."))
        hint = "" if b".." in parts else f": write /{straight}"
        raise ValueError(f'a path stands without "//", "." and ".." and without a slash at its end{hint}')
    if len(path.encode()) > 4095 or any(len(part) > 255 for part in parts):
        raise ValueError("too long: Linux allows 4095 bytes for a path and 255 for each of its parts")
    return path


class PathSpec(Spec):
    """A resource that is named by its absolute path."""

    @field_validator("name")
    @classmethod
    def _path(cls, name: str) -> str:
        return check_path(name)


class OwnedSpec(PathSpec):
    """A path whose owner, permissions and ACL can be managed; what is not given stays as it is."""

    owner: Annotated[
        Account | None, Field(description="User it belongs to, by name or by number in quotes", examples=["root", "1000"])
    ] = None
    group: Annotated[
        Account | None, Field(description="Group it belongs to, by name or by number in quotes", examples=["adm"])
    ] = None
    mode: Annotated[Mode | None, Field(description="Permissions: octal digits in quotes", examples=["0644", "1777"])] = None
    acl: Annotated[
        Seq[AclEntry] | None,
        Field(description="All ACL entries beyond the mode; an empty list: none", examples=[["user:ops:rw", "group:adm:r"]]),
    ] = None

    @field_validator("acl")
    @classmethod
    def _normal_acl(cls, entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if entries is None else normal(entries)

    def accounts(self) -> tuple[str, ...]:
        """References of the users and groups that must exist before this."""
        named = [("user", self.owner), ("group", self.group)]
        plain = tuple(f"{kind}:{name}" for kind, name in named if name is not None and not name.isdecimal())
        needed = ("package:apt/acl",) if self.acl is not None else ()
        return plain + accounts(self.acl) + needed


class PathState(State):
    """What stands at a path."""

    type: Kind | None = None


class OwnedState(PathState):
    """What stands at a path, and who may do what with it."""

    owner: str | None = None
    group: str | None = None
    mode: str | None = None
    acl: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Stat:
    """What `stat` said of one path."""

    mode: int
    size: int
    uid: str
    gid: str
    user: str
    group: str

    @property
    def type(self) -> Kind:
        kinds: dict[int, Kind] = {0o100000: "file", 0o040000: "directory", 0o120000: "symlink"}
        return kinds.get(self.mode & 0o170000, "other")

    def owner(self, asked: str | None) -> str:
        """The owner in the form in which the manifest asks for it: a number stays a number."""
        return self.uid if self.user == "UNKNOWN" or (asked or "").isdecimal() else self.user

    def owning_group(self, asked: str | None) -> str:
        return self.gid if self.group == "UNKNOWN" or (asked or "").isdecimal() else self.group

    def permissions(self) -> str:
        return f"{self.mode & 0o7777:04o}"


def plain(name: str) -> bool:
    """Whether a name means itself everywhere: in a list of words, in a line of output, in a tool's quotes."""
    return _PLAIN.fullmatch(name) is not None


def keyed(specs: Sequence[SpecT]) -> dict[str, SpecT]:
    """What a line of output calls each spec."""
    return {spec.name if plain(spec.name) else f"#{index}": spec for index, spec in enumerate(specs)}


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """The names in portions that fit on a command line."""
    portion: list[str] = []
    size = 0
    for name in names:
        portion.append(name)
        size += len(name) + 1
        if size > _CHUNK:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


ASK = sh(r"""
path_list() { stat -c '%f:%s:%u:%g:%U:%G:%n' -- "$@" 2>&1; }

path_stat() { states=$(stat -c '%f:%s:%u:%g:%U:%G:%n' -- "$@" 2>&1); printf '%s\n' "$states"; }

path_stat_one() { # KEY PATH
  path=$2
  if states=$(stat -c '%f:%s:%u:%g:%U:%G' -- "$2" 2>&1); then
    states=$states:$1
    printf '%s\n' "$states"
  else
    printf "'%s': %s\n" "$1" "${states##*: }" # the tool's reason without the name, which may hold anything
    states=
  fi
}

path_acl() { # KEY PATH
  for form in -E -nE; do
    printf '# acl %s\n# file: %s\n' "$form" "$1"
    getfacl -cp "$form" -- "$2"
  done
}""")
"""The functions that `stat_all` and `acl_all` call. `$states` holds the answer, for a kind that goes on from there."""


def stat_all(keys: Mapping[str, Spec], then: Sh = Sh("")) -> Sh:  # noqa: B008 a constant
    """Asks for all paths: one command for the plain names, one for each of the others; after each command comes `then`."""
    ask = sh("path_stat") if then else sh("path_list")  # to keep what was answered costs a process
    asked = [sh("@ask@ @names@", ask=ask, names=names) for names in chunks(key for key in keys if plain(key))]
    asked += [sh("path_stat_one @key@ @path@", key=key, path=spec.name) for key, spec in keys.items() if not plain(key)]
    return lines(piece for question in asked for piece in (question, then))


def acl_all(keys: Mapping[str, Spec]) -> Sh:
    """Asks for the ACLs of the paths, by name and by number; says nothing where there is no `getfacl`."""
    asked = [
        sh('for form in -E -nE; do echo "# acl $form"; getfacl -p "$form" -- @names@; done', names=names)
        for names in chunks(key for key in keys if plain(key))
    ]
    asked += [sh("path_acl @key@ @path@", key=key, path=spec.name) for key, spec in keys.items() if not plain(key)]
    if not asked:
        return Sh("")
    return sh("if command -v getfacl >/dev/null; then\n@asked@\nfi", asked=lines(asked))


@dataclass(frozen=True, slots=True)
class Answers:
    """What one fragment said, by the keys of `keyed`. A key that is nowhere in here was not answered."""

    stats: Mapping[str, Stat]
    missing: frozenset[str]
    failed: Mapping[str, str]
    """Why the tool could not tell."""
    sums: Mapping[str, str]
    acls: Mapping[str, tuple[list[str], list[str]]]
    """Lines of `getfacl`, by name and by number."""

    def of(self, key: str) -> Stat | Unknown | None:
        """What is known of one path, without what only its kind knows."""
        if key in self.stats:
            return self.stats[key]
        if key in self.missing:
            return None
        return Unknown(self.failed.get(key, "the host gave no answer for this path"))


def read(text: str) -> Answers:
    """From the lines of `stat_all`, `sha256sum` and `acl_all` to answers; lines that make no sense are passed over."""
    stats: dict[str, Stat] = {}
    failed: dict[str, str] = {}
    sums: dict[str, str] = {}
    acls: dict[str, tuple[list[str], list[str]]] = {}
    form, block = 0, None
    for line in text.split("\n"):
        if not line:
            block = None  # an empty line ends what getfacl says of one path
        elif block is not None and not line.startswith("#"):
            block.append(line)
        elif line.startswith("# acl "):
            form, block = int(line == "# acl -nE"), None
        elif line.startswith("# file: "):
            block = acls.setdefault(line.removeprefix("# file: "), ([], []))[form]
        elif found := _STAT_LINE.fullmatch(line):
            mode, size, uid, gid, user, group, key = found.groups()
            stats[key] = Stat(int(mode, 16), int(size), uid, gid, user, group)
        elif found := _SUM_LINE.fullmatch(line):
            sums[found[2]] = found[1]
        elif found := _ERROR_LINE.fullmatch(line):
            failed[found[1]] = found[2]
    missing = frozenset(key for key, reason in failed.items() if reason in _MISSING)
    return Answers(stats, missing, failed, sums, acls)


def owned(spec: OwnedSpec, key: str, stat: Stat, answers: Answers) -> dict[str, str | tuple[str, ...]] | Unknown:
    """The fields of an `OwnedState`, in the words of the manifest."""
    fields: dict[str, str | tuple[str, ...]] = {
        "type": stat.type,
        "owner": stat.owner(spec.owner),
        "group": stat.owning_group(spec.group),
        "mode": stat.permissions(),
    }
    if spec.acl is None or not spec.present or stat.type not in ("file", "directory"):
        return fields
    names, numbers = answers.acls.get(key, ([], []))
    found = read_acl(names, numbers, spec.acl)
    if found is None:
        return Unknown("its ACL could not be read: is getfacl there (package acl)?")
    fields["acl"] = found.entries
    fields["mode"] = f"{stat.mode >> 9 & 0o7}{found.base}"
    return fields
