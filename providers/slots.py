"""One of the two slots of a project: the release that it holds, and whether that runs.

Made by `desired/deploy/expand.py`, two for each project with the strategy `slots`. What a slot is to be is decided for both
slots and the route at once (`blue_green.py`), from what the host is. A slot is started, stopped and started again; the
traffic is the route's matter (`routes/kind.py`), and nothing here is done to a slot that has it, except starting it where it
has stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from providers.base import Answer, Cause, Change, Detail, Facts, Line, Provider, Spec, Step, Unknown
from providers.blue_green import SLOTS, Active, RouteState, SlotAim, SlotName, SlotState, decide
from providers.runners import asking, judging, library, nature
from providers.runners.asking import Answered, Asked, Noted
from providers.runners.models import Runner
from providers.shell import Sh, lines, sh


class SlotSpec(Spec):
    """A slot on a host. The name is PROJECT/SLOT."""

    kind: ClassVar[str] = "slot"

    project: Annotated[Line, Field(description="The project's name")]
    slot: Annotated[SlotName, Field(description="blue or green")]
    path: Annotated[Line, Field(description="Where the project lies on the host")]
    folder: Annotated[Line | None, Field(description="Folder in each release that holds the tree")] = None
    port: Annotated[int | None, Field(description="Port on the host's loopback where the slot answers")] = None
    tree: Annotated[str, Field(description="Digest of the tree that the repository asks for")] = ""
    commit: Annotated[str, Field(description="The project's commit that the tree was made from")] = ""
    runner: Annotated[Runner, Field(description="How it runs")]
    expect: Annotated[dict[str, Line], Field(description="Variables and the values that they must have")] = Field(
        default_factory=dict
    )
    active: Annotated[Active, Field(description="Slot that is to have the traffic, or auto")] = "auto"
    afterwards: Annotated[
        Literal["stop", "keep"], Field(description="What becomes of the old slot after its soak: stop or keep")
    ] = "stop"

    _aim: SlotAim | None = PrivateAttr(default=None)
    _idle: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.name != f"{self.project}/{self.slot}":
            raise ValueError("a slot is named PROJECT/SLOT")
        return self

    @property
    def aim(self) -> SlotAim | None:
        """What this slot shall be; None: it is not needed yet. As long as nobody has looked at the host, it is to run what the
        repository asks for."""
        return None if self._idle else self._aim or SlotAim(self.tree, running=True)

    def record(self) -> dict[str, Any]:
        return super().record() | {"runner": nature.record(self.runner)}

    def aimed(self, aim: SlotAim | None) -> SlotSpec:
        """A copy that asks for this."""
        copy = self.model_copy()
        copy._aim, copy._idle = aim, aim is None  # noqa: SLF001 our own
        return copy


class SlotProvider(Provider[SlotSpec, SlotState]):
    name = "slot"
    section = "projects"
    rank = 87
    library = library.SLOT
    left_behind = "it ran before us"
    spec = SlotSpec
    state = SlotState

    def probe(self, specs: Sequence[SlotSpec]) -> Sh:
        return asking.question(_asked(spec) for spec in specs)

    def parse(self, out: bytes, specs: Sequence[SlotSpec]) -> Mapping[str, Answer[SlotState]]:
        answered = asking.read(out)
        if answered is None:
            return {}
        return {
            spec.name: _answer(spec, answered, answered.noted[number])
            for number, spec in enumerate(specs)
            if number in answered.noted
        }

    def aim(self, spec: SlotSpec, answers: Mapping[str, Answer[Any]]) -> SlotSpec | Unknown:
        states: dict[SlotName, Any] = {slot: answers.get(f"slot:{spec.project}/{slot}") for slot in SLOTS}
        route = answers.get(f"route:{spec.project}")
        for ref, answer in [
            (f"route:{spec.project}", route),
            *((f"slot:{spec.project}/{slot}", states[slot]) for slot in SLOTS),
        ]:
            if isinstance(answer, Unknown):
                return answer if ref == spec.ref else Unknown(f"{ref} is unknown: {answer.reason}")
        own = states[spec.slot]
        if isinstance(own, SlotState) and own.engine is not None and not judging.engine_comes(answers):
            return Unknown(own.engine)
        if not spec.present:
            return spec
        decision = decide(
            spec.tree,
            spec.active,
            route if isinstance(route, RouteState) else None,
            states,
            stop_after_soak=spec.afterwards == "stop",
        )
        aim = decision.slots.get(spec.slot, SlotAim())
        if own is None and aim.tree is None:
            return spec.aimed(None)
        if aim.running and aim.tree is None and own is not None and own.tree is None and not own.running:
            return Unknown(f"{spec.slot} is to run, and it is not known with which release it did; commit another revision")
        return spec.aimed(aim)

    def want(self, spec: SlotSpec) -> SlotState | None:
        if not spec.present or spec.aim is None:
            return None
        return SlotState(tree=spec.aim.tree, running=spec.aim.running)

    def cause(self, change: Change[SlotSpec, SlotState]) -> Cause | None:
        """A slot without traffic is stopped because its time has come."""
        return "due" if change.after is not None and change.after.running is False else None

    def steps(self, changes: Sequence[Change[SlotSpec, SlotState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, before = change.spec, change.before
            if change.after is None:
                yield _step(spec, f"stop {spec.slot} of {spec.project} for good", sh("slot_remove"))
            elif change.after.running is False:
                yield _step(spec, f"stop {spec.slot} of {spec.project}", sh("slot_stop"))
            elif change.after.tree is None or (before is not None and before.tree == change.after.tree):
                yield _step(spec, f"start {spec.slot} of {spec.project} again", sh("slot_again"))
            else:
                values = [word for pair in sorted(spec.expect.items()) for word in pair]
                run = sh("slot_start @tree@ @values@", tree=change.after.tree, values=values)
                yield _step(spec, f"build and start {_what(spec)} from {spec.commit[:10] or 'its tree'}", run)

    def links(self, spec: SlotSpec) -> Iterable[str]:
        yield f"release:{spec.project}"
        yield from nature.links(spec.runner)

    def made(self, change: Change[SlotSpec, SlotState]) -> bool:
        return change.after is not None

    def seen(self, out: bytes, changes: Sequence[Change[SlotSpec, SlotState]]) -> Mapping[str, Detail]:
        return {
            change.spec.ref: Detail(notes=nature.notes(change.spec.runner))
            for change in changes
            if change.after is not None and change.after.tree is not None
        }


def _asked(spec: SlotSpec) -> Asked:
    return Asked(spec.project, spec.slot, spec.path, spec.folder, spec.tree, spec.runner)


def _answer(spec: SlotSpec, answered: Answered, noted: Noted) -> Answer[SlotState]:
    """What a slot has is judged by how it was started, not by what the repository asks for by now."""
    if noted.closed:
        return Unknown("what was noted about it on the host cannot be read")
    running = judging.running_as_started(answered, noted)
    words = judging.started_words(answered, noted)
    tree = noted.tree("note")
    if running is None:
        found = judging.judge(answered, noted, spec.runner, inputs=False)
        if isinstance(found, Unknown):
            running = found
        elif not judging.exists(answered, spec.runner, found):
            return None
        else:
            running, words = all(word == "up" for word in found.values()), found
    if isinstance(running, Unknown):
        return SlotState(tree=tree, engine=running.reason) if answered.engine_down else running
    return SlotState(tree=tree, running=running, services=words)


def _what(spec: SlotSpec) -> str:
    """The services that are started, for a title."""
    names = nature.names(spec.runner)
    return ", ".join(names) if 0 < len(names) <= 5 and names != ["command"] else f"{spec.slot} of {spec.project}"


def _step(spec: SlotSpec, title: str, run: Sh) -> Step:
    opened = sh(
        "runner_open @name@ @slot@ @path@ @folder@ || return",
        name=spec.project,
        slot=spec.slot,
        path=spec.path,
        folder=spec.folder or "",
    )
    return Step(
        (spec.ref,), title, lines([opened, run]), blob=nature.how(spec.runner).encode(), timeout=nature.patience(spec.runner)
    )
