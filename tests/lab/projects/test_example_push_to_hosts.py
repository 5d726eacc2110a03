"""The example `push-to-hosts` on real hosts: one controller brings a tree to three hosts that have no git.

One of them lets us in without root. What a tool wrote there, and what somebody left there, is not ours.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.workshop import Project, applied, checked, use

PLACES = ("/opt/hunting", "/opt/hunting", "/home/ops/hunting")
KEY = "AKIA" + "Q3EGRZ7MNB2XKLWV"
"""Made up; it has the form of a key of a cloud."""


@pytest.fixture
def project(fleet: Fleet, hosts: list[LabHost], tmp_path: Path) -> Project:
    """Set up and applied once."""
    remote = str(tmp_path / "hunting.git")
    project = Project.of("push-to-hosts", fleet, remote)
    names = ("collect1.lan", "collect2.lan", "desk.lan")
    use("push-to-hosts", fleet, dict(zip(names, hosts, strict=True)), {"/srv/git/hunting.git": remote})
    return project


def sentinels(hosts: list[LabHost]) -> set[str]:
    """The commit that each target says it has."""
    return {host.sh(f"cat {place}/.sync_rev") for host, place in zip(hosts, PLACES, strict=True)}


def test_a_tree_is_pushed_and_the_commit_is_read_back_from_each_target(
    fleet: Fleet, hosts: list[LabHost], project: Project
) -> None:
    assert not any(host.has("command -v git || command -v rsync") for host in hosts)
    first = project.git("rev-parse", "HEAD")
    applied(fleet)
    assert sentinels(hosts) == {first}
    for host, place in zip(hosts, PLACES, strict=True):
        assert host.sh(f"cd {place} && find . -mindepth 1 | sort").split() == [
            "./.sync_rev",
            "./bin",
            "./bin/collect",
            "./rules",
            "./rules/logins.txt",
            "./rules/old.txt",
        ]
        host.sh(f"cd {place} && echo 'invalid user eve' >/tmp/log && bin/collect /tmp/log && echo mine >rules/local.txt")
    assert hosts[2].sh(f"stat -c %U {PLACES[2]}/bin/collect") == "ops"

    changed = project.commit(
        {"rules/old.txt": None, "rules/logins.txt": "invalid user\n", "rules/new/sudo.txt": "not in sudoers\n"},
        "Look for sudo, and no more for telnet",
    )
    planned = fleet.plan().out
    assert "Look for sudo, and no more for telnet" in planned
    assert "rules/old.txt" in planned
    behind = fleet.run("project", "check")
    assert behind.code == 3, behind
    assert "1 commit behind" in behind.out
    applied(fleet)
    assert sentinels(hosts) == {changed}
    for host, place in zip(hosts, PLACES, strict=True):
        assert not host.has(f"test -e {place}/rules/old.txt")
        assert host.sh(f"cat {place}/results/found.log {place}/rules/local.txt") == "invalid user eve\nmine"
    assert fleet.run("project", "check", "hunting", "--expect", changed).code == 0
    assert fleet.run("project", "check", "hunting", "--expect", first).code == 3


def test_a_key_in_the_tree_stops_this_project_and_no_other(fleet: Fleet, hosts: list[LabHost], project: Project) -> None:
    applied(fleet)
    clean = project.git("rev-parse", "HEAD")
    project.commit({"rules/cloud.txt": f"# for tests\naws_access_key_id = {KEY}\n"}, "Look into the cloud")
    remote = project.git("remote", "get-url", "origin")
    fleet.commit(
        {"projects/other.yaml": f"source: {remote}\nrevision: {clean}\ndeploy: {{tag: collector, path: /opt/other}}\n"}
    )
    stopped = fleet.apply()
    assert stopped.code == 3, stopped
    told = stopped.out + stopped.err
    assert "rules/cloud.txt" in told, stopped
    assert ":2:" in told, stopped
    assert "rule aws" in told, stopped
    for result in (stopped, fleet.plan(), fleet.run("plan", "--json"), fleet.run("--verbose", "apply", "--yes")):
        assert KEY not in result.out + result.err, result
    assert sentinels(hosts) == {clean}
    assert {host.sh("cat /opt/other/.sync_rev") for host in hosts[:2]} == {clean}

    (fingerprint,) = {word for word in told.split() if len(word) == 16 and not set(word) - set("0123456789abcdef")}
    fleet.commit({"secrets/allow": f"{fingerprint}  # the example of a key from the cloud's own documentation\n"})
    applied(fleet)
    assert hosts[0].sh(f"grep -c {KEY} /opt/hunting/rules/cloud.txt") == "1"


def test_a_host_that_is_away_does_not_stop_the_others(fleet: Fleet, hosts: list[LabHost], project: Project) -> None:
    applied(fleet)
    before = project.git("rev-parse", "HEAD")
    hosts[1].sh("systemctl stop ssh.socket ssh.service")
    after = project.commit({"rules/more.txt": "segfault\n"}, "Look for crashes")
    result = fleet.apply()
    assert result.code == 4, result
    there = {host: one["commit"] for host, one in checked(fleet).items()}
    assert there == {"collect1": after, "collect2": None, "desk": after}
    assert fleet.run("project", "check", "--expect", after).code == 4
    assert hosts[1].sh("cat /opt/hunting/.sync_rev") == before
    hosts[1].sh("systemctl start ssh.socket ssh.service")
    applied(fleet)
    assert sentinels(hosts) == {after}


def test_what_is_edited_on_a_target_is_named_and_put_right(fleet: Fleet, hosts: list[LabHost], project: Project) -> None:
    desk, place = hosts[2], PLACES[2]
    applied(fleet, "desk")
    desk.sh(f"echo hotfix >>{place}/bin/collect; rm {place}/rules/old.txt")
    planned = fleet.plan("desk").out
    assert "drift" in planned
    assert "bin/collect" in planned
    assert "rules/old.txt" in planned
    assert checked(fleet)["desk"]["verdict"] == "differs"
    applied(fleet, "desk")
    assert desk.sh(f"cat {place}/bin/collect") == project.read("bin/collect").rstrip("\n")
