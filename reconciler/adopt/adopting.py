"""Which commit a folder on a host comes from, and how it becomes ours or is set aside: the heart of `reconcile adopt`.

`compare` finds the commit in the project's history. `take_over` and `set_aside` make steps, and `carry_out` runs them as a
cycle of the host: with its lock, its inventory and its journal, and looked at again afterwards. Nothing here asks or prints:
that is done in `reconciler/cli/adopting.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from desired.deploy.build import excluded
from desired.deploy.expand import Deployed
from desired.model import Resource
from desired.sources.model import Nearest
from providers.base import Change, Facts, Step
from providers.releases.adopt import adopt_steps, set_aside_step
from providers.releases.kind import ReleaseProvider, ReleaseSpec, ReleaseState
from providers.releases.steps import settings
from providers.shell import sh
from providers.tree import Tree, TreeFile, tree_of
from reconciler.adopt.look import Folder
from reconciler.adopt.shell import STEPS
from reconciler.cycle import Outcome, Session, converge
from reconciler.draft import Draft, Planned
from reconciler.stages import Listener

_PLAIN = re.compile(r"[A-Za-z0-9._@+-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Compared:
    """A folder on a host, beside the commit that it is nearest to."""

    spec: ReleaseSpec
    folder: Folder
    nearest: Nearest
    tree: Tree
    """Of that commit, as the project's file asks for it; without what is made for the host."""
    newest: int | None
    """When the newest commit of the wanted revision was made."""

    @property
    def equal(self) -> int:
        """How many files are as in the nearest commit."""
        return sum(self._is(file, file.path) for file in self.tree.files)

    @property
    def modes(self) -> tuple[str, ...]:
        """Files with the content of the nearest commit, and other permissions."""
        looks = self.folder.looks
        equal = (file for file in self.tree.files if file.mode != "link" and self._is(file, file.path))
        return tuple(file.path for file in equal if file.path in looks and looks[file.path].mode != file.mode)

    @property
    def edited(self) -> int | None:
        """When a file that differs, or is not in the commit, was changed last, by its own account."""
        looks = self.folder.looks
        times = [looks[path].time for path in (*self.nearest.differs, *self.nearest.extra) if path in looks]
        return max(times, default=None)

    @property
    def endangered(self) -> tuple[str, ...]:
        """Paths that the wanted commit writes to, and of which it is not known that nothing is lost there."""
        known = {file.path: file for file in self.tree.files}

        def is_safe(file: TreeFile) -> bool:
            return self._is(file, file.path) or (file.path in known and self._is(known[file.path], file.path))

        paths = (file.path for file in self.spec.files.files if not is_safe(file))
        return tuple(path for path in paths if not self.spec.is_untouched(path))

    @property
    def copied(self) -> tuple[str, ...]:
        """Those of them that are known to be there."""
        return tuple(path for path in self.endangered if path in self.folder.files)

    def _is(self, file: TreeFile, path: str) -> bool:
        there = self.folder.files.get(path)
        return there is not None and there.digest == file.digest


def compare(spec: ReleaseSpec, folder: Folder, deployed: Deployed) -> Compared:
    """Looks through the history of the project. Raises `SourceProblem` where that cannot be read."""
    repository = deployed.resolved.repository
    patterns = excluded(deployed.built.deployable.settings)

    def leave_out(path: str) -> bool:
        return patterns(path) or spec.is_untouched(path)

    made = set(spec.made_here())
    hashes = {path: file.digest for path, file in folder.files.items() if path not in made}
    nearest = repository.nearest(hashes, deployed.commit, leave_out)
    source = repository.tree_files(nearest.commit.id, patterns)
    plain = (TreeFile(path, file.mode, file.sha256, file.size) for path, file in source.files.items() if path not in made)
    newest = nearest.commit.time
    if nearest.behind:
        between = repository.commits(nearest.commit.id, deployed.commit, 1).newest
        newest = between[0].time if between else newest
    return Compared(spec, folder, nearest, tree_of(nearest.commit.id, plain, _unread), newest)


def _unread(path: str) -> bytes:
    """What is only taken over is never sent."""
    raise LookupError(path)


def stamp(now: datetime | None = None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")


def aside_name(spec: ReleaseSpec, when: str) -> str:
    """The plain name beside the project's folder that edits are copied to, or that the folder is given."""
    name = spec.path.rpartition("/")[2]
    return f"{name if _PLAIN.fullmatch(name) else spec.name}.before-adopt-{when}"


def beside(spec: ReleaseSpec, name: str) -> str:
    return f"{spec.path.rpartition('/')[0]}/{name}"


def can_take_over(compared: Compared) -> bool:
    """Where each release has a folder of its own, only one that is current can become ours."""
    return not compared.spec.versioned or bool(compared.folder.release)


def take_over(compared: Compared, when: str) -> tuple[Step, ...]:
    """Files that equal the nearest commit become ours as they are. What a later run would overwrite is copied first, where a
    new release does not leave it where it is anyhow."""
    spec = compared.spec
    steps = adopt_steps(spec, compared.tree.index, compared.folder.release)
    if spec.versioned or not compared.endangered:
        return steps
    name = aside_name(spec, when)
    text = "".join(f"{path}\n" for path in compared.endangered).encode("utf-8", "surrogateescape")
    run = sh("@settings@\nadopt_save @name@", settings=settings(spec), name=name)
    return (Step((spec.ref,), f"copy edits to {beside(spec, name)}", run, blob=text, timeout=3600), *steps)


def set_aside(spec: ReleaseSpec, when: str, bring: Sequence[tuple[str, str]] = ()) -> tuple[Step, ...]:
    """The folder gets a dated name. `bring`: what is moved from there to the new folder, as (from, to)."""
    name = aside_name(spec, when)
    guard = Step((spec.ref,), f"see that nothing is mounted in {spec.path}", sh("@s@\nadopt_guard", s=settings(spec)))
    return (guard, set_aside_step(spec, name), *(_brought(spec, name, source, target) for source, target in bring))


def _brought(spec: ReleaseSpec, name: str, source: str, target: str) -> Step:
    run = sh("@s@\nadopt_bring @name@ @source@ @target@", s=settings(spec), name=name, source=source, target=target)
    return Step((spec.ref,), f"move {source} into the new {spec.path}", run, timeout=600)


def shared_found(spec: ReleaseSpec, folder: Folder) -> list[tuple[str, str]]:
    """Shared data in the old layout, and where it belongs in the new one: (from, to)."""
    found = []
    for shared in spec.shared:
        name = shared.rstrip("/")
        places = [f"shared/{name}", name] if spec.versioned else [name]
        source = next((place for place in places if place in folder.standing.present), None)
        if source is not None:
            found.append((source, places[0]))
    return found


class _Adoption(ReleaseProvider):
    """The kind `release` for one run whose steps are given."""

    library = STEPS

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = tuple(steps)

    def steps(self, changes: Sequence[Change[ReleaseSpec, ReleaseState]], facts: Facts) -> Iterable[Step]:
        return self._steps


async def carry_out(
    session: Session, drafted: Draft, resource: Resource, steps: Iterable[Step], listener: Listener | None = None
) -> Outcome:
    """Runs the steps as a cycle of the host that does nothing else.

    Whatever becomes of them, the inventory does not say that the project was made by us or is as asked for: an apply will. So
    the intent drops the entry (there is none), and the fleet's commit counts as applied no more than it did before.
    """
    change: Change[ReleaseSpec, ReleaseState] = Change(resource.spec, None, None, frozenset())  # type: ignore[arg-type]
    planned = Planned(resource, _Adoption(steps), change, "commit")
    only = replace(drafted, changes=(planned,), refreshes=(), doubts=())
    return await converge(session, only, drafted.inventory.record.commit, listener)


def complaint(outcome: Outcome, ref: str) -> str | None:
    """Why the steps did not come to their end; None where they did. That an apply has more to do is no complaint."""
    if outcome.message:
        return outcome.message
    if outcome.failures:
        failure = outcome.failures[0]
        words = failure.output.splitlines()[-1] if failure.output else "it said nothing"
        return f"{failure.title}: {words}"
    return None if outcome.fates.get(ref) == "done" else "it was not done"
