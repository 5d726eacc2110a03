"""The smallest host that we promise to reach: busybox for everything, dropbear as its SSH server, nothing else."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from state.channel import BecomeError, Channel, HostKeyError, Output, Unreachable
from state.connect import connect
from state.target import Target
from tests.lab.hosts import NO_ENGINE, Pool

SCRIPT = Path(__file__).with_name("busybox-host")
ADDRESS = f"{os.environ.get('RECONCILER_LAB_NET', '127.0.3')}.250"


@pytest.fixture(scope="module")
def known_hosts(pool: Pool) -> str:
    """The host, new; what its known_hosts says."""
    done = subprocess.run([SCRIPT, "up"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == NO_ENGINE and os.environ.get("RECONCILER_LAB_REQUIRED") != "1":
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return (pool.folder / "busybox" / "known_hosts").read_text()


@pytest.fixture
def target(pool: Pool) -> Target:
    return Target("busybox", ADDRESS, "root", identity=str(pool.key))


@pytest_asyncio.fixture
async def channel(target: Target, known_hosts: str) -> AsyncIterator[Channel]:
    channel = await connect(target, known_hosts=known_hosts)
    yield channel
    await channel.close()


async def test_a_script_runs_there(channel: Channel) -> None:
    assert await channel.run(b"echo out; echo err >&2; exit 7\n") == Output(b"out\n", b"err\n", 7)
    assert (await channel.run(b"busybox | head -n 1\n")).stdout.startswith(b"BusyBox ")


async def test_its_key_is_checked(target: Target, known_hosts: str) -> None:
    with pytest.raises(HostKeyError) as refused:
        await connect(target)
    assert f"{refused.value.line}\n" == known_hosts


async def test_many_scripts_run_at_once(channel: Channel) -> None:
    outputs = await asyncio.gather(*(channel.run(b"sleep 0.05; echo %d\n" % number) for number in range(30)))
    assert outputs == [Output(b"%d\n" % number, b"", 0) for number in range(30)]


async def test_large_scripts_and_answers_get_through(channel: Channel) -> None:
    script = b"main() {\n" + b": 0123456789012345678901234567890123456789012345678\n" * 21_000 + b"seq 1 200000\n}\nmain\n"
    output = await channel.run(script)
    assert output == Output(b"".join(b"%d\n" % number for number in range(1, 200_001)), b"", 0)


async def test_output_without_end_is_cut_and_the_connection_stays_usable(channel: Channel) -> None:
    output = await channel.run(b"yes\n", limit=1_000_000)
    assert (len(output.stdout), output.cut, output.status) == (1_000_000, True, None)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_after_the_deadline_the_connection_stays_usable(channel: Channel) -> None:
    with pytest.raises(Unreachable):
        await channel.run(b"sleep 5\n", deadline=0.3)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_content_is_stored_there(channel: Channel) -> None:
    data = bytes(range(256)) * 10_000
    await channel.upload("/var/lib/reconciler/staging", "0af3", data)
    output = await channel.run(b"cd /var/lib/reconciler/staging; stat -c '%a %s' . 0af3 | tail -n 1; cat 0af3\n")
    assert output.stdout == b"600 2560000\n" + data


async def test_a_host_without_sudo_says_so(target: Target, known_hosts: str, pool: Pool) -> None:
    channel = await connect(Target("busybox", ADDRESS, "ops", become="sudo", identity=str(pool.key)), known_hosts=known_hosts)
    with pytest.raises(BecomeError, match="there is no sudo on busybox"):
        await channel.run(b"echo never\n")
    await channel.close()
