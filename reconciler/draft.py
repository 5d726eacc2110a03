"""What would be done on one host, before it is worded or sent: desired state against a snapshot.

`draft` is the heart of the plan: a pure function, so that `plan`, `apply`, verification and the loop cannot come to
different answers. `plan.py` words a draft for people and JSON, `order.py` puts it in order, `work.py` turns it into steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

from desired.ignoring import overlook, set_back, unmanaged
from desired.model import Host, Resource
from providers.base import Change, Detail, Provider, Spec, State, Unknown
from providers.registry import provider_of
from reconciler.orphans import orphans
from reconciler.wording import changed_fields
from state.inventory import Inventory, Record
from state.snapshot import Snapshot

AnyChange = Change[Any, Any]
AnyProvider = Provider[Any, Any]
Why = Literal["commit", "drift", "unfinished", "pruned", "due"]


class Hold(Protocol):
    """Says why something is not to be done now, or None. What is held is shown, recorded and not applied.

    The loop's windows, suspensions, rollouts and patience come in here; a resource's own `sync` is judged before it is asked.
    `change` is None for a refresh, and for what is only missing because of what else is applied. Must answer the same within
    one cycle.
    """

    def __call__(
        self, host: Host, resource: Resource, why: Why | Literal["follows"], change: AnyChange | None
    ) -> str | None: ...


def nothing_held(host: Host, resource: Resource, why: Why | Literal["follows"], change: AnyChange | None) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Planned:
    """One change, why it is there, and where it was asked for."""

    resource: Resource
    provider: AnyProvider
    change: AnyChange
    why: Why
    held: str | None = None
    """Why it is reported and not applied: a policy, or something unknown that it needs."""
    foreseen: bool = False
    """It differs only by what else is applied."""

    @property
    def ref(self) -> str:
        return self.resource.ref

    @property
    def deletions(self) -> tuple[str, ...]:
        return self.provider.deletions(self.change) + (self.change.detail.removes if self.change.detail else ())


@dataclass(frozen=True, slots=True)
class Refresh:
    """A restart, reload or run that follows from changes."""

    resource: Resource
    provider: AnyProvider
    because: tuple[str, ...]
    """What it follows and what changes, in this run or in one that died before its refresh."""
    pending: bool = False
    held: str | None = None

    @property
    def ref(self) -> str:
        return self.resource.ref


@dataclass(frozen=True, slots=True)
class Doubt:
    """A resource of which nothing is known, and why."""

    resource: Resource
    reason: str
    refused: bool = False
    """It is known, and must not be done."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that differs on one host."""

    host: Host
    snapshot: Snapshot
    inventory: Inventory
    changes: tuple[Planned, ...] = ()
    refreshes: tuple[Refresh, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    released: Mapping[str, str] = field(default_factory=dict)
    """References that left the repository and stay on the host, with the reason."""
    notices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reference → what is worth telling of it and is left as it is."""

    @property
    def active(self) -> tuple[Planned, ...]:
        return tuple(planned for planned in self.changes if planned.held is None)

    @property
    def empty(self) -> bool:
        """Nothing differs and nothing is unknown."""
        return not (self.changes or self.refreshes or self.doubts)

    @property
    def deletions(self) -> tuple[str, ...]:
        return tuple(name for planned in self.active for name in planned.deletions)


def draft(host: Host, snapshot: Snapshot, hold: Hold = nothing_held) -> Draft:
    """Compares every resource. Total: whatever is unclear becomes a doubt, never a change."""
    inventory = snapshot.inventory or Inventory(record=Record(), broken="it could not be read")
    left = orphans(host, inventory)
    changes: list[Planned] = []
    doubts: list[Doubt] = []
    notices: dict[str, tuple[str, ...]] = {}
    for resource in host.resources:
        found = _compare(host, resource, _why(resource, inventory), snapshot, doubts)
        changes += found
        if told := (*_left(resource, inventory), *_notices(resource, snapshot), *_set_back(host, found, snapshot)):
            notices[resource.ref] = told
    staying = _staying(left.remove, snapshot)
    for resource in sorted(left.remove, key=_removal_order, reverse=True):
        if resource.ref not in staying:
            changes += _compare(host, resource, "pruned", snapshot, doubts)
    changes = [replace(planned, held=_policy(host, planned, hold)) for planned in changes]
    foreseen = _foreseen(host, snapshot, changes)
    changes += [replace(planned, held=_policy(host, planned, hold)) for planned in foreseen]
    blocked = _blocked(host, changes, doubts)
    heirs = _heirs(host, doubts, blocked)
    settled = [
        replace(planned, held=planned.held or blocked.get(planned.ref) or _inherited(planned, heirs)) for planned in changes
    ]
    unknown = {doubt.resource.ref: "it is unknown" for doubt in doubts}
    refreshes = _refreshes(host, settled, inventory, blocked | unknown, hold)
    released = {**left.released, **staying}
    return Draft(host, snapshot, inventory, tuple(settled), tuple(refreshes), tuple(doubts), released, notices)


def _notices(resource: Resource, snapshot: Snapshot) -> tuple[str, ...]:
    provider, before = provider_of(resource.ref), snapshot.answers.get(resource.ref)
    return provider.notices(resource.spec, before) if isinstance(before, State) else ()


def _left(resource: Resource, inventory: Inventory) -> tuple[str, ...]:
    """A project that moves to another folder leaves the old one as it is: there may be data in it, and it may be running."""
    entry = inventory.resources.get(resource.ref)
    shares = provider_of(resource.ref).shares_path
    old = entry.spec.get("path") if entry is not None and entry.made and shares else None
    if not isinstance(old, str) or old == getattr(resource.spec, "path", old):
        return ()
    return (f"what was deployed in {old} stays there, no longer managed: remove it by hand when nothing runs from it",)


def _foreseen(host: Host, snapshot: Snapshot, changes: Sequence[Planned]) -> list[Planned]:
    """What differs as soon as the rest is applied, so that one apply is enough."""
    known = {planned.ref for planned in changes}
    coming = {planned.ref: planned for planned in changes if planned.change.after is not None and planned.held is None}
    found = []
    for resource in host.resources:
        provider, before = provider_of(resource.ref), snapshot.answers.get(resource.ref)
        if resource.ref in known or not isinstance(before, State) or not coming:
            continue
        spec = _aimed(resource, snapshot)
        if isinstance(spec, Unknown):
            continue
        spec = unmanaged(host.ignore, spec) if host.ignore else spec
        foreseen, after = provider.foresee(spec, before, coming), provider.want(spec)
        if after is None:
            continue
        foreseen, ignored = overlook(host.ignore, resource.ref, foreseen, after)
        if fields := changed_fields(foreseen, after) - ignored:
            causes = [coming[need].why for need in sorted(resource.needs & coming.keys())]
            change = Change(spec, foreseen, after, fields)
            found.append(Planned(resource, provider, change, causes[0] if causes else "commit", foreseen=True))
    return found


def _staying(orphaned: Iterable[Resource], snapshot: Snapshot) -> dict[str, str]:
    """What left the repository, is ours and is left where it is all the same: reference → why. What holds it stays with it."""
    staying: dict[str, str] = {}
    holding: dict[str, str] = {}
    for resource in sorted(orphaned, key=_removal_order, reverse=True):  # what is inside comes first
        provider, before = provider_of(resource.ref), snapshot.answers.get(resource.ref)
        path = provider.path(resource.spec)
        reason = provider.keeps(resource.spec, before) if isinstance(before, State) else None
        if path is not None and path in holding:
            reason = f"{holding[path]} stays in it"
        if reason is not None:
            staying[resource.ref] = reason
            if path is not None:
                holding |= {str(parent): path for parent in PurePosixPath(path).parents}
    return staying


def _removal_order(resource: Resource) -> tuple[int, str]:
    return provider_of(resource.ref).rank, resource.ref


def _why(resource: Resource, inventory: Inventory) -> Why:
    entry = inventory.resources.get(resource.ref)
    if entry is None:
        return "commit"
    if not entry.digest:
        return "unfinished"
    return "drift" if entry.digest == resource.spec.digest() else "commit"


def _compare(host: Host, resource: Resource, why: Why, snapshot: Snapshot, doubts: list[Doubt]) -> list[Planned]:
    """The change that the resource needs, if it needs any; what is unclear is added to `doubts`."""
    provider = provider_of(resource.ref)
    before = snapshot.answers.get(resource.ref, Unknown("the host was not asked"))
    spec = _aimed(resource, snapshot)
    if isinstance(spec, Unknown):
        doubts.append(Doubt(resource, spec.reason, spec.refused))
        return []
    if isinstance(before, Unknown):
        doubts.append(Doubt(resource, before.reason))
        return []
    if before is not None and host.ignore:
        spec = unmanaged(host.ignore, spec)
    after = provider.want(spec)
    if after is None and before is None:
        return []
    fields = frozenset[str]()
    if before is not None and after is not None:
        before, ignored = overlook(host.ignore, resource.ref, before, after)
        fields = changed_fields(before, after) - ignored
        if not fields:
            return []
    change = Change(spec, before, after, fields)
    return [Planned(resource, provider, change, provider.cause(change) or why)]


def _set_back(host: Host, found: Iterable[Planned], snapshot: Snapshot) -> tuple[str, ...]:
    """What is told with a change to something that may differ in other ways, and does."""
    told = []
    for planned in found:
        before, after = snapshot.answers.get(planned.ref), planned.change.after
        if isinstance(before, State) and after is not None:
            told.append(set_back(host.ignore, planned.ref, before, after))
    return tuple(words for words in told if words is not None)


def _aimed(resource: Resource, snapshot: Snapshot) -> Spec | Unknown:
    """What the resource asks for in view of what the host is."""
    if resource.blocked is not None:
        return Unknown(resource.blocked, refused=True)
    spec: Spec | Unknown = provider_of(resource.ref).aim(resource.spec, snapshot.answers)
    return spec


def _blocked(host: Host, changes: Iterable[Planned], doubts: Iterable[Doubt]) -> dict[str, str]:
    """What must wait for something that is unknown, or that is missing and is not made: reference → why."""
    held = {
        doubt.resource.ref: f"{doubt.resource.ref}, which is {'left as it is' if doubt.refused else 'unknown'}"
        for doubt in doubts
    }
    for planned in changes:
        if planned.change.action == "create" and planned.held:
            held[planned.ref] = f"{planned.ref}, which is missing and held back ({planned.held})"
    blocked: dict[str, str] = {}
    for resource in host.resources:  # in an order in which what is needed comes first
        waiting = next((held[need] for need in sorted(resource.needs) if need in held), None)
        if waiting:
            held.setdefault(resource.ref, waiting)
            blocked[resource.ref] = f"it needs {waiting}"
    return blocked


def _heirs(host: Host, doubts: Iterable[Doubt], blocked: Mapping[str, str]) -> dict[str, str]:
    """Paths whose new owner cannot take them over now: path → why."""
    unready = {doubt.resource.ref: "left as it is" if doubt.refused else "unknown" for doubt in doubts}
    unready |= dict.fromkeys(blocked, "held back")
    return {
        path: f"{resource.ref}, which is to take its place, is {unready[resource.ref]}"
        for resource in host.resources
        if resource.ref in unready and (path := provider_of(resource.ref).path(resource.spec)) is not None
    }


def _inherited(planned: Planned, heirs: Mapping[str, str]) -> str | None:
    """Why what left the repository goes on for now. A project that gets another name is not stopped before it can start
    under the new one."""
    return heirs.get(getattr(planned.resource.spec, "path", "")) if planned.why == "pruned" else None


def _policy(host: Host, planned: Planned, hold: Hold) -> str | None:
    sync = planned.resource.spec.sync or host.sync
    if sync == "observe":
        return "sync: observe"
    if sync == "deploy" and planned.why == "drift":
        return "sync: deploy (drift is only reported)"
    return hold(host, planned.resource, planned.why, planned.change)


def _refreshes(
    host: Host, changes: Iterable[Planned], inventory: Inventory, blocked: Mapping[str, str], hold: Hold
) -> list[Refresh]:
    """What must be restarted, reloaded or run because of what changes, or because an earlier run did not come to it.

    What cannot be refreshed now is held, and so stays due. What is refreshed counts as changed for those who follow it.
    """
    by_ref = {planned.ref: planned for planned in changes}
    changing = {ref for ref, planned in by_ref.items() if planned.held is None}
    found: list[Refresh] = []
    for resource in host.resources:
        own = by_ref.get(resource.ref)
        because = tuple(sorted(resource.follows & changing))
        pending = inventory.record.pending.get(resource.ref)
        if not (because or pending):
            continue
        provider = provider_of(resource.ref)
        renewed = own is not None and own.held is None and provider.renews(own.change)
        if renewed or provider.refresh(resource.spec) is None:
            continue
        observed = (resource.spec.sync or host.sync) == "observe"
        held = "sync: observe" if observed else blocked.get(resource.ref) or hold(host, resource, "follows", None)
        found.append(Refresh(resource, provider, because or (str(pending),), pending=not because, held=held))
        if held is None:
            changing.add(resource.ref)
    return found


def with_details(before: Draft, details: Mapping[str, Detail]) -> Draft:
    """The draft with what the closer look saw."""
    changes = tuple(
        replace(planned, change=replace(planned.change, detail=details[planned.ref])) if planned.ref in details else planned
        for planned in before.changes
    )
    return replace(before, changes=changes)
