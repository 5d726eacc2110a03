"""A git working copy on a real host, with git there and without: aligned to the commit, and nobody's work is lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.strategies import PATH, Link, Program, Site, Tree

FIRST: Tree = {
    "index.html": "one\n",
    "bin/serve": Program("#!/bin/sh\necho one\n"),
    "latest": Link("index.html"),
    "with space/ünïcode.txt": "odd\n",
    "gone.txt": "gone\n",
    ".gitignore": "*.log\n",
}
SECOND: Tree = {
    "index.html": "two\n",
    "gone.txt": None,
    "bin/serve": Link("../latest"),
    "latest": "a file\n",
    "new/folder/file": "new\n",
}


def git(host: LabHost, words: str) -> str:
    """Git's own command line on the host."""
    return host.sh(f"git -C {PATH} -c safe.directory={PATH} {words}")


def test_a_checkout_is_clean_for_git_and_drift_is_healed_and_commits_made_there_are_kept(
    docker_fleet: Fleet, docker_host: LabHost
) -> None:
    site = Site(docker_fleet, docker_host, "checkout")
    first = site.commit(FIRST)
    site.declare("main")
    site.trial.converge()
    assert site.found() == site.wanted(first)
    assert git(docker_host, "rev-parse HEAD") == first
    assert git(docker_host, "symbolic-ref --short HEAD") == "main"
    assert git(docker_host, "status --porcelain") == ""
    assert git(docker_host, "remote get-url origin") == str(site.source)
    git(docker_host, "fsck --strict")

    # Drift, with an ignored and an untracked file of somebody's own.
    docker_host.sh(f"cd {PATH} && echo edited >>index.html && rm bin/serve && echo mine >mine.txt && echo x >debug.log")
    told = site.notes(site.fleet.plan("--json"), "release:site")
    assert "index.html" in told
    assert "bin/serve" in told
    site.apply()
    site.idle()
    assert git(docker_host, "status --porcelain") == "?? mine.txt"

    # A commit that was made on the host, and a new revision on top of the old one.
    docker_host.sh(f"cd {PATH} && echo hotfix >>index.html")
    git(docker_host, "-c user.name=Eve -c user.email=eve@example.org commit --quiet --all --message hotfix")
    hotfix = git(docker_host, "rev-parse HEAD")
    assert site.fleet.plan().code == 2
    second = site.commit(SECOND)
    site.apply()
    site.idle()
    assert git(docker_host, "rev-parse HEAD") == second
    assert git(docker_host, "status --porcelain") == "?? mine.txt"
    assert hotfix in git(docker_host, "for-each-ref --format='%(objectname)' refs/reconciler/kept")
    assert git(docker_host, f"show {hotfix}:index.html") == "one\nhotfix"
    assert docker_host.sh(f"cat {PATH}/mine.txt {PATH}/debug.log").split() == ["mine", "x"]
    assert site.wanted(second).items() <= site.found().items()
    git(docker_host, "fsck --strict")

    # A branch of the host's own is nobody's business but HEAD's.
    git(docker_host, "checkout --quiet -b experiment")
    site.fleet.plan()
    site.apply()
    site.idle()
    assert git(docker_host, "symbolic-ref --short HEAD") == "main"
    assert git(docker_host, "rev-parse experiment") == second

    site.withdraw()
    assert docker_host.sh(f"cd {PATH} && find . -path ./.git -prune -o -type f -print | sort").split() == [
        "./debug.log",
        "./mine.txt",
    ]


def test_a_host_without_git_gets_a_real_repository(fleet: Fleet, host: LabHost, tmp_path: Path) -> None:
    assert not host.has("command -v git")
    site = Site(fleet, host, "checkout")
    site.commit(FIRST)
    site.declare("main")
    site.trial.converge()
    second = site.commit(SECOND)
    site.trial.converge()
    assert site.found() == site.wanted(second)
    # Looked at by git here, as there is none on the host.
    subprocess.run(["docker", "cp", "--quiet", f"{host.container}:{PATH}", tmp_path], check=True)
    copy = tmp_path / "site"
    # Without git nobody wrote its index: it is made from HEAD, and then nothing differs.
    looks = ("rev-parse HEAD", "symbolic-ref --short HEAD", "fsck --strict", "reset --quiet", "status --porcelain")
    answers = [
        subprocess.run(
            ["git", "-c", f"safe.directory={copy}", *look.split()],
            cwd=copy,
            env=fleet.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
        for look in looks
    ]
    assert answers[:2] == [second, "main"]
    assert answers[3:] == ["", ""]


def test_a_tag_or_a_commit_is_checked_out_as_well(docker_fleet: Fleet, docker_host: LabHost) -> None:
    site = Site(docker_fleet, docker_host, "checkout")
    first = site.commit(FIRST)
    site.git("tag", "-a", "v1", "-m", "one")
    second = site.commit(SECOND)
    for revision, commit in (("v1", first), (second, second)):
        site.declare(revision)
        site.apply()
        site.idle()
        assert git(docker_host, "rev-parse HEAD") == commit
        assert git(docker_host, "status --porcelain") == ""
