"""From a draft to the steps that a host is sent, and to the intent that its inventory keeps while they run.

Pure: `cycle.py` sends what is made here. The numbers of the steps are the one language that the script, the inventory's
journal and the outcomes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from providers.base import Step
from providers.shell import Sh
from reconciler.draft import Draft, Planned, Refresh
from reconciler.order import REFRESH, Batch, arrange
from state.frames import Frame
from state.inventory import Entry, Intent
from state.script import PlannedStep

Fate = Literal["done", "failed", "late", "skipped", "unknown"]


@dataclass(frozen=True, slots=True)
class Work:
    """Everything one apply sends to one host."""

    steps: tuple[PlannedStep, ...]
    intent: Intent
    libraries: tuple[Sh, ...]
    names: Mapping[str, tuple[int, ...]]
    """Work (`file:/etc/motd`, `refresh service:ssh`) → its steps, without those that only rescue."""

    @property
    def stages(self) -> tuple[range, ...]:
        """The numbers of the steps, cut where the controller has to ask: a step of its own is a stage of its own."""
        cuts = {number for number, planned in enumerate(self.steps) if planned.step.check is not None}
        edges = sorted({0, len(self.steps), *cuts, *(number + 1 for number in cuts)})
        return tuple(range(first, end) for first, end in pairwise(edges))


@dataclass(slots=True)
class _Builder:
    steps: list[PlannedStep] = field(default_factory=list)
    names: dict[str, list[int]] = field(default_factory=dict)
    rescued: dict[str, int] = field(default_factory=dict)
    """Work → how many of its steps an earlier rescue has seen to."""

    def add(self, step: Step, names: Iterable[str], after: Iterable[str]) -> None:
        number = len(self.steps)
        names = list(names)
        if step.rescues:
            self.steps.append(PlannedStep(step, self._to_rescue(names)))
            return
        earlier = {n for name in [*after, *names] for n in self.names.get(name, ())}
        self.steps.append(PlannedStep(step, tuple(sorted(earlier))))
        for name in names:
            self.names.setdefault(name, []).append(number)

    def _to_rescue(self, names: Iterable[str]) -> tuple[int, ...]:
        """Each step is rescued by the next rescue of its work, and by no other."""
        found: set[int] = set()
        for name in names:
            steps = self.names.get(name, [])
            found.update(steps[self.rescued.get(name, 0) :])
            self.rescued[name] = len(steps)
        return tuple(sorted(found))


def make_work(draft: Draft, commit: str | None) -> Work:
    """The steps of every batch, numbered, with what each waits for."""
    builder = _Builder()
    libraries: dict[Sh, None] = {}
    for batch in arrange(draft):
        libraries[batch.provider.library] = None
        for step, names in _steps(batch, draft):
            builder.add(step, names, batch.after)
    numbers = {name: tuple(steps) for name, steps in builder.names.items()}
    if forgotten := [planned.ref for planned in draft.active if planned.ref not in numbers]:
        raise AssertionError(f"these kinds planned a change and made no step for it: {forgotten}")
    return Work(tuple(builder.steps), _intent(draft, commit, numbers), tuple(libraries), numbers)


def _steps(batch: Batch, draft: Draft) -> Iterable[tuple[Step, Sequence[str]]]:
    changes = [item.change for item in batch.work if isinstance(item, Planned)]
    if changes:
        for step in batch.provider.steps(changes, draft.snapshot.facts):
            yield step, step.refs
    for item in batch.work:
        if isinstance(item, Refresh) and (refresh := item.provider.refresh(item.resource.spec)) is not None:
            yield refresh, [REFRESH + item.ref]


def _intent(draft: Draft, commit: str | None, numbers: Mapping[str, tuple[int, ...]]) -> Intent:
    entries, drops = {}, []
    for planned in draft.active:
        if planned.change.after is None:
            drops.append(planned.ref)
        else:
            entries[planned.ref] = entry_of(draft, planned)
    refreshes: dict[str, int] = {}
    causes: dict[str, dict[str, tuple[int, ...]]] = {}
    followers = {item.ref: item for item in draft.refreshes}
    by_ref = {planned.ref: planned for planned in draft.active}
    for resource in draft.host.resources:
        if refresh := followers.get(resource.ref):
            if refresh.held is None:
                refreshes[resource.ref] = numbers[REFRESH + resource.ref][-1]
            if not refresh.pending:
                causes[resource.ref] = {
                    cause: numbers.get(cause, ()) + numbers.get(REFRESH + cause, ()) for cause in refresh.because
                }
        elif resource.ref in draft.inventory.record.pending and resource.ref in by_ref:
            refreshes[resource.ref] = numbers[resource.ref][-1]  # its own change does what the refresh would have done
    return Intent(
        commit=commit,
        entries=entries,
        drops=tuple(drops),
        steps={name: steps for name, steps in numbers.items() if not name.startswith(REFRESH)},
        refresh=refreshes,
        causes=causes,
    )


def entry_of(draft: Draft, planned: Planned) -> Entry:
    """What the inventory keeps once the change is done."""
    known = draft.inventory.resources.get(planned.ref)
    ours = planned.provider.made(planned.change) or (known is not None and known.made) or _inherited(draft, planned)
    return Entry(digest=planned.change.spec.digest(), made=ours, spec=planned.change.spec.record())


def _inherited(draft: Draft, planned: Planned) -> bool:
    """A path that we made as another kind of thing stays ours when it changes its kind."""
    path = planned.provider.path(planned.change.spec)
    if path is None:
        return False
    return any(
        entry.made and ref in draft.released and ref.partition(":")[2] == path
        for ref, entry in draft.inventory.resources.items()
    )


def fates(work: Work, answered: Mapping[int, Frame]) -> dict[str, Fate]:
    """What became of each piece of work, by name. Work none of whose steps is known to have ended badly or well is unknown."""
    return {name: _fate([answered.get(number) for number in numbers]) for name, numbers in work.names.items()}


def _fate(answers: Sequence[Frame | None]) -> Fate:
    if any(frame is not None and frame.status == "late" for frame in answers):
        return "late"
    if any(frame is not None and not frame.ok and frame.status != "skipped" for frame in answers):
        return "failed"
    if any(frame is None for frame in answers):
        return "unknown"
    return "done" if all(frame is not None and frame.ok for frame in answers) else "skipped"


def rolled_back(work: Work, answered: Mapping[int, Frame]) -> tuple[str, ...]:
    """References of which a rescue has brought back what served before."""
    steps = [planned.step for planned in work.steps]
    done = [step for number, step in enumerate(steps) if (frame := answered.get(number)) is not None and frame.ok]
    return tuple(ref for step in done if step.rolls_back for ref in step.refs)
