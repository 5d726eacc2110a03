"""Projects of the fleet that is followed: asked at each look, and one that cannot be had stops nothing else."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.loop.following import Followed, Follower
from tests.unit.desired.origin import Origin
from tests.unit.reconciler.following.followed import Controller, fleet_of, host, only


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin.create(tmp_path / "site")
    made.commit({"index.html": "one\n"})
    return made


def project(origin: Origin, where: str = "nas", more: str = "") -> dict[str, str | bytes | None]:
    name = origin.root.name
    text = f"source: {origin.root}\nrevision: main\ndeploy: [{{host: {where}, path: /srv/{name}}}]\n{more}"
    return {f"projects/{name}.yaml": text}


@pytest.fixture
def follower(controller: Controller, origin: Origin) -> Follower:
    controller.fleet.commit({"fleet.yaml": "", **host("nas"), **host("web"), **project(origin)})
    return controller.start()


def deployed(found: Followed, name: str = "site") -> str:
    return str(fleet_of(found).deployed[name].commit)


def test_a_new_commit_of_a_project_is_in_force_at_the_next_look(follower: Follower, origin: Origin) -> None:
    before = follower.look()
    assert deployed(before) == origin.git("rev-parse", "HEAD")
    assert follower.look().fleet is before.fleet

    newest = origin.commit({"index.html": "two\n"})
    after = follower.look()
    assert (after.commit, deployed(after)) == (before.commit, newest)
    assert fleet_of(after).hosts["web"] is fleet_of(before).hosts["web"]
    assert fleet_of(after).hosts["nas"] is not fleet_of(before).hosts["nas"]
    assert follower.look().fleet is after.fleet


def test_a_source_that_is_away_is_told_and_its_last_commit_stays(follower: Follower, origin: Origin, tmp_path: Path) -> None:
    before = follower.look()
    origin.root.rename(tmp_path / "away")
    found = follower.look()
    problem = only(found)
    assert (problem.kind, problem.subject, problem.commit) == ("project", "site", deployed(before))
    assert "stays in force" in problem.message
    assert all(fleet_of(found).hosts[name] is fleet_of(before).hosts[name] for name in ("nas", "web"))
    again = follower.look()
    assert (again.fleet is found.fleet, again.problems) == (True, found.problems)

    (tmp_path / "away").rename(origin.root)
    assert follower.look().problems == ()


def test_a_rewritten_project_is_blocked_and_everything_else_goes_on(
    controller: Controller, follower: Follower, origin: Origin, tmp_path: Path
) -> None:
    other = Origin.create(tmp_path / "shop")
    other.commit({"index.html": "one\n"})
    newest = controller.fleet.commit(project(other, "web"))
    before = follower.look()
    assert (before.commit, before.problems) == (newest, ())
    origin.git("commit", "--quiet", "--amend", "--message", "another")
    on = other.commit({"index.html": "two\n"})
    found = follower.look()
    assert (only(found).kind, only(found).subject) == ("project", "site")
    assert "rewritten" in only(found).message
    assert deployed(found, "shop") == on
    [release] = [one for one in fleet_of(found).hosts["nas"].resources if one.ref == "release:site"]
    assert release.blocked is not None


def test_a_bad_commit_of_the_fleet_does_not_stop_the_projects_of_the_good_one(
    controller: Controller, follower: Follower, origin: Origin
) -> None:
    good = follower.look()
    controller.fleet.commit({"hosts/web.yaml": "["})
    newest = origin.commit({"index.html": "two\n"})
    for each in (follower, controller.start()):
        found = each.look()
        assert (found.commit, only(found).kind, deployed(found)) == (good.commit, "invalid", newest)


@pytest.mark.parametrize("place", ["way", "way/below"])
def test_a_cache_that_cannot_be_used_never_makes_projects_disappear(
    controller: Controller, origin: Origin, follower: Follower, tmp_path: Path, place: str
) -> None:
    """A fleet without the resources of its projects would have them removed from its hosts."""
    assert deployed(follower.look())
    (tmp_path / "way").write_text("")
    found = replace(controller, cache=tmp_path / place).start().look()
    assert only(found).message
    if found.fleet is not None:
        [release] = [one for one in found.fleet.hosts["nas"].resources if one.ref == "release:site"]
        assert release.blocked is not None


def test_a_cache_that_is_lost_in_between_keeps_what_is_in_force(
    controller: Controller, origin: Origin, follower: Follower, tmp_path: Path
) -> None:
    below = replace(controller, cache=tmp_path / "way" / "below").start()
    before = below.look()
    assert deployed(before) == origin.git("rev-parse", "HEAD")
    below.reload()
    shutil.rmtree(tmp_path / "way")
    (tmp_path / "way").write_text("")
    found = below.look()
    assert found.fleet is before.fleet
    assert {one.kind for one in found.problems} == {"unreachable"}
    (tmp_path / "way").unlink()
    newest = origin.commit({"index.html": "two\n"})
    found = below.look()
    assert (deployed(found), found.problems) == (newest, ())
