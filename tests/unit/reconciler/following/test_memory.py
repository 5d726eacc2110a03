"""What the loop remembers in its folder: never trusted further than it can be checked, and never needed to go on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from desired.sources.model import HEX
from reconciler.loop.accepted import Memory, read_file
from tests.unit.reconciler.following.followed import Controller, host, only

KEY = "/somewhere"


def memory_of(controller: Controller) -> dict[str, str | None]:
    """Place → last good commit."""
    return {place: one.good for place, one in read_file(controller.state / "follow.json").items()}


def test_the_last_good_commit_of_each_place_is_written_down(controller: Controller) -> None:
    good = controller.begin()
    controller.start().look()
    controller.remote().look()
    root = str(controller.fleet.root)
    assert memory_of(controller) == {root: good, f"{root} main": good}
    assert (controller.state / "follow.json").stat().st_mode & 0o777 == 0o600
    assert controller.state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\xff{",
        b"[" * 100_000,
        b"[]",
        b'{"version": 2, "places": {}}',
        b'{"version": 1, "places": []}',
        b'{"version": 1, "places": {"/x": {"good": "HEAD", "seen": []}}}',
        b'{"version": 1, "places": {"/x": {"good": null, "seen": ["../../etc"]}}}',
        b'{"version": 1, "places": {"/x": {"good": 7, "seen": null}}}',
        b'{"version": 1, "places": {}}' + b" " * (1 << 20),
    ],
)
def test_a_file_that_is_not_ours_is_set_aside_and_told_once(controller: Controller, content: bytes) -> None:
    good = controller.begin()
    controller.state.mkdir(mode=0o700)
    (controller.state / "follow.json").write_bytes(content)
    follower = controller.start()
    found = follower.look()
    assert (found.commit, only(found).kind) == (good, "memory")
    [aside] = controller.state.glob("follow.json.broken-*")
    assert aside.read_bytes() == content
    assert aside.name in only(found).message
    assert follower.look().problems == ()
    assert memory_of(controller) == {str(controller.fleet.root): good}


@pytest.mark.parametrize("trick", ["link", "others", "pipe", "folder"])
def test_a_file_that_somebody_else_may_have_written_is_not_read(controller: Controller, tmp_path: Path, trick: str) -> None:
    good = controller.begin()
    controller.start().look()
    controller.fleet.commit({"hosts/web.yaml": "["})
    file = controller.state / "follow.json"
    if trick == "link":
        file.rename(tmp_path / "away")
        file.symlink_to(tmp_path / "away")
    elif trick == "others":
        file.chmod(0o666)
    else:
        file.unlink()
        os.mkfifo(file) if trick == "pipe" else file.mkdir()
    found = controller.start().look()
    assert found.fleet is None
    assert [one.kind for one in found.problems] == ["invalid", "memory"]
    controller.fleet.git("reset", "-q", "--hard", good)
    assert controller.start().look().commit == good


def test_a_commit_that_is_remembered_and_not_there_is_not_in_force(controller: Controller) -> None:
    """It may have been rewritten away: what is there now is followed only when somebody says so."""
    commit = controller.begin()
    controller.state.mkdir(mode=0o700)
    places = {str(controller.fleet.root): {"good": "1" * 40, "seen": []}}
    (controller.state / "follow.json").write_text(json.dumps({"version": 1, "places": places}))
    found = controller.start().look()
    assert (found.fleet, only(found).kind) == (None, "rewritten")
    assert controller.accept(commit[:8]).code == 0
    assert controller.start().look().commit == commit


def test_a_remembered_commit_that_is_no_fleet_is_not_in_force_either(controller: Controller) -> None:
    bad = controller.fleet.commit({"fleet.yaml": "["})
    controller.state.mkdir(mode=0o700)
    places = {str(controller.fleet.root): {"good": bad, "seen": []}}
    (controller.state / "follow.json").write_text(json.dumps({"version": 1, "places": places}))
    found = controller.start().look()
    assert (found.fleet, only(found).kind, only(found).commit) == (None, "invalid", bad)


def test_a_folder_that_takes_nothing_costs_the_memory_and_nothing_else(controller: Controller) -> None:
    good = controller.begin()
    controller.state.write_text("in the way\n")
    follower = controller.start()
    for _ in range(2):
        found = follower.look()
        assert (found.commit, only(found).kind) == (good, "memory")
    controller.state.unlink()
    assert follower.look().problems == ()
    assert memory_of(controller) == {str(controller.fleet.root): good}


def test_of_what_was_seen_the_last_is_kept(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    commits = [f"{number:040x}" for number in range(80)]
    for commit in [*commits, commits[70]]:
        memory.saw(KEY, commit)
    seen = Memory(tmp_path).of(KEY).seen
    assert len(seen) == 50
    assert seen[-2:] == (commits[79], commits[70])
    assert all(HEX.fullmatch(commit) for commit in seen)


def test_nothing_is_written_while_nothing_is_new(controller: Controller) -> None:
    controller.begin()
    follower = controller.start()
    follower.look()
    before = (controller.state / "follow.json").stat()
    follower.look()
    after = (controller.state / "follow.json").stat()
    assert before.st_mtime_ns == after.st_mtime_ns
    controller.fleet.commit(host("web", "changed"))
    follower.look()
    assert (controller.state / "follow.json").stat().st_mtime_ns != after.st_mtime_ns
