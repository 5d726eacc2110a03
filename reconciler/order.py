"""The order of work on one host: what goes together, what waits for what.

Changes come in batches of one kind, so that a tool which can do many things at once is called once. A batch holds only
changes that wait for the same things: one failure then skips what depends on it and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from desired.model import Resource
from reconciler.draft import AnyProvider, Draft, Planned, Refresh

REFRESH = "refresh "
"""Put before a reference, it names the refresh of the resource rather than its change."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Work of one kind that can be done in one go."""

    provider: AnyProvider
    work: tuple[Planned, ...] | tuple[Refresh, ...]
    after: frozenset[str]
    """Names of the work (`file:/etc/motd`, `refresh service:ssh`) that must have succeeded before."""


@dataclass(slots=True)
class _Node:
    name: str
    item: Planned | Refresh
    waits: frozenset[str]

    @property
    def rank(self) -> tuple[int, bool, str]:
        return self.item.provider.rank, isinstance(self.item, Refresh), type(self.item.provider).__name__


def arrange(draft: Draft) -> list[Batch]:
    """The batches in the order in which they are sent, without what is held. What left the repository is removed last."""
    declared = [planned for planned in draft.active if planned.why != "pruned"]
    pruned = [planned for planned in draft.active if planned.why == "pruned"]
    refreshes = [refresh for refresh in draft.refreshes if refresh.held is None]
    batches = _batches(_nodes(draft.host.resources, declared, refreshes))
    # Already in the order in which they must go: services before packages, files before their directories.
    for _, group in groupby(pruned, lambda planned: planned.provider.name):
        together = tuple(group)
        batches.append(Batch(together[0].provider, together, frozenset()))
    return batches


def _nodes(resources: Iterable[Resource], changes: Iterable[Planned], refreshes: Iterable[Refresh]) -> dict[str, _Node]:
    by_ref = {planned.ref: planned for planned in changes}
    refreshed = {refresh.ref: refresh for refresh in refreshes}
    nearest: dict[str, frozenset[str]] = {}
    nodes: dict[str, _Node] = {}
    for resource in resources:  # what is needed comes first, so `nearest` is always filled
        waits = frozenset(name for need in resource.needs | resource.follows for name in nearest.get(need, ()))
        own: set[str] = set()
        if planned := by_ref.get(resource.ref):
            nodes[resource.ref] = _Node(resource.ref, planned, waits)
            own.add(resource.ref)
        if refresh := refreshed.get(resource.ref):
            name = REFRESH + resource.ref
            nodes[name] = _Node(name, refresh, waits | own)
            own = {name}
        # An unchanged resource hands on what it waits for itself.
        nearest[resource.ref] = frozenset(own) or waits
    return nodes


def _batches(nodes: Mapping[str, _Node]) -> list[Batch]:
    remaining = dict(nodes)
    done: set[str] = set()
    batches: list[Batch] = []
    while remaining:
        ready = [node for node in remaining.values() if node.waits <= done]
        rank = min(node.rank for node in ready)
        chosen = [node for node in ready if node.rank == rank]
        for waits in dict.fromkeys(node.waits for node in chosen):
            work = tuple(node.item for node in chosen if node.waits == waits)
            batches.append(Batch(work[0].provider, work, waits))  # type: ignore[arg-type]  # one rank holds one sort of work
        for node in chosen:
            done.add(node.name)
            del remaining[node.name]
    return batches
