"""Where a project that is left as it is is told, and what is never deployed: nothing, and names that no disk takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from desired.sources.model import SourceProblem
from desired.sources.resolve import Sources
from tests.fleet import Fleet
from tests.unit.desired.origin import Origin
from tests.unit.desired.works import Works, blocked, warnings


@pytest.fixture
def works(fleet: Fleet, tmp_path: Path) -> Works:
    works = Works.create(fleet, tmp_path)
    works.origin.commit({"index.html": "one\n"})
    return works


def only(found: list[str]) -> str:
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('exclude: ["*"]\n', "exclude: leaves nothing of commit "),
        ("exclude: [index.html]\nenv: {A: b}\n", "exclude: leaves nothing of commit "),
    ],
)
def test_a_commit_of_which_nothing_is_left_removes_nothing(works: Works, more: str, message: str) -> None:
    works.deploy()
    found = works.deploy(more)
    assert set(blocked(found)) == {"release:site", "runtime:site"}
    assert f"projects/site.yaml:2:11: warning: site is left as it is: {message}" in only(warnings(found))


def test_so_does_an_empty_commit(works: Works) -> None:
    works.deploy()
    works.origin.commit({"index.html": None})
    found = works.cycle()
    assert set(blocked(found)) == {"release:site", "runtime:site"}
    assert "holds no file" in only(warnings(found))
    assert "to remove the project from its hosts, delete its file" in only(warnings(found))


def test_it_is_told_at_the_key_that_is_to_be_mended(works: Works) -> None:
    works.deploy()
    works.origin.git("commit", "--quiet", "--amend", "--message", "another")
    assert only(warnings(works.cycle())).startswith("projects/site.yaml:2:11: warning: site is left as it is: the branch main")
    works.origin.root.rename(works.origin.root.with_name("away"))
    assert only(warnings(works.cycle())).startswith("projects/site.yaml:1:9: warning: site: there is no repository")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("x" * 255, None), ("é" * 127, None), ("/".join(["y" * 200] * 16), "a path of more than 3072 bytes")],
)
def test_a_name_is_only_refused_when_no_disk_could_hold_it(tmp_path: Path, name: str, reason: str | None) -> None:
    origin = Origin.create(tmp_path / "site")
    blob = origin.git("hash-object", "-w", "--stdin")
    origin.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    origin.git("commit", "--quiet", "--message", "long")
    found = Sources(tmp_path / "cache").resolve(origin.wanted())
    tree = found.repository.tree_files(found.commit)
    assert [problem.reason for problem in tree.problems] == ([] if reason is None else [reason])


def test_a_name_of_more_than_255_bytes_is_told(tmp_path: Path) -> None:
    origin = Origin.create(tmp_path / "site")
    blob = origin.git("hash-object", "-w", "--stdin")
    for name in ("x" * 256, "é" * 128):
        origin.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    origin.git("commit", "--quiet", "--message", "long")
    found = Sources(tmp_path / "cache").resolve(origin.wanted())
    tree = found.repository.tree_files(found.commit)
    assert [problem.reason for problem in tree.problems] == ["a name of more than 255 bytes"] * 2


def test_a_link_in_a_circle_is_called_one(tmp_path: Path) -> None:
    origin = Origin.create(tmp_path / "site")
    (origin.root / "loop").symlink_to("loop")
    origin.commit({"index.html": "one\n"})
    found = Sources(tmp_path / "cache").resolve(origin.wanted())
    assert "loop (a link that leads in a circle, loop)" in str(refusal(found.repository.tree_files(found.commit).checked))


@pytest.mark.parametrize("written", ["origin/main", "heads/main", "refs/remotes/origin/main", "HEAD", "@"])
def test_the_name_that_a_clone_would_use_leads_to_the_branch(works: Works, tmp_path: Path, written: str) -> None:
    sources = Sources(tmp_path / "cache")
    problem = refusal(lambda: sources.resolve(works.origin.wanted(written)))
    assert problem.hint == "did you mean main?"


def test_a_subject_of_a_megabyte_fills_no_plan(works: Works, tmp_path: Path) -> None:
    old = works.origin.git("rev-parse", "HEAD")
    message = tmp_path / "message"
    message.write_text("long " * 200_000)
    works.origin.git("commit", "--quiet", "--allow-empty", "--file", str(message))
    found = Sources(tmp_path / "cache").resolve(works.origin.wanted())
    (commit,) = found.repository.commits(old, found.commit).newest
    assert len(commit.subject) == 200
    assert commit.subject.endswith("…")


def refusal(ask: object) -> SourceProblem:
    assert callable(ask)
    with pytest.raises(SourceProblem) as caught:
        ask()
    return caught.value
