"""A host on paper: desired state, what a probe would have answered, and what the inventory remembers. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from desired.model import Address, Host, Place, Resource
from desired.policies import IgnoreRule
from providers.apt import AptSpec
from providers.base import Answer, Detail, Facts, Spec, Sync, Unknown
from providers.commands import CommandSpec
from providers.directories import DirectorySpec
from providers.files import FileSpec
from providers.registry import provider_of
from providers.services import ServiceSpec
from providers.symlinks import SymlinkSpec
from reconciler.draft import Draft, draft, with_details
from reconciler.order import REFRESH, Batch, arrange
from reconciler.work import Work, make_work
from state.inventory import Entry, Inventory, Record
from state.snapshot import Snapshot

Found = Literal["missing", "as asked", "different", "unknown"]

_DIFFERENT: Mapping[str, Mapping[str, Any]] = {
    "package": {"status": "half-configured"},
    "service": {"enabled": False},
    "file": {"digest": "of another content"},
    "directory": {"mode": "0700"},
    "symlink": {"target": "/elsewhere"},
    "command": {"done": False},
}


@dataclass(slots=True)
class Paper:
    """Resources are added in an order in which what is needed comes first, as the loader hands them on."""

    sync: Sync = "enforce"
    ignore: tuple[IgnoreRule, ...] = ()
    resources: dict[str, Resource] = field(default_factory=dict)
    answers: dict[str, Answer[Any]] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        spec: Spec,
        found: Found = "missing",
        *,
        needs: Iterable[str] = (),
        follows: Iterable[str] = (),
        applied: bool = False,
    ) -> str:
        """Asks for something; `applied`: an earlier run brought it to what is asked. Its reference."""
        needs, follows = frozenset(needs), frozenset(follows)
        self.resources[spec.ref] = Resource(
            spec, Place("hosts/paper.yaml", 1 + len(self.resources), 1), needs | follows, follows
        )
        self.answers[spec.ref] = _answer(spec, found)
        if applied:
            self.entries[spec.ref] = Entry(digest=spec.digest(), made=True, spec=spec.record())
        return spec.ref

    def left(self, spec: Spec, *, made: bool = True, found: Found = "as asked") -> str:
        """What an earlier commit asked for, and this one does not."""
        self.entries[spec.ref] = Entry(digest=spec.digest(), made=made, spec=spec.record())
        self.answers[spec.ref] = _answer(spec, found)
        return spec.ref

    @property
    def host(self) -> Host:
        resources = tuple(self.resources.values())
        place, address = Place("hosts/paper.yaml"), Address("local")
        return Host("paper", place, address, sync=self.sync, ignore=self.ignore, resources=resources)

    @property
    def draft(self) -> Draft:
        inventory = Inventory(record=Record(resources=self.entries, pending=self.pending), read_digest="read")
        return draft(self.host, Snapshot(Facts(), inventory, self.answers, "report"))

    @property
    def batches(self) -> list[Batch]:
        return arrange(self.draft)

    @property
    def order(self) -> list[list[str]]:
        """The batches by the names of their work."""
        return [names_of(batch) for batch in self.batches]

    def work(self, details: Mapping[str, Detail] | None = None) -> Work:
        return make_work(with_details(self.draft, details or {}), "c" * 40)


def names_of(batch: Batch) -> list[str]:
    return [item.ref if hasattr(item, "change") else REFRESH + item.ref for item in batch.work]


def _answer(spec: Spec, found: Found) -> Answer[Any]:
    if found == "missing":
        return None
    if found == "unknown":
        return Unknown("the disk does not answer")
    # What an unwanted thing looks like while it is there, its wanted twin would look like.
    there = provider_of(spec.ref).want(spec if spec.present else spec.model_copy(update={"ensure": "present"}))
    assert there is not None
    return there if found == "as asked" else there.model_copy(update=_DIFFERENT[spec.kind])


def file(name: str, content: str = "text\n", **fields: Any) -> FileSpec:
    return FileSpec.model_validate({"name": name, "content": content, **fields}).with_body(content.encode())


def directory(name: str, **fields: Any) -> DirectorySpec:
    return DirectorySpec.model_validate({"name": name, "mode": "0755", **fields})


def symlink(name: str, **fields: Any) -> SymlinkSpec:
    return SymlinkSpec.model_validate({"name": name, "target": "/target", **fields})


def package(name: str, **fields: Any) -> AptSpec:
    return AptSpec.model_validate({"name": name, **fields})


def service(name: str, **fields: Any) -> ServiceSpec:
    return ServiceSpec.model_validate({"name": name, **fields})


def command(name: str, **fields: Any) -> CommandSpec:
    return CommandSpec.model_validate({"name": name, "run": "true", **(fields or {"unless": "true"})})
