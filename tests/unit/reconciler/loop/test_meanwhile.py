"""What happens while the loop is at work on a host: edits by hand, an opponent that is as fast as we, a kill of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reconciler.incidents.desk import Desk
from reconciler.incidents.model import Telling
from reconciler.loop.engine import Loop
from reconciler.loop.following import Follower
from reconciler.loop.holds import Keepers
from reconciler.loop.patience import Patience
from reconciler.loop.places import LocalPlace
from reconciler.policy import policy_hold
from tests.fleet import Fleet
from tests.unit.reconciler.incidents.scene import Paper
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.test_run_command import one_pass, running
from tests.unit.reconciler.loop.turning import LONG, SHORT, WAITS, Recorder, Turning, still, until

MOTD = 'files:\n  @/motd: {content: "hello\\n"}\n'
SLOW = f'commands:\n  slow: {{run: "{WAITS}; touch @/made", creates: "@/made"}}\n'
UPSETS = 'commands:\n  upsets: {run: "echo upset >@/motd; touch @/made", creates: "@/made"}\n'
ROUNDS = 12
OPPONENT = """
while :; do
  if grep -q hello motd 2>/dev/null; then echo against it >motd; echo >>rounds; fi
  sleep 0.1
done
"""


async def test_an_edit_of_something_else_while_an_apply_runs_is_drift_and_no_failure_of_that_apply(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", MOTD)})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.commit(boxes.manifest("nas", MOTD + SLOW))
        looking = asyncio.ensure_future(here.looked())
        await until((boxes.root / "nas/begun").exists)
        (boxes.root / "nas/motd").write_text("by hand\n")
        (boxes.root / "nas/go").touch()
        await looking
        applied = here.heard.reports[-1]
        assert applied.outcome is not None
        assert (applied.outcome.status, dict(applied.outcome.unconverged)) == ("converged", {})
        assert here.host("nas").status == "drifted"
        healed = await here.visited("nas")
        assert [(action.ref, action.cause.why) for action in healed.plan.actions] == [(f"file:{boxes.root}/nas/motd", "drift")]
        assert healed.evidence is not None, "its witnesses are asked"
        assert here.host("nas").status == "converged"


async def test_resources_of_ours_that_upset_each_other_are_drift_that_flaps(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", MOTD)})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.commit(boxes.manifest("nas", MOTD + UPSETS))
        await here.looked()
        for _ in range(4):
            await here.visited("nas")
            (boxes.root / "nas/made").unlink(missing_ok=True)
            await here.visited("nas")
        assert any("flapping" in reason for reason in here.host("nas").reasons)


def test_a_single_pass_looks_again_at_what_moved_meanwhile(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", MOTD)})
    assert one_pass(fleet, state)[0] == 0
    fleet.commit(boxes.manifest("nas", MOTD + UPSETS))
    code, said = one_pass(fleet, state)
    assert code == 0, said
    assert boxes.text("nas") == "hello\n"


@contextlib.contextmanager
def opponent(folder: Path) -> Iterator[None]:
    process = subprocess.Popen(["/bin/sh", "-c", OPPONENT], cwd=folder)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_an_opponent_that_is_as_fast_as_we_is_left_alone_and_told_once(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", MOTD)})
    told: list[Telling] = []
    skipped, heard = 0.0, Recorder()
    patience, desk = Patience(), Desk(Paper())
    desk.tell = told.append
    loop = Loop(
        Follower(LocalPlace(fleet.root), state),
        Keepers(policy_hold, patience),
        patience,
        (heard, desk),
        wall=lambda: time.time() + skipped,
        monotonic=lambda: time.monotonic() + skipped,
    )
    here = Turning(loop, heard)
    try:
        await here.looked()
        with opponent(boxes.root / "nas"):
            for _ in range(ROUNDS):
                await asyncio.sleep(0.2)
                await here.visited("nas")
                for _ in range(8):
                    skipped += 5.0
                    loop.tick()
        rounds = (boxes.root / "nas/rounds").read_text().count("\n")
        assert rounds <= 5, "it was fought over"
        assert any("flapping" in reason for reason in here.host("nas").reasons)
        assert_one_incident(told)
    finally:
        await loop.close()


def assert_one_incident(told: list[Telling]) -> None:
    assert {telling.incident.event for telling in told} == {"drift"}
    assert len({telling.incident.id for telling in told}) == 1
    assert [telling.stage for telling in told].count("opened") == 1
    assert len(told) <= 3, [(telling.stage, telling.at) for telling in told]


def test_what_was_done_before_the_loop_was_killed_is_told_by_the_next_one(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    folder = boxes.folder("nas")
    (folder / "go").touch()
    fleet.commit({"fleet.yaml": SHORT, **boxes.manifest("nas", MOTD + SLOW)})
    ref = f"file:{folder}/motd"
    with running(fleet, state) as loop:
        loop.until((folder / "made").exists)
        loop.says("converged, 2 of 2 done")
        (folder / "go").unlink()
        (folder / "begun").unlink()
        with stopped(loop.process.pid):
            (folder / "motd").write_text("by hand\n")
            (folder / "made").unlink()
        loop.until((folder / "begun").exists)
        assert boxes.text("nas") == "hello\n", "the first step is done, the second is not"
        loop.told(signal.SIGKILL)
    begun = events(fleet, state)[-1]
    assert (begun["status"], begun["refs"]) == ("begun", [ref, "command:slow"])
    (folder / "go").touch()
    with running(fleet, state) as loop:
        loop.until(lambda: (folder / "made").exists() and any(ref in one["refs"] for one in incidents(fleet, state)))
        assert loop.told(signal.SIGTERM) == 0
    (cycle,) = [one for one in events(fleet, state) if one["id"] == begun["id"]]
    assert cycle["status"] == "broken off"
    assert "the loop was killed before it ended" in cycle["text"]
    assert "the loop was killed before it ended" in fleet.run("history", begun["id"], "--state", str(state)).out
    why = fleet.run("why", ref, "--state", str(state)).out
    assert "the loop was killed before it ended" in " ".join(why.split())
    drifts = json.loads(fleet.run("drift", "--all", "--state", str(state), "--json").out)["drifts"]
    assert [one["how"] for one in drifts if one["ref"] == ref] == ["healed"]


@contextlib.contextmanager
def stopped(process: int) -> Iterator[None]:
    """Several things on a host change at once, as far as the loop can see."""
    os.kill(process, signal.SIGSTOP)
    yield
    os.kill(process, signal.SIGCONT)


def events(fleet: Fleet, state: Path) -> list[dict[str, Any]]:
    return [one for one in _history(fleet, state) if one["kind"] == "cycle"]


def incidents(fleet: Fleet, state: Path) -> list[dict[str, Any]]:
    return [one for one in _history(fleet, state) if one["kind"] == "incident"]


def _history(fleet: Fleet, state: Path) -> list[dict[str, Any]]:
    return list(json.loads(fleet.run("history", "--state", str(state), "--json").out)["events"])
