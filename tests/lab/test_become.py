"""sudo and doas as Debian ships them: with a rule without a password they serve, and what else they say is understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from state.channel import BecomeError, Channel, Output
from state.connect import connect
from state.target import Become, Target
from tests.lab.hosts import LabHost, Pool

Enter = Callable[[str, Become], Awaitable[Channel]]

SET_UP = """
for user in ops pat rule term; do
  id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
done
echo 'pat ALL=(ALL) ALL' >/etc/sudoers.d/pat
echo 'rule ALL=(root) NOPASSWD: /bin/sh' >/etc/sudoers.d/rule
printf '%s\\n' 'term ALL=(root) NOPASSWD: /bin/sh' 'Defaults:term requiretty' >/etc/sudoers.d/term
printf '%s\\n' 'permit nopass ops' 'permit pat' 'permit nopass rule as root cmd /bin/sh' >/etc/doas.conf
"""

# A step as the apply script runs one: its own output goes to a file, and the script speaks between two steps.
STEPS = b"""
cd /tmp/steps && echo begin && : >begun
( sleep 0.7; : >first_step_done ) >output 2>&1
echo between
( : >second_step_begun ) >output 2>&1
"""


@pytest_asyncio.fixture
async def enter(host: LabHost, pool: Pool) -> AsyncIterator[Enter]:
    host.sh(SET_UP)
    channels: list[Channel] = []

    async def enter_as(user: str, become: Become) -> Channel:
        target = Target(host.name, host.address, user, become=become, identity=str(pool.key))
        channels.append(await connect(target, known_hosts=pool.known_hosts()))
        return channels[-1]

    yield enter_as
    for channel in channels:
        await channel.close()


@pytest.mark.parametrize(("user", "become"), [("ops", "sudo"), ("ops", "doas"), ("rule", "sudo"), ("rule", "doas")])
async def test_a_rule_without_a_password_is_enough(host: LabHost, enter: Enter, user: str, become: Become) -> None:
    channel = await enter(user, become)
    assert await channel.run(b"id -u; exit 4\n") == Output(b"0\n", b"", 4)
    assert await channel.run(b"exit 1\n") == Output(b"", b"", 1)
    if user == "ops":
        await channel.upload("/root/staging", "blob", b"content")
        assert host.sh("stat -c '%U %a' /root/staging/blob; cat /root/staging/blob") == "root 600\ncontent"


@pytest.mark.parametrize(
    ("user", "become", "meaning"),
    [
        ("pat", "sudo", "sudo on {host} asks pat for a password"),
        ("pat", "doas", "doas on {host} asks pat for a password"),
        ("term", "sudo", "sudo on {host} asks for a terminal"),
        ("term", "doas", "term may not use doas on {host}"),
    ],
)
async def test_a_refusal_is_told_in_a_sentence(host: LabHost, enter: Enter, user: str, become: Become, meaning: str) -> None:
    channel = await enter(user, become)
    with pytest.raises(BecomeError) as refused:
        await channel.run(b"echo never\n")
    assert str(refused.value) == meaning.format(host=host.name)


@pytest.mark.parametrize("become", ["none", "sudo", "doas"])
async def test_a_cancelled_script_ends_between_two_steps(host: LabHost, enter: Enter, become: Become) -> None:
    """Also under sudo, which puts a process of its own between sshd and the script."""
    host.sh("mkdir -m 777 /tmp/steps")
    channel = await enter("ops", become)
    running = asyncio.ensure_future(channel.run(STEPS))
    while not await asyncio.to_thread(host.has, "test -e /tmp/steps/begun"):
        await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(1.5)
    assert host.sh("cd /tmp/steps; ls") == "begun\nfirst_step_done\noutput"
