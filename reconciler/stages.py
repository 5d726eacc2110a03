"""Carries out the work of one host: script after script, with the controller's own questions in between.

A stage is one script. Where a step has a `check`, the script before it ends, the check is asked through the connection, and
what came of it goes into the next script: into its journal, and into the decision which steps make sense. Each script expects
the inventory as the one before it left it, so that a run that came in between is noticed. Called by `cycle.converge`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.draft import Draft
from reconciler.smoke.ask import ask
from reconciler.work import Fate, Work
from state.channel import Channel, HostError, Output
from state.frames import Frame, finished, frames, left_inventory, marks, stopped
from state.inventory import inventory_text
from state.script import INLINE, Stage, compile_apply, staged_name

STEP_MARGIN = 60.0
"""Seconds beyond the sum of the steps' own deadlines that a script may take."""


@dataclass(frozen=True, slots=True)
class StepEvent:
    """Live progress: a step began (`fate` is None) or ended."""

    host: str
    title: str
    number: int
    count: int
    fate: Fate | None = None


Listener = Callable[[StepEvent], None]


@dataclass(slots=True)
class Applied:
    """How far the work came."""

    answered: dict[int, Frame] = field(default_factory=dict)
    stopped: str | None = None
    """Why the host gave up by itself (`state/apply.sh`)."""
    begun: bool = False
    """Something may have been changed."""
    finished: bool = True
    """False: the connection broke, so what became of the rest is unknown."""


async def carry_out(channel: Channel, drafted: Draft, work: Work, listener: Listener | None) -> Applied:
    """Raises `HostError` where nothing was begun; later trouble with the connection comes back as an unfinished `Applied`."""
    way = _Way(channel, drafted, work, listener)
    try:
        await way.go()
    except HostError:
        if not way.applied.begun:
            raise
        way.applied.finished = False
    return way.applied


class _Way:
    """One apply on its way through its stages."""

    def __init__(self, channel: Channel, drafted: Draft, work: Work, listener: Listener | None) -> None:
        self._channel, self._drafted, self._work, self._listener = channel, drafted, work, listener
        self._expected = drafted.inventory.read_digest
        self._asked: list[int] = []
        self.applied = Applied()

    async def go(self) -> None:
        scripts = [numbers for numbers in self._work.stages if self._work.steps[numbers.start].step.check is None]
        for numbers in self._work.stages:
            if numbers not in scripts:
                await self._ask(numbers.start)
            elif not await self._run(numbers, begins=numbers == scripts[0], last=numbers == scripts[-1]):
                return

    async def _ask(self, number: int) -> None:
        """The controller's part: a check, unless what it waits for did not succeed."""
        planned = self._work.steps[number]
        assert planned.step.check is not None
        if any(not self.applied.answered[other].ok for other in planned.after):
            self.applied.answered[number] = Frame("skipped", b"")
        else:
            self._tell(number, None)
            verdict = await ask(self._channel, planned.step.check)
            self.applied.answered[number] = Frame("0" if verdict.ok else "1", verdict.words.encode("utf-8", "surrogateescape"))
        self._tell(number, fate_of(self.applied.answered[number].status))
        self._asked.append(number)

    async def _run(self, numbers: range, *, begins: bool, last: bool) -> bool:
        """One script. False where the way ends with it."""
        steps = [self._work.steps[number] for number in numbers]
        stage = Stage(
            first=numbers.start,
            begins=begins,
            last=last,
            outcomes={number: frame.status for number, frame in self.applied.answered.items()},
            asked=tuple(self._asked),
            parcels=await self._send_contents(numbers),
        )
        script = compile_apply(
            steps,
            expected=self._expected,
            journal=inventory_text(self._drafted.inventory.record, self._work.intent),
            libraries=self._work.libraries,
            inventory=self._drafted.host.inventory,
            set_aside=begins and self._drafted.inventory.broken is not None,
            stage=stage,
        )
        deadline = sum(planned.step.timeout for planned in steps) + STEP_MARGIN
        watch = _Watch(script.nonce, self._tell) if self._listener else None
        output = await self._channel.run(script.text, deadline=deadline, watch=watch)
        self._asked.clear()
        return self._read(output, script.nonce, last=last)

    def _read(self, output: Output, nonce: str, *, last: bool) -> bool:
        self.applied.answered |= frames(output.stdout, output.stderr, nonce)
        self.applied.stopped = stopped(output.stdout, nonce)
        if self.applied.stopped is not None:
            return False
        self.applied.begun = True
        self.applied.finished = finished(output.stdout, nonce)
        if not self.applied.finished:
            return False
        if not last:
            self._expected = left_inventory(output.stdout, nonce)
        return True

    async def _send_contents(self, numbers: range) -> Mapping[int, tuple[str, ...]]:
        """Uploads what is too large for the script; the names of each step's parcels."""
        folder = staging(self._drafted)
        parcels: dict[int, tuple[str, ...]] = {}
        sent: set[str] = set()
        for number in numbers:
            planned = self._work.steps[number]
            blob = planned.step.blob
            if blob is not None and len(blob) > INLINE and staged_name(blob) not in sent:
                await self._channel.upload(folder, staged_name(blob), blob)
                sent.add(staged_name(blob))
            if any(not self.applied.answered[other].ok for other in planned.after if other in self.applied.answered):
                continue
            names = []
            for make in planned.step.parcels:
                parcel = await asyncio.to_thread(make)  # packing a large tree takes seconds, in which other hosts go on
                names.append(staged_name(parcel))
                await self._channel.upload(folder, names[-1], parcel)
            parcels[number] = tuple(names)
        return parcels

    def _tell(self, number: int, fate: Fate | None) -> None:
        steps = self._work.steps
        if self._listener is None or number >= len(steps):
            return
        if not (steps[number].step.rescues and fate == "skipped"):  # nobody needs to know what need not be put right
            self._listener(StepEvent(self._drafted.host.name, steps[number].step.title, number, len(steps), fate))


def staging(drafted: Draft) -> str:
    """The folder on the host where large contents wait for their step."""
    facts = drafted.snapshot.facts
    folder = drafted.host.inventory or ("/var/lib/reconciler" if facts.uid == 0 else f"{facts.home}/.local/state/reconciler")
    return f"{folder}/staged"


def fate_of(status: str) -> Fate:
    known: dict[str, Fate] = {"0": "done", "late": "late", "skipped": "skipped"}
    return known.get(status, "failed")


class _Watch:
    """Turns the marks in the stream into events as they come."""

    def __init__(self, nonce: str, tell: Callable[[int, Fate | None], None]) -> None:
        self._nonce, self._tell = nonce, tell
        self._seen = b""

    def __call__(self, piece: bytes) -> None:
        self._seen += piece
        consumed = 0
        for mark in marks(self._seen, self._nonce):
            consumed = mark.end
            match mark.words:
                case ("b", number) if number.isdecimal():
                    self._tell(int(number), None)
                case ("e", number, status) if number.isdecimal():
                    self._tell(int(number), fate_of(status))
        self._seen = self._seen[consumed:]
