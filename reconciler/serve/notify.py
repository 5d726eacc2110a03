"""What systemd wants to know of a service of `Type=notify`: that it is ready, that it lives, that it leaves.

Used by `reconciler/loop/service.py`. Without systemd nothing happens: $NOTIFY_SOCKET is not set. The protocol is a datagram
with `NAME=value` lines (sd_notify(3)), and failing to send one is no reason to stop.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from reconciler.text import shorten, visible

_SHORTEST = 1.0


class Notifier:
    """Where to tell it, and how often it wants to hear that the loop turns."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period = _seconds(environment)

    def ready(self) -> None:
        self._tell("READY=1")

    def reloading(self) -> None:
        """`Type=notify-reload`: followed by `ready`."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self._tell(f"STATUS={shorten(visible(text), 200)}")

    async def watch(self, ill: Callable[[], str | None]) -> None:
        """For ever: as long as the loop is well, say so, three times within the period after which systemd would end it. A
        loop that is ill says why, and nothing else."""
        if self._period is None:
            return
        said: str | None = None
        while True:
            reason = ill()
            if reason is None:
                self._tell("WATCHDOG=1")
            if reason != said:
                self.status(reason or "well")
                said = reason
            await asyncio.sleep(max(_SHORTEST, self._period / 3))

    def _tell(self, text: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as to,
        ):
            to.sendto(text.encode(), address)


def _seconds(environment: Mapping[str, str]) -> float | None:
    """The period of systemd's watchdog, if it is meant for this process."""
    period, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if process and process != str(os.getpid()):
        return None
    return int(period) / 1_000_000 if period.isascii() and period.isdigit() and int(period) else None
