"""What runs from a project's tree where there are no slots: a compose project, a systemd unit, or commands of its own.

Made by `desired/deploy/expand.py`. With the strategy `releases` it also decides which release is `current`: the link is flipped
and the new release started; only when that has passed its smoke tests is it noted as good. If it does not, the release that
served before does so again, and the tree that failed is not tried any more. Where there is one tree and nothing to go back to
(`mirror`, `checkout`), a failed smoke test is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from providers.base import Answer, Change, Detail, Facts, Line, Provider, Seq, Spec, State, Step, Unknown
from providers.runners import asking, judging, library, nature
from providers.runners.asking import Answered, Asked, Noted
from providers.runners.models import CommandRunner, ComposeRunner, NoRunner, Runner, SystemdRunner
from providers.shell import Sh, lines, sh
from providers.smoke import Check, Smoke

Strategy = Literal["mirror", "checkout", "releases"]


class RuntimeSpec(Spec):
    """What runs from a project on a host. The name is the project's."""

    kind: ClassVar[str] = "runtime"

    strategy: Annotated[Strategy, Field(description="How the tree gets to the host")] = "mirror"
    path: Annotated[Line, Field(description="Where the project lies on the host")]
    folder: Annotated[Line | None, Field(description="Folder in each release that holds the tree")] = None
    tree: Annotated[str, Field(description="Digest of the tree that it is to run from")] = ""
    commit: Annotated[str, Field(description="The project's commit that the tree was made from")] = ""
    runner: Annotated[Runner, Field(description="How it runs")]
    smoke: Annotated[Seq[Smoke], Field(description="What it must answer")] = ()
    port: Annotated[int | None, Field(description="Port that smoke tests ask, where they name none")] = None
    expect: Annotated[dict[str, Line], Field(description="Variables and the values that they must have")] = Field(
        default_factory=dict
    )

    _aim: Literal["wanted", "keep", "back"] = PrivateAttr(default="wanted")
    _earlier: str | None = PrivateAttr(default=None)

    def aimed(self, aim: Literal["keep", "back"], earlier: str | None = None) -> RuntimeSpec:
        """A copy that asks for less, as the wanted tree failed here: that what was started last runs, or what served before."""
        copy = self.model_copy()
        copy._aim, copy._earlier = aim, earlier  # noqa: SLF001 our own
        return copy

    def record(self) -> dict[str, Any]:
        return super().record() | {"runner": nature.record(self.runner)}

    @property
    def releases(self) -> bool:
        return self.strategy == "releases"


class RuntimeState(State):
    """What runs, and from which tree. Fields that only an actual state has say so."""

    tree: str | None = None
    """Digest of the tree that it was last started with, and well."""
    current: str | None = None
    """Digest of the tree of the release that PATH/current leads to."""
    services: dict[str, str] | None = None
    """Each service or unit that is wanted in one word: `up`, or what is wrong with it."""
    running: bool | None = None
    """What was started last runs, whatever is wanted now."""
    earlier: str | None = None
    """Digest of the tree that served until one was begun that is not proved yet. Only of an actual state."""
    refused: str | None = None
    """When the wanted tree failed here, and how: `EPOCH WORDS`. Only of an actual state."""
    settled: bool | None = None
    """What was started last has the values that it must have, and has passed its smoke tests."""
    made: str | None = None
    """Digest of the settings with which it was started."""
    engine: str | None = None
    """Why the Docker engine did not answer; then nothing is known of services. Only of an actual state."""


class RuntimeProvider(Provider[RuntimeSpec, RuntimeState]):
    name = "runtime"
    section = "projects"
    rank = 86
    library = library.RUNTIME
    left_behind = "it ran before us"
    spec = RuntimeSpec
    state = RuntimeState

    def probe(self, specs: Sequence[RuntimeSpec]) -> Sh:
        return asking.question(_asked(spec) for spec in specs)

    def parse(self, out: bytes, specs: Sequence[RuntimeSpec]) -> Mapping[str, Answer[RuntimeState]]:
        answered = asking.read(out)
        if answered is None:
            return {}
        return {
            spec.name: _answer(spec, answered, answered.noted[number])
            for number, spec in enumerate(specs)
            if number in answered.noted
        }

    def want(self, spec: RuntimeSpec) -> RuntimeState | None:
        if not spec.present:
            return None
        if spec._aim != "wanted":  # noqa: SLF001 our own
            return RuntimeState(tree=spec._earlier, running=True)  # noqa: SLF001 our own
        restarts = isinstance(spec.runner, (SystemdRunner, CommandRunner))
        return RuntimeState(
            tree=spec.tree if restarts or spec.releases else None,
            current=spec.tree if spec.releases else None,
            services=dict.fromkeys(nature.names(spec.runner), "up"),
            settled=True,
            made=nature.made(spec.runner) if isinstance(spec.runner, CommandRunner) else None,
        )

    def aim(self, spec: RuntimeSpec, answers: Mapping[str, Answer[Any]]) -> RuntimeSpec | Unknown:
        """A tree that failed here is not tried again; what ran before it is kept running all the same."""
        answer = answers.get(spec.ref)
        if not isinstance(answer, RuntimeState):
            return spec
        if answer.engine is not None and not judging.engine_comes(answers):
            return Unknown(answer.engine)
        if answer.refused is None or not (spec.present and spec.releases):
            return spec
        if answer.earlier is not None and answer.earlier != spec.tree:
            return spec.aimed("back", answer.earlier)
        if answer.running is False:
            return spec.aimed("keep")
        words = answer.refused.partition(" ")[2] or "it failed here"
        return Unknown(
            f"commit {spec.commit[:10]} is in quarantine ({words}): it is not tried again, and what ran before is kept; "
            "commit another revision, or a change of the project's settings",
            refused=True,
        )

    def steps(self, changes: Sequence[Change[RuntimeSpec, RuntimeState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec = change.spec
            if change.after is None:
                yield _remove(spec)
            elif spec._aim == "back":  # noqa: SLF001 our own
                yield _step(spec, f"go back to the earlier release of {spec.name}", sh("runtime_back @tree@", tree=spec.tree))
            elif spec._aim == "keep" or _only_fell(change):  # noqa: SLF001 our own
                yield _step(spec, f"start {_what(spec, change)} again", sh("runtime_again"))
                yield from _check(spec)
            else:
                yield from _deploy(change)

    def refresh(self, spec: RuntimeSpec) -> Step | None:
        """A unit whose file has changed is restarted. Compose sees by itself what has changed."""
        if not spec.present or not isinstance(spec.runner, SystemdRunner):
            return None
        return _step(spec, f"restart {spec.runner.unit}", sh("runtime_restart"))

    def refresh_word(self, spec: RuntimeSpec) -> str:
        return "restart"

    def renews(self, change: Change[RuntimeSpec, RuntimeState]) -> bool:
        return change.after is not None and not _only_fell(change)

    def links(self, spec: RuntimeSpec) -> Iterable[str]:
        yield f"release:{spec.name}"
        yield from nature.links(spec.runner)

    def made(self, change: Change[RuntimeSpec, RuntimeState]) -> bool:
        """What is started from our tree is ours, even if somebody had started it before."""
        return change.after is not None

    def seen(self, out: bytes, changes: Sequence[Change[RuntimeSpec, RuntimeState]]) -> Mapping[str, Detail]:
        return {
            change.spec.ref: Detail(notes=nature.notes(change.spec.runner)) for change in changes if change.after is not None
        }


def _asked(spec: RuntimeSpec) -> Asked:
    return Asked(spec.name, "runtime", spec.path, spec.folder, spec.tree, spec.runner, link=spec.releases)


def _answer(spec: RuntimeSpec, answered: Answered, noted: Noted) -> Answer[RuntimeState]:
    if noted.closed:
        return Unknown("what was noted about it on the host cannot be read")
    state = RuntimeState(
        tree=noted.tree("note"),
        current=noted.tree("current"),
        earlier=noted.tree("before"),
        refused=noted.words.get("refused"),
        made=noted.words.get("made"),
        settled="trying" not in noted.words,
    )
    words = judging.judge(answered, noted, spec.runner)
    running = judging.running_as_started(answered, noted)
    if isinstance(words, Unknown) or isinstance(running, Unknown):
        unclear = words if isinstance(words, Unknown) else running
        assert isinstance(unclear, Unknown)
        return state.model_copy(update={"engine": unclear.reason}) if answered.engine_down else unclear
    failed = spec.present and state.refused is not None
    if not noted.known and not failed and not judging.exists(answered, spec.runner, words):
        # Files only, and no link to flip: there is nothing that could be missing.
        bare = isinstance(spec.runner, NoRunner) and spec.present and not spec.releases
        return RuntimeState(services={}, settled=True) if bare else None
    return state.model_copy(update={"services": words, "running": running})


def _only_fell(change: Change[RuntimeSpec, RuntimeState]) -> bool:
    """What ran as wanted has stopped, and nothing else: it is started again and nothing is made anew."""
    before = change.before
    if before is None or before.tree is None or not change.fields <= {"services", "running"}:
        return False
    return before.running is False and before.made == nature.made(change.spec.runner)


def _what(spec: RuntimeSpec, change: Change[RuntimeSpec, RuntimeState]) -> str:
    """The services that are not up, for a title."""
    words = (change.before.services if change.before is not None else None) or {}
    fallen = [name for name, word in words.items() if word not in ("up", "left over") and name != "command"]
    return ", ".join(fallen) if 0 < len(fallen) <= 5 else spec.name


def _step(spec: RuntimeSpec, title: str, run: Sh, *, rescues: bool = False, rolls_back: bool = False) -> Step:
    opened = sh(
        "runner_open @name@ runtime @path@ @folder@ || return", name=spec.name, path=spec.path, folder=spec.folder or ""
    )
    return Step(
        (spec.ref,),
        title,
        lines([opened, run]),
        blob=nature.how(spec.runner).encode(),
        timeout=nature.patience(spec.runner),
        rescues=rescues,
        rolls_back=rolls_back,
    )


def _check(spec: RuntimeSpec) -> Iterable[Step]:
    if spec.smoke:
        yield Step((spec.ref,), f"smoke test {spec.name}", Sh(""), check=Check(spec.smoke, spec.port))


def _deploy(change: Change[RuntimeSpec, RuntimeState]) -> Iterable[Step]:
    """Build while the old one runs; start; ask; note it as good. Where that fails and there is one, the earlier one is back."""
    spec = change.spec
    place, commit = spec.tree if spec.releases else "-", spec.commit[:10] or "its tree"
    if isinstance(spec.runner, ComposeRunner) and spec.runner.built:
        names = ", ".join(spec.runner.built)
        yield _step(spec, f"build {names} from {commit}", sh("runtime_build @place@", place=place))
    values = [word for pair in sorted(spec.expect.items()) for word in pair]
    start = sh(
        "runtime_start @place@ @tree@ @link@ @values@", place=place, tree=spec.tree, link=int(spec.releases), values=values
    )
    yield _step(spec, f"start {spec.name} from {commit}", start)
    yield from _check(spec)
    yield _step(
        spec, f"note {commit} as good for {spec.name}", sh("runtime_settle @place@ @tree@", place=place, tree=spec.tree)
    )
    if spec.releases:
        before = change.before
        back = before is not None and (before.earlier is not None or before.tree not in (None, spec.tree))
        title = f"go back to the earlier release of {spec.name}" if back else f"put {commit} of {spec.name} in quarantine"
        yield _step(spec, title, sh("runtime_rescue @tree@", tree=spec.tree), rescues=True, rolls_back=back)


def _remove(spec: RuntimeSpec) -> Step:
    return _step(spec, f"stop {spec.name} for good", sh("runtime_remove @link@", link=int(spec.releases)))
