"""Which slot of a project has the traffic: the proxy in front of the slots.

Made by `desired/deploy/expand.py`, one for each project with the strategy `slots`. Where the traffic is to go is decided for
both slots and the route at once (`blue_green.py`), from what the host is; where it does go, the proxy itself is asked
(`providers/proxies/`). The way to another slot:

    the slot is tested on its own port → switch, and read back → tested through the proxy → noted as good, `current` follows

A release that fails a test is quarantined, and what had the traffic before has it still, or again. The lines of the host's
answer are read in `routes/answer.py`; the shell around the proxies is in `routes/shell.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, assert_never

from pydantic import Field, PrivateAttr

from providers.base import Answer, Change, Detail, Facts, Line, Provider, Seq, Spec, Step, Unknown
from providers.blue_green import SLOTS, Active, SlotName, SlotState, decide
from providers.proxies import caddy, command, haproxy, nginx
from providers.proxies.models import CaddyProxy, CommandProxy, HaproxyProxy, NginxProxy, Proxy
from providers.proxies.setup import Setup
from providers.routes.answer import Heard, RouteAnswer, Told, counted, read
from providers.routes.shell import ASK, LIBRARY
from providers.shell import Sh, lines, sh
from providers.smoke import Check, Smoke

_ANY_ANSWER = Smoke(status=None)
"""Asked where a project declares no smoke test."""


class RouteSpec(Spec):
    """A route on a host. The name is the project's."""

    kind: ClassVar[str] = "route"

    path: Annotated[Line, Field(description="Where the project lies on the host")]
    folder: Annotated[Line | None, Field(description="Folder in each release that holds the tree")] = None
    tree: Annotated[str, Field(description="Digest of the tree that the repository asks for")] = ""
    active: Annotated[Active, Field(description="Slot that is to have the traffic, or auto")] = "auto"
    afterwards: Annotated[str, Field(description="What becomes of the old slot after its soak: stop or keep")] = "stop"
    soak: Annotated[int, Field(ge=0, description="Seconds that the old slot stays warm")] = 600
    ports: Annotated[dict[SlotName, int], Field(description="Port of each slot on the host's loopback")]
    proxy: Annotated[Proxy, Field(description="Who gives the traffic to a slot")]
    smoke: Annotated[Seq[Smoke], Field(description="What must be answered")] = ()
    settings: Annotated[
        str, Field(description="Digest of the project's file: with another one, what was quarantined is tried again")
    ] = ""

    _target: SlotName | None = PrivateAttr(default=None)

    @property
    def target(self) -> SlotName | None:
        """The slot that is to have the traffic; None as long as nobody has looked at the host."""
        return self._target or (None if self.active == "auto" else self.active)

    def aimed(self, target: SlotName) -> RouteSpec:
        """A copy that asks for this slot."""
        copy = self.model_copy()
        copy._target = target  # noqa: SLF001 our own
        return copy

    @property
    def setup(self) -> Setup | None:
        """What the proxy must have; None where that is its owner's business."""
        proxy = self.proxy.chosen
        ports: dict[str, int] = {slot: self.ports[slot] for slot in SLOTS}
        match proxy:
            case NginxProxy():
                return nginx.setup(self.name, ports, proxy)
            case CaddyProxy():
                return caddy.setup(self.name, ports, proxy)
            case HaproxyProxy():
                return haproxy.setup(self.name, ports, proxy)
            case CommandProxy():
                return None
            case _:
                assert_never(proxy)

    @property
    def commands(self) -> CommandProxy:
        """Its owner's commands, where the proxy has no setup of ours."""
        assert self.proxy.command is not None
        return self.proxy.command

    @property
    def setup_digest(self) -> str:
        """Stands for the way through the proxy: with another one, the tests through it count no more."""
        setup = self.setup
        text = self.proxy.model_dump_json() if setup is None else f"{self.proxy.chosen.model_dump_json()} {setup.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def direct(self) -> Check:
        """The tests on a slot's own port."""
        return Check(self.smoke or (_ANY_ANSWER,), self.ports[self.target or SLOTS[0]])

    @property
    def through(self) -> Check | None:
        """The tests through the proxy. One that names a port of its own, or asks to be left out, cannot go through it."""
        wanted = [smoke for smoke in self.smoke or (_ANY_ANSWER,) if smoke.proxy and smoke.port is None]
        smokes = tuple(smoke.model_copy(update={"https": False}) for smoke in wanted)
        proxy = self.proxy.chosen
        return Check(smokes, proxy.port, https=proxy.secure, host=self.proxy.site_name) if smokes else None


class RouteProvider(Provider[RouteSpec, RouteAnswer]):
    name = "route"
    section = "projects"
    rank = 88
    library = LIBRARY
    left_behind = "its owner's own command set it up"
    spec = RouteSpec
    state = RouteAnswer

    def probe(self, specs: Sequence[RouteSpec]) -> Sh:
        setups = [setup for spec in specs if (setup := spec.setup) is not None]
        questions = [piece for index, spec in enumerate(specs) for piece in _questions(index, spec)]
        sums = sh("route_sums @files@", files=[setup.snippet for setup in setups]) if setups else Sh("")
        find = sh('proxy_find\nif [ "${uid:-$(id -u)}" = 0 ]; then echo root yes; fi') if setups else Sh("")
        return lines([ASK, sh("now=$(date +%s)"), find, *questions, sums, sh("echo end")])

    def parse(self, out: bytes, specs: Sequence[RouteSpec]) -> Mapping[str, Answer[RouteAnswer]]:
        heard = read(out)
        if heard is None:
            return {}
        return {spec.name: _answer(spec, heard, told) for index, spec in enumerate(specs) if (told := heard.routes.get(index))}

    def aim(self, spec: RouteSpec, answers: Mapping[str, Answer[Any]]) -> RouteSpec | Unknown:
        if not spec.present:
            return spec
        route = answers.get(spec.ref)
        states: dict[SlotName, SlotState | None] = {}
        for slot in SLOTS:
            ref = f"slot:{spec.name}/{slot}"
            answer = answers.get(ref)
            if isinstance(answer, Unknown):
                return Unknown(f"{ref} is unknown: {answer.reason}")
            states[slot] = answer if isinstance(answer, SlotState) else None
        if isinstance(route, Unknown):
            return route
        known = route if isinstance(route, RouteAnswer) else None
        stops = spec.afterwards == "stop"
        decision = decide(spec.tree, spec.active, known, states, stop_after_soak=stops)
        serving = states[decision.route]
        bad = (known.quarantine if known is not None else None) or ()
        failed = serving is not None and serving.tree in bad
        reason = known.failure if known is not None and known.failure else "the release is quarantined"
        if not decision.serves:
            return Unknown(reason, refused=True)
        if (decision.quarantined or failed) and known is not None and _rests(known, decision.route, failed=failed):
            return Unknown(reason, refused=True)
        return spec.aimed(decision.route)

    def want(self, spec: RouteSpec) -> RouteAnswer | None:
        return RouteAnswer(slot=spec.target, settled=True, loaded=True) if spec.present else None

    def steps(self, changes: Sequence[Change[RouteSpec, RouteAnswer]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            yield from _removal(change.spec) if change.after is None else _way(change, change.after)

    def seen(self, out: bytes, changes: Sequence[Change[RouteSpec, RouteAnswer]]) -> Mapping[str, Detail]:
        return {change.spec.ref: Detail(notes=tuple(_notes(change))) for change in changes if change.after is not None}

    def links(self, spec: RouteSpec) -> Iterable[str]:
        yield f"release:{spec.name}"
        yield from (f"slot:{spec.name}/{slot}" for slot in SLOTS)
        setup = spec.setup
        if setup is not None:
            yield f"service:{setup.proxy}"
            yield f"package:apt/{setup.proxy}"

    def path(self, spec: RouteSpec) -> str | None:
        setup = spec.setup
        return setup.snippet if setup is not None else None

    def made(self, change: Change[RouteSpec, RouteAnswer]) -> bool:
        return change.spec.setup is not None  # what has our name in a proxy's folder was written by us


def _rests(route: RouteAnswer, target: SlotName, *, failed: bool) -> bool:
    """Nothing is left to do for the route but to tell of the quarantine."""
    return route.slot == target and bool(route.loaded) and (bool(route.settled) or failed)


def _questions(index: int, spec: RouteSpec) -> Iterator[Sh]:
    yield sh("route_memory @index@ @name@; route_soak @index@ @name@ @soak@", index=index, name=spec.name, soak=spec.soak)
    setup = spec.setup
    if setup is not None:
        yield setup.use()
        yield sh("route_proxy @index@", index=index)
    else:
        ports = spec.ports
        yield sh(
            "route_command @index@ @blue@ @green@ @read@",
            index=index,
            blue=ports["blue"],
            green=ports["green"],
            read=spec.commands.read,
        )


def _answer(spec: RouteSpec, heard: Heard, told: Told) -> Answer[RouteAnswer]:
    setup = spec.setup
    if setup is None:
        return _answer_of_command(spec, heard, told)
    if told.proxy is None:
        return Unknown("the host's answer about its proxy is broken")
    if not heard.root:
        return Unknown(f"which configuration {setup.proxy} runs with can only be seen by root: set become for this host")
    there, alive, loaded, says = told.proxy
    if there != "yes" and loaded not in ("yes", "other", "stale"):
        failed = spec.present and counted(told.failed, spec.digest())
        return _state(spec, heard, told, None, loaded=False) if failed else None
    if reason := _obscure(setup, heard, loaded, says):
        return Unknown(reason)
    noted = told.route[0] if told.route is not None else says
    sound = loaded == "yes" and alive == "yes" and heard.sums.get(setup.snippet) == setup.sum
    return _state(spec, heard, told, _slot(says) or _slot(noted), loaded=sound)


def _obscure(setup: Setup, heard: Heard, loaded: str, says: str) -> str | None:
    """Why it cannot be told what the proxy does."""
    if loaded == "unknown":
        return f"{setup.proxy} runs, but it cannot be told with which configuration: {setup.extra} does not say it"
    if says == "strange":
        return "the map of the running haproxy says neither blue nor green"
    if loaded not in ("yes", "no", "other", "stale") or (says != "-" and _slot(says) is None):
        return "the host's answer about its proxy is broken"
    return None


_NOBODY = "none"
"""What a read command prints where no slot has the traffic yet."""


def _answer_of_command(spec: RouteSpec, heard: Heard, told: Told) -> Answer[RouteAnswer]:
    if not spec.present:
        return None  # nothing of it is ours
    ports = {str(spec.ports[slot]): slot for slot in SLOTS}
    if told.said is not None and (slot := _slot(told.said) or ports.get(told.said)):
        return _state(spec, heard, told, slot, loaded=True)
    if told.said == _NOBODY:
        return _state(spec, heard, told, None, loaded=True)
    if told.mute and told.route is None:
        return None  # nobody has had the traffic from us: the command may come with this very run
    if told.mute:
        return Unknown(f"the read command failed, or took longer than 5 seconds: {spec.commands.read}")
    printed = repr((told.strange or "")[:80])
    return Unknown(f"the read command is to print blue, green, a slot's port or none, and printed {printed}")


def _slot(word: str) -> SlotName | None:
    return next((slot for slot in SLOTS if slot == word), None)


def _state(spec: RouteSpec, heard: Heard, told: Told, slot: SlotName | None, *, loaded: bool) -> RouteAnswer:
    failed = counted(told.failed, spec.digest())
    serving = told.trees.get(slot) if slot is not None else None
    told_of = [one for tree in (spec.tree, serving) for one in failed if one.tree == tree]
    return RouteAnswer(
        slot=slot,
        settled=told.settled(slot, spec.setup_digest),
        soaked=told.soaked(slot),
        quarantine=tuple(one.tree for one in failed) or None,
        loaded=loaded,
        failure=told_of[0].sentence if told_of else None,
    )


def _use(spec: RouteSpec) -> Sh:
    setup = spec.setup
    if setup is None:
        return command.use({slot: spec.ports[slot] for slot in SLOTS}, spec.commands)
    return lines([setup.use(), sh("port=@port@", port=setup.port or "")])


def _patience(spec: RouteSpec) -> int:
    return 90 if spec.proxy.command is None else spec.proxy.command.timeout + 20


def _removal(spec: RouteSpec) -> Iterator[Step]:
    forget = sh("route_forget @name@", name=spec.name)
    if spec.setup is None:
        yield Step((spec.ref,), f"forget the route of {spec.name}", forget)
    else:
        run = lines([_use(spec), sh("proxy_remove || return"), forget])
        yield Step((spec.ref,), f"remove {spec.name} from {spec.setup.proxy}", run, timeout=_patience(spec))


def _way(change: Change[RouteSpec, RouteAnswer], after: RouteAnswer) -> Iterator[Step]:
    """From a slot that is ready to one that has the traffic and has passed its tests."""
    spec, name, refs = change.spec, change.spec.name, (change.spec.ref,)
    target = after.slot or (change.before.slot if change.before is not None else None) or SLOTS[0]
    spec = spec.aimed(target)
    request, through = spec.digest(), spec.through
    moves = change.before is None or change.before.slot != target
    yield Step(refs, f"look at slot {target} of {name}", sh("route_begin @name@ @slot@", name=name, slot=target))
    if moves or through is None:
        title = f"smoke test {target} of {name} on port {spec.ports[target]}"
        yield Step(refs, title, Sh(":"), check=spec.direct)
        run = sh("route_failed @name@ @request@", name=name, request=request)
        yield Step(refs, f"quarantine the release in slot {target} of {name}", run, rescues=True)
    yield _switch(spec, target, moves=moves)
    if through is not None:
        yield Step(refs, f"smoke test {name} through the proxy on port {through.port}", Sh(":"), check=through)
    run = lines([_use(spec), sh("route_rescue @name@ @request@", name=name, request=request)])
    yield Step(refs, f"switch {name} back", run, timeout=_patience(spec), rescues=True, rolls_back=True)
    settle = sh(
        "route_settle @name@ @slot@ @path@ @digest@ @folder@",
        name=name,
        slot=target,
        path=spec.path,
        digest=spec.setup_digest,
        folder=spec.folder or "",
    )
    yield Step(refs, f"note that {target} of {name} has passed", settle)


def _switch(spec: RouteSpec, target: SlotName, *, moves: bool) -> Step:
    setup = spec.setup
    if setup is not None:
        give = sh("proxy_switch @slot@ @sum@ || return", slot=target, sum=setup.sum)
    elif moves:
        give = sh("route_give @slot@ || return", slot=target)
    else:
        give = Sh("")
    parts = [
        sh("route_trial @name@ && route_reach switch || return", name=spec.name),
        _use(spec),
        give,
        sh("route_trial @name@ && route_reach proxy", name=spec.name),
    ]
    title = f"give the traffic of {spec.name} to {target}" if moves else f"keep the traffic of {spec.name} at {target}"
    blob = setup.text.encode() if setup is not None else None
    return Step((spec.ref,), title, lines(parts), blob=blob, timeout=_patience(spec))


def _notes(change: Change[RouteSpec, RouteAnswer]) -> Iterator[str]:
    spec = change.spec
    if not spec.smoke:
        yield "no smoke test is declared: any answer to / with a status below 500 passes"
    if change.before is None or change.before.slot is None:
        yield "the first switch: there is no slot to go back to"
