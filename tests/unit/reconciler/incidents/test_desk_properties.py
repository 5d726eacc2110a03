"""Whatever hosts, clocks and restarts do: one incident per cause, told seldom, closed once, and nothing kept for ever."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.incidents.case import MOST_MEMBERS, REOPEN, UPDATE
from reconciler.incidents.model import Telling
from reconciler.loop.following import FollowProblem
from reconciler.plan import HostPlan
from tests.unit.reconciler.incidents.scene import Scene, action, failed, healed, plan, silent, unknown

HOSTS = ("a", "b", "c")
REFS = ("file:/1", "file:/2", "release:site")
LONG = 30 * 3600.0
"""Longer than any wait of the desk."""

WORDS = (
    "quiet",
    "quiet",
    "silent",
    "silent",
    "key",
    "drift",
    "heal",
    "failed",
    "unknown",
    "refused",
    "over",
    "deployed",
    "busy",
)
Steps = list[tuple[Any, ...]]


@st.composite
def sequences_of(draw: st.DrawFn) -> Steps:
    """Long ones: what goes wrong takes many steps, and hypothesis by itself makes few."""
    chance = draw(st.randoms(use_true_random=False))
    return [step(chance) for _ in range(draw(st.integers(1, 120)))]


def step(chance: Random) -> tuple[Any, ...]:
    kind = chance.random()
    if kind < 0.5:
        return ("visit", chance.choice(HOSTS), chance.choice(WORDS), chance.choice(REFS))
    if kind < 0.85:
        return ("wait", chance.choice([1.0, 20.0, 60.0, 100.0, 700.0]))
    if kind < 0.88:
        return ("jump", chance.choice([-86400.0, -5000.0, 5000.0, 86400.0]))
    if kind < 0.93:
        return ("restart", chance.choice([0.0, 60.0, 7200.0]))
    return ("follow", chance.choice(["well", "well", "unreachable", "invalid", "project", "fewer"]))


sequences = sequences_of()


def visit(scene: Scene, host: str, word: str, ref: str) -> None:
    number = len(scene.told) + round(scene.now)
    match word:
        case "quiet":
            scene.visit(host)
        case "silent":
            scene.visit(host, silent(host, words=f"no answer after {number} s"))
        case "key":
            scene.visit(host, silent(host, "key"))
        case "drift":
            scene.visit(host, plan(host, action(ref, held="sync: observe")))
        case "heal":
            scene.drift(host, ref)
        case "failed":
            scene.visit(host, plan(host, action(ref, "commit")), failed(ref, f"pid {number} died"))
        case "unknown" | "refused":
            scene.visit(host, plan(host, unknown=[unknown(ref, f"late by {number} s", refused=word == "refused")]))
        case "over":
            scene.visit(host, plan(host, action(ref, "pruned", f"too many deletions: {number}")))
        case "deployed":
            change = plan(host, action("release:site", "commit"))
            scene.visit(host, change, healed("release:site"), projects={"site": "a" * 40})
        case _:
            scene.visit(host, plan(host, action(ref, "commit")))


def follow(scene: Scene, word: str) -> None:
    if word == "fewer":
        scene.hosts = list(HOSTS[:2])
    problems = {"unreachable": "", "invalid": "", "project": "site"}
    kind = word if word in problems else None
    scene.follow(*([FollowProblem(kind, problems[word], f"after {scene.now} s")] if kind else ()))  # type: ignore[arg-type]
    scene.hosts = list(HOSTS)


def play(scene: Scene, steps: Steps) -> list[tuple[float, Telling]]:
    """Each telling with the seconds that had really passed."""
    passed, heard = 0.0, []
    for step in steps:
        before = len(scene.told)
        match step:
            case ("visit", host, word, ref):
                visit(scene, host, word, ref)
            case ("wait", seconds):
                pace = min(seconds, 5.0)
                for _ in range(round(seconds / pace)):
                    scene.wait(pace, pace)
                    passed += pace
                    heard += [(passed, telling) for telling in scene.told[before:]]
                    before = len(scene.told)
            case ("jump", seconds):
                scene.now += seconds
            case ("restart", seconds):
                passed += seconds
                scene.restart(away=seconds)
            case ("follow", word):
                follow(scene, word)
        heard += [(passed, telling) for telling in scene.told[before:]]
        check(scene)
    return heard


def check(scene: Scene) -> None:
    """What holds at every moment."""
    members = Counter(
        (incident.event, member.host, member.ref) for incident in scene.desk.incidents for member in incident.open_members
    )
    assert not [place for place, count in members.items() if count > 1], "two open incidents for one cause"
    opened = Counter(telling.incident.id for telling in scene.told if telling.stage == "opened")
    assert not [name for name, count in opened.items() if count > 1], "opened twice"


def heal_all(scene: Scene) -> None:
    for _ in range(3):
        scene.follow()
        for host in HOSTS:
            scene.visit(host)
        scene.wait(60, 10)


@settings(max_examples=80)
@given(sequences)
def test_one_incident_per_cause_that_is_opened_once_and_in_the_end_closed(steps: Steps) -> None:
    scene = Scene(*HOSTS)
    play(scene, steps)
    heal_all(scene)
    scene.wait(LONG, 30)
    assert scene.desk.incidents == ()
    assert scene.desk.drifts == ()
    for name in {telling.incident.id for telling in scene.told}:
        told = [telling for telling in scene.told if telling.incident.id == name]
        assert told[0].stage == "opened"
        assert told[-1].incident.closed is not None, "it was told, and never that it is over"
        beliefs = [telling.incident.closed is not None for telling in told]
        assert all(one != other for one, other in pairwise(beliefs) if one) or told[0].incident.event == "deployed"


@pytest.mark.parametrize("without", ["jump", "restart"])
@settings(max_examples=60)
@given(steps=sequences)
def test_an_incident_is_told_of_no_more_often_than_every_ten_minutes_but_for_its_first_end(without: str, steps: Steps) -> None:
    """A clock that is set while the controller is down cannot be told from time that has passed: one of the two at a time."""
    scene = Scene(*HOSTS)
    heard = play(scene, [step for step in steps if step[0] != without])
    for name in {telling.incident.id for _, telling in heard}:
        told = [(at, telling.stage) for at, telling in heard if telling.incident.id == name]
        first_end = next((number for number, (_, stage) in enumerate(told) if stage == "closed"), None)
        for number in range(1, len(told)):
            if number != first_end:
                assert told[number][0] - told[number - 1][0] >= UPDATE * 0.9, told


@settings(max_examples=60)
@given(sequences)
def test_a_restart_at_any_moment_changes_nothing_of_what_is_open(steps: Steps) -> None:
    scene = Scene(*HOSTS)
    play(scene, steps)
    scene.wait(1)
    before, told = still_open(scene), len(scene.told)
    scene.restart(looks=False)
    assert still_open(scene) == before
    assert len(scene.told) == told


def still_open(scene: Scene) -> dict[str, dict[str, Any]]:
    """All but when each thing was seen last, which is not worth a line in the history."""
    return {found.id: found.model_dump(exclude={"members": {"__all__": {"seen"}}}) for found in scene.desk.incidents}


@settings(max_examples=30)
@given(sequences)
def test_when_all_is_well_for_long_nothing_is_kept(steps: Steps) -> None:
    scene = Scene(*HOSTS)
    play(scene, steps)
    heal_all(scene)
    scene.wait(LONG + REOPEN, 30)
    desk = scene.desk
    for memory in (desk._cases, desk._where, desk._hosts, desk._silent, desk._answers, desk._doubts, desk._drifts._open):
        assert not memory
    assert not desk._drifts._saved


def test_a_year_of_trouble_takes_no_more_memory_than_a_day_of_it() -> None:
    scene = Scene("a")
    scene.visit("a", plan("a", action("file:/stays", held="sync: observe")))
    for number in range(3000):
        lasting = action("file:/stays", held="sync: observe")
        scene.visit("a", plan("a", lasting, action(f"file:/{number}", held="sync: observe")))
        scene.wait(30, 10)
    (incident,) = scene.desk.incidents
    assert len(incident.members) <= MOST_MEMBERS
    assert incident.more >= 3000 - MOST_MEMBERS - 1
    assert len(scene.desk._where) == 2
    assert len(list(scene.desk._drifts)) == 2
    assert isinstance(plan("a"), HostPlan)
