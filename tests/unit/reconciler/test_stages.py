"""Work in stages on a real shell: the controller's smoke tests decide what the host does next."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.base import Step
from providers.shell import Sh, sh
from providers.smoke import Check, Smoke
from reconciler.stages import Applied, StepEvent, carry_out
from reconciler.work import Work, fates, rolled_back
from state.inventory import Intent
from state.script import INLINE, PlannedStep
from tests.unit.reconciler.hosts import Box
from tests.unit.reconciler.services import saying, serving

ROUTE = "route:site"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
NOTHING = Sh("")
BAD = b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\nboom"


def step(title: str, run: Sh = NOTHING, **fields: object) -> Step:
    return Step((ROUTE,), title, run, **fields)  # type: ignore[arg-type]


def said(path: Path, word: str) -> Sh:
    return sh("echo @word@ >>@path@", word=word, path=str(path))


def switch(log: Path, first: int, second: int) -> Work:
    """What a route does: smoke test, switch, smoke test, settle; with its rescues."""

    def check(port: int) -> Check:
        return Check((Smoke(tries=1, deadline=5),), port=port)

    steps = (
        PlannedStep(step("ask the slot", check=check(first))),
        PlannedStep(step("quarantine", said(log, "quarantined"), rescues=True), (0,)),
        PlannedStep(step("switch", said(log, "switched")), (0,)),
        PlannedStep(step("ask the proxy", check=check(second)), (0, 2)),
        PlannedStep(step("settle", said(log, "settled")), (0, 2, 3)),
        PlannedStep(step("switch back", said(log, "back"), rescues=True, rolls_back=True), (2, 3, 4)),
    )
    names = {ROUTE: (0, 2, 3, 4)}
    return Work(steps, Intent(steps={ROUTE: names[ROUTE]}), (), names)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def carried_out(box: Box, work: Work, events: list[StepEvent] | None = None) -> Applied:
    async with box.session() as opened:
        return await carry_out(opened.channel, await opened.survey(), work, events.append if events is not None else None)


async def test_when_all_tests_pass_the_traffic_is_switched_and_no_rescue_is_done(box: Box, log: Path) -> None:
    async with serving(saying(OK)) as slot, serving(saying(OK)) as proxy:
        events: list[StepEvent] = []
        work = switch(log, slot.port, proxy.port)
        applied = await carried_out(box, work, events)
    assert log.read_text().split() == ["switched", "settled"]
    assert fates(work, applied.answered) == {ROUTE: "done"}
    assert rolled_back(work, applied.answered) == ()
    ended = [(event.number, event.fate) for event in events if event.fate]
    assert ended == [(0, "done"), (2, "done"), (3, "done"), (4, "done")]


async def test_a_slot_that_fails_its_test_never_gets_the_traffic(box: Box, log: Path) -> None:
    async with serving(saying(BAD)) as slot, serving(saying(OK)) as proxy:
        work = switch(log, slot.port, proxy.port)
        applied = await carried_out(box, work)
        assert proxy.asked == []
    assert log.read_text().split() == ["quarantined"]
    assert fates(work, applied.answered) == {ROUTE: "failed"}
    assert rolled_back(work, applied.answered) == ()
    assert b"500" in applied.answered[0].out


async def test_a_failure_behind_the_proxy_takes_the_traffic_back(box: Box, log: Path) -> None:
    async with serving(saying(OK)) as slot, serving(saying(BAD)) as proxy:
        work = switch(log, slot.port, proxy.port)
        applied = await carried_out(box, work)
    assert log.read_text().split() == ["switched", "back"]
    assert fates(work, applied.answered) == {ROUTE: "failed"}
    assert rolled_back(work, applied.answered) == (ROUTE,)


async def test_what_the_controller_found_stands_in_the_journal_on_the_host(box: Box, log: Path) -> None:
    async with serving(saying(OK)) as slot, serving(saying(BAD)) as proxy:
        await carried_out(box, switch(log, slot.port, proxy.port))
    lines = box.inventory.read_text().splitlines()[3:]
    assert lines == [
        '{"step":0,"status":"0"}',
        '{"step":1,"status":"skipped"}',
        '{"step":2,"status":"0"}',
        '{"step":3,"status":"1"}',
        '{"step":4,"status":"skipped"}',
        '{"step":5,"status":"0"}',
    ]


async def test_parcels_are_made_one_at_a_time_and_only_for_steps_that_are_still_due(box: Box, log: Path) -> None:
    made: list[int] = []

    def parcel(number: int) -> bytes:
        made.append(number)
        return bytes([number]) * (INLINE + number)

    def work(port: int) -> Work:
        check = Check((Smoke(tries=1, deadline=5),), port=port)
        send = step("send", sh('cat "$parcels"/* | wc -c >@log@', log=str(log)), parcels=(lambda: parcel(1), lambda: parcel(2)))
        steps = (PlannedStep(step("ask", check=check)), PlannedStep(send, (0,)))
        return Work(steps, Intent(steps={ROUTE: (0, 1)}), (), {ROUTE: (0, 1)})

    async with serving(saying(BAD)) as service:
        await carried_out(box, work(service.port))
    assert made == []
    box.inventory.unlink()
    async with serving(saying(OK)) as service:
        await carried_out(box, work(service.port))
    assert made == [1, 2]
    assert int(log.read_text()) == 2 * INLINE + 3
    assert not (box.inventory.parent / "staged").exists()
