"""What the history gets of each step, how the loop waits for one that was left running, and a plan that is kept while held."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from providers.secret import Secret
from reconciler.cycle import LONGEST_OUTPUT, Session, converge, settle
from reconciler.draft import AnyChange, Why
from state.connect import connect
from state.target import Target
from tests.unit.reconciler.hosts import COMMIT, Box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


async def test_each_step_is_recorded_with_its_fate_and_the_end_of_what_it_printed(box: Box) -> None:
    Secret(b"zebra finch quartet", "v1")
    long = box.command("long", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", creates="/nowhere/x")
    bad = box.command("bad", "echo the password is zebra finch quartet; exit 3", creates="/nowhere/y")
    box.command("after", "true", creates="/nowhere/z", needs=[bad])
    outcome = await box.apply()
    steps = {step.refs[0]: step for step in outcome.steps}
    assert {ref.partition(":")[2]: step.fate for ref, step in steps.items()} == {
        "long": "done",
        "bad": "failed",
        "after": "skipped",
    }
    assert steps[bad].output == "the password is [secret]"
    assert steps[long].output.endswith("line 2999")
    assert len(steps[long].output) == LONGEST_OUTPUT


async def test_the_loop_can_wait_for_a_step_that_was_left_at_work(box: Box) -> None:
    box.command("slow", f"touch {box.folder}/begun; sleep 1.2; touch {box.folder}/done", creates="/nowhere/x")
    async with box.session() as session:
        applying = asyncio.ensure_future(converge(session, await session.survey(), COMMIT))
        while not (box.folder / "begun").exists():
            await asyncio.sleep(0.02)
        applying.cancel()
        await asyncio.wait((applying,))
        assert not (box.folder / "done").exists()
        await settle(session, 30)
        assert (box.folder / "done").exists()
        before = box.inventory.read_bytes()
        await settle(session, 30)
        assert box.inventory.read_bytes() == before, "waiting changes nothing"


async def test_nobody_waits_longer_than_was_said_for_a_step_that_hangs(box: Box) -> None:
    box.command("slow", f"touch {box.folder}/begun; sleep 6", creates="/nowhere/x")
    async with box.session() as session:
        applying = asyncio.ensure_future(converge(session, await session.survey(), COMMIT))
        while not (box.folder / "begun").exists():
            await asyncio.sleep(0.02)
        applying.cancel()
        began = time.monotonic()
        await settle(session, 0.5)
        assert time.monotonic() - began < 4


async def test_a_plan_is_kept_while_the_report_and_what_is_held_are_the_same(box: Box) -> None:
    ref = box.file("f")
    reasons: list[str | None] = ["not now", "not now", "never", None]
    now = 0

    def hold(host: object, resource: object, why: Why | str, change: AnyChange | None) -> str | None:
        return reasons[now]

    channel = await connect(Target(name="box", host="local"))
    session = Session(box.host(), channel, hold=hold)
    plans = [await session.survey()]
    while len(plans) < len(reasons):
        now += 1
        plans.append(await session.survey())
    assert plans[0] is plans[1]
    assert [plan.changes[0].held for plan in plans] == reasons
    assert (await converge(session, plans[-1], COMMIT)).fates == {ref: "done"}
    assert session.verified is not None
    assert session.verified.empty
    await channel.close()
