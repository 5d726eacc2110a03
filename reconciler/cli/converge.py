"""The second half of an apply as a person sees it: live progress, and what happens on Ctrl-C.

The first Ctrl-C (or SIGTERM) lets go of the hosts: each finishes the step that it is at and begins no other. The second
leaves at once; the hosts do the same then, because their connection is gone.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

import click

from reconciler.cli.progress import Progress, progress
from reconciler.cli.screen import Screen
from reconciler.fleet_run import FleetRun
from reconciler.plan import Plan
from reconciler.render.lines import line

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def converge(run: FleetRun, plan: Plan, screen: Screen, *, exact: bool) -> None:
    """`exact`: somebody agreed to this plan and no other.

    Raises `click.exceptions.Exit` (130, or 143 for SIGTERM) when it was stopped."""
    with progress(screen, plan) as shown:

        def stopping() -> None:
            shown.say(line(("stopping after the current step; Ctrl-C again leaves at once", "yellow")))

        number = await stoppable(run.converge(shown.step, shown.host, exact=exact), stopping)
    if number is None:
        return
    _tell_stopped(shown, screen)
    raise click.exceptions.Exit(128 + number)


async def stoppable(work: Coroutine[None, None, None], stopping: Callable[[], None]) -> int | None:
    """Runs `work` until it ends, or until the first signal cancels it: then the signal's number."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def release() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def stop(number: int) -> None:
        release()  # the next one has its usual effect
        received.append(number)
        stopping()
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return received[0]
    finally:
        release()
    return None


def _tell_stopped(shown: Progress, screen: Screen) -> None:
    for host, (done, count) in shown.steps.items():
        if done < count:
            screen.tell(line((host, "bold"), f": stopped with {done} of {count} steps done"))
    screen.tell(line("The next run looks at the hosts again and goes on from there."))
