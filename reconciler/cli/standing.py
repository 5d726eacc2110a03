"""Where a project stands on its hosts, as far as a rollback must know: what failed there, and what is still there.

Called by `rolling_back.py`. A host that cannot be asked stops nothing, because going back is what one does when things are
broken; it is said, so that a person can judge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from desired.model import Host
from reconciler.cli.editing import ProjectFile
from reconciler.cli.origin import Origin
from reconciler.errors import CommandError
from reconciler.fleet_run import AT_ONCE, target_of
from reconciler.remembered import Remembered, ask
from state.channel import HostError
from state.connect import connect


@dataclass(frozen=True, slots=True)
class Standing:
    """What the hosts answered."""

    origin: Origin
    hosts: Mapping[str, Remembered] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What could not be asked."""

    def failed(self, revision: str) -> list[str]:
        """Hosts on which the commit of `revision` failed a smoke test."""
        commit = self._commit(revision)
        return [host for host, known in self.hosts.items() if commit is not None and commit in known.failed]

    def ready(self, revision: str) -> list[str]:
        """Where going back to `revision` takes no more than a switch."""
        commit = self._commit(revision)
        return [words for host, known in self.hosts.items() if commit is not None and (words := _ready(host, known, commit))]

    def failed_slot(self, slot: str) -> list[str]:
        """Hosts on which what the slot holds failed a smoke test."""
        return [host for host, known in self.hosts.items() if known.slots.get(slot) in known.quarantine]

    def ready_slot(self, slot: str) -> list[str]:
        return [
            f"{host}: {slot} still holds {commit[:10]}; going back is a switch of the proxy"
            for host, known in self.hosts.items()
            if (commit := known.commit_of(known.slots.get(slot))) is not None
        ]

    def _commit(self, revision: str) -> str | None:
        try:
            return self.origin.resolve(revision).commit
        except CommandError:
            return None


def _ready(host: str, known: Remembered, commit: str) -> str:
    for slot, tree in known.slots.items():
        if known.commit_of(tree) == commit:
            if slot == known.route:
                return f"{host}: {slot} has the traffic and holds it already"
            return f"{host}: {slot} still holds it; going back is a switch of the proxy, which is instant"
    if known.has(commit) and (known.slots or known.runtime is not None):
        return f"{host}: its release is still there; nothing is sent"
    return ""


async def standing(file: ProjectFile, origin: Origin) -> Standing:
    """Asks the project's hosts, all at once."""
    turns = asyncio.Semaphore(AT_ONCE)
    hosts: dict[str, Remembered] = {}
    notes: dict[str, str] = {}

    async def one(host: Host) -> None:
        async with turns:
            try:
                channel = await connect(target_of(host), known_hosts=file.fleet.known_hosts)
                try:
                    answer = (await ask(channel, [file.name], host.inventory)).get(file.name)
                finally:
                    await channel.close()
            except HostError as error:
                notes[host.name] = str(error)
                return
        if answer is None:
            notes[host.name] = "its notes on the project could not be read"
        else:
            hosts[host.name] = answer

    await asyncio.gather(*(one(file.fleet.hosts[name]) for name in file.hosts))
    unasked = tuple(f"whether a revision failed on {name} is not known: {notes[name]}" for name in file.hosts if name in notes)
    return Standing(origin, {name: hosts[name] for name in file.hosts if name in hosts}, unasked)


def look(file: ProjectFile, origin: Origin, *, offline: bool) -> Standing:
    if offline:
        return Standing(origin, notes=("no host was asked (--offline): whether a revision failed somewhere is not known",))
    return asyncio.run(standing(file, origin))
