"""TCP connections that a host makes to itself for us: over a real sshd, and on this machine."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from state.channel import Channel, ForwardingRefused, PortClosed, Unreachable
from state.connect import connect
from state.target import Target
from tests.sshd import Sshd
from tests.unit.state.conftest import Open, StartServer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A service; its port. What it still says when the test is over is cut."""
    talks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        try:
            await talk(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    service = await asyncio.start_server(serve, host, 0)
    yield service.sockets[0].getsockname()[1]
    service.close()
    for task in talks:
        assert task
        task.cancel()
        await asyncio.wait([task])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


@pytest_asyncio.fixture(params=["ssh", "local"])
async def channel(request: pytest.FixtureRequest, server: Sshd, open_channel: Open) -> Channel:
    return await (open_channel(server) if request.param == "ssh" else connect(Target("here", "local")))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_bytes_travel_unchanged_in_both_directions(channel: Channel, host: str) -> None:
    data = bytes(range(256)) * 4000
    async with listening(echo, host) as port:
        stream = await channel.open(host, port, deadline=5)
        sending = asyncio.ensure_future(stream.write(data))
        heard = b""
        while len(heard) < len(data):
            piece = await stream.read(5000)
            assert 0 < len(piece) <= 5000
            heard += piece
        await sending
        await stream.close()
    assert heard == data


async def test_what_ends_reads_as_empty_and_takes_no_more(channel: Channel) -> None:
    async def brief(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with listening(brief) as port:
        stream = await channel.open("127.0.0.1", port, deadline=5)
        assert await stream.read(100) == b"bye"
        assert await stream.read(100) == b""
        for _ in range(5):
            await stream.write(bytes(100_000))
            await asyncio.sleep(0.01)
        assert await stream.read(100) == b""
        await stream.close()


async def test_a_service_that_cuts_the_connection_is_no_broken_host(channel: Channel) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with listening(rude) as port:
        stream = await channel.open("127.0.0.1", port, deadline=5)
        await stream.write(bytes(1_000_000))
        assert await asyncio.wait_for(stream.read(100), 5) == b""
        await stream.close()
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_what_nobody_reads_is_not_piled_up_and_closing_ends_it(channel: Channel) -> None:
    ended = asyncio.Event()
    sent = 0

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while True:
                writer.write(bytes(1 << 16))
                await writer.drain()
                sent += 1 << 16
        finally:
            ended.set()

    async with listening(count) as port:
        stream = await channel.open("127.0.0.1", port, deadline=5)
        await asyncio.sleep(0.3)
        before = sent
        await asyncio.sleep(0.3)
        assert sent == before < 64 << 20
        await stream.close()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_port_where_nothing_listens_is_named(channel: Channel) -> None:
    with pytest.raises(PortClosed, match=rf"nothing accepts connections at 127\.0\.0\.1:{(port := closed_port())} on "):
        await channel.open("127.0.0.1", port, deadline=5)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


@pytest.mark.parametrize(("host", "port"), [("10.0.0.1", 80), ("localhost", 80), ("127.0.0.1", 0), ("127.0.0.1", 65536)])
async def test_a_stream_leads_to_the_loopback_of_the_host_alone(channel: Channel, host: str, port: int) -> None:
    with pytest.raises(ValueError, match="a port on the loopback of the host"):
        await channel.open(host, port, deadline=5)


async def test_many_streams_at_once_are_no_sessions(start_server: StartServer, open_channel: Open) -> None:
    channel = await open_channel(start_server("MaxSessions 1"))
    async with listening(echo) as port:
        streams = await asyncio.gather(*(channel.open("127.0.0.1", port, deadline=5) for _ in range(30)))
        await asyncio.gather(*(stream.write(b"%d" % number) for number, stream in enumerate(streams)))
        assert [await stream.read(9) for stream in streams] == [b"%d" % number for number in range(30)]
        assert (await channel.run(b"echo next\n")).stdout == b"next\n"
        for stream in streams:
            await stream.close()


@pytest.mark.parametrize(
    "line", ["AllowTcpForwarding no", "AllowTcpForwarding remote", "DisableForwarding yes", "PermitOpen none"]
)
async def test_a_server_that_passes_nothing_on_is_told_apart_from_a_closed_port(
    start_server: StartServer, open_channel: Open, line: str
) -> None:
    channel = await open_channel(start_server(line))
    with pytest.raises(ForwardingRefused, match="the SSH server of nas passes no connections on") as refused:
        await channel.open("127.0.0.1", 80, deadline=5)
    assert "AllowTcpForwarding local" in refused.value.hint
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_a_connection_that_breaks_is_the_host_and_not_the_service(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    async with listening(echo) as port:
        stream = await channel.open("127.0.0.1", port, deadline=5)
        reading = asyncio.ensure_future(stream.read(10))
        await asyncio.sleep(0.05)
        server.signal_connections(signal.SIGKILL)
        with pytest.raises(Unreachable, match="the connection to nas is broken or closed"):
            await reading
        with pytest.raises(Unreachable):
            await stream.write(b"x")
        await stream.close()
        with pytest.raises(Unreachable):
            await channel.open("127.0.0.1", port, deadline=5)


async def test_a_server_that_falls_silent_is_noticed_by_whoever_reads(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server, keepalive=0.2)
    async with listening(echo) as port:
        stream = await channel.open("127.0.0.1", port, deadline=5)
        server.signal_connections(signal.SIGSTOP)
        with pytest.raises(Unreachable):
            await asyncio.wait_for(stream.read(10), 5)


async def test_after_the_deadline_nobody_waits_for_a_connection(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    server.signal_connections(signal.SIGSTOP)
    with pytest.raises(Unreachable, match=r"nas did not connect to port 80 within 0\.2 s"):
        await channel.open("127.0.0.1", 80, deadline=0.2)
    server.signal_connections(signal.SIGCONT)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


@pytest.mark.parametrize("moment", [0.0, 0.0005, 0.001, 0.003])
async def test_a_stream_cancelled_while_it_is_opened_leaves_no_connection_behind(
    server: Sshd, open_channel: Open, moment: float
) -> None:
    open_ones = 0

    async def count(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal open_ones
        open_ones += 1
        await reader.read()
        open_ones -= 1

    channel = await open_channel(server)
    async with listening(count) as port:
        for _ in range(5):
            opening = asyncio.ensure_future(channel.open("127.0.0.1", port, deadline=5))
            await asyncio.sleep(moment)
            if opening.cancel():
                await asyncio.gather(opening, return_exceptions=True)
            else:
                await opening.result().close()
        await channel.run(b":\n")
        for _ in range(100):
            if not open_ones:
                break
            await asyncio.sleep(0.02)
        assert open_ones == 0
