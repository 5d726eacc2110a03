"""A host made by hand, reached for real: this machine's shell, with the inventory in the test's own folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from desired.model import Address, Host, Place, Resource
from providers.base import Spec, Sync
from providers.commands import CommandSpec
from providers.directories import DirectorySpec
from providers.files import FileSpec
from reconciler.cycle import Outcome, Session, converge
from reconciler.draft import Draft
from state.connect import connect
from state.inventory import Record, parse_inventory
from state.target import Target

COMMIT = "c" * 40


def asked(spec: Spec, *, needs: Iterable[str] = (), follows: Iterable[str] = (), line: int = 1) -> Resource:
    return Resource(spec, Place("hosts/box.yaml", line, 3), frozenset(needs), frozenset(follows))


@dataclass(slots=True)
class Box:
    """One host and its desired state, which a test may change between two runs."""

    folder: Path
    resources: list[Resource] = field(default_factory=list)
    sync: Sync = "enforce"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory-folder" / "inventory"

    def record(self) -> Record:
        """What the host remembers."""
        return parse_inventory(self.inventory.read_bytes()).record

    def host(self) -> Host:
        return Host(
            name="box",
            place=Place("hosts/box.yaml"),
            address=Address("local"),
            inventory=str(self.inventory.parent),
            sync=self.sync,
            resources=tuple(self.resources),
        )

    def file(
        self, name: str, content: str = "text\n", *, follows: Iterable[str] = (), needs: Iterable[str] = (), **fields: object
    ) -> str:
        """Asks for a file; its reference."""
        spec = FileSpec.model_validate({"name": str(self.folder / name), "content": content, **fields}).with_body(
            content.encode()
        )
        self.resources.append(asked(spec, needs=needs, follows=follows))
        return spec.ref

    def directory(self, name: str, **fields: object) -> str:
        spec = DirectorySpec.model_validate({"name": str(self.folder / name), **fields})
        self.resources.append(asked(spec))
        return spec.ref

    def command(self, name: str, run: str, *, follows: Iterable[str] = (), needs: Iterable[str] = (), **fields: object) -> str:
        guard = fields or {"unless": "true"}  # only when something that it follows changes
        spec = CommandSpec.model_validate({"name": name, "run": run, **guard})
        self.resources.append(asked(spec, needs=needs, follows=follows))
        return spec.ref

    def forget(self, ref: str) -> None:
        """Takes a resource out of the repository."""
        self.resources = [resource for resource in self.resources if resource.ref != ref]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        channel = await connect(Target(name="box", host="local"))
        try:
            yield Session(self.host(), channel)
        finally:
            await channel.close()

    async def plan(self) -> Draft:
        async with self.session() as session:
            return await session.survey()

    async def apply(self) -> Outcome:
        async with self.session() as session:
            return await converge(session, await session.survey(), COMMIT)
