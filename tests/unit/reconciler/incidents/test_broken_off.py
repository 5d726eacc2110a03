"""Drift that was being put right when the work on its host broke off, and drift that is back before we look."""

from __future__ import annotations

from reconciler.cycle import Outcome, StepRecord
from reconciler.incidents.desk import Desk
from reconciler.incidents.model import DriftRecord, Telling
from tests.unit.reconciler.incidents.scene import COMMIT, MOTD, START, Scene, action, fates, plan

UNDONE = Outcome("failed", fates([MOTD]), unconverged={MOTD: ("content",)})


def killed(scene: Scene) -> None:
    """As after a kill in the middle of a cycle that was about to put `MOTD` right."""
    record = DriftRecord(
        id="d" * 12, host="a", ref=MOTD, kind="drift", fields=("content",), first=START, last=START, commit=COMMIT
    )
    scene.desk = Desk(scene.paper, broken_off=[record])
    scene.desk.tell = scene.told.append
    scene.desk.ticked(scene.now)
    scene.follow()


def only(scene: Scene) -> DriftRecord:
    (record,) = scene.paper.drifts.values()
    return record


def test_what_is_right_after_a_kill_in_the_middle_was_put_right_by_us_and_is_told_in_one_message() -> None:
    scene = Scene("a")
    killed(scene)
    assert only(scene).ended is None, "it outlives another kill"
    scene.visit("a")
    scene.wait(20)
    assert only(scene).how == "healed"
    assert scene.stages == ["opened"]
    assert (scene.last.closed is not None, scene.last.done) == (True, "put right")


def test_what_still_differs_after_a_kill_is_the_same_drift_until_it_is_put_right() -> None:
    scene = Scene("a")
    killed(scene)
    scene.visit("a", plan("a", action(why="unfinished")), Outcome("converged", fates([MOTD])))
    assert only(scene).how == "healed"


def test_what_is_right_only_at_the_second_look_became_so_without_us() -> None:
    scene = Scene("a")
    killed(scene)
    scene.visit("a", plan("a", action(held="outside the window")))
    scene.visit("a")
    assert only(scene).how == "vanished"


def test_what_a_newer_commit_broke_off_is_drift_that_we_put_right() -> None:
    scene = Scene("a")
    let_go = Outcome("stale", message="a newer commit", steps=(StepRecord("write it", (), "done"),))
    scene.visit("a", plan("a", action()), let_go)
    scene.visit("a", commit="d" * 40)
    assert only(scene).how == "healed"


def test_an_opponent_as_fast_as_we_is_one_drift_that_flaps_and_no_failure() -> None:
    scene = Scene("a")
    for why in ("drift", "unfinished", "unfinished"):
        left = plan("a", action(why="unfinished"))
        scene.visit("a", plan("a", action(why=why)), UNDONE, after=left)
        scene.wait(30)
    scene.wait(600)
    assert only(scene).flapping
    assert {telling.incident.event for telling in scene.told} == {"drift"}
    assert _said(scene.told) == [("opened", False), ("updated", True)]


def _said(told: list[Telling]) -> list[tuple[str, bool]]:
    return [(telling.stage, "flapping" in telling.incident.members[0].what) for telling in told]
