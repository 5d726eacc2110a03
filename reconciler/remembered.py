"""What a host remembers of its projects: which releases are there, of which commits, what the slots hold, and what failed a
smoke test. One question for all projects of a host, and the answer read. `providers/project_shell.py` describes the files.

`reconcile rollback` asks it alone; `project check` and `status` ask it beside their survey, because it tells which commit a
slot's tree is. Only small files are read; nothing here decides what is done to a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from providers.shell import Sh, lines, sh
from state.channel import Channel
from state.frames import frames
from state.script import Fragment, compile_probe

SECONDS = 20
_TREE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)

_LIBRARY = sh(r"""
# remembered_lines WORD FILE: each line of the file behind the word; nothing where there is no file.
remembered_lines() {
  if [ ! -e "$2" ]; then return; fi
  if [ ! -f "$2" ] || [ ! -r "$2" ]; then return 1; fi
  while read -r line || [ -n "$line" ]; do printf '%s %s\n' "$1" "$line"; done <"$2"
}

# remembered NUMBER NAME: all of one project. `over` is missing where something could not be read.
remembered() {
  printf '@%s\n' "$1"
  project=$folder/projects/$2
  for above in "$folder" "$folder/projects" "$project" "$project/releases"; do
    if [ -d "$above" ] && { [ ! -r "$above" ] || [ ! -x "$above" ]; }; then return; fi
  done
  for file in "$project/index" "$project"/releases/*.index; do
    if [ ! -e "$file" ]; then continue; fi
    read -r _ _ tree commit <"$file" || return
    printf 'release %s %s\n' "$tree" "$commit"
  done
  for name in slot.blue slot.green runtime route quarantine; do
    remembered_lines "$name" "$project/$name" || return
  done
  echo over
}
""")


@dataclass(frozen=True, slots=True)
class Remembered:
    """One project on one host."""

    releases: Mapping[str, str] = field(default_factory=dict)
    """Digest of an installed tree → its commit."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Slot → digest of the tree that it was last started with."""
    runtime: str | None = None
    """The same where there are no slots."""
    route: str | None = None
    """The slot that was given the traffic last."""
    quarantine: Mapping[str, str] = field(default_factory=dict)
    """Digest of a tree that failed here → what was noted about it."""

    def commit_of(self, tree: str | None) -> str | None:
        return self.releases.get(tree) if tree is not None else None

    @property
    def failed(self) -> frozenset[str]:
        """Commits that failed here, as far as their releases are still there to tell."""
        return frozenset(self.releases[tree] for tree in self.quarantine if tree in self.releases)

    def has(self, commit: str) -> bool:
        """Whether a release of the commit is still there."""
        return commit in self.releases.values()


def question(names: Sequence[str]) -> Sh:
    return lines([_LIBRARY, *(sh("remembered @number@ @name@", number=number, name=name) for number, name in enumerate(names))])


def read(out: bytes, names: Sequence[str]) -> dict[str, Remembered]:
    """What was said of each project to its end; what was cut or could not be read is left out, and so is unknown. Total."""
    found: dict[str, Remembered] = {}
    name: str | None = None
    said: list[list[str]] = []
    for line in out.decode("utf-8", "replace").split("\n"):
        if line.startswith("@"):
            number = line[1:]
            known = number.isascii() and number.isdecimal() and len(number) < 7 and int(number) < len(names)
            name, said = names[int(number)] if known else None, []
        elif line == "over" and name is not None:
            found[name] = _one(said)
            name = None
        elif name is not None:
            said.append(line.split(" ", 3))
    return found


def _one(said: Sequence[Sequence[str]]) -> Remembered:
    releases, slots, quarantine = {}, {}, {}
    runtime = route = None
    for word, value, *rest in (parts for parts in said if len(parts) > 1):
        if word == "route":
            route = value if value in ("blue", "green") else None
        elif not _TREE.fullmatch(value):
            continue
        elif word == "release" and rest and _COMMIT.fullmatch(rest[0]):
            releases[value] = rest[0]
        elif word in ("slot.blue", "slot.green"):
            slots[word.removeprefix("slot.")] = value
        elif word == "runtime":
            runtime = value
        elif word == "quarantine":
            quarantine[value] = " ".join(rest[1:])
    return Remembered(releases, slots, runtime, route, quarantine)


async def ask(channel: Channel, names: Sequence[str], inventory: str | None) -> dict[str, Remembered]:
    """Of the projects that could be told of. Raises `HostError` where the host could not be asked."""
    script = compile_probe([Fragment(question(names), SECONDS)], inventory=inventory)
    output = await channel.run(script.text, deadline=SECONDS * 2)
    frame = frames(output.stdout, output.stderr, script.nonce).get(0)
    return read(frame.out, names) if frame is not None and frame.ok else {}
