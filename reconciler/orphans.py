"""What left the repository and is on the host still: what of it is removed, what stays, and why.

Called by `reconciler/draft.py`, and by `reconciler/cycle.py`, which has to ask the host about what may be removed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from pydantic import ValidationError

from desired.model import Host, Place, Resource
from providers.base import Provider, Spec
from providers.registry import provider_of
from state.inventory import Entry, Inventory


@dataclass(frozen=True, slots=True)
class Orphans:
    """What the inventory holds and the repository does not."""

    remove: tuple[Resource, ...] = ()
    released: Mapping[str, str] = field(default_factory=dict)
    """Let go without being removed: reference → reason."""
    kept: frozenset[str] = frozenset()
    """Ours still, and removed when nothing that is declared lies in them, or is to take their place, any more."""


def orphans(host: Host, inventory: Inventory) -> Orphans:
    """Sorts what left the repository."""
    declared = {resource.ref for resource in host.resources}
    paths = {
        path: resource.ref for resource in host.resources if (path := provider_of(resource.ref).path(resource.spec)) is not None
    }
    used = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    remove: list[Resource] = []
    released: dict[str, str] = {}
    kept: set[str] = set()
    for ref, entry in inventory.resources.items():
        if ref in declared or entry.spec.get("ensure") == "absent":
            continue
        spec = _remembered(ref, entry) if entry.made else None
        path = provider_of(ref).path(spec) if spec is not None else None
        shares = spec is not None and provider_of(ref).shares_path
        if not entry.made:
            released[ref] = _left_behind(ref)
        elif spec is None:
            released[ref] = "it was recorded by another version of this program, which alone knows how to remove it"
        elif (heir := _heir(path, paths, shares=shares)) is not None:
            if shares and heir not in inventory.resources:
                kept.add(ref)  # the project under another name, which has not taken it over yet
            else:
                released[ref] = "its path belongs to another resource now"
        elif path in used and not shares:
            kept.add(ref)
        else:
            remove.append(Resource(spec=spec, place=Place("no longer in the repository")))
    neighbours = {item.ref: provider_of(item.ref).path(item.spec) for item in (*host.resources, *remove)}
    adjusted = [replace(item, spec=provider_of(item.ref).adjust(item.spec, neighbours)) for item in remove]
    return Orphans(tuple(adjusted), released, frozenset(kept))


def _heir(path: str | None, paths: Mapping[str, str], *, shares: bool) -> str | None:
    """Who owns a path now. A folder that was shared may be declared as well, and then stays without the one that leaves."""
    heir = None if path is None else paths.get(path)
    return None if heir is not None and shares and heir.startswith("directory:") else heir


def _left_behind(ref: str) -> str:
    try:
        return provider_of(ref).left_behind
    except KeyError:  # a kind of another version
        return Provider.left_behind


def _remembered(ref: str, entry: Entry) -> Spec | None:
    try:
        provider = provider_of(ref)
        name = ref.partition(":")[2].removeprefix(provider.spec.prefix)
        spec: Spec = provider.spec.model_validate(entry.spec | {"name": name, "ensure": "absent"})
    except (KeyError, ValidationError):
        return None
    return spec
