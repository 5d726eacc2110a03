"""The schedule keeps its times whatever the wall clock does, and the loop's health is judged without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from reconciler.loop.health import SLACK, TURN, Health
from reconciler.loop.schedule import Schedule
from tests.unit.reconciler.loop.turning import until

HOURS = 6 * 3600.0
YEARS = 40 * 365 * 86400.0


class Clock:
    """What we believe the time to be. APScheduler reads the machine's own clock, so to move ours one way is to move that the
    other way."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def started(clock: Clock) -> AsyncIterator[tuple[Schedule, list[str]]]:
    fired: list[str] = []
    schedule = Schedule(fired.append, wall=clock)
    schedule.start()
    try:
        yield schedule, fired
    finally:
        schedule.stop()


async def test_what_is_new_comes_within_its_interval_and_then_at_it() -> None:
    async with started(Clock()) as (schedule, fired):
        schedule.derive({"a": 0.2, "b": 36000} | {f"c{number}": 3600 for number in range(50)})
        await until(lambda: fired.count("a") >= 4)
        spread = [schedule.left(f"c{number}") or 0.0 for number in range(50)]
        assert max(spread) - min(spread) > 600, "not all at once"
        assert max(spread) <= 3600


async def test_what_goes_ends_and_what_goes_on_is_not_begun_anew() -> None:
    async with started(Clock()) as (schedule, fired):
        schedule.derive({"a": 3600, "b": 3600})
        due = schedule.left("a")
        schedule.derive({"a": 3600, "c": 3600})
        assert schedule.left("b") is None
        assert schedule.left("c") is not None
        assert schedule.left("a") == pytest.approx(due, abs=1)
        assert fired == []


async def test_an_interval_that_gets_shorter_counts_at_once() -> None:
    async with started(Clock()) as (schedule, fired):
        schedule.derive({"a": 3600})
        schedule.derive({"a": 0.2})
        await until(lambda: len(fired) >= 3)


@pytest.mark.parametrize("jump", [HOURS, YEARS], ids=["hours", "years"])
async def test_a_clock_that_is_set_back_stops_nothing(jump: float) -> None:
    clock = Clock()
    async with started(clock) as (schedule, fired):
        schedule.derive({"a": 3600})
        schedule.again("a", 0)
        await until(lambda: fired)
        clock.ahead = jump
        assert schedule.tick() == pytest.approx(jump, abs=1)
        schedule.again("a", 0.5)  # by the machine's clock this is hours away
        await asyncio.sleep(0.7)
        assert fired == ["a"]
        clock.ahead = 0.0
        assert schedule.tick() == pytest.approx(-jump, abs=1)
        await until(lambda: fired == ["a", "a"], 3)


@pytest.mark.parametrize("jump", [HOURS, YEARS], ids=["hours", "years"])
async def test_a_clock_that_is_set_forward_makes_nothing_up_and_hurries_nothing(jump: float) -> None:
    clock = Clock()
    async with started(clock) as (schedule, fired):
        schedule.derive({"a": 3600})
        schedule.again("a", 0)
        await until(lambda: fired)
        clock.ahead = -jump
        schedule.tick()
        schedule.again("a", 1.0)  # by the machine's clock this was due long ago
        began = time.monotonic()
        await until(lambda: len(fired) == 2)
        assert time.monotonic() - began < 3
        clock.ahead = 0.0
        schedule.tick()
        await asyncio.sleep(0.3)
        assert fired == ["a", "a"]
        left = schedule.left("a")
        assert left is not None and 3000 < left < 4000


async def test_a_jump_smaller_than_a_few_seconds_is_none() -> None:
    clock = Clock()
    async with started(clock) as (schedule, _):
        clock.ahead = 2.0
        assert schedule.tick() == 0.0


def test_a_loop_that_does_not_turn_is_ill_and_one_that_turns_is_well() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    assert health.ill() is None
    now[0] = TURN + 1
    assert health.ill() == "the loop has not turned for 31 s"
    health.tick()
    assert health.ill() is None


def test_a_host_that_is_not_visited_within_its_period_makes_the_loop_ill_but_one_that_is_at_work_does_not() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    health.expect({"host nas": 60.0})
    now[0] = 3 * 60 + SLACK + 1
    health.tick()
    assert health.ill() == "host nas is due every 60 s and was not asked for 781 s"
    with health.busy("host nas"):
        assert health.ill() is None
    assert health.ill() is None
    health.expect({})
    now[0] *= 10
    health.tick()
    assert health.ill() is None


def test_the_time_of_the_last_turn_is_told_by_whatever_clock_is_asked_for() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    now[0] = 5.0
    assert health.turned(1000.0) == 995.0
