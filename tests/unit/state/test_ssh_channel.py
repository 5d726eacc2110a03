"""Scripts over a real sshd: what arrives, what comes back, and what happens when something goes wrong in between."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path

import pytest

from state.channel import BecomeError, Channel, HostError, LoginError, Output, Unreachable
from tests.sshd import Sshd
from tests.unit.state.conftest import Open, StartServer

LOGIN_SHELLS = [shell for shell in ("sh", "bash", "dash", "fish", "tcsh", "csh", "zsh", "mksh") if shutil.which(shell)]


async def wait_for(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.02)


async def test_a_script_comes_back_with_both_streams_and_its_exit_status(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    assert await channel.run(b"echo out; echo err >&2; exit 7\n") == Output(b"out\n", b"err\n", 7)


@pytest.mark.parametrize("status", [0, 1, 2, 126, 127, 255])
async def test_every_exit_status_arrives(server: Sshd, open_channel: Open, status: int) -> None:
    channel = await open_channel(server)
    assert (await channel.run(b"exit %d\n" % status)).status == status


async def test_bytes_that_are_no_text_travel_unchanged_in_both_directions(server: Sshd, open_channel: Open) -> None:
    every = bytes(range(1, 256)) * 300
    script = b"cat <<'END'\n" + every.replace(b"\n", b"") + b"\nEND\n"
    channel = await open_channel(server)
    assert await channel.run(script) == Output(every.replace(b"\n", b"") + b"\n", b"", 0)
    assert (await channel.run(b"printf '\\000\\377\\200'\n")).stdout == b"\0\xff\x80"


async def test_a_script_of_a_megabyte_arrives_whole(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    script = b"main() {\n" + b": 0123456789012345678901234567890123456789012345678\n" * 21_000 + b"echo done\n}\nmain\n"
    assert len(script) > 1 << 20
    assert await channel.run(script) == Output(b"done\n", b"", 0)


async def test_a_script_that_stops_reading_early_still_tells_its_status(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    output = await channel.run(b"exec <&-; echo enough; exit 3\n" + b"# never read\n" * 400_000)
    assert output == Output(b"enough\n", b"", 3)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_output_without_end_is_cut_and_the_connection_stays_usable(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    output = await channel.run(b"yes\n", limit=1_000_001)
    assert (len(output.stdout), output.cut, output.status) == (1_000_001, True, None)
    flood = await channel.run(b"yes >&2\n")
    assert (len(flood.stderr), flood.cut, flood.status) == (1 << 20, True, None)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_output_that_fills_the_limit_exactly_is_not_cut(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    assert await channel.run(b"printf 12345\n", limit=5) == Output(b"12345", b"", 0)
    assert (await channel.run(b"printf 123456\n", limit=5)).cut


async def test_progress_is_seen_as_it_comes(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    seen: list[tuple[float, bytes]] = []
    await channel.run(b"echo one; sleep 0.5; echo two\n", watch=lambda data: seen.append((time.monotonic(), data)))
    assert [data for _, data in seen] == [b"one\n", b"two\n"]
    assert seen[1][0] - seen[0][0] > 0.2


async def test_thirty_scripts_at_once_get_through_where_three_sessions_are_allowed(
    start_server: StartServer, open_channel: Open
) -> None:
    channel = await open_channel(start_server("MaxSessions 3"))
    outputs = await asyncio.gather(*(channel.run(b"sleep 0.05; echo %d\n" % number) for number in range(30)))
    assert outputs == [Output(b"%d\n" % number, b"", 0) for number in range(30)]


async def test_a_host_that_allows_no_session_is_named(start_server: StartServer, open_channel: Open) -> None:
    channel = await open_channel(start_server("MaxSessions 0"))
    with pytest.raises(LoginError, match="nas opens no session"):
        await channel.run(b"echo never\n", deadline=20)


async def test_after_the_deadline_the_host_counts_as_silent(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    with pytest.raises(Unreachable, match=r"no answer from nas within 0\.3 s"):
        await channel.run(b"sleep 20\n", deadline=0.3)
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


async def test_a_cancelled_script_ends_at_its_next_word_and_not_in_the_middle(
    server: Sshd, open_channel: Open, tmp_path: Path
) -> None:
    script = b"cd %s; touch begun; sleep 0.6; touch step_done; echo said || exit 1; touch never\n" % str(tmp_path).encode()
    channel = await open_channel(server)
    running = asyncio.ensure_future(channel.run(script))
    await wait_for(tmp_path / "begun")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(wait_for(tmp_path / "step_done"), 5)
    await asyncio.sleep(0.3)
    assert not (tmp_path / "never").exists()
    assert (await channel.run(b"echo next\n")).stdout == b"next\n"


@pytest.mark.parametrize("moment", [0.0, 0.0005, 0.001, 0.002, 0.004])
async def test_a_script_cancelled_while_it_is_being_sent_leaves_nothing_behind(
    start_server: StartServer, open_channel: Open, moment: float
) -> None:
    channel = await open_channel(start_server("MaxSessions 2"))
    for _ in range(6):
        running = asyncio.ensure_future(channel.run(b"echo once\n"))
        await asyncio.sleep(moment)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await channel.run(b"echo next\n", deadline=5)).stdout == b"next\n"


async def test_a_connection_cut_in_the_middle_leaves_the_outcome_unknown(
    server: Sshd, open_channel: Open, tmp_path: Path
) -> None:
    channel = await open_channel(server)
    running = asyncio.ensure_future(channel.run(b"echo begun; touch %s/begun; sleep 20\n" % str(tmp_path).encode()))
    await wait_for(tmp_path / "begun")
    server.signal_connections(signal.SIGKILL)
    output = await running
    assert (output.stdout, output.status) == (b"begun\n", None)
    with pytest.raises(Unreachable, match="the connection to nas is broken or closed"):
        await channel.run(b"echo never\n")


async def test_a_shell_that_is_killed_leaves_the_outcome_unknown(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    assert await channel.run(b"echo begun; kill -9 $$\n") == Output(b"begun\n", b"", None)


async def test_a_server_that_falls_silent_is_noticed(server: Sshd, open_channel: Open, tmp_path: Path) -> None:
    channel = await open_channel(server, keepalive=0.2)
    running = asyncio.ensure_future(channel.run(b"touch %s/begun; sleep 20\n" % str(tmp_path).encode()))
    await wait_for(tmp_path / "begun")
    server.signal_connections(signal.SIGSTOP)
    started = time.monotonic()
    assert (await running).status is None
    assert time.monotonic() - started < 3


async def test_a_closed_channel_runs_nothing(server: Sshd, open_channel: Open) -> None:
    channel = await open_channel(server)
    await channel.close()
    with pytest.raises(Unreachable):
        await channel.run(b"echo never\n")


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
async def test_the_login_shell_of_the_user_does_not_matter(
    start_server: StartServer, open_channel: Open, shell: str, tmp_path: Path
) -> None:
    path = shutil.which(shell)
    channel = await open_channel(start_server(f'ForceCommand {path} -c "$SSH_ORIGINAL_COMMAND"'))
    assert await channel.run(b"echo $((6 * 7)); exit 5\n") == Output(b"42\n", b"", 5)
    await channel.upload(str(tmp_path / "a folder with a ' and \\ and $x"), "blob", b"content")
    assert (tmp_path / "a folder with a ' and \\ and $x" / "blob").read_bytes() == b"content"


async def test_a_missing_tool_for_become_is_named(server: Sshd, open_channel: Open) -> None:
    if shutil.which("doas"):
        pytest.fail("this test needs a machine without doas: the lab tests have one with it")
    channel = await open_channel(server, become="doas")
    with pytest.raises(BecomeError, match="there is no doas on nas"):
        await channel.run(b"echo never\n")


class TestUpload:
    @pytest.fixture
    async def channel(self, server: Sshd, open_channel: Open) -> Channel:
        return await open_channel(server)

    @pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_001])
    async def test_content_of_any_size_arrives_unchanged_and_private(self, channel: Channel, tmp_path: Path, size: int) -> None:
        data = (bytes(range(256)) * (size // 256 + 1))[:size]
        folder = tmp_path / "new" / "staging"
        await channel.upload(str(folder), "0af3", data)
        file = folder / "0af3"
        assert file.read_bytes() == data
        assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
        assert [entry.name for entry in folder.iterdir()] == ["0af3"]

    async def test_content_of_the_same_name_is_replaced_as_a_whole(self, channel: Channel, tmp_path: Path) -> None:
        await channel.upload(str(tmp_path), "blob", b"old")
        await channel.upload(str(tmp_path), "blob", b"new")
        assert (tmp_path / "blob").read_bytes() == b"new"

    async def test_content_that_arrives_incomplete_gets_no_name(self, server: Sshd, channel: Channel, tmp_path: Path) -> None:
        sending = asyncio.ensure_future(channel.upload(str(tmp_path / "staging"), "blob", bytes(200_000_000)))
        while not list((tmp_path / "staging").glob(".blob.*") if (tmp_path / "staging").exists() else ()):
            await asyncio.sleep(0.005)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        for _ in range(200):
            if not list((tmp_path / "staging").iterdir()):
                break
            await asyncio.sleep(0.02)
        assert list((tmp_path / "staging").iterdir()) == []

    async def test_a_folder_that_cannot_be_made_is_named(self, channel: Channel, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(HostError, match=r"nas could not store 4 bytes in .*file/staging: .*Not a directory"):
            await channel.upload(str(tmp_path / "file" / "staging"), "blob", b"data")

    @pytest.mark.parametrize(
        ("folder", "name"),
        [
            ("/tmp\n/etc", "x"),
            ("relative", "x"),
            ("/tmp", "../x"),
            ("/tmp", "-x"),
            ("/tmp", "x\ny"),
            ("/tmp", ""),
            ("/t\0", "x"),
        ],
    )
    async def test_a_name_that_could_mean_something_else_is_never_sent(self, channel: Channel, folder: str, name: str) -> None:
        with pytest.raises(ValueError, match="absolute folder and a plain file name"):
            await channel.upload(folder, name, b"data")
