"""The contract of a kind of resource. Read this first; `files.py` is the model to copy for a new kind.

A kind says four things and does nothing itself:

    probe   how to ask a host: ONE read-only piece of shell for all resources of the kind
    parse   how to read the answer: a state, `None` for absent, or `Unknown`; what is left out is unknown too
    want    which state satisfies a spec, as the same model that `parse` yields, so that one generic diff serves all
    steps   how to get there: a list of `Step`, data until `state/script.py` compiles them and a channel carries them

Who calls it: `state/` compiles the probes of a host into one script and hands the answers to `parse`; `reconciler/draft.py`
compares with `want`; `reconciler/work.py` orders `steps` and `reconciler/cycle.py` sends them. A kind is registered by one
word in `registry.py`.

What a fragment of shell may rely on (`state/prelude.sh`, `state/apply.sh`): POSIX sh, `LC_ALL=C`, a PATH with the sbin
folders, stdin from /dev/null, a subshell of its own, `set -u` off, `set -e` off. It is run as the user that the host's
`become` gives. In a probe, write only to stdout; stderr is kept for the message when something fails. The exit status
of a probe fragment other than 0 makes every resource of the kind on that host unknown.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

from pydantic import Field, PrivateAttr

from providers.model import Ensure, Line, Mode, Model, Seq, Sync
from providers.shell import Sh
from providers.smoke import Check

__all__ = ["Ensure", "Line", "Mode", "Model", "Seq", "Sync"]


class Spec(Model):
    """What the repository asks for: one resource. Subclasses add their own fields, each with a description and an example."""

    kind: ClassVar[str] = ""
    """Singular, as it stands in references: `file`, `package`."""
    prefix: ClassVar[str] = ""
    """Put before the name in a reference: "apt/" makes `package:apt/nginx`."""
    blobs: ClassVar[str | None] = None
    """The field that names a file of the fleet repository, if the kind has one: the loader puts its content into `body`."""
    shorthand: ClassVar[str | None] = None
    """The field that a bare value in a manifest stands for: `vm.swappiness: 10` instead of `vm.swappiness: {value: 10}`."""

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    ensure: Annotated[Ensure, Field(description="present, or absent to remove it")] = "present"
    needs: Annotated[Seq[str], Field(description="Resources that must be applied first", examples=[["package:apt/nginx"]])] = ()
    follows: Annotated[
        Seq[str], Field(description="Resources after whose change this one is refreshed (restarted, reloaded, run again)")
    ] = ()
    sync: Annotated[Sync | None, Field(description="Policy of this resource alone; default: the host's")] = None

    _body: bytes | None = PrivateAttr(default=None)

    @property
    def ref(self) -> str:
        """The reference that stands in plans, history and alerts: `file:/etc/motd`."""
        return f"{self.kind}:{self.prefix}{self.name}"

    @property
    def present(self) -> bool:
        return self.ensure == "present"

    @property
    def body(self) -> bytes | None:
        """The bytes that the resource installs (rendered content, a key, a .deb); never part of a dump or a `repr`."""
        return self._body

    def with_body(self, body: bytes) -> Self:
        """A copy that carries `body`."""
        copy = self.model_copy()
        copy._body = body  # noqa: SLF001 our own
        return copy

    def absent(self) -> Self:
        """The same resource, unwanted: what a prune acts on."""
        return self.model_copy(update={"ensure": "absent"})

    def record(self) -> dict[str, Any]:
        """What the inventory on the host keeps: the fields that were set, without long contents and without policy."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"name", "needs", "follows", "sync"} | self.bulky())

    def bulky(self) -> set[str]:
        """Fields whose value is content rather than description, and therefore is not kept in the inventory."""
        return set()

    def digest(self) -> str:
        """Changes when, and only when, what is asked for changes: tells a new commit from drift."""
        text = self.model_dump_json(exclude_defaults=True, exclude={"needs", "follows", "sync"} | self.bulky())
        content = hashlib.sha256(self._body).hexdigest() if self._body is not None else ""
        return hashlib.sha256(f"{text}\n{content}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


class State(Model):
    """What a host has, or should have. `None` in a field: not managed (in a wanted state), not there (in an actual one)."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The third answer of a probe: it could not be told. Never acted on; `reason` is shown."""

    reason: str
    refused: bool = False
    """It could be told, and must not be done: a release that failed its smoke tests."""


SpecT = TypeVar("SpecT", bound=Spec)
StateT = TypeVar("StateT", bound=State)
Cause: TypeAlias = Literal["due"]
"""`due`: its time has come."""
Answer: TypeAlias = StateT | Unknown | None


@dataclass(frozen=True, slots=True)
class Detail:
    """What a second, closer look at a change yielded for the preview (see `Provider.look`)."""

    diff: tuple[str, ...] = ()
    """Lines of a unified text diff, without newline."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader: "binary, 12 kB → 14 kB", "version 1.26.3-1"."""
    removes: tuple[str, ...] = ()
    """What goes away besides the resource itself: packages that leave with it. Counted against the deletion budget."""
    along: tuple[str, ...] = ()
    """What has left the repository and goes by a change of its own, but may go with this one already."""
    brings: tuple[str, ...] = ()
    """What comes besides the resource itself: packages pulled in as dependencies."""
    unsure: str | None = None
    """Why the outcome can't be known yet ("after apt-get update"); None when it is known."""
    have: str = field(default="", repr=False, compare=False)
    """What the host said that a step needs to know and nobody needs to see: what it has already, and need not be sent."""


@dataclass(frozen=True, slots=True)
class Change(Generic[SpecT, StateT]):
    """One difference between what is and what should be. `before` or `after` is `None` where the resource is absent."""

    spec: SpecT
    before: StateT | None
    after: StateT | None
    fields: frozenset[str]
    """The fields that differ; empty when the resource is created or removed."""
    detail: Detail | None = None
    """What the preview's closer look saw (`Provider.look`), where there was one: a step may do what was shown, and no more."""

    @property
    def action(self) -> Literal["create", "change", "delete"]:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "change"


@dataclass(frozen=True, slots=True)
class Step:
    """An action as data: what runs on the host, for which resources, and with which content.

    `run` is a fragment of shell that must exit 0 when, and only when, it did its work; it may be killed at any moment and
    run again. `blob`, if given, lies in the file "$blob" (0600, checked) while `run` runs. "$stage" is a scratch folder (0700)
    that vanishes afterwards; nothing but `blob` and `parcels` is in it. Its output (both streams) is kept and shown when it
    fails. A folder that it makes for itself elsewhere (0700, with nothing but files in it), it first notes in the file
    "$litter": when the step is killed, that folder is swept away.

    A step with a `check` runs nothing on the host: the controller asks, through the connection, between two scripts. A step
    that `rescues` runs only where an earlier step of the same resource was begun and did not succeed; it puts things right, and
    never makes the work count as done.
    """

    refs: tuple[str, ...]
    title: str
    run: Sh
    blob: bytes | None = field(default=None, repr=False)
    timeout: int = 60
    """Seconds after which the step and all that it started are ended, and it counts as failed."""
    parcels: tuple[Callable[[], bytes], ...] = field(default=(), repr=False)
    """Large contents, each made only when it is sent: while `run` runs they lie in "$parcels/1", "$parcels/2", … (0600)."""
    check: Check | None = None
    rescues: bool = False
    rolls_back: bool = False
    """A rescue after which what was there before serves again: the run ends as rolled back."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a host before any resource is looked at. Data from a host: hostile until proven otherwise."""

    os_id: str = ""
    os_version: str = ""
    codename: str = ""
    arch: str = ""
    kernel: str = ""
    hostname: str = ""
    boot_id: str = ""
    uid: int = -1
    """-1: could not be told."""
    home: str = ""
    systemd: bool = False


class Provider(ABC, Generic[SpecT, StateT]):
    """A kind of resource. Five methods to write; the rest are optional traits with a default that means "not for this kind"."""

    name: ClassVar[str]
    """The kind's word in the registry, in fixtures and in documentation: `file`, `apt`, `service`."""
    section: ClassVar[str]
    """Where a manifest lists it: `files`, or `packages.apt`."""
    rank: ClassVar[int] = 50
    """Where nothing else decides, lower ranks are applied first and removed last: groups 10, users 20, repositories 30,
    packages 40, directories 50, symlinks 55, files 60, sysctl 65, cron 65, commands 70, services 80, releases 85, runtimes 86,
    slots 87, routes 88."""
    library: ClassVar[Sh] = Sh("")
    """Shell functions that the steps of this kind use; sent once per script, before any step."""
    shares_path: ClassVar[bool] = False
    """Its path is a folder that may be declared as well, and in which others may lie: when it leaves, it takes along what it
    installed there and nothing beside it."""
    left_behind: ClassVar[str] = "it was there before us"
    """Why something that we did not make stays on the host when it leaves the repository."""
    tools: ClassVar[tuple[str, ...]] = ()
    """Programs a host must have for this kind, beyond POSIX sh and coreutils-like tools (`host check` asks for them)."""

    spec: type[SpecT]
    state: type[StateT]

    @abstractmethod
    def probe(self, specs: Sequence[SpecT]) -> Sh:
        """MUST only read. One fragment for all `specs`; names come back as indexes into `specs`, never as text."""

    @abstractmethod
    def parse(self, out: bytes, specs: Sequence[SpecT]) -> Mapping[str, Answer[StateT]]:
        """From the fragment's stdout to an answer per `spec.name`. MUST be total: broken output gives `Unknown` or leaves the
        name out, never an exception, never a guess, never absent."""

    @abstractmethod
    def want(self, spec: SpecT) -> StateT | None:
        """The state that satisfies `spec`, normalised like `parse`'s; `None` when it should be absent. A field left `None` is
        not compared."""

    @abstractmethod
    def steps(self, changes: Sequence[Change[SpecT, StateT]], facts: Facts) -> Iterable[Step]:
        """How to make it so. MUST be safe to repeat after being killed anywhere. Together the steps' refs cover all changes."""

    def aim(self, spec: SpecT, answers: Mapping[str, Answer[Any]]) -> SpecT | Unknown:
        """What `spec` asks for in view of what the host is (reference → answer, of all its resources): the slot that is not
        live gets the new release. Pure, and settled: aimed again after its own steps, it asks for nothing more. `Unknown`: it
        cannot be told, or must not be done, and `reason` says why; then nothing is done and it is reported. Default: itself."""
        return spec

    def cause(self, change: Change[SpecT, StateT]) -> Cause | None:
        """Why `change` is there where neither git nor the host has moved: a soak is over. None: found by comparing."""
        return None

    def notices(self, spec: SpecT, before: StateT) -> tuple[str, ...]:
        """What is worth telling of `before` and is left as it is: files in a deployed tree that are not ours."""
        return ()

    def refresh(self, spec: SpecT) -> Step | None:
        """What to do when something that `spec` follows has changed. None: following has no effect for this kind."""
        return None

    def foresee(self, spec: SpecT, before: StateT, coming: Collection[str]) -> StateT:
        """What `before` will have become by the time when `coming` (references that this run creates or changes) is applied: a
        unit whose file is written is not what systemd has read. Default: the same."""
        return before

    def idle(self, spec: SpecT) -> str | None:
        """What to give so that `spec` asks for anything at all; None where it does. Told as a warning."""
        return None

    def refresh_word(self, spec: SpecT) -> str:
        """The verb for the plan: "restart", "reload", "run"."""
        return "refresh"

    def renews(self, change: Change[SpecT, StateT]) -> bool:
        """Whether applying `change` already does what a refresh would do (a service that is started need not be restarted)."""
        return False

    def links(self, spec: SpecT) -> Iterable[str]:
        """References that `spec` needs by its nature, where they are declared: a file its owner's `user:ops`. Paths on the way
        (a file's directories) are found by `paths` and need not be listed."""
        return ()

    def path(self, spec: SpecT) -> str | None:
        """The absolute path that the resource owns on the host, if it owns one: no two resources may own the same."""
        return None

    def look(self, changes: Sequence[Change[SpecT, StateT]]) -> Sh | None:
        """A second read-only fragment, asked for the preview only where there are changes: contents for a text diff, apt's own
        simulation. MUST only read."""
        return None

    def seen(self, out: bytes, changes: Sequence[Change[SpecT, StateT]]) -> Mapping[str, Detail]:
        """What `look` answered, per reference. Total like `parse`."""
        return {}

    def made(self, change: Change[SpecT, StateT]) -> bool:
        """Whether applying `change` makes the resource ours to remove one day. Default: it was absent before."""
        return change.before is None

    def keeps(self, spec: SpecT, before: StateT) -> str | None:
        """Why something of ours that left the repository stays on the host all the same: it holds what is not ours."""
        return None

    def deletions(self, change: Change[SpecT, StateT]) -> tuple[str, ...]:
        """What the change itself deletes, for the budget: by default the resource's reference when it is removed."""
        return (change.spec.ref,) if change.action == "delete" else ()

    def adjust(self, spec: SpecT, neighbours: Mapping[str, str | None]) -> SpecT:
        """A chance to look at the host's other resources once, when the manifest is complete (a purged directory keeps what is
        declared in it). `neighbours`: reference → the path that it owns, if it owns one."""
        return spec
