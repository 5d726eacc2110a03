"""Which slot shall have which release, and which shall have the traffic: the one decision behind `slot:` and `route:`.

Pure and settled: asked again after what it said was done, it says the same. It looks at what the host is, never at what
somebody meant to do, so a run that died anywhere is simply continued. Used by `slots.py` and `routes/kind.py` (`Provider.aim`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from providers.base import State

SlotName: TypeAlias = Literal["blue", "green"]
SLOTS: tuple[SlotName, SlotName] = ("blue", "green")
Active: TypeAlias = Literal["blue", "green", "auto"]


class SlotState(State):
    """What a slot has and does. `tree`: digest of the release it was last started with."""

    tree: str | None = None
    running: bool | None = None
    """Everything that belongs to the slot runs, and is healthy where it can tell."""
    services: dict[str, str] | None = None
    """Each service or unit with which it was started in one word: `up`, or what is wrong with it."""
    engine: str | None = None
    """Why the Docker engine did not answer; then it is not known what runs. Only of an actual state."""


class RouteState(State):
    """Where the traffic goes, as the proxy itself says."""

    slot: SlotName | None = None
    settled: bool | None = None
    """The smoke tests through the proxy were passed by what has the traffic, and that is on record."""
    soaked: bool | None = None
    """The slot without traffic has been warm for as long as was asked, since it lost the traffic or failed a test. Only of an
    actual state."""
    quarantine: tuple[str, ...] | None = None
    """Digests of the trees that failed a smoke test here. Only of an actual state."""


@dataclass(frozen=True, slots=True)
class SlotAim:
    """What one slot shall be. None: as it is."""

    tree: str | None = None
    running: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What holds for both slots and the route."""

    route: SlotName
    slots: Mapping[SlotName, SlotAim] = field(default_factory=dict)
    quarantined: bool = False
    """The wanted tree failed here before, and is not tried again: what has the traffic keeps it."""
    prepared: SlotName | None = None
    """The slot that holds the wanted tree and waits for a commit that gives it the traffic."""
    serves: bool = True
    """False: neither slot holds anything that may have the traffic, so the route stays as it is, or absent."""


def other(slot: SlotName) -> SlotName:
    return "green" if slot == "blue" else "blue"


def decide(
    wanted: str,
    active: Active,
    route: RouteState | None,
    slots: Mapping[SlotName, SlotState | None],
    *,
    stop_after_soak: bool = True,
) -> Decision:
    """`wanted` is the digest of the tree that the repository asks for; a slot or route that is absent is None."""
    has = {name: state.tree if (state := slots.get(name)) is not None else None for name in SLOTS}
    bad: Collection[str] = (route.quarantine if route is not None else None) or ()
    live = route.slot if route is not None else None
    if live is None:
        return _first(wanted, active, has, bad)
    if active not in ("auto", live):
        return _pinned_elsewhere(wanted, live, has, bad)
    soaked = route is not None and bool(route.soaked)
    return _stay(wanted, live, slots, bad, pinned=active == live, soaked=soaked, stops=stop_after_soak)


def _first(wanted: str, active: Active, has: Mapping[SlotName, str | None], bad: Collection[str]) -> Decision:
    """Nothing has the traffic yet, or it cannot be seen any more who has it."""
    order = SLOTS if active == "auto" else (active,)
    if wanted not in bad:
        first = next((name for name in order if has[name] == wanted), order[0])
        return Decision(first, {first: SlotAim(wanted, running=True)})
    for name in order:
        if has[name] is not None and has[name] not in bad:
            return Decision(name, {name: SlotAim(running=True)}, quarantined=True)
    return Decision(order[0], quarantined=True, serves=False)


def _pinned_elsewhere(wanted: str, live: SlotName, has: Mapping[SlotName, str | None], bad: Collection[str]) -> Decision:
    """A commit gives the traffic to the other slot: with what it holds, if the wanted tree had its chance in the live one."""
    idle = other(live)
    keep = has[idle] is not None and has[idle] not in bad and has[live] == wanted
    if not keep and wanted in bad:
        return Decision(live, {live: SlotAim(running=True)}, quarantined=True)
    return Decision(idle, {idle: SlotAim(None if keep else wanted, running=True)})


def _stay(
    wanted: str,
    live: SlotName,
    slots: Mapping[SlotName, SlotState | None],
    bad: Collection[str],
    *,
    pinned: bool,
    soaked: bool,
    stops: bool,
) -> Decision:
    """The live slot is where the traffic belongs, unless a new release is to take over of itself.

    Where it does, the live slot is left as it is until then: a slot that cannot be started must not keep the next release,
    which mends it, from taking over.
    """
    idle, serving = other(live), slots.get(live)
    spare = slots.get(idle)
    held = spare.tree if spare is not None else None
    # What failed is stopped even where the old slot is to be kept, and not at once: it may still be answering somebody, and
    # whoever wants to know what is wrong with it can ask it.
    over = held is not None and soaked and (stops or held in bad)
    stopped = {idle: SlotAim(running=False)} if over else {}
    if wanted in bad:
        broken = serving is None or serving.tree is None or serving.tree in bad
        if broken and not pinned and held is not None and held not in bad:
            return Decision(idle, {idle: SlotAim(running=True)}, quarantined=True)
        return Decision(live, {live: SlotAim(running=True)} | stopped, quarantined=True)
    if serving is not None and serving.tree == wanted:
        return Decision(live, {live: SlotAim(running=True)} | stopped)
    if serving is None or (serving.tree is None and not serving.running):
        return Decision(live, {live: SlotAim(wanted, running=True)})  # nothing serves there that a switch would have to spare
    if pinned:
        return Decision(live, {live: SlotAim(running=True), idle: SlotAim(wanted, running=True)}, prepared=idle)
    return Decision(idle, {idle: SlotAim(wanted, running=True)})
