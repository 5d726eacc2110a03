"""Symbolic links. A link is only ever replaced as a whole, by one rename; what it leads to is never looked at or touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from providers import paths, placing
from providers.base import Answer, Change, Facts, Provider, Step, Unknown
from providers.shell import Sh, lines, sh


class SymlinkSpec(paths.PathSpec):
    """A symbolic link and where it leads."""

    kind = "symlink"

    target: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=4095,
            description="Where it leads, written into the link exactly as it stands here; it need not exist",
            examples=["/usr/share/zoneinfo/Europe/Paris", "../sites-available/shop"],
        ),
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.present and self.target is None:
            raise ValueError("target is missing: say where the link leads")
        if self.target is not None and "\0" in self.target:
            raise ValueError("a NUL character cannot stand in a path")
        return self


class SymlinkState(paths.PathState):
    """What stands at the path; `target` where it is a link."""

    target: str | None = None


_ASK = sh(r"""
# links_ask FIRST PATH…: FIRST is the index of the first path. Says `links INDEX COUNT` and then COUNT targets, each ended by
# NUL; of what is no link, `stat` tells what it is.
links_ask() {
  index=$1
  shift
  pure=1
  for path do [ -L "$path" ] || pure=; done
  if [ -n "$pure" ]; then links_read "$index" "$@"; return; fi
  for path do
    if [ -L "$path" ]; then links_read "$index" "$path"; else path_stat_one "#$index" "$path"; fi
    index=$((index + 1))
  done
}

# links_read FIRST PATH…: one command where readlink takes many paths; where it does not, a dot keeps newlines at the end.
links_read() {
  printf 'links %s %s\n' "$1" "$(($# - 1))"
  shift
  readlink -z -- "$@" 2>/dev/null || for path do
    target=$(readlink -- "$path" && echo .) || exit 1
    printf '%s\0' "${target%??}"
  done
  echo
}""")

_LIBRARY = sh(r"""
# symlink_put PATH TARGET
symlink_put() {
  path_enter "$1" || return
  if [ ! -L "./$name" ] && { [ -b "./$name" ] || [ -c "./$name" ]; }; then path_fail "$1 is a device: it is kept"; return; fi
  path_workshop || return
  if ln -s -- "$2" "./$name"; then path_install; else path_leave; return 1; fi
}

# symlink_remove PATH
symlink_remove() {
  path_enter "$1" || return
  [ -L "./$name" ] || { path_fail "$1 is not a symbolic link: it is kept"; return; }
  path_remove
}
""")


class SymlinkProvider(Provider[SymlinkSpec, SymlinkState]):
    """`symlinks:` in a manifest."""

    name = "symlink"
    section = "symlinks"
    rank = 55
    library = lines([placing.LIBRARY, _LIBRARY])
    spec = SymlinkSpec
    state = SymlinkState

    def probe(self, specs: Sequence[SymlinkSpec]) -> Sh:
        asked, index = [], 0
        for names in paths.chunks(spec.name for spec in specs):
            asked.append(sh("links_ask @index@ @names@", index=index, names=names))
            index += len(names)
        return lines([paths.ASK, _ASK, *asked, sh("echo end")])

    def parse(self, out: bytes, specs: Sequence[SymlinkSpec]) -> Mapping[str, Answer[SymlinkState]]:
        split = _split(out)
        if split is None:
            return {}
        text, targets = split
        answers = paths.read(text)
        return {spec.name: self._answer(spec, index, answers, targets) for index, spec in enumerate(specs)}

    def _answer(
        self, spec: SymlinkSpec, index: int, answers: paths.Answers, targets: Mapping[int, str]
    ) -> Answer[SymlinkState]:
        if index in targets:
            return SymlinkState(type="symlink", target=targets[index])
        stat = answers.of(f"#{index}")
        if stat is None or isinstance(stat, Unknown):
            return stat
        if stat.type == "symlink":
            return Unknown("it appeared while it was looked at")
        if not spec.present:
            return None  # what stands there is no link, so the link is absent; it is not ours to remove
        return SymlinkState(type=stat.type)

    def want(self, spec: SymlinkSpec) -> SymlinkState | None:
        return SymlinkState(type="symlink", target=spec.target) if spec.present else None

    def steps(self, changes: Sequence[Change[SymlinkSpec, SymlinkState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec = change.spec
            if change.after is None:
                yield Step((spec.ref,), f"remove link {spec.name}", sh("symlink_remove @path@", path=spec.name))
            else:
                run = sh("symlink_put @path@ @target@", path=spec.name, target=spec.target or "")
                yield Step((spec.ref,), f"link {spec.name} to {spec.target}", run)

    def path(self, spec: SymlinkSpec) -> str | None:
        return spec.name

    def deletions(self, change: Change[SymlinkSpec, SymlinkState]) -> tuple[str, ...]:
        if change.before is not None and change.before.type == "file":
            return (f"file:{change.spec.name}",)
        return super().deletions(change)


def _split(out: bytes) -> tuple[str, dict[int, str]] | None:
    """The lines of a fragment's output, and the targets by index; None when it is cut or broken."""
    text: list[str] = []
    targets: dict[int, str] = {}
    rest = out
    while rest != b"end\n":
        line, newline, rest = rest.partition(b"\n")
        if not newline or b"\0" in line:
            return None
        if not (head := re.fullmatch(rb"links ([0-9]{1,9}) ([0-9]{1,9})", line)):
            text.append(line.decode("utf-8", "surrogateescape"))
            continue
        for index in range(int(head[1]), int(head[1]) + int(head[2])):
            target, nul, rest = rest.partition(b"\0")
            if not nul:
                return None
            targets[index] = target.decode("utf-8", "surrogateescape")
        if not rest.startswith(b"\n"):
            return None
        rest = rest[1:]
    return "\n".join(text), targets
