"""Getting in, against real servers: keys, agents, ~/.ssh/config, jump hosts, and a plain sentence for every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest

from state.channel import HostError, LoginError, Unreachable
from state.connect import connect
from state.target import Target
from tests.sshd import USER, Sshd, agent_with, make_key, public
from tests.unit.state.conftest import Open, StartServer

RELAY = """
import os, socket, sys, threading
way = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def back():
    while data := way.recv(65536):
        os.write(1, data)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    way.sendall(data)
"""


async def answer(target: Target, known_hosts: str, script: bytes = b"echo yes\n") -> bytes:
    channel = await connect(target, known_hosts=known_hosts)
    try:
        return (await channel.run(script)).stdout
    finally:
        await channel.close()


async def refusal(target: Target, known_hosts: str = "", **patience: float) -> HostError:
    with pytest.raises(HostError) as caught:
        await connect(target, known_hosts=known_hosts, **patience)
    return caught.value


def own_key(home: Path, key: Path, name: str = "id_ed25519") -> None:
    for ending in ("", ".pub"):
        (home / ".ssh" / f"{name}{ending}").write_bytes(Path(f"{key}{ending}").read_bytes())


class TestKeys:
    async def test_the_usual_files_are_tried(self, home: Path, key: Path, server: Sshd) -> None:
        own_key(home, key)
        assert await answer(Target("nas", "127.0.0.1", USER, server.port), server.pin) == b"yes\n"

    async def test_a_path_may_begin_with_a_tilde(self, home: Path, key: Path, server: Sshd) -> None:
        own_key(home, key, "for_nas")
        target = Target("nas", "127.0.0.1", USER, server.port, identity="~/.ssh/for_nas")
        assert await answer(target, server.pin) == b"yes\n"

    async def test_an_agent_is_asked(
        self, home: Path, key: Path, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with agent_with(key, folder=tmp_path) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            assert await answer(Target("nas", "127.0.0.1", USER, server.port), server.pin) == b"yes\n"

    async def test_a_locked_key_works_when_the_agent_holds_it(
        self, home: Path, key: Path, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And the named key goes first: the server would hang up before the agent's sixth."""
        others = [make_key(tmp_path / f"other{number}") for number in range(8)]
        locked = home / ".ssh" / "locked"
        locked.write_bytes(key.read_bytes())
        locked.chmod(0o600)
        with agent_with(*others, key, folder=tmp_path) as agent:
            make_locked(locked)
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            target = Target("nas", "127.0.0.1", USER, server.port, identity="~/.ssh/locked")
            assert await answer(target, server.pin) == b"yes\n"
            await refused_after_too_many(server)

    async def test_a_wrong_key_is_named(self, home: Path, server: Sshd, tmp_path: Path) -> None:
        own_key(home, make_key(tmp_path / "wrong"))
        error = await refusal(Target("nas", "127.0.0.1", USER, server.port), server.pin)
        assert isinstance(error, LoginError)
        assert str(error) == f"no key was accepted for {USER}@nas: offered ~/.ssh/id_ed25519"
        assert error.hint == f"is the public key in ~{USER}/.ssh/authorized_keys on nas, and is {USER} the right user?"

    async def test_all_that_was_offered_is_named_and_what_could_not_be(
        self, home: Path, server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = [make_key(tmp_path / name) for name in ("one", "two", "three")]
        own_key(home, wrong[2])
        own_key(home, make_key(tmp_path / "locked", "-t", "rsa", "-b", "2048", "-N", "secret"), "id_rsa")
        with agent_with(*wrong[:2], folder=tmp_path) as agent:
            monkeypatch.setenv("SSH_AUTH_SOCK", agent)
            error = await refusal(Target("nas", "127.0.0.1", USER, server.port), server.pin)
        assert str(error) == (
            f"no key was accepted for {USER}@nas: offered 2 keys from the agent and ~/.ssh/id_ed25519 "
            "(~/.ssh/id_rsa needs a passphrase: load it into ssh-agent with ssh-add)"
        )

    async def test_without_any_key_that_is_said(self, home: Path, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "no-agent"))
        error = await refusal(Target("nas", "127.0.0.1", USER, server.port), server.pin)
        assert str(error).startswith(
            f"there is no key to log in with as {USER}@nas: the agent at {home}/no-agent does not answer"
        )

    async def test_a_named_key_that_is_not_there_is_told_at_once(self, home: Path) -> None:
        error = await refusal(Target("nas", "127.0.0.1", port=1, identity="~/.ssh/nas_key"))
        assert str(error) == "the key ~/.ssh/nas_key of nas cannot be read: No such file or directory"

    async def test_a_file_that_is_no_key_is_named(self, home: Path, server: Sshd) -> None:
        (home / ".ssh" / "id_rsa").write_text("not a key")
        error = await refusal(Target("nas", "127.0.0.1", USER, server.port), server.pin)
        assert str(error).endswith("~/.ssh/id_rsa is not a private key")

    async def test_a_users_certificate_beside_the_key_is_offered(
        self, home: Path, start_server: StartServer, tmp_path: Path
    ) -> None:
        authority, key = make_key(tmp_path / "authority"), make_key(tmp_path / "mine")
        certify(authority, key)
        server = start_server(f"TrustedUserCAKeys {authority}.pub")
        target = Target("nas", "127.0.0.1", USER, server.port, identity=str(key))
        assert await answer(target, server.pin) == b"yes\n"


def certify(authority: Path, key: Path) -> None:
    """Has the authority say that `key` is the user's."""
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", USER, f"{key}.pub"]
    subprocess.run(command, check=True)


def make_locked(key: Path) -> None:
    """Gives `key` a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(key)], check=True, capture_output=True)


async def refused_after_too_many(server: Sshd) -> None:
    error = await refusal(Target("nas", "127.0.0.1", USER, server.port), server.pin)
    assert str(error) == f"no key was accepted for {USER}@nas: offered 9 keys from the agent"
    assert "name the right one with `identity`" in error.hint


class TestTheOperatorsConfig:
    @pytest.fixture
    def config(self, home: Path) -> Path:
        return home / ".ssh" / "config"

    async def test_a_name_of_his_own_reaches_the_host(self, config: Path, key: Path, server: Sshd) -> None:
        config.write_text(f"Host box\n HostName 127.0.0.1\n Port {server.port}\n User {USER}\n IdentityFile {key}\n")
        assert await answer(Target("nas", "box"), server.pin) == b"yes\n"

    async def test_what_the_fleet_says_wins(self, config: Path, key: Path, server: Sshd) -> None:
        config.write_text(f"Host *\n HostName 127.0.0.1\n Port 1\n User nobody\n IdentityFile {config}.none\n")
        target = Target("nas", "box", USER, server.port, identity=str(key))
        assert await answer(target, server.pin) == b"yes\n"

    async def test_an_alias_and_other_files_for_host_keys_count(self, config: Path, key: Path, server: Sshd) -> None:
        pins = config.with_name("elsewhere")
        pins.write_text(f"the-box {public(server.host_key)}\n")
        config.write_text(f"HostKeyAlias the-box\nUserKnownHostsFile {pins}\nIdentityFile {key}\n")
        assert await answer(Target("nas", "127.0.0.1", USER, server.port), "") == b"yes\n"

    async def test_a_proxy_command_is_used(self, config: Path, key: Path, server: Sshd, tmp_path: Path) -> None:
        relay = tmp_path / "relay.py"
        relay.write_text(RELAY)
        config.write_text(f"Host box\n ProxyCommand {sys.executable} {relay} {server.port}\n IdentityFile {key}\n")
        assert await answer(Target("nas", "box", USER), f"nas {public(server.host_key)}\n") == b"yes\n"

    async def test_checking_host_keys_cannot_be_switched_off(self, config: Path, key: Path, server: Sshd) -> None:
        config.write_text(f"StrictHostKeyChecking no\nUserKnownHostsFile none\nIdentityFile {key}\n")
        error = await refusal(Target("nas", "127.0.0.1", USER, server.port))
        assert "the host key of nas is not known" in str(error)

    async def test_a_mistake_in_it_is_told_with_its_line(self, config: Path) -> None:
        config.write_text("Host *\n Port many\n")
        error = await refusal(Target("nas", "127.0.0.1"))
        assert "line 2: Invalid Port integer value: many" in str(error)

    async def test_variables_of_the_operator_do_not_reach_the_host(
        self, config: Path, key: Path, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", "secret")
        config.write_text(f"SendEnv TOKEN\nSetEnv OTHER=1\nForwardAgent yes\nIdentityFile {key}\n")
        server = start_server("AcceptEnv *")
        script = b'echo "<$TOKEN$OTHER$SSH_AUTH_SOCK>"\n'
        assert await answer(Target("nas", "127.0.0.1", USER, server.port), server.pin, script) == b"<>\n"


class TestJumpHosts:
    async def test_a_chain_of_them_is_gone_through_in_order(self, home: Path, key: Path, start_server: StartServer) -> None:
        server, first, second = start_server(), start_server(), start_server()
        pins = first.pin + second.pin + server.pin
        hops = tuple(
            Target(name, "127.0.0.1", USER, hop.port, identity=str(key)) for name, hop in (("a", first), ("b", second))
        )
        assert await answer(Target("nas", "127.0.0.1", USER, server.port, "none", hops, str(key)), pins) == b"yes\n"
        assert "Accepted publickey" in first.log
        assert "Accepted publickey" in second.log

    async def test_those_of_the_operators_config_are_used(self, home: Path, key: Path, start_server: StartServer) -> None:
        server, jump = start_server(), start_server()
        (home / ".ssh" / "config").write_text(
            f"Host bastion\n HostName 127.0.0.1\n Port {jump.port}\n"
            f"Host *\n User {USER}\n IdentityFile {key}\n ProxyJump bastion\n"
        )
        assert await answer(Target("nas", "127.0.0.1", port=server.port), jump.pin + server.pin) == b"yes\n"
        assert "Accepted publickey" in jump.log

    async def test_those_that_lead_in_a_circle_are_told(self, home: Path) -> None:
        (home / ".ssh" / "config").write_text("Host a\n ProxyJump b\nHost b\n ProxyJump a\n")
        assert "lead in a circle" in str(await refusal(Target("nas", "a")))

    async def test_one_that_passes_nothing_on_is_told(self, home: Path, key: Path, start_server: StartServer) -> None:
        jump = start_server("AllowTcpForwarding no")
        hop = Target("bastion", "127.0.0.1", USER, jump.port, identity=str(key))
        error = await refusal(Target("nas", "127.0.0.1", USER, 9, "none", (hop,)), jump.pin)
        assert str(error) == "the jump host bastion does not pass connections on"

    async def test_a_host_that_one_cannot_reach_is_told(self, home: Path, key: Path, server: Sshd) -> None:
        hop = Target("bastion", "127.0.0.1", USER, server.port, identity=str(key))
        error = await refusal(Target("nas", "127.0.0.1", USER, 9, "none", (hop,)), server.pin)
        assert isinstance(error, Unreachable)
        assert str(error).startswith("the jump host bastion cannot reach 127.0.0.1:9: ")

    async def test_none_stays_connected_after_the_channel_is_closed(
        self, home: Path, key: Path, start_server: StartServer
    ) -> None:
        server, jump = start_server(), start_server()
        hop = Target("bastion", "127.0.0.1", USER, jump.port, identity=str(key))
        await answer(Target("nas", "127.0.0.1", USER, server.port, "none", (hop,), str(key)), jump.pin + server.pin)
        await refusal(Target("nas", "127.0.0.1", USER, server.port, "none", (hop,), str(key)), jump.pin)
        for _ in range(100):
            if not jump.connections():
                break
            await asyncio.sleep(0.05)
        assert jump.connections() == []


class TestTheWay:
    async def test_a_port_where_nobody_listens(self, home: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            error = await refusal(Target("nas", "127.0.0.1", port=free.getsockname()[1]))
        assert isinstance(error, Unreachable)
        assert str(error).endswith("refuses the connection")

    async def test_a_name_that_does_not_exist(self, home: Path) -> None:
        error = await refusal(Target("nas", "nas.invalid"))
        assert isinstance(error, Unreachable)
        assert str(error).startswith("the name nas.invalid cannot be resolved: ")

    async def test_a_port_that_takes_the_connection_and_says_nothing(self, home: Path) -> None:
        with listening() as port:
            error = await refusal(Target("nas", "127.0.0.1", port=port), login_timeout=0.2)
        assert str(error) == f"127.0.0.1:{port} took the connection, but the login was not done within 0.2 s"

    async def test_a_port_that_answers_nothing_at_all(self, home: Path) -> None:
        with listening(full=True) as port:
            error = await refusal(Target("nas", "127.0.0.1", port=port), connect_timeout=0.2)
        assert str(error) == f"127.0.0.1:{port} did not answer within 0.2 s"

    @pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\0" * 2000, b"SSH-1.5-old\r\n", b""])
    async def test_something_that_is_no_ssh_server(self, home: Path, greeting: bytes) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(greeting)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        error = await refusal(Target("nas", "127.0.0.1", port=server.sockets[0].getsockname()[1]), login_timeout=2)
        assert isinstance(error, Unreachable)
        server.close()
        await server.wait_closed()

    async def test_a_server_without_the_preferred_ciphers_is_reached_all_the_same(self, home: Path, key: Path) -> None:
        for cipher in ("aes128-ctr", "chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com"):
            async with server_with(cipher, key) as port:
                target = Target("nas", "127.0.0.1", USER, port, identity=str(key))
                assert await answer(target, f"nas {public(key)}\n") == b"yes\n"

    async def test_a_server_with_nothing_in_common_is_told(self, home: Path, key: Path) -> None:
        async with server_with("aes128-cbc", key) as port:
            error = await refusal(Target("nas", "127.0.0.1", USER, port, identity=str(key)), f"nas {public(key)}\n")
        assert isinstance(error, LoginError)
        assert "share no method: No matching encryption algorithm found" in str(error)


@contextlib.asynccontextmanager
async def server_with(cipher: str, key: Path) -> AsyncIterator[int]:
    """A server that knows one cipher only; its host key is the key that opens it. Its port."""

    def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(b"yes\n")
        process.exit(0)

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[str(key)],
        authorized_client_keys=f"{key}.pub",
        encryption_algs=[cipher],
        process_factory=serve,
        encoding=None,
    )
    yield server.get_port()
    server.close()
    await server.wait_closed()


@contextlib.contextmanager
def listening(*, full: bool = False) -> Iterator[int]:
    """A port that is open and served by nobody; `full`: its queue takes no more, so a connection gets no answer at all."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        for _ in range(3 if full else 0):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
        yield port


async def test_nothing_of_a_script_stands_in_the_log_or_among_the_processes(
    server: Sshd, open_channel: Open, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="root"):
        channel = await open_channel(server)
        output = await channel.run(b"secret=hunter2; tr '\\0' ' ' </proc/$$/cmdline; tr '\\0' ' ' </proc/$PPID/cmdline\n")
    assert output.stdout.startswith(b"/bin/sh -s ")
    assert b"hunter2" not in output.stdout
    assert "hunter2" not in caplog.text
    assert "/bin/sh" not in caplog.text
