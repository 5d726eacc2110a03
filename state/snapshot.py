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
from providers.secret import redact
from state.channel import Channel, LoginError, Output
from state.facts import facts_probe, parse_facts
from state.frames import Frame, finished, frames, marks
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
    """All questions for one host, as one script, with what was answered before.

    From the second time on the host is not asked again what it is, and says of its inventory only that it is the same.
    """

    groups: Sequence[tuple[AnyProvider, Sequence[Spec]]]
    inventory_folder: str | None = None
    script: Compiled = field(init=False)
    _facts: Facts | None = field(init=False, default=None)
    _inventory: Inventory | None = field(init=False, default=None)
    _last: Snapshot | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._compile()

    async def ask(self, channel: Channel) -> Snapshot:
        """Raises `HostError` when the host could not be asked; a partial answer comes back as unknowns."""
        output = await channel.run(self.script.text, deadline=DEADLINE)
        if output.status is not None and not any(marks(output.stdout, self.script.nonce)):
            raise _not_a_shell(output)
        return self.read(output)

    def read(self, output: Output) -> Snapshot:
        digest = hashlib.sha256(output.stdout).hexdigest()
        if self._last is None or self._last.digest != digest:
            self._last = self._parse(output, digest)
        return self._last

    def _compile(self) -> None:
        """The fragments stand as `_parse` takes their frames: inventory, kinds, and the first time the facts."""
        known = self._inventory.title if self._inventory is not None else ""
        fragments = [Fragment(inventory_probe(known), 10)]
        fragments += [Fragment(provider.probe(specs)) for provider, specs in self.groups]
        if self._facts is None:
            fragments.append(Fragment(facts_probe(), 10))
        self.script = compile_probe(fragments, inventory=self.inventory_folder)

    def _parse(self, output: Output, digest: str) -> Snapshot:
        answered = frames(output.stdout, output.stderr, self.script.nonce)
        lost = _why_lost(output, self.script.nonce)
        inventory = self._read_inventory(answered.get(0))
        answers: dict[str, Answer[Any]] = {}
        for number, (provider, specs) in enumerate(self.groups, 1):
            answers |= read_answers(provider, specs, answered.get(number), lost)
        asked = answered.get(len(self.groups) + 1)
        facts = self._facts or (parse_facts(asked.out) if asked is not None and asked.ok else None)
        self._remember(facts, inventory)
        return Snapshot(facts=facts or Facts(), inventory=inventory, answers=answers, digest=digest)

    def _read_inventory(self, frame: Frame | None) -> Inventory | None:
        if frame is None or not frame.ok:
            return None
        if self._inventory is not None and frame.out == f"{self._inventory.title}\n".encode():
            return self._inventory
        return parse_inventory(frame.out)

    def _remember(self, facts: Facts | None, inventory: Inventory | None) -> None:
        settled = inventory if inventory is not None and inventory.title and not inventory.unfinished else None
        if settled is not None and facts is not None and (self._facts is None or settled is not self._inventory):
            self._facts, self._inventory = facts, settled
            self._compile()


def read_answers(provider: AnyProvider, specs: Sequence[Spec], frame: Frame | None, lost: str) -> dict[str, Answer[Any]]:
    """The answers of one kind; whatever did not answer clearly is `Unknown` with the reason."""
    if frame is None:
        return {spec.ref: Unknown(lost) for spec in specs}
    if not frame.ok:
        return {spec.ref: Unknown(_why_failed(frame)) for spec in specs}
    parsed = provider.parse(frame.out, specs)
    silent = Unknown("the host's answer does not say")
    return {spec.ref: parsed.get(spec.name, silent) for spec in specs}


def _not_a_shell(output: Output) -> LoginError:
    """The script was taken and never begun: a login shell that runs nothing, or a command forced on our key."""
    said = (output.stdout + b"\n" + output.stderr).decode("utf-8", "replace").split("\n")
    words = next((line.strip() for line in said if line.strip()), f"it ended with status {output.status}")
    return LoginError(
        f"the login there did not run our script, but said: {redact(words)[:LONGEST_REASON]}",
        "check the user's login shell on the host",
    )


def _why_failed(frame: Frame) -> str:
    if frame.status == "late":
        return "the host did not answer in time (a dead network file system?)"
    text = redact(frame.err.decode("utf-8", "replace").strip())
    return text.splitlines()[-1][:LONGEST_REASON] if text else f"the question ended with status {frame.status}"


def _why_lost(output: Output, nonce: str) -> str:
    if output.cut:
        return "the host's report was longer than is read"
    if output.status is None:
        return "the connection broke while the host was answering"
    if not finished(output.stdout, nonce):
        return f"the shell on the host ended early (status {output.status})"
    return "the host's report does not hold an answer"
