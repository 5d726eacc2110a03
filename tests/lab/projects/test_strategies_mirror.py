"""A mirrored tree on a real host: exactly what the commit holds, no more of ours, and nothing of anybody else's touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.lab.hosts import LabHost
from tests.lab.projects.strategies import MEMORY, PATH, Link, Program, Site, Tree, sent

FIRST: Tree = {
    "index.html": "one\n",
    "bin/serve": Program("#!/bin/sh\necho one\n"),
    "latest": Link("index.html"),
    "empty": "",
    'with space/ünïcode "quoted" $(id).txt': "odd\n",
    "-rf": "a name like an option\n",
    "data.bin": bytes(range(256)) * 40,
    "becomes/folder": "a folder now, a file later\n",
    "file-to-folder": "a file now\n",
    "link-to-file": Link("empty"),
    "file-to-link": "a file now\n",
    "moved/from/here.txt": "moved " * 200,
    "gone.txt": "gone\n",
    "uploads/README": "the project's own\n",
    "edited.txt": "as it came\n",
}


@pytest.fixture
def site(fleet: Fleet, host: LabHost) -> Site:
    return Site(fleet, host, "mirror")


def test_a_tree_arrives_as_git_has_it_and_drift_is_named_by_its_path_and_healed(site: Site) -> None:
    assert not site.host.has("command -v git")
    site.settings = {"owner": "ops"}
    revision = site.commit(FIRST)
    site.declare(revision)
    # Not an inode changes by the plans before and after, nor by an apply that has nothing to do.
    site.trial.converge()
    assert site.found() == site.wanted(revision)
    assert site.host.sh(f"cat {PATH}/.sync_rev; find {PATH} ! -user ops") == revision
    before = site.inodes()

    site.host.sh(f"""cd {PATH} && echo edited >>index.html && chmod 700 bin/serve && rm -r moved && ln -sfn /etc/passwd latest
        echo mine >uploads/mine.txt && chown root empty && touch data.bin
        cp -p file-to-link /tmp/old && echo 'a file not' >file-to-link && touch -r /tmp/old file-to-link""")
    plan = site.fleet.plan("--json")
    assert plan.code == 2, plan
    told = site.notes(plan, "release:site")
    for path in ("index.html", "bin/serve", "moved/from/here.txt", "latest", "empty", "file-to-link"):
        assert path in told, told
    assert "data.bin" not in told, "it was touched, and is what it was"
    assert "uploads/mine.txt" in plan.out, plan
    site.apply()
    site.idle()
    found = site.found()
    assert found.pop("uploads/mine.txt")
    assert found == site.wanted(revision)
    assert site.host.sh(f"find {PATH} ! -user ops") == f"{PATH}/uploads/mine.txt"
    after = site.inodes()
    for same in ("-rf", "file-to-folder", "becomes/folder", ".sync_rev"):
        assert after[f"{PATH}/{same}"] == before[f"{PATH}/{same}"], same


def test_a_revision_may_move_swap_and_delete_anything_and_only_what_changed_is_touched(site: Site) -> None:
    site.deploy(FIRST)
    site.host.sh(f"cd {PATH} && echo mine >uploads/mine.txt && echo mine >moved/mine.txt && echo edited >>edited.txt")
    before = site.inodes()
    site.commit(
        {
            "becomes": None,
            "file-to-folder": None,
            "edited.txt": None,
            "link-to-file": "a file now\n",
            "file-to-link": Link("index.html"),
            "moved/from/here.txt": None,
            "moved/to/there.txt": "moved " * 200,
            "gone.txt": None,
            "bin/serve": Program("#!/bin/sh\necho two\n"),
            "empty": Program(""),
        }
    )
    revision = site.commit({"becomes": "a file now\n", "file-to-folder/inside": "a folder now\n"})
    site.declare(revision)
    said = site.apply()
    site.idle()
    (step,) = sent(said)
    assert "send 4 files" in step, "what only moved does not travel"
    # What was edited on the host is not deleted with the revision that had it.
    mine = ("uploads/mine.txt", "moved/mine.txt", "edited.txt")
    found = site.found()
    assert {path: says for path, says in found.items() if path not in mine} == site.wanted(revision)
    assert set(mine) <= found.keys()
    assert not site.host.has(f"test -e {PATH}/moved/from")
    after = site.inodes()
    for same in ("index.html", "data.bin", "-rf", "latest", *mine):
        assert after[f"{PATH}/{same}"] == before[f"{PATH}/{same}"], same


def test_shared_data_is_never_touched_and_a_project_that_leaves_takes_only_what_is_ours(site: Site) -> None:
    site.settings = {"shared": ["data/", "uploads/"], "exclude": ["*.log"]}
    site.deploy({**FIRST, "data/seed.txt": "seed\n"})
    site.host.sh(f"""mkdir -p {PATH}/data {PATH}/uploads; cd {PATH}; echo db >data/db; echo x >data/seed.txt
        echo x >run.log; echo mine >becomes/mine""")
    before = site.inodes(f"{PATH}/data")
    for number in range(3):
        site.deploy(
            {"index.html": f"{number}\n", "data/seed.txt": f"{number}\n", "data/db": f"{number}\n", "run.log": "ours\n"}
        )
    assert site.inodes(f"{PATH}/data") == before
    assert site.host.sh(f"cat {PATH}/run.log") == "x"
    site.host.sh(f"echo edited >>{PATH}/index.html")
    site.withdraw()
    assert site.host.sh(f"cd {PATH} && find . -type f | sort").split() == [
        "./becomes/mine",
        "./data/db",
        "./data/seed.txt",
        "./index.html",
        "./run.log",
    ]
    assert not site.host.has(f"test -e {MEMORY}/projects/site")


def test_a_folder_that_others_filled_is_not_taken_over_unasked(site: Site) -> None:
    site.host.sh(f"mkdir -p {PATH} && echo theirs >{PATH}/index.html")
    site.declare(site.commit(FIRST))
    plan = site.fleet.plan()
    assert plan.code == 1, plan
    assert "adopt" in plan.out + plan.err, plan
    site.fleet.apply()
    assert site.host.sh(f"cd {PATH} && find . -type f") == "./index.html"
    assert site.host.sh(f"cat {PATH}/index.html") == "theirs"


def test_a_controller_that_is_killed_at_any_moment_leaves_whole_files_and_the_next_run_finishes(
    site: Site, tmp_path: Path
) -> None:
    old = site.deploy({f"pages/{number}.html": f"old {number}\n" * 50 for number in range(300)})
    new = site.commit(
        {f"pages/{number}.html": f"new {number}\n" * 50 for number in range(250)}
        | {f"pages/{number}.html": None for number in range(250, 300)}
    )
    site.declare(new)
    before, after = site.wanted(old), site.wanted(new)
    for seed in range(5):
        site.kill(1, seed)
        for path, says in site.found().items():
            assert says in (before.get(path), after.get(path)), path
    site.host.wait(f"! fuser {MEMORY}/lock 2>/dev/null && ! pgrep -f '^/bin/sh -s'", 20)
    site.apply()
    site.idle()
    assert site.found() == after
    assert site.litter() == []
