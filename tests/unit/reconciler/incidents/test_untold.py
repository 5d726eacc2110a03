"""What was over before anybody heard of it, and comes back."""

from __future__ import annotations

from reconciler.loop.following import FollowProblem
from tests.unit.reconciler.incidents.scene import Scene

UNSIGNED = FollowProblem("unsigned", "", "the newest commit is not signed")


def test_it_is_gathered_told_and_closed_as_if_it_had_come_for_the_first_time() -> None:
    scene = Scene()
    scene.follow(UNSIGNED)
    scene.wait(3)
    scene.follow()
    scene.wait(20)
    assert scene.stages == [], "it was over before it was told"

    scene.follow(UNSIGNED)
    scene.wait(10)
    assert scene.stages == [], "nothing had time to gather"
    scene.wait(10)
    assert scene.stages == ["opened"]
    scene.follow()
    scene.wait(2)
    assert scene.stages == ["opened", "closed"], "the first closing is told at once"
