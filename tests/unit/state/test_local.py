"""Scripts on this machine: the same behaviour as over SSH, with a shell that is our own child."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from state.channel import BecomeError, Channel, Output, Unreachable
from state.connect import connect
from state.target import Target


@pytest.fixture
async def channel() -> Channel:
    return await connect(Target("here", "local"))


async def wait_for(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return " Z " not in Path(f"/proc/{process}/stat").read_text()


async def test_a_script_comes_back_with_both_streams_and_its_exit_status(channel: Channel) -> None:
    assert await channel.run(b"echo out; echo err >&2; exit 7\n") == Output(b"out\n", b"err\n", 7)


async def test_it_runs_in_a_clean_place(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CONTROLLER", "hunter2")
    monkeypatch.setenv("LANGUAGE", "de")
    output = await channel.run(b"pwd; umask; env\n")
    place, mask, *variables = output.stdout.decode().splitlines()
    assert (place, mask) == ("/", "0022")
    names = {line.partition("=")[0] for line in variables}
    assert names <= {"HOME", "PATH", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "LANG", "LC_ALL", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_bytes_that_are_no_text_and_a_script_of_a_megabyte_travel_unchanged(channel: Channel) -> None:
    every = bytes(range(1, 256)).replace(b"\n", b"") * 5000
    assert await channel.run(b"cat <<'END'\n" + every + b"\nEND\n") == Output(every + b"\n", b"", 0)


async def test_a_script_that_stops_reading_early_still_tells_its_status(channel: Channel) -> None:
    assert await channel.run(b"exec <&-; echo enough; exit 3\n" + b"# never read\n" * 400_000) == Output(b"enough\n", b"", 3)


async def test_many_scripts_run_at_once(channel: Channel) -> None:
    outputs = await asyncio.gather(*(channel.run(b"echo %d\n" % number) for number in range(30)))
    assert outputs == [Output(b"%d\n" % number, b"", 0) for number in range(30)]


async def test_output_without_end_is_cut_and_ended(channel: Channel) -> None:
    output = await channel.run(b"echo $$; exec yes\n", limit=1_000_001)
    assert (len(output.stdout), output.cut, output.status) == (1_000_001, True, None)
    assert not alive(int(output.stdout.split()[0]))


async def test_progress_is_seen_as_it_comes(channel: Channel) -> None:
    seen: list[bytes] = []
    await channel.run(b"echo one; sleep 0.3; echo two\n", watch=seen.append)
    assert seen == [b"one\n", b"two\n"]


async def test_after_the_deadline_all_that_the_script_started_is_ended(channel: Channel, tmp_path: Path) -> None:
    script = b"sleep 30 & echo $! $$ >%s/ids; wait\n" % str(tmp_path).encode()
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"no answer from here within 0\.5 s"):
        await channel.run(script, deadline=0.5)
    assert time.monotonic() - started < 2
    await asyncio.sleep(0.05)
    assert not any(alive(int(process)) for process in (tmp_path / "ids").read_text().split())


async def test_a_cancelled_script_ends_at_its_next_word_and_not_in_the_middle(channel: Channel, tmp_path: Path) -> None:
    script = b"cd %s; echo $$ >begun; sleep 0.5; touch step_done; echo said || exit 1; touch never\n" % str(tmp_path).encode()
    running = asyncio.ensure_future(channel.run(script))
    await wait_for(tmp_path / "begun")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(wait_for(tmp_path / "step_done"), 5)
    await asyncio.sleep(0.2)
    assert not (tmp_path / "never").exists()
    assert not Path(f"/proc/{(tmp_path / 'begun').read_text().strip()}").exists(), "nobody waited for the ended shell"


async def test_a_shell_that_is_killed_leaves_the_outcome_unknown(channel: Channel) -> None:
    assert await channel.run(b"echo begun; kill -9 $$\n") == Output(b"begun\n", b"", None)


async def test_the_keyboards_interrupt_does_not_reach_the_script(channel: Channel) -> None:
    """Ctrl-C goes to every process of the terminal's group: the script must not be in ours."""
    output = await channel.run(b"ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat\n")
    assert int(output.stdout) != os.getpgrp()


async def test_no_pipe_is_left_open(channel: Channel) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for script in (b"echo ok\n", b"kill -9 $$\n", b"yes\n"):
        await channel.run(script, limit=1000)
    with pytest.raises(Unreachable):
        await channel.run(b"sleep 5\n", deadline=0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_an_uploaded_file_is_whole_and_private(channel: Channel, tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    folder = tmp_path / "it's new" / "staging"
    await channel.upload(str(folder), "0af3", data)
    assert (folder / "0af3").read_bytes() == data
    assert ((folder / "0af3").stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


class TestBecome:
    """With tools of our own in the PATH, which answer as the real ones do; those are met in the lab."""

    @pytest.fixture
    def tools(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in ("sh", "env"):
            (folder / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(folder))
        return folder

    @staticmethod
    def tool(folder: Path, name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    @pytest.mark.parametrize(
        ("said", "meaning"),
        [
            ("sudo: a password is required", "sudo on here asks ops for a password"),
            ("ops is not in the sudoers file.", "ops may not use sudo on here"),
            ("Sorry, user ops is not allowed to execute '/bin/sh -s' as root on here.", "ops may not use sudo on here"),
            ("sudo: sorry, you must have a tty to run sudo", "sudo on here asks for a terminal"),
            ("sudo: /etc/sudo.conf is world writable", "sudo on here refused: sudo: /etc/sudo.conf is world writable"),
            ("", "sudo on here refused: exit status 1"),
        ],
    )
    async def test_a_refusal_is_told_with_what_to_do(
        self, tools: Path, monkeypatch: pytest.MonkeyPatch, said: str, meaning: str
    ) -> None:
        monkeypatch.setenv("LOGNAME", "ops")
        self.tool(tools, "sudo", f"echo {said!r} >&2; exit 1" if "'" not in said else f'echo "{said}" >&2; exit 1')
        channel = await connect(Target("here", "local", become="sudo"))
        with pytest.raises(BecomeError) as refused:
            await channel.run(b"echo never\n")
        assert str(refused.value) == meaning
        assert "ops" in refused.value.hint

    async def test_a_greeting_on_stdout_does_not_hide_a_refusal(self, tools: Path) -> None:
        self.tool(tools, "sudo", "echo welcome; echo 'sudo: a password is required' >&2; exit 1")
        channel = await connect(Target("here", "local", become="sudo"))
        with pytest.raises(BecomeError, match="for a password"):
            await channel.run(b"echo never\n")

    async def test_a_tool_that_is_not_there_is_named(self, tools: Path) -> None:
        channel = await connect(Target("here", "local", become="doas"))
        with pytest.raises(BecomeError, match="there is no doas on here"):
            await channel.run(b"echo never\n")

    async def test_a_script_that_fails_by_itself_is_no_refusal(self, tools: Path) -> None:
        self.tool(tools, "sudo", 'shift 2; exec "$@"')
        channel = await connect(Target("here", "local", become="sudo"))
        assert await channel.run(b"echo sudo: a password is required >&2; exit 1\n") == Output(
            b"", b"sudo: a password is required\n", 1
        )


async def test_a_killed_channel_leaves_no_child_of_its_own(channel: Channel, tmp_path: Path) -> None:
    running = asyncio.ensure_future(channel.run(b"echo $$ >%s/id; exec sleep 30\n" % str(tmp_path).encode()))
    await wait_for(tmp_path / "id")
    while not (tmp_path / "id").read_text().strip():
        await asyncio.sleep(0.01)
    process = int((tmp_path / "id").read_text())
    os.kill(process, signal.SIGTERM)
    assert (await running).status is None
    assert not alive(process)
