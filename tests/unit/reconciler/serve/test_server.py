"""Where the pages are served, what happens when that cannot be, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from reconciler.errors import CommandError
from reconciler.loop.view import HostView, LoopView
from reconciler.serve.server import serving
from reconciler.serve.settings import Listen, Settings
from tests.unit.reconciler.serve.pages import ANY_PORT, TOKEN, StillLoop, metrics_of, pages


async def test_the_pages_are_on_loopback_unless_told_otherwise() -> None:
    assert str(Settings().listen) == "127.0.0.1:9276"
    async with serving(StillLoop(), metrics_of(), None, Settings(ANY_PORT)) as served:
        (address,) = served.addresses
    assert address.startswith("127.0.0.1:")


async def test_localhost_means_loopback_in_both_families() -> None:
    async with serving(StillLoop(), metrics_of(), None, Settings(Listen("localhost", 0))) as served:
        assert all(address.startswith(("127.0.0.1:", "[::1]:")) for address in served.addresses)


async def test_with_a_token_they_may_be_everywhere() -> None:
    async with serving(StillLoop(), metrics_of(), None, Settings(Listen("", 0), token=TOKEN)) as served:
        assert [address for address in served.addresses if address.startswith(("0.0.0.0:", "[::]:"))]


async def test_where_none_are_wanted_none_are_served() -> None:
    async with serving(StillLoop(), metrics_of(), None, Settings(None)) as served:
        assert served.addresses == ()


async def test_a_port_that_is_taken_is_said_with_a_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = Listen("127.0.0.1", other.getsockname()[1])
        with pytest.raises(CommandError, match="something else listens there") as refused:
            async with serving(StillLoop(), metrics_of(), None, Settings(listen)):
                pass
    assert "--no-listen" in refused.value.hint


async def test_an_address_of_another_machine_is_said_with_a_way_out() -> None:
    with pytest.raises(CommandError, match=r"--listen 192\.0\.2\.7:0") as refused:
        async with serving(StillLoop(), metrics_of(), None, Settings(Listen("192.0.2.7", 0), token=TOKEN)):
            pass
    assert "--no-listen" in refused.value.hint


async def test_at_the_end_the_port_is_free_and_no_thread_is_left() -> None:
    async with pages() as served:
        assert (await served.get("/api/v1/status"))[0] == 200
        port = served.port
        still = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    assert await still[0].read() == b""
    still[1].close()
    end = time.monotonic() + 5
    while [thread for thread in threading.enumerate() if thread.name.startswith("pages")] and time.monotonic() < end:
        await asyncio.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pages")]


async def test_while_a_long_page_is_written_the_loop_turns() -> None:
    hosts = tuple(HostView(host=f"host{number}", seen=1.0) for number in range(1_000))
    longest = 0.0

    async def turn() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    async with pages(loop=StillLoop(LoopView(hosts=hosts))) as served:
        turning = asyncio.ensure_future(turn())
        for path in ("/metrics", "/api/v1/hosts?limit=500"):
            began = time.monotonic()
            assert (await served.get(path))[0] == 200
            assert time.monotonic() - began < 5
        turning.cancel()
    assert 0 < longest < 0.5
