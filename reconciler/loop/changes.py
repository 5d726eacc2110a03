"""What a new desired state means for the hosts that are there already. Pure; asked by `reconciler/loop/engine.py`."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter

from desired.model import Host, Resource

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


def _differs(old: Resource, new: Resource) -> bool:
    """Specs hold contents that no comparison of models sees: a body, a tree. Their digest does."""
    if old.spec is new.spec:
        return _PARTS(old) != _PARTS(new)
    return old.spec != new.spec or _PARTS(old) != _PARTS(new) or old.spec.digest() != new.spec.digest()
