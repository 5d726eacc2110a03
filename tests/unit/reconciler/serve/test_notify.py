"""What systemd is told, read from a socket as systemd's own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.serve import notify
from reconciler.serve.notify import Notifier


class Systemd:
    """The other end."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(address)

    def heard(self) -> list[str]:
        messages = []
        with suppress(BlockingIOError):
            while True:
                messages.append(self.socket.recv(4096).decode())
        return messages


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    found = Systemd(str(tmp_path / "notify") if request.param == "path" else f"\0reconciler-test-{os.getpid()}")
    yield found
    found.socket.close()


def test_systemd_is_told_of_the_beginning_a_reload_and_the_end(systemd: Systemd) -> None:
    notifier = Notifier(systemd.environment)
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    ready, reloading, stopping = systemd.heard()
    assert (ready, stopping) == ("READY=1", "STOPPING=1")
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")


def test_a_status_is_one_harmless_line(systemd: Systemd) -> None:
    Notifier(systemd.environment).status("no answer\nREADY=1\x1b[2J" + "x" * 1000)
    (status,) = systemd.heard()
    assert status.startswith(r"STATUS=no answer\nREADY=1\x1b[2J")
    assert len(status) < 220


@pytest.mark.parametrize("address", ["", "relative/path", "/no/such/socket", "@no-such-socket", "vsock:2:1"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.status("well")
    Notifier({}).stopping()


def test_a_systemd_that_reads_no_more_holds_nobody_up(systemd: Systemd) -> None:
    notifier = Notifier(systemd.environment)
    for _ in range(10_000):
        notifier.status("x" * 200)
    assert systemd.heard()


async def watched(notifier: Notifier, *reasons: str | None) -> None:
    """Until each reason was asked for once."""
    left = list(reasons)
    done = asyncio.Event()

    def ill() -> str | None:
        if len(left) == 1:
            done.set()
        return left.pop(0) if len(left) > 1 else left[0]

    task = asyncio.ensure_future(notifier.watch(ill))
    async with asyncio.timeout(5):
        await done.wait()
    await asyncio.sleep(0)
    task.cancel()


async def test_the_watchdog_hears_of_a_loop_that_turns_and_nothing_of_one_that_does_not(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_SHORTEST", 0.01)
    notifier = Notifier(systemd.environment | {"WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())})
    await watched(notifier, None, None, "it has not turned", "it has not turned", None)
    assert systemd.heard() == ["WATCHDOG=1", "WATCHDOG=1", "STATUS=it has not turned", "WATCHDOG=1", "STATUS=well"]


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
    ids=["none", "off", "nonsense", "for another process"],
)
async def test_without_a_watchdog_nothing_is_watched(systemd: Systemd, environment: dict[str, str]) -> None:
    async with asyncio.timeout(1):
        await Notifier(systemd.environment | environment).watch(lambda: None)
    assert systemd.heard() == []
