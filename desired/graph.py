"""The order of a host's resources: what was written (`needs`, `follows`) and what lies in the nature of the things.

What was written is law, and a circle in it is an error that shows its way round. What we find ourselves (a file needs its
folder, a service its package) only helps: where it would close a circle it gives way. Called by `desired/load.py` with what
`desired/merge.py` combined; hosts with the very same asks share one arrangement.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from desired.manifest import Ask
from desired.memo import Memo
from desired.model import Place
from desired.report import Report
from desired.text import listing, meant, nearest, show, visible
from providers.base import Provider, Spec
from providers.registry import PROJECT_PROVIDERS, PROVIDERS

_PACKAGE, _SERVICE, _FILE = "package", "service", "file"

CIRCLE_SHOWN = 10
"""Resources of one circle that are named."""

Edges = dict[str, dict[str, None]]
"""Reference → references that it needs, in order of discovery."""


@dataclass(frozen=True, slots=True)
class Arranged:
    """One resource in its place in the order."""

    ask: Ask
    spec: Spec
    needs: frozenset[str]
    follows: frozenset[str]


@dataclass(frozen=True)
class Arrangement:
    """A host's resources in an order in which none stands before one that it needs."""

    resources: tuple[Arranged, ...]
    report: Report = field(default_factory=Report)
    missing: Report = field(default_factory=Report)
    """References to nothing. Apart, because a host whose files could not all be read may have what they name."""


class Arranger:
    """Arranges hosts. Those with the same asks (the very same objects) are arranged once, also from one load to the next."""

    def __init__(self) -> None:
        self._known: Memo[tuple[object, ...], tuple[Sequence[Ask], Arrangement]] = Memo()
        """By the identities of the asks, which are kept here so that no other object can take one over."""

    def arrange(self, asks: Sequence[Ask], beyond: frozenset[str] = frozenset()) -> Arrangement:
        key: tuple[object, ...] = (beyond, *map(id, asks))
        known = self._known.get(key)
        if known is None:
            known = (asks, arrange(asks, beyond))
            self._known.put(key, known)
        return known[1]

    def turn(self) -> None:
        self._known.turn()


def arrange(asks: Sequence[Ask], beyond: Collection[str] = ()) -> Arrangement:
    """Checks references and paths among `asks` and puts them in order. Invalid ones are left out, but may be named; so may
    what lies `beyond`: the projects, which find their places in the order later (`desired/deploy/weave.py`)."""
    report, missing = Report(), Report()
    known: dict[str, Ask] = {}
    for ask in sorted((ask for ask in asks if ask.spec), key=_rank):
        if first := known.get(ask.ref):
            report.add(ask.place, f"{visible(ask.ref)} is declared twice", f"first at {first.place}")
        else:
            known[ask.ref] = ask
    paths = _paths(known, report)
    written = _written(known, {ask.ref for ask in asks}.union(beyond), missing)
    for ask in known.values():
        if ask.spec and (hint := ask.provider.idle(ask.spec)):
            report.add(ask.place, f"{visible(ask.ref)}: nothing is asked for, so nothing is done", hint, severity="warning")
    specs = _adjusted(known)
    edges, order = _order(known, written, list(_implied(known, specs, paths)), report)
    reachable = known.keys() | beyond if beyond else known.keys()
    resources = tuple(
        Arranged(
            known[ref],
            specs[ref],
            frozenset(edges[ref]).union(_beyond(specs[ref], beyond) if beyond else ()),
            frozenset(specs[ref].follows) & reachable,
        )
        for ref in order
    )
    return Arrangement(resources, report, missing)


def _beyond(spec: Spec, beyond: Collection[str]) -> Iterator[str]:
    return (target for target in (*spec.needs, *spec.follows) if target in beyond)


def _rank(ask: Ask) -> tuple[int, int, str]:
    """Where nothing else decides: removals first, what builds on others before these; then the rest the other way round."""
    rank = ask.provider.rank
    return (1, rank, ask.ref) if _present(ask) else (0, -rank, ask.ref)


def _present(ask: Ask) -> bool:
    return ask.spec is not None and ask.spec.present


def _adjusted(known: Mapping[str, Ask]) -> dict[str, Spec]:
    """The specs, after every kind that wants it had its look at the neighbours."""
    specs = {ref: ask.spec for ref, ask in known.items() if ask.spec}
    neighbours = {ref: ask.path for ref, ask in known.items() if ask.spec}
    for ref, ask in known.items():
        if type(ask.provider).adjust is not Provider.adjust:
            specs[ref] = ask.provider.adjust(specs[ref], neighbours)
    return specs


def _paths(known: Mapping[str, Ask], report: Report) -> dict[str, Ask]:
    """Path → its owner. Two owners, or something inside of what is no folder, are mistakes."""
    owners: dict[str, Ask] = {}
    for ask in known.values():
        if ask.path is None:
            continue
        if first := owners.get(ask.path):
            message = f"{visible(ask.ref)} and {visible(first.ref)} are both about the path {visible(ask.path)}"
            report.add(max(ask.place, first.place), message, f"the other stands at {min(ask.place, first.place)}")
        owners.setdefault(ask.path, ask)
    for ask in owners.values():
        for folder in ask.ancestors if _present(ask) else ():
            above = owners.get(folder)
            if above is not None and above.provider.spec.kind == _FILE:
                report.add(ask.place, f"{visible(ask.ref)} lies in {visible(above.ref)}, which is a file", f"see {above.place}")
            elif above is not None and not _present(above):
                message = f"{visible(ask.ref)} lies in {visible(above.ref)}, which is to be absent"
                report.add(ask.place, message, f"see {above.place}")
    return owners


def _written(known: Mapping[str, Ask], declared: set[str], report: Report) -> Edges:
    """The edges that were written; references to nothing are reported."""
    edges: Edges = {}
    for ref, ask in known.items():
        targets = edges.setdefault(ref, {})
        if ask.spec is None:
            continue
        for key in ("needs", "follows"):
            for index, target in enumerate(getattr(ask.spec, key)):
                if target in known:
                    targets[target] = None
                elif target not in declared:
                    message = f"{key}: {visible(target) or show('')} is not declared on this host"
                    report.add(ask.where((key, index)), message, _right_reference(target, declared))
    return edges


def _right_reference(target: str, declared: set[str]) -> str:
    kinds = sorted({f"{provider.spec.kind}:{provider.spec.prefix}" for provider in (*PROVIDERS, *PROJECT_PROVIDERS)})
    if not target.startswith(tuple(kinds)):
        near = meant(target, declared) if ":" in target else ""
        return near if near.startswith("did you") else f"a reference begins with one of {' '.join(kinds)}"
    kind, _, name = target.partition(":")
    near = nearest(name, [ref.partition(":")[2] for ref in declared if ref.startswith(f"{kind}:")])
    return f"did you mean {visible(f'{kind}:{near}')}?" if near else "declare it, or bring in the bundle that does"


def _implied(known: Mapping[str, Ask], specs: Mapping[str, Spec], paths: Mapping[str, Ask]) -> Iterator[tuple[str, str]]:
    """Pairs of references of which the first needs the second by the nature of things."""
    for ref, ask in known.items():
        links = ask.links if specs[ref] is ask.spec else ask.provider.links(specs[ref])
        for link in links:
            if link in known:
                yield from _pair(ask, known[link])
        for folder in ask.ancestors:
            if folder in paths:
                yield from _pair(ask, paths[folder])
        if ask.provider.spec.kind == _SERVICE:
            yield from _service(ask, known)


def _pair(ask: Ask, target: Ask) -> Iterator[tuple[str, str]]:
    """`ask` needs `target`; when both go away, it is the other way round."""
    if ask is target:
        return
    if _present(target):
        yield ask.ref, target.ref
    elif not _present(ask):
        yield target.ref, ask.ref


def _service(ask: Ask, known: Mapping[str, Ask]) -> Iterator[tuple[str, str]]:
    """What a service follows comes after its package, which brings the folders; a package leaves after its service stopped."""
    assert ask.spec is not None
    for ref in dict.fromkeys((*ask.links, *ask.spec.needs)):
        package = known.get(ref)
        if package is None or package.provider.spec.kind != _PACKAGE:
            continue
        if not _present(package):
            yield package.ref, ask.ref
            continue
        for followed in ask.spec.follows:
            if followed in known and known[followed].path is not None:
                yield followed, package.ref


def _order(
    known: Mapping[str, Ask], written: Edges, implied: Sequence[tuple[str, str]], report: Report
) -> tuple[Edges, list[str]]:
    """All edges that hold, and the references in order."""
    edges = _together(written, implied)
    order = topological(edges)
    if len(order) == len(edges):
        return edges, order
    _break_circles(known, written, report)
    return ordered(written, implied)


def ordered(written: Edges, implied: Sequence[tuple[str, str]]) -> tuple[Edges, list[str]]:
    """`written`, in which there is no circle, with those of `implied` that close none; and the references in order."""
    edges = _together(written, implied)
    order = topological(edges)
    if len(order) == len(edges):
        return edges, order
    stuck = edges.keys() - set(order)
    edges = _together(written, ())
    for ref, target in implied:
        if not (ref in stuck and target in stuck and _reaches(edges, target, ref)):
            edges[ref][target] = None
    return edges, topological(edges)


def _together(written: Edges, implied: Sequence[tuple[str, str]]) -> Edges:
    edges = {ref: dict(targets) for ref, targets in written.items()}
    for ref, target in implied:
        edges[ref][target] = None
    return edges


def topological(edges: Edges) -> list[str]:
    """Topological order; among those that are free, the order of `edges`. What is in or behind a circle is left out."""
    position = {ref: index for index, ref in enumerate(edges)}
    names = list(edges)
    missing = {ref: len(targets) for ref, targets in edges.items()}
    dependents: dict[str, list[str]] = {}
    for ref, targets in edges.items():
        for target in targets:
            dependents.setdefault(target, []).append(ref)
    free = [position[ref] for ref, count in missing.items() if not count]
    order: list[str] = []
    while free:
        ref = names[heapq.heappop(free)]
        order.append(ref)
        for dependent in dependents.get(ref, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(free, position[dependent])
    return order


def _break_circles(known: Mapping[str, Ask], written: Edges, report: Report) -> None:
    """Reports every circle of written edges, and takes one edge out of each so that the rest can be checked."""
    while len(order := topological(written)) < len(written):
        circle = _way_round(written, written.keys() - set(order))
        ask = known[circle[0]]
        places = listing([f"{ref} at {known[ref].place}" for ref in circle[:-1]], CIRCLE_SHOWN)
        way = circle if len(circle) <= CIRCLE_SHOWN + 1 else [*circle[:CIRCLE_SHOWN], "…", circle[-1]]
        report.add(_edge_place(ask, circle[1]), f"a circle of needs: {' → '.join(map(visible, way))}", places)
        del written[circle[0]][circle[1]]


def circle(edges: Edges) -> list[str]:
    """References of which each needs the next, the last being the first again; empty where there are none such."""
    stuck = edges.keys() - set(topological(edges))
    return _way_round(edges, set(stuck)) if stuck else []


def _way_round(edges: Edges, stuck: set[str]) -> list[str]:
    """A way along `edges` inside `stuck` that ends where it began."""
    way: dict[str, None] = {}
    ref = min(stuck)
    while ref not in way:
        way[ref] = None
        ref = next(target for target in edges[ref] if target in stuck)
    path = list(way)
    return [*path[path.index(ref) :], ref]


def _edge_place(ask: Ask, target: str) -> Place:
    """Where `ask` names `target`."""
    assert ask.spec is not None
    key = "needs" if target in ask.spec.needs else "follows"
    return ask.where((key, getattr(ask.spec, key).index(target)))


def _reaches(edges: Edges, start: str, goal: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        for target in edges[waiting.pop()]:
            if target == goal:
                return True
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return start == goal
