"""What a new desired state means for the hosts that are there already. Pure; asked by `reconciler/loop/engine.py`."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from desired.model import Fleet, Host, Resource
from desired.policies import Suspension
from desired.windows import Window

_WISHES = attrgetter(
    *(field.name for field in fields(Host) if field.name not in ("name", "place", "resources", "tags", "vars"))
)
_PARTS = attrgetter(*(field.name for field in fields(Resource) if field.name not in ("spec", "place")))


def kept(old: Host, new: Host) -> Host:
    """The old object where the new one says the same in the same places: what was made from it stays valid."""
    return old if new is old or new == old else new


def changed(old: Host, new: Host) -> bool:
    """Whether something else is asked of the host. That a line has moved to another place in its file is nothing else."""
    if old is new:
        return False
    if len(old.resources) != len(new.resources) or _WISHES(old) != _WISHES(new):
        return True
    return any(_differs(one, other) for one, other in zip(old.resources, new.resources, strict=True))


def held_otherwise(old: Fleet, new: Fleet) -> frozenset[str]:
    """Hosts of the new fleet for which a commit moves a suspension or a window: what is under way there is judged anew."""
    if _everywhere(old) != _everywhere(new):
        return frozenset(new.hosts)
    before, after = _suspended(old), _suspended(new)
    return frozenset(host for host in new.hosts if before.get(host) != after.get(host))


def _everywhere(fleet: Fleet) -> tuple[Suspension | None, tuple[Window, ...]]:
    return fleet.policies.suspend, fleet.policies.windows


def _suspended(fleet: Fleet) -> dict[str, list[tuple[str, Suspension]]]:
    """Host → the suspensions of its projects. Its own is among what is asked of it."""
    found: dict[str, list[tuple[str, Suspension]]] = {}
    for name, project in fleet.projects.items():
        if project.settings.suspend is not None:
            for host in {place.host for place in project.deployments}:
                found.setdefault(host, []).append((name, project.settings.suspend))
    return found


def _differs(old: Resource, new: Resource) -> bool:
    """Specs hold contents that no comparison of models sees: a body, a tree. Their digest does."""
    if old.spec is new.spec:
        return _PARTS(old) != _PARTS(new)
    return old.spec != new.spec or _PARTS(old) != _PARTS(new) or old.spec.digest() != new.spec.digest()
