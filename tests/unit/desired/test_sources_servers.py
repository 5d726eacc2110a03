"""Fetching from real servers: sshd and `git http-backend` behind TLS. Who is not proven to be the server gets no login."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pygit2
import pytest

from desired.sources.model import Wanted
from desired.sources.remote import Rules
from desired.sources.repository import Author, Written
from desired.sources.resolve import Sources
from providers.secret import Secret
from tests.sshd import USER, Sshd, agent_with, make_key, public
from tests.unit.desired.origin import HttpServer, Origin, authority, problem, served

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make_key(folder / "id_ed25519")
    make_key(folder / "other")
    make_key(folder / "locked", "-N", "a passphrase")
    make_key(folder / "rsa", "-t", "rsa")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[Sshd]:
    running = Sshd(tmp_path_factory.mktemp("sshd") / "server", keys / "id_ed25519")
    running.start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin.create(tmp_path / "site")
    made.commit({"index.html": "one"})
    return made


def over_ssh(server: Sshd, origin: Origin, **more: str) -> Wanted:
    return Wanted("site", f"ssh://{USER}@127.0.0.1:{server.port}{origin.root}", "main", **more)  # type: ignore[arg-type]


def rules(tmp_path: Path, keys: Path, fleet: str = "", own: str = "") -> Rules:
    (tmp_path / "own").write_text(own)
    return Rules(fleet_hosts=fleet, own_hosts=tmp_path / "own", keys=keys)


def test_a_pinned_server_is_fetched_from_with_the_operators_key(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet=server.pin))
    assert sources.resolve(over_ssh(server, origin)).commit == origin.git("rev-parse", "HEAD")


def test_the_operators_own_known_hosts_count_where_the_fleet_knows_nothing(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, own=server.pin))
    assert sources.resolve(over_ssh(server, origin)).commit == origin.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("fleet", "own", "said"),
    [
        ("", "", "not known"),
        ("{entry} {other}\n", "{pin}", "another host key"),
        ("{entry} {rsa}\n", "", "another host key"),
        ("{pin}@revoked {entry} {right}\n", "", "@revoked"),
        ("{pin}", "@revoked * {right}\n", "@revoked"),
        ("@cert-authority {entry} {right}\n", "{pin}", "authority"),
        ("other.lan {right}\n", "", "not known"),
    ],
)
def test_a_server_that_is_not_proven_gets_no_login(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path, fleet: str, own: str, said: str
) -> None:
    words = {
        "entry": server.entry,
        "pin": server.pin,
        "right": public(server.host_key),
        "other": public(keys / "other"),
        "rsa": public(keys / "rsa"),
    }
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet.format(**words), own.format(**words)))
    before = server.log.count("Accepted publickey") + server.log.count("Failed publickey")

    found = problem(sources, over_ssh(server, origin))

    assert found.kind == "refused"
    assert said in str(found)
    assert "hosts/known_hosts" in found.hint
    assert server.log.count("Accepted publickey") + server.log.count("Failed publickey") == before


def test_a_pattern_and_an_odd_line_before_it_do_not_hide_a_pin(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    fleet = f"# comment\nbroken\nx ssh-ed25519 !!!\n@odd y z a\n[127.0.0.*]:{server.port} {public(server.host_key)}\n"
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet))
    assert sources.resolve(over_ssh(server, origin)).commit == origin.git("rev-parse", "HEAD")


def test_two_fleets_in_one_process_do_not_lend_each_other_their_pins(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    knows = Sources(tmp_path / "one", rules(tmp_path, keys, fleet=server.pin))
    knows_not = Sources(tmp_path / "two", rules(tmp_path, keys, fleet=f"{server.entry} {public(keys / 'other')}\n"))
    found: list[str] = []

    def ask(sources: Sources) -> None:
        for _ in range(3):
            sources.refresh()
            try:
                sources.resolve(over_ssh(server, origin))
                found.append("resolved" if sources is knows else "WRONG")
            except Exception as error:  # noqa: BLE001 what it was is asserted below
                found.append("refused" if sources is knows_not and "another host key" in str(error) else f"WRONG {error}")

    threads = [threading.Thread(target=ask, args=(sources,)) for sources in (knows, knows_not)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["refused"] * 3 + ["resolved"] * 3


def test_a_named_key_is_the_only_one_that_is_tried(server: Sshd, origin: Origin, tmp_path: Path, keys: Path) -> None:
    sources = Sources(tmp_path / "cache", rules(tmp_path, tmp_path, fleet=server.pin))
    assert problem(sources, over_ssh(server, origin)).kind == "refused"
    assert problem(sources, over_ssh(server, origin, identity=str(keys / "other"))).kind == "refused"
    assert problem(sources, over_ssh(server, origin, identity=str(tmp_path / "missing"))).kind == "refused"
    assert "ssh-agent" in problem(sources, over_ssh(server, origin, identity=str(keys / "locked"))).hint
    sources.resolve(over_ssh(server, origin, identity=str(keys / "id_ed25519")))


def test_a_key_with_a_passphrase_does_not_keep_the_next_from_being_tried(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "id_ed25519").write_bytes((keys / "locked").read_bytes())
    (folder / "id_ecdsa").write_bytes((keys / "other").read_bytes())
    (folder / "id_rsa").write_bytes((keys / "id_ed25519").read_bytes())
    assert Sources(tmp_path / "cache", rules(tmp_path, folder, fleet=server.pin)).resolve(
        over_ssh(server, origin)
    ).commit == origin.git("rev-parse", "HEAD")


def test_the_agents_keys_are_tried(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent_with(keys / "id_ed25519", folder=tmp_path) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent)
        sources = Sources(tmp_path / "cache", rules(tmp_path, tmp_path, fleet=server.pin))
        assert sources.resolve(over_ssh(server, origin)).commit == origin.git("rev-parse", "HEAD")


def test_a_repository_that_the_server_does_not_have_is_unreachable(
    server: Sshd, origin: Origin, tmp_path: Path, keys: Path
) -> None:
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet=server.pin))
    wanted = over_ssh(server, origin)
    assert problem(sources, replace(wanted, url=f"{wanted.url}-missing")).kind == "unreachable"


def test_nobody_listening_is_unreachable(tmp_path: Path, keys: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet=f"[127.0.0.1]:{place[10:]} {public(keys / 'other')}\n"))
    for url in (f"ssh://git@{place}/x", f"https://{place}/x", "https://nowhere.invalid/x"):
        assert problem(sources, Wanted("site", url, "main")).kind == "unreachable"


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        fleet = f"[127.0.0.1]:{place[10:]} {public(keys / 'other')}\n"
        sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet=fleet))
        monkeypatch.setattr(pygit2.settings, "server_timeout", 500)
        for url in (f"ssh://git@{place}/x", f"https://{place}/x"):
            began = time.monotonic()
            assert problem(sources, Wanted("site", url, "main")).kind == "unreachable"
            assert time.monotonic() - began < 10


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of an authority that nobody trusts."""
    return authority(tmp_path_factory.mktemp("tls") / "strangers")


def over_https(server: HttpServer, password: str | None = None, host: str = "localhost") -> Wanted:
    token = Secret(password.encode(), f"version of {password}") if password else None
    return Wanted("site", f"https://{host}:{server.port}/site/.git", "main", token, "ada")


def test_https_with_a_token(origin: Origin, tmp_path: Path, certificates: Path) -> None:
    with served(HttpServer(tmp_path, login=f"ada:{PASSWORD}"), certificates) as server:
        sources = Sources(tmp_path / "cache", authority=certificates / "ca.pem")
        assert sources.resolve(over_https(server, PASSWORD)).commit == origin.git("rev-parse", "HEAD")


def test_a_wrong_token_is_offered_once_and_never_shown(origin: Origin, tmp_path: Path, certificates: Path) -> None:
    with served(HttpServer(tmp_path, login=f"ada:{PASSWORD}"), certificates) as server:
        sources = Sources(tmp_path / "cache", authority=certificates / "ca.pem")
        found = problem(sources, over_https(server, "wrong horse battery"))
        assert found.kind == "refused"
        assert "did not accept the token" in str(found)
        assert "wrong horse" not in str(found) + found.hint
        assert sum("Authorization" in headers for _, headers in server.requests) == 1

        assert "asks for a login" in str(problem(sources, over_https(server)))


def test_no_login_is_sent_before_it_is_asked_for(origin: Origin, tmp_path: Path, certificates: Path) -> None:
    with served(HttpServer(tmp_path), certificates) as server:
        sources = Sources(tmp_path / "cache", authority=certificates / "ca.pem")
        sources.resolve(over_https(server, PASSWORD))
        assert server.requests
        assert not [headers for _, headers in server.requests if "Authorization" in headers]


def test_a_certificate_of_an_unknown_authority_is_refused(
    origin: Origin, tmp_path: Path, certificates: Path, strangers: Path
) -> None:
    with served(HttpServer(tmp_path), strangers) as server:
        sources = Sources(tmp_path / "cache", authority=certificates / "ca.pem")
        found = problem(sources, over_https(server, PASSWORD))
        assert found.kind == "refused"
        assert "certificate" in str(found)
        assert not server.requests


def test_a_certificate_for_another_name_is_refused(origin: Origin, tmp_path: Path) -> None:
    elsewhere = authority(tmp_path / "elsewhere", "DNS:git.example.org")
    with served(HttpServer(tmp_path), elsewhere) as server:
        sources = Sources(tmp_path / "cache", authority=elsewhere / "ca.pem")
        found = problem(sources, over_https(server, PASSWORD))
        assert found.kind == "refused"
        assert "certificate" in str(found)
        assert not server.requests


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_redirect_is_not_followed_and_no_login_follows_it(
    origin: Origin, tmp_path: Path, certificates: Path, scheme: str
) -> None:
    with served(HttpServer(tmp_path, login=f"ada:{PASSWORD}"), certificates) as other:
        target = f"{scheme}://127.0.0.1:{other.port}"
        with served(HttpServer(tmp_path, redirect=lambda path: target + path), certificates) as server:
            sources = Sources(tmp_path / "cache", authority=certificates / "ca.pem")
            found = problem(sources, over_https(server, PASSWORD))
            assert found.kind == "refused"
            assert not other.requests


def test_a_server_that_sends_too_much_is_cut_off_and_leaves_nothing(origin: Origin, tmp_path: Path, certificates: Path) -> None:
    origin.commit({"large": os.urandom(3 << 20)})
    with served(HttpServer(tmp_path), certificates) as server:
        sources = Sources(tmp_path / "cache", Rules(most_bytes=1 << 20), authority=certificates / "ca.pem")
        found = problem(sources, over_https(server))
        assert found.kind == "unusable"
        assert "1 MiB" in str(found)
        assert not list((tmp_path / "cache").rglob("pack_git2_*"))


def test_the_settings_of_the_user_do_not_send_us_elsewhere(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Origin.create(tmp_path / "elsewhere")
    away.commit({"index.html": "evil"})
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{away.root}"]\n\tinsteadOf = {origin.root}\n')
    monkeypatch.setenv("HOME", str(home))
    assert Sources(tmp_path / "cache").resolve(origin.wanted()).commit == origin.git("rev-parse", "HEAD")


def test_a_branch_is_pushed_over_ssh(server: Sshd, origin: Origin, tmp_path: Path, keys: Path) -> None:
    bare = origin.bare()
    sources = Sources(tmp_path / "cache", rules(tmp_path, keys, fleet=server.pin))
    wanted = over_ssh(server, bare)
    resolved = sources.resolve(wanted)
    changes = {"index.html": Written(0o100644, b"mended")}
    author = Author("Ada", "ada@example.org", 1_700_000_000)
    commit = resolved.repository.commit_on_top(resolved.commit, "hotfix", changes, "Mend it", author)
    sources.push(wanted, "hotfix")
    assert bare.git("rev-parse", "hotfix") == commit
