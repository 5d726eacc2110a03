"""From one host's report to its snapshot: what every asked resource is, who we are there, and what we remember having made.

`Probe` compiles the script once per desired state and host; `read` turns the answer into a `Snapshot`. The loop asks the
same probe again and again: when the host's report is byte for byte the one of last time, the same `Snapshot` comes back and
nothing is parsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from providers.base import Answer, Facts, Provider, Spec, Unknown
from state.channel import Channel, Output
from state.facts import facts_probe, parse_facts
from state.frames import Frame, finished, frames
from state.inventory import Inventory, inventory_probe, parse_inventory
from state.script import Compiled, Fragment, compile_probe

AnyProvider = Provider[Any, Any]
DEADLINE = 120.0
"""Seconds that a host has for its whole report; the fragments have deadlines of their own on the host."""
LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a host is, at one moment."""

    facts: Facts
    inventory: Inventory | None
    """None: it could not be read, so nothing is known about ownership and nothing may be removed."""
    answers: Mapping[str, Answer[Any]]
    """Reference → state, None for absent, or `Unknown`. Every asked resource is in it."""
    digest: str
    """Of the report it was read from: equal digests mean that nothing has changed."""


@dataclass(slots=True)
class Probe:
    """All questions for one host, as one script."""

    groups: Sequence[tuple[AnyProvider, Sequence[Spec]]]
    inventory_folder: str | None = None
    script: Compiled = field(init=False)
    _last: Snapshot | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        fragments = [Fragment(facts_probe(), 10), Fragment(inventory_probe(), 10)]
        fragments += [Fragment(provider.probe(specs)) for provider, specs in self.groups]
        self.script = compile_probe(fragments, inventory=self.inventory_folder)

    async def ask(self, channel: Channel) -> Snapshot:
        """Raises `HostError` when the host could not be asked; a partial answer comes back as unknowns."""
        output = await channel.run(self.script.text, deadline=DEADLINE)
        return self.read(output)

    def read(self, output: Output) -> Snapshot:
        digest = hashlib.sha256(output.stdout).hexdigest()
        if self._last is None or self._last.digest != digest:
            self._last = self._parse(output, digest)
        return self._last

    def _parse(self, output: Output, digest: str) -> Snapshot:
        answered = frames(output.stdout, output.stderr, self.script.nonce)
        lost = _why_lost(output, self.script.nonce)
        facts = answered.get(0)
        inventory = answered.get(1)
        answers: dict[str, Answer[Any]] = {}
        for number, (provider, specs) in enumerate(self.groups, 2):
            answers |= read_answers(provider, specs, answered.get(number), lost)
        return Snapshot(
            facts=parse_facts(facts.out) if facts else Facts(),
            inventory=parse_inventory(inventory.out) if inventory and inventory.ok else None,
            answers=answers,
            digest=digest,
        )


def read_answers(provider: AnyProvider, specs: Sequence[Spec], frame: Frame | None, lost: str) -> dict[str, Answer[Any]]:
    """The answers of one kind; whatever did not answer clearly is `Unknown` with the reason."""
    if frame is None:
        return {spec.ref: Unknown(lost) for spec in specs}
    if not frame.ok:
        return {spec.ref: Unknown(_why_failed(frame)) for spec in specs}
    parsed = provider.parse(frame.out, specs)
    silent = Unknown("the host's answer does not say")
    return {spec.ref: parsed.get(spec.name, silent) for spec in specs}


def _why_failed(frame: Frame) -> str:
    if frame.status == "late":
        return "the host did not answer in time (a dead network file system?)"
    text = frame.err.decode("utf-8", "replace").strip()
    return text.splitlines()[-1][:LONGEST_REASON] if text else f"the question ended with status {frame.status}"


def _why_lost(output: Output, nonce: str) -> str:
    if output.cut:
        return "the host's report was longer than is read"
    if output.status is None:
        return "the connection broke while the host was answering"
    if not finished(output.stdout, nonce):
        return f"the shell on the host ended early (status {output.status})"
    return "the host's report does not hold an answer"
