"""Puts the resources of projects in among those of a host's manifests, so that none stands before one that it needs.

What was written is law, as in `graph.py`; what lies in the nature of the things (a release comes after the folder that it
lies in, and before what starts there) gives way where it would close a circle. Called by `desired/deploy/expand.py`, once for
the same resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from desired.graph import Edges, ordered
from desired.model import Resource
from desired.source import ancestors
from providers.base import Provider
from providers.registry import provider_of

STARTED = frozenset({"runtime", "slot"})
"""Kinds that run something from a release."""


def weave(base: Sequence[Resource], added: Sequence[Resource]) -> tuple[Resource, ...]:
    """All of them in one order. Those of `base` that change nothing for come out as the very same objects."""
    known = {resource.ref: resource for resource in (*base, *added)}
    written: Edges = {ref: dict.fromkeys(one.needs & known.keys()) for ref, one in known.items()}
    edges, order = ordered(written, list(_implied(base, added, known)))
    neighbours = {ref: _path(one) for ref, one in known.items()}
    return tuple(_placed(known[ref], frozenset(edges[ref]), neighbours) for ref in order)


def _placed(resource: Resource, needs: frozenset[str], neighbours: Mapping[str, str | None]) -> Resource:
    provider = provider_of(resource.ref)
    spec = resource.spec
    if type(provider).adjust is not Provider.adjust:
        spec = provider.adjust(resource.spec, neighbours)
        spec = resource.spec if spec == resource.spec else spec
    follows = resource.follows & neighbours.keys()
    if spec is resource.spec and needs == resource.needs and follows == resource.follows:
        return resource
    return replace(resource, spec=spec, needs=needs, follows=follows)


def _implied(base: Sequence[Resource], added: Sequence[Resource], known: Mapping[str, Resource]) -> Iterator[tuple[str, str]]:
    """Pairs of references of which the first needs the second by the nature of things."""
    owned = {path: one.ref for one in base if one.spec.present and (path := _path(one)) is not None}
    releases = {path: one.ref for one in added if one.spec.kind == "release" and (path := _path(one)) is not None}
    starting: dict[str, list[str]] = {}
    for one in added:
        kind, _, name = one.ref.partition(":")
        if kind in STARTED:
            starting.setdefault(f"release:{name.partition('/')[0]}", []).append(one.ref)
        for link in provider_of(one.ref).links(one.spec):
            if link in known and known[link].spec.present and link != one.ref:
                yield one.ref, link
        path = _path(one)
        yield from ((one.ref, owned[folder]) for folder in _way(path) if folder in owned)
    for path, ref in owned.items() if releases else ():
        for folder in ancestors(path):
            if folder in releases:
                yield ref, releases[folder]
                yield from ((start, ref) for start in starting.get(releases[folder], ()))


def _path(resource: Resource) -> str | None:
    return provider_of(resource.ref).path(resource.spec)


def _way(path: str | None) -> tuple[str, ...]:
    """The path, and the folders that it lies in."""
    return (path, *ancestors(path)) if path is not None else ()
