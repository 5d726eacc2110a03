"""Directories: owner, permissions, ACL and, with `purge`, the removal of what stands in them and is not declared.

A directory may hold data, so the rules are strict: nothing that stands in its place is replaced except a link that leads
nowhere; it is removed only when it is empty; a purge removes the names that the plan has listed, one by one, and no mount.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, PrivateAttr

from providers import paths, placing
from providers.acl import acl_word
from providers.base import Answer, Change, Detail, Facts, Provider, Step, Unknown
from providers.shell import Sh, lines, sh

_LISTED = 10_000
"""Names that a purged directory may hold; with more of them, something else is wrong."""


class DirectorySpec(paths.OwnedSpec):
    """A directory. Missing directories above it are made with mode 0755, unless they are declared themselves."""

    kind = "directory"

    purge: Annotated[bool, Field(description="Remove what stands directly in it and is not declared")] = False

    _declared: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def declared(self) -> frozenset[str]:
        """The names directly in it that belong to the host's other resources."""
        return self._declared

    def with_declared(self, declared: Iterable[str]) -> Self:
        copy = self.model_copy()
        copy._declared = frozenset(declared)  # noqa: SLF001 our own
        return copy


class DirectoryState(paths.OwnedState):
    """What a directory is like. `extra`: the names in it that no resource declares; looked at to purge it or to remove it."""

    extra: tuple[str, ...] | None = None


_MORE = "more lies below what it deletes than is listed and counted here"
_ASK = sh(r"""
# directory_names INDEX LIMIT PATH: what stands in it, each as INDEX/NAME and NUL, and INDEX. at the end of the list;
# INDEX? where it cannot be told, INDEX! where there is too much.
directory_names() {
  [ -d "$3" ] && [ ! -L "$3" ] || return 0
  if [ ! -r "$3" ] || [ ! -e "$3/." ]; then printf '%s?\0' "$1"; return; fi
  index=$1
  limit=$2
  set -- "$3"/* "$3"/.[!.]* "$3"/..?*
  [ "$#" -le "$((limit + 3))" ] || { printf '%s!\0' "$index"; return; }
  for path do
    if [ -e "$path" ] || [ -L "$path" ]; then printf '%s/%s\0' "$index" "${path##*/}"; fi
  done
  printf '%s.\0' "$index"
}""")

_COUNT = sh(r"""
directory_count() { # INDEX PATH: what lies in an undeclared directory
  [ -d "$2" ] && [ ! -L "$2" ] || return 0
  printf '@%s\0' "$1"
  find "$2" -xdev -mindepth 1 -print0 | head -c 65536
  printf '\0.\0'
}""")

_LIBRARY = sh(r"""
# directory_put PATH OWNER GROUP MODE ACL
directory_put() {
  path_enter "$1" make || return
  if [ -L "./$name" ] && [ ! -e "./$name" ]; then rm -f -- "./$name" || return; fi
  if [ -L "./$name" ]; then
    path_fail "$1 is a symbolic link to $(readlink -- "./$name"): remove it, or declare the directory it leads to"
    return
  elif [ -e "./$name" ] && [ ! -d "./$name" ]; then
    path_fail "$1 is not a directory: it is kept; move it away"
    return
  elif [ ! -d "./$name" ]; then
    if [ -n "$4" ]; then mkdir -m 0700 -- "./$name"; else mkdir -m 0755 -- "./$name"; fi || return
  fi
  directory_enter && path_dress . "$2" "$3" "${4:+0$4}" "$5" || return # five digits: with four, chmod keeps a setgid bit
  if [ -x . ]; then sync -- .. && path_sync; fi
}

# directory_enter: enters ./$name, which must not be a link. Without root, a directory of our own may need to be opened first.
directory_enter() {
  here=${PWD%/}/$name
  if ! cd -P -- "./$name" 2>/dev/null; then
    [ "$path_uid" != 0 ] && chmod u+rx -- "./$name" && cd -P -- "./$name" || return
  fi
  [ "$PWD" = "$here" ] || path_fail "$here was swapped for something else at this moment: nothing was done"
}

# directory_remove PATH
directory_remove() {
  path_enter "$1" || return
  if [ -L "./$name" ] || [ ! -d "./$name" ]; then path_fail "$1 is not a directory: it is kept"; return; fi
  rmdir -- "./$name" && path_sync && return
  set -- "./$name"/* "./$name"/.[!.]* "./$name"/..?*
  count=0
  for path do if [ -e "$path" ] || [ -L "$path" ]; then count=$((count + 1)); fi; done
  path_fail "$place/$name is kept: not empty, $count entries"
}

# directory_purge PATH MOUNTED NAME MOUNTED …: removes these names. MOUNTED is the same, as the mount table spells it.
directory_purge() {
  path_enter "$1" && directory_enter || return
  [ "$PWD" = "$1" ] || { path_fail "$1 is $PWD by a link on the way: purge that path instead"; return; }
  [ -r /proc/self/mountinfo ] || { path_fail "mounts cannot be seen without /proc: nothing was removed"; return; }
  table=$2
  kept=0
  shift 2
  while [ "$#" -ge 2 ]; do
    if directory_mounted "$table/$2"; then
      path_fail "$PWD/$1 is kept: something is mounted there"
      kept=1
    else
      rm -rf -- "./$1" || kept=1
    fi
    shift 2
  done
  path_sync && return "$kept"
}

directory_mounted() { # PATH: something is mounted on it or below it
  while read -r _ _ _ _ point _; do
    case $point in "$1" | "$1"/*) return 0 ;; esac
  done </proc/self/mountinfo
  return 1
}
""")


class DirectoryProvider(Provider[DirectorySpec, DirectoryState]):
    """`directories:` in a manifest."""

    name = "directory"
    section = "directories"
    rank = 50
    library = lines([placing.LIBRARY, _LIBRARY])
    spec = DirectorySpec
    state = DirectoryState

    def probe(self, specs: Sequence[DirectorySpec]) -> Sh:
        keys = paths.keyed(specs)
        limited = {key: spec for key, spec in keys.items() if spec.present and spec.acl is not None}
        listed = [
            sh("directory_names @index@ @limit@ @path@", index=index, limit=_LISTED, path=spec.name)
            for index, spec in enumerate(specs)
            if _lists(spec)
        ]
        return lines([paths.ASK, _ASK, paths.stat_all(keys), paths.acl_all(limited), sh("echo names"), *listed, sh("echo end")])

    def parse(self, out: bytes, specs: Sequence[DirectorySpec]) -> Mapping[str, Answer[DirectoryState]]:
        head, _, tail = (b"\n" + out).partition(b"\nnames\n")
        records = tail.split(b"\0")
        if records[-1] != b"end\n":
            return {}
        answers = paths.read(head.decode("utf-8", "surrogateescape"))
        listings = _listings(records)
        return {
            spec.name: self._answer(spec, key, answers, listings.get(index))
            for index, (key, spec) in enumerate(paths.keyed(specs).items())
        }

    def _answer(
        self, spec: DirectorySpec, key: str, answers: paths.Answers, listing: Sequence[str] | Unknown | None
    ) -> Answer[DirectoryState]:
        stat = answers.of(key)
        if stat is None or isinstance(stat, Unknown):
            return stat
        if not spec.present and stat.type != "directory":
            return None  # what stands there is no directory, so the directory is absent; it is not ours to remove
        fields = paths.owned(spec, key, stat, answers)
        if isinstance(fields, Unknown):
            return fields
        if _lists(spec) and stat.type == "directory":
            if listing is None or isinstance(listing, Unknown):
                return listing or Unknown("what stands in it could not be listed")
            fields["extra"] = tuple(sorted(set(listing) - spec.declared))
        return DirectoryState.model_validate(fields)

    def want(self, spec: DirectorySpec) -> DirectoryState | None:
        if not spec.present:
            return None
        extra = () if spec.purge else None
        return DirectoryState(type="directory", owner=spec.owner, group=spec.group, mode=spec.mode, acl=spec.acl, extra=extra)

    def steps(self, changes: Sequence[Change[DirectorySpec, DirectoryState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, extra = change.spec, _extra(change)
            if change.after is None:
                yield Step((spec.ref,), f"remove directory {spec.name}", sh("directory_remove @path@", path=spec.name))
                continue
            if not change.fields or change.fields - {"extra"}:
                is_there = change.before is not None and change.before.type == "directory"
                title = f"set owner and permissions of {spec.name}" if is_there else f"make directory {spec.name}"
                yield Step((spec.ref,), title, _put(spec))
            if extra:
                entries = "1 undeclared entry" if len(extra) == 1 else f"{len(extra)} undeclared entries"
                yield Step((spec.ref,), f"remove {entries} from {spec.name}", _purge(spec, extra), timeout=600)

    def keeps(self, spec: DirectorySpec, before: DirectoryState) -> str | None:
        return f"it is not empty: {before.extra[0]!r} is not ours" if before.extra else None

    def links(self, spec: DirectorySpec) -> Iterable[str]:
        return spec.accounts()

    def path(self, spec: DirectorySpec) -> str | None:
        return spec.name

    def look(self, changes: Sequence[Change[DirectorySpec, DirectoryState]]) -> Sh | None:
        asked = [
            sh("directory_count @index@ @path@", index=index, path=f"{change.spec.name}/{name}")
            for index, change in enumerate(changes)
            for name in _extra(change)
        ]
        return lines([_COUNT, *asked, sh(":")]) if asked else None  # what the last one came to says nothing about all

    def seen(self, out: bytes, changes: Sequence[Change[DirectorySpec, DirectoryState]]) -> Mapping[str, Detail]:
        below: dict[int, list[str]] = {}
        cut: set[int] = set()
        index = -1
        records = out.decode("utf-8", "surrogateescape").split("\0")
        for record, following in pairwise(records):
            if record.startswith("@") and record[1:].isdecimal():
                index = int(record[1:])
                below.setdefault(index, [])
            elif record.startswith("/") and index >= 0:
                # A whole list ends with an empty record; one that was cut ends in the middle of a name.
                if following == ".":
                    cut.add(index)
                else:
                    below[index].append(record)
        return {
            changes[index].spec.ref: Detail(removes=tuple(found), unsure=_MORE if index in cut else None)
            for index, found in below.items()
            if found and index < len(changes)
        }

    def deletions(self, change: Change[DirectorySpec, DirectoryState]) -> tuple[str, ...]:
        return (*super().deletions(change), *(f"{change.spec.name}/{name}" for name in _extra(change)))

    def adjust(self, spec: DirectorySpec, neighbours: Mapping[str, str | None]) -> DirectorySpec:
        if not _lists(spec):
            return spec
        inside = f"{spec.name}/"
        owned = (path.removeprefix(inside) for path in neighbours.values() if path and path.startswith(inside))
        return spec.with_declared(path.split("/")[0] for path in owned)


def _lists(spec: DirectorySpec) -> bool:
    """Whether it matters what stands in it: undeclared entries are purged, or keep the directory from being removed."""
    return spec.purge or not spec.present


def _listings(records: Sequence[bytes]) -> dict[int, Sequence[str] | Unknown]:
    """The names in each purged directory, by index; only those whose list came to its end."""
    names: dict[int, list[str]] = {}
    listings: dict[int, Sequence[str] | Unknown] = {}
    for record in records:
        text = record.decode("utf-8", "surrogateescape")
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        if not 0 < len(digits) < 10:
            continue
        index, rest = int(digits), text[len(digits) :]
        if rest.startswith("/"):
            names.setdefault(index, []).append(rest[1:])
        elif rest == ".":
            listings[index] = names.get(index, [])
        elif rest == "?":
            listings[index] = Unknown("what stands in it may not be listed")
        elif rest == "!":
            listings[index] = Unknown(f"more than {_LISTED} names stand in it: too many to purge")
    return listings


def _extra(change: Change[DirectorySpec, DirectoryState]) -> tuple[str, ...]:
    """What the change purges."""
    return (change.before.extra or ()) if change.before is not None and "extra" in change.fields else ()


def _put(spec: DirectorySpec) -> Sh:
    return sh(
        "directory_put @path@ @owner@ @group@ @mode@ @acl@",
        path=spec.name,
        owner=spec.owner or "",
        group=spec.group or "",
        mode=spec.mode or "",
        acl=acl_word(spec.mode, spec.acl),
    )


def _purge(spec: DirectorySpec, names: Sequence[str]) -> Sh:
    pairs = [word for name in names for word in (name, _mounted(name))]
    return sh("directory_purge @path@ @table@ @pairs@", path=spec.name, table=_mounted(spec.name), pairs=pairs)


def _mounted(path: str) -> str:
    """A path as the mount table spells it."""
    return path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
