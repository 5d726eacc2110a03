"""One cycle of one host: probe, plan, apply, verify, record.

`survey` is the first half and all that `reconcile plan` does; `converge` is the second. The command line, the loop and
verification all run these two functions, so what a plan shows is what an apply does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from desired.model import Host, Resource
from providers.base import Detail, Spec
from providers.registry import provider_of
from providers.secret import redact
from reconciler.draft import AnyChange, AnyProvider, Draft, Hold, Why, draft, nothing_held, with_details
from reconciler.order import REFRESH
from reconciler.orphans import orphans
from reconciler.stages import STEP_MARGIN, Listener, carry_out, fate_of
from reconciler.work import Fate, Work, fates, make_work, rolled_back
from state.channel import Channel, HostError
from state.frames import Frame, frames, stopped
from state.inventory import Entry, Record, inventory_text
from state.script import Fragment, compile_apply, compile_probe
from state.snapshot import Probe, Snapshot

LOOK_SECONDS = 60
"""What the closer look of one kind may take: apt's simulation is slow on small machines."""
LOOK_MARGIN = 60.0
"""Seconds beyond the deadlines of its fragments that a closer look may take."""
UPLOAD_DEADLINE = 600.0
"""Seconds that one upload may take (`Channel.upload`)."""
LONGEST_OUTPUT = 8000
"""Characters of a step's output that its record keeps: the last ones."""

Held = tuple[Resource, Why | Literal["follows"], AnyChange | None, str | None]
"""What a hold was asked, and its answer."""


@dataclass(slots=True)
class Session:
    """A host, an open channel to it and the compiled probe: what is kept from cycle to cycle."""

    host: Host
    channel: Channel
    probe: Probe | None = None
    asked: frozenset[str] = frozenset()
    hold: Hold = nothing_held
    """What the loop holds back; must not change between the plan and its verification."""
    verified: Draft | None = None
    """What was found after the last apply; None where it could not be looked at."""
    weighed: tuple[Held, ...] = ()
    """What the hold was asked for the last draft: policy had nothing against any of it."""
    _drafted: tuple[Snapshot, Draft] | None = None
    _sorted: Snapshot | None = None
    """The last snapshot that was searched for what left the repository."""

    async def snapshot(self) -> Snapshot:
        """Asks for what is declared, and for what the inventory says we made and the repository no longer holds."""
        if self.probe is None:
            self._compile(())
        assert self.probe is not None
        snapshot = await self.probe.ask(self.channel)
        if snapshot.inventory is None or snapshot is self._sorted:
            return snapshot
        removable = orphans(self.host, snapshot.inventory).remove
        refs = {resource.ref for resource in removable}
        if refs != self.asked:
            known = self.asked
            self._compile(removable)
            if not refs <= known:
                return await self.probe.ask(self.channel)
        self._sorted = snapshot
        return snapshot

    def _compile(self, removable: tuple[Resource, ...]) -> None:
        self.asked = frozenset(resource.ref for resource in removable)
        told = [resource for resource in self.host.resources if resource.blocked is None]
        groups = group([resource.spec for resource in (*told, *removable)])
        self.probe = Probe(groups, self.host.inventory)

    async def survey(self) -> Draft:
        """Probe and plan. Where the report is the one of last time, and the same is held back, so is the draft."""
        snapshot = await self.snapshot()
        if self._drafted is not None and self._drafted[0] is snapshot and self._held_alike():
            return self._drafted[1]
        return await self.planned(snapshot)

    async def planned(self, snapshot: Snapshot) -> Draft:
        """The plan for a snapshot, with a closer look at what differs. One that does nothing is kept: a difference that is only
        reported costs one look, not one in each cycle."""
        weighed: list[Held] = []

        def weigh(host: Host, resource: Resource, why: Why | Literal["follows"], change: AnyChange | None) -> str | None:
            held = self.hold(host, resource, why, change)
            weighed.append((resource, why, change, held))
            return held

        drafted = draft(self.host, snapshot, weigh)
        self.weighed = tuple(weighed)
        if drafted.changes:
            drafted = with_details(drafted, await look(self, drafted))
        self._drafted = None if drafted.active else (snapshot, drafted)
        return drafted

    def _held_alike(self) -> bool:
        """Whether the hold answers as it did for the last draft."""
        return all(self.hold(self.host, resource, why, change) == held for resource, why, change, held in self.weighed)


def group(specs: list[Spec]) -> list[tuple[AnyProvider, list[Spec]]]:
    """Specs by the kind that knows them, in the order of the registry's ranks."""

    def order(spec: Spec) -> tuple[int, str]:
        provider = provider_of(spec.ref)
        return provider.rank, provider.name

    kinds = [list(found) for _, found in groupby(sorted(specs, key=order), key=order)]
    return [(provider_of(same[0].ref), same) for same in kinds]


async def look(session: Session, drafted: Draft) -> dict[str, Detail]:
    """The closer look at what differs: text diffs, apt's simulation. What it could not see is simply not shown."""
    asked = []
    details: dict[str, Detail] = {}
    for provider in {id(planned.provider): planned.provider for planned in drafted.changes}.values():
        changes = [planned.change for planned in drafted.changes if planned.provider is provider]
        fragment = provider.look(changes)
        if fragment is not None:
            asked.append((provider, changes, Fragment(fragment, LOOK_SECONDS)))
        else:
            details |= provider.seen(b"", changes)
    if not asked:
        return details
    script = compile_probe([fragment for _, _, fragment in asked], inventory=session.host.inventory)
    output = await session.channel.run(script.text, deadline=LOOK_SECONDS * len(asked) + LOOK_MARGIN)
    answered = frames(output.stdout, output.stderr, script.nonce)
    for number, (provider, changes, _) in enumerate(asked):
        frame = answered.get(number)
        if frame is not None and frame.ok:
            details |= provider.seen(frame.out, changes)
        else:
            details |= {change.spec.ref: Detail(unsure="the closer look at the host failed") for change in changes}
    return details


@dataclass(frozen=True, slots=True)
class Failure:
    """A piece of work that did not succeed, with the last lines of what the host said."""

    name: str
    title: str
    fate: Fate
    output: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What became of one step, for the history: secrets are out of it, and it is cut to its last part."""

    title: str
    refs: tuple[str, ...]
    fate: Fate
    output: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an apply came to on one host."""

    status: Literal["converged", "failed", "unreachable", "stale", "busy"]
    fates: Mapping[str, Fate] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    unconverged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reference → fields that differ after all steps succeeded."""
    message: str = ""
    hint: str = ""
    rolled_back: tuple[str, ...] = ()
    """References of which what served before serves again, because what should have followed it failed."""
    steps: tuple[StepRecord, ...] = ()
    """In the order in which they were to be done; a rescue stands here only where it was needed."""


_STOPPED: dict[str, tuple[Literal["failed", "stale", "busy"], str, str]] = {
    "locked": ("busy", "another run is at work on this host", "Wait for it, or run again later."),
    "stale": ("stale", "another run changed this host after the plan was made", "Make a new plan."),
    "folder": (
        "failed",
        "the inventory's folder cannot be written; nothing was changed",
        "Free space there, or make it writable, or set `inventory:` to another folder in the host's file.",
    ),
    "stage": ("failed", "the disk that holds the inventory is full or read-only", "Free space there; the next run goes on."),
    "cancelled": ("failed", "stopped between two steps", "The next run goes on from here."),
}

_BEFORE = frozenset({"locked", "stale", "folder"})
"""Reasons that stop a host before its first step: nothing became of any work."""


async def converge(session: Session, drafted: Draft, commit: str | None, listener: Listener | None = None) -> Outcome:
    """Apply, verify, record. What the connection's loss leaves open is settled by the next cycle's probe."""
    work = make_work(drafted, commit)
    if not work.steps:
        return await _verify_and_record(session, drafted, work, {}, commit)
    session.verified = None
    try:
        async with asyncio.timeout(_longest(work)):
            applied = await carry_out(session.channel, drafted, work, listener)
    except HostError as error:
        return Outcome("unreachable" if error.retry else "failed", message=str(error), hint=error.hint)
    except TimeoutError:
        return Outcome("unreachable", message="the host took longer than all deadlines of its steps together")
    answered = applied.answered
    outcome_fates = fates(work, answered)
    failures = _failures(work, answered, outcome_fates)
    if applied.stopped is not None:
        status, message, hint = _STOPPED.get(applied.stopped, ("failed", f"the host stopped: {applied.stopped}", ""))
        if applied.stopped in _BEFORE and not applied.begun:
            return Outcome(status, message=message, hint=hint)
        return Outcome(status, outcome_fates, failures, message=message, hint=hint, steps=records(work, answered))
    if not applied.finished:
        return Outcome(
            "unreachable",
            outcome_fates,
            failures,
            steps=records(work, answered),
            message="the connection broke while the host was at work; what became of the rest is unknown",
            hint="The host finishes the step that it is at and stops; the next run looks again and goes on.",
        )
    return await _verify_and_record(session, drafted, work, answered, commit)


def _longest(work: Work) -> float:
    """Seconds after which carrying out the work is given up: all its deadlines, one after the other."""
    seconds = STEP_MARGIN * len(work.stages)
    for planned in work.steps:
        uploads = len(planned.step.parcels) + (planned.step.blob is not None)
        smokes = planned.step.check.smokes if planned.step.check is not None else ()
        seconds += planned.step.timeout + UPLOAD_DEADLINE * uploads + sum(smoke.deadline + STEP_MARGIN for smoke in smokes)
    return seconds


async def settle(session: Session, seconds: float) -> None:
    """Waits until the step that a run left at work when it was let go has ended, for so long at most.

    An empty script waits for the host's lock, which that step's shell holds, and changes nothing.
    """
    script = compile_apply([], expected="nothing", journal="", inventory=session.host.inventory)
    with suppress(HostError, TimeoutError):
        async with asyncio.timeout(seconds):
            while stopped((await session.channel.run(script.text)).stdout, script.nonce) == "locked":
                pass


def records(work: Work, answered: Mapping[int, Frame]) -> tuple[StepRecord, ...]:
    found = []
    for number, planned in enumerate(work.steps):
        frame = answered.get(number)
        if planned.step.rescues and (frame is None or frame.status == "skipped"):
            continue
        text = redact(frame.out.decode("utf-8", "replace").strip())[-LONGEST_OUTPUT:] if frame is not None else ""
        fate: Fate = fate_of(frame.status) if frame is not None else "unknown"
        found.append(StepRecord(redact(planned.step.title), planned.step.refs, fate, text))
    return tuple(found)


def _failures(work: Work, answered: Mapping[int, Frame], outcome: Mapping[str, Fate]) -> tuple[Failure, ...]:
    found = []
    for name, numbers in work.names.items():
        if outcome[name] in ("failed", "late"):
            number = next(n for n in numbers if (frame := answered.get(n)) is None or not frame.ok)
            frame = answered.get(number)
            text = frame.out.decode("utf-8", "replace").strip() if frame else ""
            found.append(Failure(name, work.steps[number].step.title, outcome[name], text))
    for number, planned in enumerate(work.steps):
        frame = answered.get(number) if planned.step.rescues else None
        if frame is not None and not frame.ok and frame.status != "skipped":
            text = frame.out.decode("utf-8", "replace").strip()
            found.append(Failure(planned.step.refs[0], planned.step.title, fate_of(frame.status), text))
    return tuple(found)


async def _verify_and_record(
    session: Session, drafted: Draft, work: Work, answered: Mapping[int, Frame], commit: str | None
) -> Outcome:
    outcome_fates = fates(work, answered)
    failures = _failures(work, answered, outcome_fates)
    steps = records(work, answered)
    session.verified = None
    try:
        snapshot = await session.snapshot() if work.steps else drafted.snapshot
        after = draft(session.host, snapshot, session.hold)
        # What is there counts now, not what will be there when what failed is done.
        after = replace(after, changes=tuple(planned for planned in after.changes if not planned.foreseen))
        session.verified = after
        await _record(session, drafted, after, commit)
    except HostError as error:
        return Outcome(
            "unreachable", outcome_fates, failures, message=f"after the steps: {error}", hint=error.hint, steps=steps
        )
    done = {name for name, fate in outcome_fates.items() if fate == "done"}
    # What was as it should be and is not any more counts too: a step for something else has changed it.
    upset = {planned.ref for planned in after.changes if planned.held is None and planned.why not in ("pruned", "due")}
    upset -= {name.removeprefix(REFRESH) for name in outcome_fates}
    unconverged = {
        planned.ref: tuple(sorted(planned.change.fields)) or (planned.change.action,)
        for planned in after.changes
        if planned.ref in upset or (planned.ref in done and planned.why != "due")
    }
    unconverged |= {doubt.resource.ref: (f"unknown: {doubt.reason}",) for doubt in after.doubts if doubt.resource.ref in done}
    failed = failures or unconverged or any(fate != "done" for fate in outcome_fates.values()) or drafted.doubts
    back = rolled_back(work, answered)
    status: Literal["failed", "converged"] = "failed" if failed else "converged"
    return Outcome(status, outcome_fates, failures, unconverged, rolled_back=back, steps=steps)


async def _record(session: Session, before: Draft, after: Draft, commit: str | None) -> None:
    """Puts the inventory in its final form: what was verified, without journal. Writes nothing where nothing is new."""
    inventory = after.inventory
    if session.host.sync == "observe" or after.snapshot.inventory is None:
        return
    record = settled_record(before, after, commit)
    if record == inventory.record and not inventory.unfinished and not inventory.broken:
        return
    script = compile_apply(
        [],
        expected=inventory.read_digest,
        journal=inventory_text(record),
        inventory=session.host.inventory,
        set_aside=inventory.broken is not None,
    )
    # A record that could not be written loses nothing: the journal is there, and the next run folds it again.
    await asyncio.shield(session.channel.run(script.text))


def settled_record(before: Draft, after: Draft, commit: str | None) -> Record:
    """The record that verification proves: `after` was probed when the steps for `before` were done."""
    differing = {planned.ref for planned in after.changes} | {doubt.resource.ref for doubt in after.doubts}
    tried = {planned.ref for planned in before.active}
    missing = {planned.ref for planned in after.changes if planned.change.before is None}
    # Where a step failed and not even half a thing is there, nothing is ours.
    known = {ref: entry for ref, entry in after.inventory.resources.items() if entry.digest or ref not in missing}
    resources: dict[str, Entry] = {}
    for resource in after.host.resources:
        entry = known.get(resource.ref)
        if resource.ref in differing:
            if entry is not None:  # what was tried and still differs is not known to be as asked, whatever its step said
                resources[resource.ref] = entry.model_copy(update={"digest": ""}) if resource.ref in tried else entry
        else:
            made = entry is not None and entry.made and resource.spec.present
            resources[resource.ref] = Entry(digest=resource.spec.digest(), made=made, spec=resource.spec.record())
    # What should have gone and did not stays on the list, and so does a folder that still holds something declared. What the
    # plan let go is let go, even if by now it could be removed: a folder that the last step emptied.
    survivors = ((differing | orphans(after.host, after.inventory).kept) & known.keys()) - before.released.keys()
    resources |= {ref: known[ref] for ref in survivors - resources.keys()}
    return Record(commit=commit, resources=resources, pending=_still_due(before, after, differing))


def _still_due(before: Draft, after: Draft, differing: set[str]) -> dict[str, str]:
    """The refreshes that are owed. The inventory owes one after a failed step, too: but what differs still did not change."""
    because = {refresh.ref: refresh.because for refresh in before.refreshes}
    due = {}
    for resource in after.host.resources:
        cause = after.inventory.record.pending.get(resource.ref)
        if cause is None or provider_of(resource.ref).refresh(resource.spec) is None:
            continue
        if resource.ref in before.inventory.record.pending or not differing.issuperset(because.get(resource.ref, ())):
            due[resource.ref] = cause
    return due
