"""Which host keys are accepted, against a real sshd: what is pinned, what only the operator knows, what is refused."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from state.channel import Channel, HostKeyError
from state.connect import connect
from state.target import Target
from tests.sshd import USER, Sshd, fingerprint, make_key, public
from tests.unit.state.conftest import Open, StartServer


async def works(channel: Channel) -> bool:
    return (await channel.run(b"echo yes\n")).stdout == b"yes\n"


def hashed(path: Path, text: str) -> str:
    """`text` as OpenSSH hashes it."""
    path.write_text(text)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "127.0.0.1" not in path.read_text()
    return path.read_text()


async def test_a_pinned_key_opens_the_door(server: Sshd, open_channel: Open) -> None:
    assert await works(await open_channel(server))


async def test_a_hashed_entry_counts(server: Sshd, open_channel: Open, tmp_path: Path) -> None:
    assert await works(await open_channel(server, known_hosts=hashed(tmp_path / "hashed", server.pin)))


@pytest.mark.parametrize("name", ["nas", "127.0.0.1", "127.0.0.*", "other,nas", "[127.0.0.1]:*"])
async def test_a_key_may_be_pinned_for_the_hosts_name_or_its_address(server: Sshd, open_channel: Open, name: str) -> None:
    assert await works(await open_channel(server, known_hosts=f"# ours\n\n{name} {public(server.host_key)} a comment\n"))


@pytest.mark.parametrize("name", ["nas2", "127.0.0.2", "*,!nas,!127.0.0.1,![127.0.0.1]:*", "[127.0.0.1]:1", "#nas"])
async def test_an_entry_for_another_host_does_not_count(server: Sshd, open_channel: Open, name: str) -> None:
    with pytest.raises(HostKeyError, match="the host key of nas is not known"):
        await open_channel(server, known_hosts=f"{name} {public(server.host_key)}\n")


async def test_an_unknown_key_is_refused_with_its_fingerprint_and_the_line_that_would_pin_it(
    server: Sshd, open_channel: Open
) -> None:
    with pytest.raises(HostKeyError) as refused:
        await open_channel(server, known_hosts="")
    assert str(refused.value) == (
        f"the host key of nas is not known: {server.entry} offers ssh-ed25519 {fingerprint(server.host_key)}"
    )
    assert f"{refused.value.line}\n" == server.pin
    assert refused.value.hint.endswith("add this line to hosts/known_hosts:")
    assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in refused.value.hint
    assert await works(await open_channel(server, known_hosts=refused.value.line))


async def test_a_changed_key_is_refused_with_both_fingerprints(server: Sshd, open_channel: Open, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    with pytest.raises(HostKeyError) as refused:
        await open_channel(server, known_hosts=f"# pins\n{server.entry} {public(other)}\n")
    assert str(refused.value) == (
        f"the host key of nas has CHANGED: {server.entry} offers ssh-ed25519 {fingerprint(server.host_key)}, "
        f"but hosts/known_hosts has ssh-ed25519 {fingerprint(other)} (line 2)"
    )
    assert "someone may be in the middle, or the host was installed anew" in refused.value.hint


async def test_a_key_of_another_kind_than_the_pinned_one_has_changed_too(
    server: Sshd, open_channel: Open, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other", "-t", "rsa", "-b", "2048")
    with pytest.raises(HostKeyError, match="has CHANGED"):
        await open_channel(server, known_hosts=f"nas {public(other)}\n")


async def test_of_several_host_keys_the_pinned_kind_is_asked_for(
    start_server: StartServer, open_channel: Open, tmp_path: Path
) -> None:
    rsa = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048")
    server = start_server(f"HostKey {rsa}")
    assert await works(await open_channel(server, known_hosts=f"nas {public(rsa)}\n"))
    assert await works(await open_channel(server, known_hosts=f"nas {public(server.host_key)}\n"))


async def test_a_pin_that_cannot_be_read_refuses_the_host_rather_than_looking_elsewhere(
    server: Sshd, open_channel: Open, home: Path
) -> None:
    (home / ".ssh" / "known_hosts").write_text(server.pin)
    with pytest.raises(HostKeyError, match=r"has CHANGED: .* but hosts/known_hosts has ssh-ed25519 an unreadable key"):
        await open_channel(server, known_hosts="nas ssh-ed25519 AAAA!\n")


class TestTheOperatorsOwnFiles:
    async def test_they_count_where_the_fleet_pins_nothing(self, server: Sshd, open_channel: Open, home: Path) -> None:
        (home / ".ssh" / "known_hosts").write_text(server.pin)
        assert await works(await open_channel(server, known_hosts="other ssh-ed25519 AAAA\n"))

    async def test_they_never_widen_what_the_fleet_pins(
        self, server: Sshd, open_channel: Open, home: Path, tmp_path: Path
    ) -> None:
        (home / ".ssh" / "known_hosts").write_text(server.pin)
        with pytest.raises(HostKeyError, match="CHANGED"):
            await open_channel(server, known_hosts=f"nas {public(make_key(tmp_path / 'other'))}\n")

    async def test_the_fleets_word_for_a_host_means_nothing_in_them(self, server: Sshd, open_channel: Open, home: Path) -> None:
        (home / ".ssh" / "known_hosts").write_text(f"nas {public(server.host_key)}\n")
        with pytest.raises(HostKeyError, match="not known"):
            await open_channel(server, known_hosts="")

    async def test_one_that_cannot_be_read_is_not_taken_for_empty(self, server: Sshd, open_channel: Open, home: Path) -> None:
        (home / ".ssh" / "known_hosts").mkdir()
        with pytest.raises(HostKeyError, match=r"known_hosts cannot be read, and it may revoke keys: Is a directory$"):
            await open_channel(server)

    async def test_a_key_that_they_revoke_is_revoked_even_if_pinned(self, server: Sshd, open_channel: Open, home: Path) -> None:
        (home / ".ssh" / "known_hosts").write_text(f"@revoked * {public(server.host_key)}\n")
        with pytest.raises(HostKeyError, match="the host key of nas is refused: Host key is revoked"):
            await open_channel(server)


async def test_a_revoked_key_is_refused(server: Sshd, open_channel: Open) -> None:
    with pytest.raises(HostKeyError, match="revoked"):
        await open_channel(server, known_hosts=server.pin + f"@revoked {server.entry} {public(server.host_key)}\n")


async def test_a_revocation_that_cannot_be_read_accepts_no_key_of_the_host(server: Sshd, open_channel: Open) -> None:
    with pytest.raises(HostKeyError, match="@revoked line that concerns nas is not a readable key"):
        await open_channel(server, known_hosts=server.pin + "@revoked nas ssh-ed25519 AAAA\n")


class TestCertificates:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return make_key(tmp_path / "authority")

    @pytest.fixture
    def certified(self, start_server: StartServer, authority: Path, tmp_path: Path) -> Callable[[str], Sshd]:
        """Starts a server whose host key is certified for `principal`."""

        def start(principal: str) -> Sshd:
            host_key = make_key(tmp_path / "certified")
            command = ["ssh-keygen", "-q", "-s", str(authority), "-h", "-I", "test", "-n", principal, f"{host_key}.pub"]
            subprocess.run(command, check=True)
            return start_server(f"HostKey {host_key}", f"HostCertificate {host_key}-cert.pub")

        return start

    async def test_of_a_trusted_authority_it_counts(
        self, certified: Callable[[str], Sshd], open_channel: Open, authority: Path
    ) -> None:
        pin = f"@cert-authority * {public(authority)}\n"
        assert await works(await open_channel(certified("127.0.0.1"), known_hosts=pin))

    async def test_for_another_name_it_is_refused(
        self, certified: Callable[[str], Sshd], open_channel: Open, authority: Path
    ) -> None:
        with pytest.raises(HostKeyError, match=r"the host key of nas is refused: .*principal"):
            await open_channel(certified("other.lan"), known_hosts=f"@cert-authority * {public(authority)}\n")

    async def test_of_another_authority_it_is_refused(
        self, certified: Callable[[str], Sshd], open_channel: Open, authority: Path, tmp_path: Path
    ) -> None:
        other = make_key(tmp_path / "other")
        with pytest.raises(HostKeyError) as refused:
            await open_channel(certified("127.0.0.1"), known_hosts=f"@cert-authority * {public(other)}\n")
        assert fingerprint(authority) in str(refused.value)
        assert fingerprint(other) in str(refused.value)

    async def test_a_host_without_one_is_refused_where_one_is_asked_for(
        self, server: Sshd, open_channel: Open, authority: Path
    ) -> None:
        with pytest.raises(HostKeyError, match="hosts/known_hosts asks for a certificate"):
            await open_channel(server, known_hosts=f"@cert-authority * {public(authority)}\n")

    async def test_a_plain_pin_serves_a_host_that_has_one_besides(
        self, certified: Callable[[str], Sshd], open_channel: Open, tmp_path: Path
    ) -> None:
        server = certified("127.0.0.1")
        assert await works(await open_channel(server, known_hosts=f"nas {public(tmp_path / 'certified')}\n"))


async def test_a_jump_host_is_checked_as_every_other(
    start_server: StartServer, open_channel: Open, key: Path, tmp_path: Path
) -> None:
    server, jump = start_server(), start_server()
    hop = Target("bastion", "127.0.0.1", USER, jump.port, identity=str(key))
    with pytest.raises(HostKeyError, match="the host key of bastion is not known"):
        await open_channel(server, jump=(hop,))
    with pytest.raises(HostKeyError, match="the host key of nas is not known"):
        await open_channel(server, jump=(hop,), known_hosts=jump.pin)
    assert await works(await open_channel(server, jump=(hop,), known_hosts=jump.pin + server.pin))


async def test_a_thousand_lines_cost_little_per_host(home: Path, server: Sshd, key: Path, tmp_path: Path) -> None:
    noise = "".join(f"host{number}.lan {public(key)}\n" for number in range(1000))
    text = hashed(tmp_path / "hashed", noise + server.pin)
    target = Target("nas", "127.0.0.1", USER, server.port, identity=str(key))

    async def cost(known_hosts: str) -> float:
        started = time.process_time()
        for _ in range(10):
            await (await connect(target, known_hosts=known_hosts)).close()
        return time.process_time() - started

    few, many = min([await cost(server.pin) for _ in range(3)]), min([await cost(text) for _ in range(3)])
    assert (many - few) / 10 < 0.02
