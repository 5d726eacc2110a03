"""A day in a life, sped up: everything that can happen to a fleet and its controller, in an order that the seed decides.

At the end every host equals the newest good commit, the rooms heard one opening and one closing per cause, `why` explains what
was done, and no secret stands anywhere. RECONCILER_LAB_LONG=1 makes the day long; RECONCILER_LAB_SEED lives another one.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.loop.controller import Controller
from tests.lab.loop.day import Day, everything_written, leaks
from tests.lab.loop.room import Room

LONG = os.environ.get("RECONCILER_LAB_LONG") == "1"
STEPS = 150 if LONG else 17
SEED = int(os.environ.get("RECONCILER_LAB_SEED", "1"))


@pytest.fixture
def day(fleet: Fleet, hosts: list[LabHost], controller: Controller) -> Iterator[Day]:
    with ExitStack() as stack:
        rooms = {name: stack.enter_context(Room()) for name in ("first", "second")}
        yield Day(fleet, hosts, controller, rooms, Random(SEED))


def test_a_day_in_a_life(day: Day, tmp_path: Path) -> None:
    controller = day.controller
    day.prepare()
    controller.start()
    controller.reads(day.good)
    accepted = controller.reconcile("accept", day.good)  # nobody vouches for the first list of signers but we
    assert accepted.code == 0, accepted
    controller.wait(lambda: not day.differing(), 60, meanwhile="the first converge")
    day.live(STEPS)
    day.evening()
    try:
        controller.wait(lambda: not day.differing(), 180)
        for host in day.hosts:
            controller.at_rest(host.name, 60)
    except AssertionError as late:
        raise AssertionError("\n".join([*day.story, f"still differing: {day.differing()}", str(late)])) from None
    time.sleep(20)
    sys.stdout.write("\n".join(day.story))
    for name, room in day.rooms.items():
        sys.stdout.write(f"\n--- {name}\n{room}")
    places = everything_written(tmp_path) | {f"room {name}": room_text(room) for name, room in day.rooms.items()}
    assert not leaks(day.forms(), places)


def room_text(room: Room) -> str:
    return "\n".join(message.raw for message in room.messages)
