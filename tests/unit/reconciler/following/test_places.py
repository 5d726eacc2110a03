"""A branch at a git server, followed through the cache: over ssh, over https, and when nobody answers as they should."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from desired.sources.remote import prepare
from reconciler.loop.following import Follower
from reconciler.loop.places import GetSources, LocalPlace, Newest, RemotePlace
from tests.fleet import Fleet
from tests.sshd import USER, Sshd, make_key
from tests.unit.desired.origin import HttpServer, authority, served
from tests.unit.reconciler.following.followed import Controller, fleet_of, host, only

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "id_ed25519")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Iterator[Sshd]:
    running = Sshd(tmp_path_factory.mktemp("sshd") / "server", key)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = authority(tmp_path_factory.mktemp("authority") / "own")
    prepare(folder / "ca.pem")
    return folder


@pytest.fixture
def https(certificates: Path, fleet: Fleet) -> Iterator[HttpServer]:
    with served(HttpServer(fleet.root.parent, login=f"git:{PASSWORD}"), certificates) as running:
        yield running


def url(server: Sshd, fleet: Fleet) -> str:
    return f"ssh://{USER}@127.0.0.1:{server.port}{fleet.root}"


def test_a_branch_over_ssh_costs_one_question_while_nothing_moves(
    controller: Controller, fleet: Fleet, server: Sshd, key: Path
) -> None:
    fleet.add_key(key)
    commit = controller.begin()
    follower = controller.remote(url(server, fleet))
    refused = only(follower.look())
    assert (refused.kind, "its host key is not known" in refused.message) == ("refused", True)
    assert "~/.ssh/known_hosts of the user who runs the loop" in refused.hint

    (fleet.home / ".ssh" / "known_hosts").write_text(server.pin)
    found = follower.look()
    assert (found.commit, found.branch, found.url) == (commit, "main", url(server, fleet))
    logins = server.log.count("Accepted publickey")
    assert follower.look().fleet is found.fleet
    assert server.log.count("Accepted publickey") == logins + 1
    newest = fleet.commit(host("web", "pushed"))
    assert follower.look().commit == newest
    assert follower.behind(commit) == 1


def test_the_fleet_may_pin_the_key_of_its_own_server(controller: Controller, fleet: Fleet, server: Sshd, key: Path) -> None:
    fleet.add_key(key)
    (fleet.home / ".ssh" / "known_hosts").write_text(server.pin)
    controller.begin()
    pinned = fleet.commit({"hosts/known_hosts": server.pin})
    follower = controller.remote(url(server, fleet))
    assert follower.look().commit == pinned
    (fleet.home / ".ssh" / "known_hosts").unlink()
    newest = fleet.commit({"a": "b"})
    assert follower.look().commit == newest


def test_a_login_that_is_refused_says_what_the_loop_needs(controller: Controller, fleet: Fleet, server: Sshd) -> None:
    make_key(fleet.home / ".ssh" / "id_ed25519")
    (fleet.home / ".ssh" / "known_hosts").write_text(server.pin)
    controller.begin()
    problem = only(controller.remote(url(server, fleet)).look())
    assert problem.kind == "refused"
    assert "project's file" not in problem.hint
    assert "read access on the server" in problem.hint


def test_a_token_is_read_from_its_file_at_each_look_and_is_never_told(
    controller: Controller, https: HttpServer, tmp_path: Path
) -> None:
    commit = controller.begin()
    token = tmp_path / "token"
    follower = controller.start(RemotePlace(https.url("fleet"), "main", token_file=token))
    assert (only(follower.look()).kind, str(token) in only(follower.look()).message) == ("refused", True)
    token.write_text("wrong password\n")
    refused = follower.look()
    assert only(refused).kind == "refused"
    assert "wrong password" not in str(refused)
    token.write_text(f"{PASSWORD}\n")
    found = follower.look()
    assert found.commit == commit
    assert PASSWORD not in repr(found)


def test_a_token_may_come_from_the_environment(
    controller: Controller, https: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = controller.begin()
    monkeypatch.setenv("RECONCILER_GIT_TOKEN", PASSWORD)
    assert controller.remote(https.url("fleet")).look().commit == commit


def test_a_server_that_is_away_keeps_what_is_in_force_also_after_a_restart(controller: Controller, fleet: Fleet) -> None:
    good = controller.begin()
    follower = controller.remote()
    before = follower.look()
    fleet.root.rename(fleet.root.with_name("away"))
    found = follower.look()
    assert (found.fleet is before.fleet, only(found).kind, found.read) == (True, "unreachable", before.read)
    restarted = controller.remote().look()
    assert (restarted.commit, restarted.newest, restarted.read) == (good, None, None)
    assert only(restarted).kind == "unreachable"
    assert list(fleet_of(restarted).hosts) == ["nas", "web"]

    shutil.rmtree(controller.cache)
    lost = controller.remote().look()
    assert lost.fleet is None
    assert {one.kind for one in lost.problems} == {"unreachable"}


def test_a_lost_cache_is_fetched_again_and_no_rewriting_hides_behind_it(controller: Controller, fleet: Fleet) -> None:
    controller.begin()
    good = fleet.commit(host("web", "good"))
    controller.remote().look()
    shutil.rmtree(controller.cache)
    assert controller.remote().look().commit == good
    shutil.rmtree(controller.cache)
    fleet.git("reset", "-q", "--hard", "HEAD~1")
    newest = fleet.commit(host("web", "rewritten"))
    found = controller.remote().look()
    assert (found.fleet, only(found).kind) == (None, "rewritten")
    assert controller.accept(newest[:10]).code == 0
    assert controller.remote().look().commit == newest


def test_a_rewrite_that_was_taken_back_before_it_was_followed_is_none(controller: Controller, fleet: Fleet) -> None:
    """What counts is the commit in force, not what somebody pushed for a moment."""
    controller.begin()
    good = fleet.commit(host("web", "good"))
    follower = controller.remote()
    follower.look()
    fleet.git("reset", "-q", "--hard", "HEAD~1")
    fleet.commit({"hosts/web.yaml": "["})
    assert only(follower.look()).kind == "rewritten"
    fleet.git("reset", "-q", "--hard", good)
    assert (follower.look().commit, follower.look().problems) == (good, ())
    newest = fleet.commit({"a": "b"})
    assert follower.look().commit == newest


def test_a_branch_that_vanished_and_one_that_never_was_are_told_apart_from_a_server_that_is_away(
    controller: Controller, fleet: Fleet
) -> None:
    good = controller.begin()
    fleet.git("branch", "deploy")
    follower = controller.remote(branch="deploy")
    follower.look()
    fleet.git("branch", "-D", "deploy")
    found = follower.look()
    assert (found.commit, only(found).kind) == (good, "vanished")
    assert "the branch deploy is gone" in only(found).message
    never = only(controller.remote(branch="mian").look())
    assert (never.kind, "there is no branch mian" in never.message) == ("vanished", True)


def test_a_login_in_the_url_is_refused_and_not_shown(controller: Controller) -> None:
    found = controller.remote("https://me:hunter2@git.lan/fleet.git").look()
    assert only(found).kind == "refused"
    assert "hunter2" not in str(found)


def test_places_are_remembered_apart(tmp_path: Path) -> None:
    one, other = RemotePlace("ssh://git@git.lan/fleet", "main"), RemotePlace("ssh://git@git.lan/fleet", "main", inside="a")
    assert len({one.key, other.key, RemotePlace("ssh://git@git.lan/fleet", "b").key, LocalPlace(tmp_path).key}) == 4


def test_a_look_that_is_cancelled_ends_at_once_while_a_server_says_nothing(controller: Controller, fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        follower = controller.remote(f"https://127.0.0.1:{silent.getsockname()[1]}/fleet")
        threading.Timer(0.2, follower.cancel).start()
        began = time.monotonic()
        found = follower.look()
        assert (found.fleet, 0.1 < time.monotonic() - began < 5) == (None, True)
        again = time.monotonic()
        assert follower.look().commit is None
        assert time.monotonic() - again < 1


def test_a_look_that_takes_too_long_says_so_and_the_next_one_goes_on_waiting(controller: Controller, fleet: Fleet) -> None:
    controller.begin()
    before = controller.remote().look()
    place = SlowPlace(str(fleet.root))
    follower = Follower(place, controller.state, cache=controller.cache, patience=0.2)
    for _ in range(2):
        found = follower.look()
        assert (found.fleet, only(found).kind) == (None, "unreachable")
        assert "has been under way" in only(found).message
    place.answers.set()
    time.sleep(0.2)
    found = follower.look()
    assert (found.commit, found.problems, place.asked) == (before.commit, (), 1)


class SlowPlace(RemotePlace):
    """A server that takes its time."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.answers = threading.Event()
        self.asked = 0

    def ask(self, sources: GetSources) -> Newest:
        self.asked += 1
        self.answers.wait()
        return super().ask(sources)


def test_what_is_in_force_stays_so_when_a_look_is_cancelled(controller: Controller) -> None:
    controller.begin()
    follower = controller.start()
    before = follower.look()
    follower.cancel()
    assert follower.look().fleet is before.fleet


def test_a_fleet_in_a_folder_of_a_repository_at_a_server(controller: Controller, fleet: Fleet) -> None:
    fleet.commit({"machines/fleet.yaml": "", "machines/hosts/nas.yaml": "address: nas.lan\n", "README": "x"})
    found = controller.start(RemotePlace(os.fspath(fleet.root), "main", inside="machines")).look()
    assert list(fleet_of(found).hosts) == ["nas"]
