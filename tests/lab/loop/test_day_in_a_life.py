"""A day in a life, sped up: everything that can happen to a fleet and its controller, in an order that the seed decides.

At the end every host equals the newest good commit, the rooms heard one opening and one closing per cause, `why` explains what
was done, and no secret stands anywhere. RECONCILER_LAB_LONG=1 makes the day long; RECONCILER_LAB_SEED lives another one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.loop import evening
from tests.lab.loop.controller import Controller
from tests.lab.loop.day import SECOND, Day
from tests.lab.loop.room import Room

STEPS = 150 if os.environ.get("RECONCILER_LAB_LONG") == "1" else 17
SEED = int(os.environ.get("RECONCILER_LAB_SEED", "1"))
EVENTS = ("drift", "failed", "unreachable", "source", "held")


@pytest.fixture
def day(fleet: Fleet, hosts: list[LabHost], controller: Controller) -> Iterator[Day]:
    with ExitStack() as stack:
        rooms = {name: stack.enter_context(Room()) for name in ("first", "second")}
        day = Day(fleet, hosts, controller, rooms, Random(SEED))
        yield day
        told = [f"--- {name}\n{room}" for name, room in rooms.items()]
        sys.stdout.write("\n".join([f"seed {SEED}", *day.story, *told, "---\n"]))  # shown where a test fails


def test_a_day_in_a_life(day: Day, tmp_path: Path) -> None:
    controller = day.controller
    day.prepare()
    controller.start()
    controller.reads(day.good)
    accepted = controller.reconcile("accept", day.good)  # nobody vouches for the first list of signers but we
    assert accepted.code == 0, accepted
    controller.signal(signal.SIGHUP)
    controller.wait(lambda: not day.differing(), 60, meanwhile="the first converge")

    day.live(STEPS)
    day.evening()

    controller.wait(lambda: not day.differing(), 180, meanwhile="every host equals the newest good commit")
    for host in day.hosts:
        controller.at_rest(host.name, 60)
        assert controller.seen(host.name)["commit"] == day.good

    controller.wait(lambda: not evening.still_open(evening.incidents(controller.state)), 120, meanwhile="all closed")
    found = evening.incidents(controller.state)
    assert evening.wrong_incidents(found, day.causes) == []
    for name, events in (("first", EVENTS), ("second", SECOND)):
        room = day.rooms[name]
        room.wait(lambda room=room, events=events: not evening.wrong_messages(room, found, events), 20)  # type: ignore[misc]
    assert evening.unexplained(controller, day.causes) == []
    assert controller.terminate() == 0, controller.tail

    heard = {f"room {name}": "\n".join(message.raw for message in room.messages) for name, room in day.rooms.items()}
    assert evening.leaks(day.forms(), evening.everything_written(tmp_path) | heard) == []
