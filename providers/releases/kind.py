"""Releases: the files of a project on a host, installed whole, watched file by file, removed by the list of what was installed.

Added to hosts by `desired/deploy/expand.py`, not written in manifests. Four strategies: `mirror` and `checkout` keep the tree
at `path` itself, `releases` and `slots` give each release a folder of its own below `path/releases`. It only installs: what
runs from it, and which release is current, is told by the kinds `runtime`, `slot` and `route`.

The parts: `releases/model.py` (what is asked), `releases/ask.py` and `releases/probe.py` (how a host is asked),
`releases/answer.py` (its answers), `releases/steps.py` and `releases/parcels.py` (what is sent), `releases/engine.py`,
`releases/shell.py`, `releases/small.py` and `releases/clear.py` (what runs there), `releases/git.py` (checkouts),
`releases/adopt.py` (taking over).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from providers.base import Answer, Change, Detail, Facts, Provider, Step
from providers.releases.answer import Held, blocks_of, held, parse, unpacked
from providers.releases.ask import ASK
from providers.releases.model import ReleaseSpec, ReleaseState
from providers.releases.probe import LOOK, PROBE
from providers.releases.shell import LIBRARY
from providers.releases.steps import steps
from providers.shell import Sh, lines, sh
from providers.tree import listed

__all__ = ["ReleaseProvider", "ReleaseSpec", "ReleaseState"]

_TOLD = 20
"""Paths that a plan names of each sort."""


class ReleaseProvider(Provider[ReleaseSpec, ReleaseState]):
    """The files of projects."""

    name = "release"
    section = "projects"
    rank = 85
    shares_path = True
    library = LIBRARY
    spec = ReleaseSpec
    state = ReleaseState

    def probe(self, specs: Sequence[ReleaseSpec]) -> Sh:
        asked = [
            sh(
                "release_probe @index@ @name@ @strategy@ @path@ @sub@ @tree@ @deep@ @ignored@ @links@ @pruned@",
                index=index,
                name=spec.name,
                strategy=spec.strategy,
                path=spec.path,
                sub=spec.sub,
                tree=spec.tree or "-",
                deep=int(spec.is_deep),
                ignored="\n".join(spec.untouched),
                links="\n".join(spec.links),
                pruned=spec.pruned(),
            )
            for index, spec in enumerate(specs)
        ]
        return lines([ASK, PROBE, sh("table=''"), *asked])

    def parse(self, out: bytes, specs: Sequence[ReleaseSpec]) -> Mapping[str, Answer[ReleaseState]]:
        return parse(out, specs)

    def want(self, spec: ReleaseSpec) -> ReleaseState | None:
        if not spec.present:
            return None
        return ReleaseState(
            tree=spec.tree,
            commit=spec.commit,
            branch=spec.branch if spec.strategy == "checkout" else None,
            owner=spec.owner or "",
            group=spec.group or "",
            edited=(),
            missing=(),
            modes=(),
            touched=0,
        )

    def steps(self, changes: Sequence[Change[ReleaseSpec, ReleaseState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            yield from steps(change)

    def notices(self, spec: ReleaseSpec, before: ReleaseState) -> tuple[str, ...]:
        told = []
        if before.added:
            told.append(f"{spec.path} holds files that are not the project's, and are left alone: {_some(before.added)}")
        told += [f"{spec.path}/releases/{line}" for line in before.kept or ()]
        if before.formerly and spec.versioned:
            told.append(f"{spec.path} still holds the files that were installed there with another strategy")
        return tuple(told)

    def path(self, spec: ReleaseSpec) -> str | None:
        return spec.path

    def links(self, spec: ReleaseSpec) -> Iterable[str]:
        named = [("user", spec.owner), ("group", spec.group)]
        return [f"{kind}:{name}" for kind, name in named if name is not None and not name.isdecimal()]

    def adjust(self, spec: ReleaseSpec, neighbours: Mapping[str, str | None]) -> ReleaseSpec:
        return spec.beside(neighbours)

    def look(self, changes: Sequence[Change[ReleaseSpec, ReleaseState]]) -> Sh | None:
        asked = [
            sh(
                "release_show @index@ @name@ @strategy@ @path@ @sub@ @tree@ @ignored@ @links@ @pruned@",
                index=index,
                name=change.spec.name,
                strategy=change.spec.strategy,
                path=change.spec.path,
                sub=change.spec.sub,
                tree=change.spec.tree or "-",
                ignored="\n".join(change.spec.untouched),
                links="\n".join(change.spec.links),
                pruned=change.spec.pruned(),
            )
            for index, change in enumerate(changes)
            if change.after is not None and change.before is not None and not _recalled(change)
        ]
        if not asked:
            return None
        return lines([ASK, LOOK, sh("table=''\n{\n@asked@\n} | gzip -1 -c", asked=lines(asked))])

    def seen(self, out: bytes, changes: Sequence[Change[ReleaseSpec, ReleaseState]]) -> Mapping[str, Detail]:
        found = blocks_of(unpacked(out), len(changes))
        return {
            change.spec.ref: _detail(change, _recalled(change) or found.get(index, ""))
            for index, change in enumerate(changes)
            if change.after is not None
        }


def _recalled(change: Change[ReleaseSpec, ReleaseState]) -> str:
    """What the closer look would say, where that is known: of a tree of which this process still has the list, and of which the
    host says that it lies there unharmed. Otherwise nothing."""
    before = change.before
    if change.after is None or before is None or before.tree is None or change.spec.versioned:
        return ""
    if before.edited != () or before.missing != () or before.modes != () or before.touched != 0 or listed(before.tree) is None:
        return ""
    return f"listed {before.tree}"


def _some(paths: Sequence[str]) -> str:
    """A list of paths for people, short enough to be read."""
    more = len(paths) - _TOLD
    return ", ".join(paths[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _detail(change: Change[ReleaseSpec, ReleaseState], have: str) -> Detail:
    """What the change does to the files, by name."""
    told = held(have)
    if change.before is not None and change.before.tree == change.spec.tree:
        return Detail(notes=_drift(change.before), have=have)
    if change.before is None or not told.lines:
        return Detail(notes=(f"{len(change.spec.files.files)} files",) if change.spec.loaded else (), have=have)
    return Detail(notes=_notes(change.spec, told) if change.spec.loaded else (), have=have)


def _drift(before: ReleaseState) -> tuple[str, ...]:
    """What was done to the installed files on the host."""
    found = [("edited", before.edited), ("removed", before.missing), ("permissions or owner changed", before.modes)]
    return tuple(f"{word}: {_some(paths)}" for word, paths in found if paths)


def _notes(spec: ReleaseSpec, told: Held) -> tuple[str, ...]:
    there = {**told.contents, **told.lines}
    files = [file for file in spec.files.files if not spec.is_untouched(file.path)]
    wanted = {file.path for file in files}
    changed = [file.path for file in files if file.path in there and not file.digest.startswith(there[file.path][1])]
    added = [file.path for file in files if file.path not in there]
    removed = sorted(path for path in there if path not in wanted and not spec.is_untouched(path))
    counts = [("changed", changed), ("added", added), ("removed", removed)]
    notes = [f"{len(paths)} {'file' if len(paths) == 1 else 'files'} {word}: {_some(paths)}" for word, paths in counts if paths]
    return tuple(notes)
