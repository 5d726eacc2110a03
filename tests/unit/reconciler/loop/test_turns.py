"""So many at once, and nobody who hangs keeps others waiting."""

from __future__ import annotations

import asyncio

from reconciler.loop.turns import Turns


async def test_no_more_than_so_many_are_at_work_at_the_same_time() -> None:
    turns, at_work, most = Turns(3), 0, 0

    async def one() -> None:
        nonlocal at_work, most
        async with turns.turn():
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.01)
            at_work -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == 3


async def test_who_hangs_gives_its_turn_back_and_goes_on_hanging() -> None:
    turns, hangs = Turns(2, longest=0.1), asyncio.Event()

    async def hang() -> None:
        async with turns.turn():
            await hangs.wait()

    hanging = [asyncio.ensure_future(hang()) for _ in range(2)]
    async with asyncio.timeout(2), turns.turn():
        assert not any(task.done() for task in hanging)
    hangs.set()
    await asyncio.gather(*hanging)


async def test_a_turn_is_given_back_once_however_it_ends() -> None:
    turns = Turns(1, longest=0.05)
    for _ in range(3):
        task = asyncio.ensure_future(asyncio.wait_for(_in_turn(turns), 0.1))
        await asyncio.wait((task,))
        assert isinstance(task.exception(), TimeoutError)
    async with turns.turn():
        waiting = asyncio.ensure_future(_in_turn(turns))
        await asyncio.sleep(0.02)
        assert turns._free.locked()
        waiting.cancel()


async def _in_turn(turns: Turns) -> None:
    async with turns.turn():
        await asyncio.sleep(10)
