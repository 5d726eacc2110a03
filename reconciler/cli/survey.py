"""Asking hosts, with a sign of life on a terminal while it takes: what `plan` and `apply` begin with."""

from __future__ import annotations

import asyncio
from typing import Self

from reconciler.cli.screen import Screen
from reconciler.fleet_run import FleetRun, HostRun
from reconciler.plan import Plan
from reconciler.text import plural, visible

SOON = 0.4
"""Seconds before the waiting is worth a word."""


class Waiting:
    """One line at the terminal that counts answers, and is wiped when all are there. Without a terminal it says nothing."""

    def __init__(self, screen: Screen, run: FleetRun) -> None:
        self._screen = screen
        self._open = dict.fromkeys(run.runs)
        self._total = len(run.runs)
        self._timer: asyncio.TimerHandle | None = None
        self._drawn = False

    def __enter__(self) -> Self:
        if self._screen.live:
            self._timer = asyncio.get_running_loop().call_later(SOON, self._draw)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._drawn:
            self._write("")

    def answered(self, run: HostRun) -> None:
        self._open.pop(run.host.name, None)
        if self._drawn and self._open:
            self._draw()

    def _draw(self) -> None:
        self._drawn = True
        waiting = ", ".join(visible(name) for name in list(self._open)[:3]) + (", …" if len(self._open) > 3 else "")
        self._write(f"asking {plural(self._total, 'host')}: {self._total - len(self._open)} answered, waiting for {waiting}")

    def _write(self, text: str) -> None:
        width = self._screen.columns(self._screen.err) or 80
        self._screen.err.write(f"\r\x1b[K{text[: width - 1]}")
        self._screen.err.flush()


async def survey(run: FleetRun, screen: Screen) -> Plan:
    with Waiting(screen, run) as waiting:
        return await run.survey(waiting.answered)
