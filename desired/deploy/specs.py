"""The specs by which a project is on a host: `release`, then `runtime`, or two `slot`s and a `route`.

Made from the project's file, its tree and what was found in it; the same for every host with the same path. A project of which
it cannot be said what it should be keeps its references, with specs that say as much as its file does: nothing is done with
those. Called by `desired/deploy/expand.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from desired.project import ProjectSettings
from desired.projects import UNITS, unit_of
from providers.base import Spec
from providers.blue_green import SLOTS, SlotName
from providers.files import FileSpec
from providers.releases.kind import ReleaseSpec
from providers.routes.kind import RouteSpec
from providers.runners.models import NoRunner, Runner
from providers.runtimes import RuntimeSpec
from providers.slots import SlotSpec
from providers.tree import Tree, tree_of


@dataclass(frozen=True)
class Deployable:
    """One project at one commit, with all that its specs are made of."""

    name: str
    settings: ProjectSettings
    tree: Tree
    runners: Mapping[SlotName | None, Runner]
    """What runs in each slot; under None where there are no slots."""
    origin: str
    """The source's URL."""
    branch: str | None
    """The branch that the revision names."""
    unit: bytes | None = None
    """Content of the systemd unit file that comes with it."""


def unknown(name: str, settings: ProjectSettings) -> Deployable:
    """Stands in for a project of which nothing is known but its file."""
    tree = tree_of("0" * 40, (), _nothing)
    unit = b"" if unit_of(settings) is not None else None
    return Deployable(name, settings, tree, {None: NoRunner(), "blue": NoRunner(), "green": NoRunner()}, "", None, unit)


def _nothing(path: str) -> bytes:
    raise LookupError(path)


@dataclass(frozen=True, slots=True)
class Asked:
    """One spec, and the references that it needs and follows within its project."""

    spec: Spec
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()


def specs_of(project: Deployable, path: str, file: str = "") -> Iterator[Asked]:
    """In the order of the work. `file`: blob id of the project's file."""
    release = _release(project, path)
    yield Asked(release)
    unit = _unit(project)
    units = (unit.ref,) if unit is not None else ()
    if unit is not None:
        yield Asked(unit, (release.ref,))
    if project.settings.slots is None:
        yield Asked(_runtime(project, path), (release.ref, *units), units)
        return
    slots = [_slot(project, path, slot) for slot in SLOTS]
    for slot in slots:
        yield Asked(slot, (release.ref, *units))
    yield Asked(_route(project, path, file), (release.ref, *(slot.ref for slot in slots)))


def _release(project: Deployable, path: str) -> ReleaseSpec:
    settings = project.settings
    return ReleaseSpec(
        name=project.name,
        strategy=settings.strategy,
        path=path,
        folder=settings.folder,
        commit=project.tree.commit,
        tree=project.tree.digest,
        exclude=settings.exclude,
        shared=settings.shared,
        keep=settings.keep,
        owner=settings.owner,
        group=settings.group,
        origin=project.origin,
        branch=project.branch if settings.strategy == "checkout" else None,
        sync=settings.sync,
    ).with_tree(project.tree)


def _unit(project: Deployable) -> FileSpec | None:
    """The body is the unit as it stands in the project's tree."""
    name = unit_of(project.settings)
    if name is None or project.unit is None:
        return None
    spec = FileSpec(name=f"{UNITS}/{name}", content="", owner="root", group="root", mode="0644", sync=project.settings.sync)
    return spec.with_body(project.unit)


def _runtime(project: Deployable, path: str) -> RuntimeSpec:
    settings = project.settings
    assert settings.strategy != "slots"
    return RuntimeSpec(
        name=project.name,
        strategy=settings.strategy,
        path=path,
        folder=settings.folder,
        tree=project.tree.digest,
        commit=project.tree.commit,
        runner=project.runners[None],
        smoke=settings.smoke,
        expect=settings.expect,
        sync=settings.sync,
    )


def _slot(project: Deployable, path: str, slot: SlotName) -> SlotSpec:
    settings = project.settings
    assert settings.slots is not None
    return SlotSpec(
        name=f"{project.name}/{slot}",
        project=project.name,
        slot=slot,
        path=path,
        folder=settings.folder,
        port=getattr(settings.slots, slot).port,
        tree=project.tree.digest,
        commit=project.tree.commit,
        runner=project.runners[slot],
        expect=settings.expect,
        active=settings.slots.active,
        afterwards=settings.slots.afterwards,
        sync=settings.sync,
    )


def _route(project: Deployable, path: str, file: str) -> RouteSpec:
    settings = project.settings
    assert settings.slots is not None
    assert settings.proxy is not None
    return RouteSpec(
        name=project.name,
        path=path,
        folder=settings.folder,
        tree=project.tree.digest,
        active=settings.slots.active,
        afterwards=settings.slots.afterwards,
        soak=settings.slots.soak,
        ports={slot: getattr(settings.slots, slot).port for slot in SLOTS},
        proxy=settings.proxy,
        smoke=settings.smoke,
        settings=file,
        sync=settings.sync,
    )
