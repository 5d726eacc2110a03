"""The example `bare-repository` on a real host: it holds the project's repository, and runs the project from a working copy.

A laptop pushes to it, the machine with the fleet fetches from it, and nobody is root.
"""

from __future__ import annotations

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.workshop import Project, applied, checked, make_base_image, use

PLACE = "/home/ops/toolkit"
REPOSITORY = "/home/ops/repos/toolkit.git"


def page(version: int) -> str:
    return f"<!doctype html>\n<title>Toolkit</title>\n<p>Version {version}.\n"


def served(host: LabHost) -> str:
    return host.sh("curl --fail --silent http://127.0.0.1:8080/").rpartition("<p>")[2]


@pytest.fixture
def fleet(docker_fleet: Fleet) -> Fleet:
    return docker_fleet


@pytest.fixture
def host(docker_host: LabHost) -> LabHost:
    make_base_image(docker_host)
    docker_host.sh("usermod --append --groups docker ops")
    docker_host.sh(f"git init --quiet --bare --initial-branch=main {REPOSITORY}", user="ops")
    return docker_host


@pytest.fixture
def project(fleet: Fleet, host: LabHost) -> Project:
    """Pushed from a laptop to the bare repository on the host."""
    use("bare-repository", fleet, {"apps.lan": host}, {"ssh://ops@apps.lan/": f"ssh://ops@{host.address}/"})
    return Project.of("bare-repository", fleet, "ssh://ops@apps.lan/~/repos/toolkit.git")


def test_a_push_and_an_apply_are_the_whole_cycle(fleet: Fleet, host: LabHost, project: Project) -> None:
    applied(fleet)
    assert served(host) == "Version 1."
    first = project.git("rev-parse", "HEAD")
    assert host.sh(f"git -C {PLACE} status --short --branch; git -C {PLACE} rev-parse HEAD", user="ops").endswith(first)
    assert host.sh(f"find {PLACE} ! -user ops") == ""
    assert host.has("test -e /home/ops/.local/state/reconciler/inventory && ! test -e /var/lib/reconciler")

    host.sh(f"mkdir {PLACE}/downloads && echo theirs >{PLACE}/downloads/a", user="ops")
    second = project.commit({"site/index.html": page(2)}, "A second version")
    planned = fleet.plan().out
    assert "A second version" in planned
    applied(fleet)
    assert served(host) == "Version 2."
    assert fleet.run("project", "check", "--expect", second).code == 0
    assert fleet.run("project", "check", "--expect", first).code == 3

    host.sh(f"echo hotfix >>{PLACE}/site/index.html", user="ops")
    assert "site/index.html" in fleet.plan().out
    edited = checked(fleet)["apps"]
    assert (edited["verdict"], edited["commit"]) == ("differs", second)
    applied(fleet)
    assert host.sh(f"git -C {PLACE} status --porcelain; cat {PLACE}/downloads/a", user="ops") == "theirs"
    assert checked(fleet)["apps"]["verdict"] == "equal"


@pytest.mark.parametrize("choice", ["--take-over", "--set-aside"])
def test_a_folder_that_was_there_before_is_compared_and_adopted(
    fleet: Fleet, host: LabHost, project: Project, choice: str
) -> None:
    copied = project.git("rev-parse", "--short=10", "HEAD")
    host.sh(f"git clone --quiet {REPOSITORY} /tmp/copy && cp -r /tmp/copy {PLACE} && rm -rf {PLACE}/.git", user="ops")
    host.sh(f"mkdir {PLACE}/downloads; echo theirs >{PLACE}/downloads/a; echo edit >>{PLACE}/compose.yaml", user="ops")
    project.commit({"site/index.html": page(2)}, "A second version")
    project.commit({"site/index.html": page(3)}, "A third version")

    before = fleet.apply()
    assert before.code == 3, before
    assert host.sh(f"tail -n 1 {PLACE}/compose.yaml") == "edit", "nothing is overwritten"

    told = fleet.run("adopt", "toolkit")
    assert copied in told.out, told
    assert "2 commits behind" in told.out
    assert "compose.yaml" in told.out

    done = fleet.run("adopt", "toolkit", choice, "--yes")
    assert done.code == 0, done
    applied(fleet)
    assert served(host) == "Version 3."
    assert host.sh(f"cd {PLACE}.before-adopt-* && tail -n 1 compose.yaml", user="ops") == "edit"
    data = PLACE if choice == "--take-over" else f"{PLACE}.before-adopt-*"
    assert host.sh(f"cat {data}/downloads/a") == "theirs"


def test_a_folder_that_is_newer_than_the_repository_comes_into_it_first(fleet: Fleet, host: LabHost, project: Project) -> None:
    host.sh(f"git clone --quiet {REPOSITORY} {PLACE} && rm -rf {PLACE}/.git", user="ops")
    host.sh(f"sed -i s/1/1.1/ {PLACE}/site/index.html", user="ops")
    told = fleet.run("adopt", "toolkit")
    assert "the host: it has edits that the source lacks" in told.out, told
    pulled = fleet.run("pull", "toolkit", "--push", "--yes")
    assert pulled.code == 0, pulled
    assert "+<p>Version 1.1." in project.pulled()
    project.merge_pulled()
    adopted = fleet.run("adopt", "toolkit", "--take-over", "--yes")
    assert adopted.code == 0, adopted
    assert "equals commit" in adopted.out
    applied(fleet)
    assert served(host) == "Version 1.1."
    assert host.sh("ls /home/ops", user="ops").split() == ["repos", "toolkit"], "nothing had to be copied"
