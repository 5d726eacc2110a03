"""What a deployment brings, which commit a folder comes from, and edits of a host that go back as a branch."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desired.sources.model import SourceProblem
from desired.sources.repository import Author, ProjectRepository, Written
from desired.sources.resolve import Sources
from providers.patterns import Patterns
from tests.unit.desired.origin import Origin

ADA = Author("Ada", "ada@example.org", 1_700_000_000)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin.create(tmp_path / "site")


def fetched(origin: Origin, tmp_path: Path, *, everything: bool = False) -> ProjectRepository:
    return Sources(tmp_path / "cache").resolve(origin.wanted(), everything=everything).repository


def blobs(repository: ProjectRepository, commit: str) -> dict[str, str]:
    return {path: file.blob for path, file in repository.tree_files(commit).files.items()}


def test_a_deployment_brings_commits_and_files(origin: Origin, tmp_path: Path) -> None:
    old = origin.commit({"kept": "1", "changed": "1", "gone": "1", "docs/x": "1"})
    origin.commit({"changed": "2", "docs/x": "2"}, "Second\n\nwith a body")
    new = origin.commit({"added": "1", "gone": None}, "Third \x1b[31m")

    found = fetched(origin, tmp_path).commits(old, new, excluded=Patterns(["docs/"]))

    assert (found.direction, found.count, found.left) == ("forward", 2, 0)
    assert [(commit.subject, commit.author) for commit in found.newest] == [("Third \x1b[31m", "Ada"), ("Second", "Ada")]
    assert found.newest[0].id == new
    assert new.startswith(found.newest[0].short)
    assert (found.added, found.changed, found.deleted, found.files) == (("added",), ("changed",), ("gone",), 3)


def test_a_rollback_is_told_as_commits_back(origin: Origin, tmp_path: Path) -> None:
    old = origin.commit({"a": "1"})
    origin.commit({"a": "2"})
    new = origin.commit({"a": "3"})
    found = fetched(origin, tmp_path).commits(new, old)
    assert (found.direction, found.count) == ("back", 2)
    assert found.newest[0].id == new


def test_the_same_commit_brings_nothing_and_another_branch_is_apart(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"a": "1"})
    origin.git("checkout", "--quiet", "-b", "side")
    side = origin.commit({"b": "1"})
    origin.git("checkout", "--quiet", "main")
    main = origin.commit({"c": "1"})
    repository = fetched(origin, tmp_path, everything=True)
    assert repository.commits(main, main).direction == "same"
    apart = repository.commits(side, main)
    assert (apart.direction, apart.count, apart.left) == ("apart", 1, 1)


def test_a_commit_that_is_not_there_is_said_so_and_does_not_cost_the_cache(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    repository = fetched(origin, tmp_path)
    for name in ("1" * 40, "not a commit", ""):
        with pytest.raises(SourceProblem) as caught:
            repository.commits(name, commit)
        assert caught.value.kind == "unknown-revision"
    assert repository.has(commit)


def test_listings_are_cut_and_counts_are_not(origin: Origin, tmp_path: Path) -> None:
    old = origin.commit({})
    commits = [origin.commit({f"{number}": "x"}) for number in range(9)]
    found = fetched(origin, tmp_path).commits(old, commits[-1], limit=3)
    assert (found.count, len(found.newest), found.files, len(found.added)) == (9, 3, 9, 3)


def test_an_author_who_is_not_utf8_is_told_all_the_same(origin: Origin, tmp_path: Path) -> None:
    old = origin.commit({"a": "1"})
    tree = origin.git("rev-parse", "HEAD^{tree}")
    text = (
        f"tree {tree}\nparent {old}\n".encode() + b"author \xff\xfe <x> 1 +0000\ncommitter \xff <x> 1 +0000\n\n\xff subject\n"
    )
    new = origin.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=text)
    origin.git("update-ref", "refs/heads/main", new)
    (only,) = fetched(origin, tmp_path).commits(old, new).newest
    assert only.subject.endswith("subject")
    only.author.encode()


def test_a_diff_is_unified_and_binary_files_are_only_named(origin: Origin, tmp_path: Path) -> None:
    old = origin.commit({"text": "one\ntwo\n", "image": b"\0\1", "gone": "x\n", "run": "x\n"})
    (origin.root / "run").chmod(0o755)
    new = origin.commit({"text": "one\n2\n", "image": b"\0\2", "gone": None, "large": "x" * (2 << 20)})
    repository = fetched(origin, tmp_path)
    text = repository.diff_text(old, new)
    assert "--- a/text\n+++ b/text\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n" in text
    assert "Binary file image differs" in text
    assert "--- a/gone\n+++ /dev/null\n" in text
    assert "Large file large differs" in text
    assert "mode of run: 100644 → 100755" in text
    assert len(repository.diff_text(old, new, limit=50)) < 150
    assert "more was changed" in repository.diff_text(old, new, limit=50)


def test_a_folder_that_equals_an_old_commit_is_so_many_commits_behind(origin: Origin, tmp_path: Path) -> None:
    commits = [origin.commit({"a": str(number), f"f{number}": "x"}) for number in range(10)]
    repository = fetched(origin, tmp_path)
    for behind, commit in enumerate(reversed(commits)):
        found = repository.nearest(blobs(repository, commit), commits[-1])
        assert (found.commit.id, found.behind, found.ahead, found.exact) == (commit, behind, 0, True)


@pytest.mark.parametrize("kind", ["blob", "sha256"])
def test_edits_on_a_host_are_named_against_the_commit_that_they_were_made_on(origin: Origin, tmp_path: Path, kind: str) -> None:
    contents = {f"f{number}": f"{number}" for number in range(10)}
    base = origin.commit(contents)
    origin.commit({"f1": "newer", "f2": "newer"})
    newest = origin.commit({"f3": "newer"})

    def digest(text: str) -> str:
        if kind == "blob":
            return hashlib.sha1(f"blob {len(text)}\0{text}".encode()).hexdigest()
        return hashlib.sha256(text.encode()).hexdigest()

    host = {path: digest(text) for path, text in contents.items()}
    host |= {"f5": digest("edited by hand"), "extra": digest("x"), "cache/tmp": digest("x")}
    del host["f6"]

    found = fetched(origin, tmp_path).nearest(host, newest, excluded=Patterns(["cache/"]))

    assert (found.commit.id, found.behind, found.exact) == (base, 2, False)
    assert (found.differs, found.extra, found.missing) == (("f5",), ("extra",), ("f6",))


def test_a_folder_may_come_from_another_branch(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"a": "1"})
    origin.git("checkout", "--quiet", "-b", "side")
    side = origin.commit({"a": "side", "b": "side"})
    origin.git("tag", "--annotate", "--message", "x", "kept")
    origin.git("checkout", "--quiet", "main")
    main = origin.commit({"a": "2"})
    repository = fetched(origin, tmp_path, everything=True)
    found = repository.nearest(blobs(repository, side), main)
    assert (found.commit.id, found.behind, found.ahead, found.exact) == (side, 1, 1, True)


def test_of_equal_commits_the_newest_of_the_projects_own_history_is_named(origin: Origin, tmp_path: Path) -> None:
    first = origin.commit({"a": "1"})
    origin.commit({"a": "2"})
    reverted = origin.commit({"a": "1"})
    repository = fetched(origin, tmp_path)
    assert repository.nearest(blobs(repository, first), reverted).commit.id == reverted


def test_an_empty_folder_is_not_taken_for_an_equal_one(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    found = fetched(origin, tmp_path).nearest({}, commit)
    assert not found.exact
    assert found.missing == ("a",)


@settings(max_examples=15)
@given(st.data())
def test_the_nearest_commit_is_the_one_that_comparing_all_of_them_finds(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("random")
    origin = Origin.create(folder / "site")
    paths = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a"])
    trees = st.dictionaries(paths, st.sampled_from(["1", "2", "3"]))
    history = data.draw(st.lists(trees, min_size=1, max_size=6))
    before: dict[str, str] = {}
    for tree in history:
        origin.commit({path: tree.get(path) for path in before.keys() | tree.keys()})
        before = tree
    host = data.draw(trees)
    hashes = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in host.items()}

    found = fetched(origin, folder).nearest(hashes, origin.git("rev-parse", "HEAD"))

    distances = [
        len(set(tree.items()) ^ set(host.items())) - sum(tree.get(p, v) != v for p, v in host.items()) for tree in history
    ]
    assert len(found.differs) + len(found.extra) + len(found.missing) == min(distances)
    assert found.behind == distances[::-1].index(min(distances))


def test_edits_of_a_host_become_one_commit_on_top_of_what_was_deployed(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit({"index": "1", "gone": "x", "bin/run": "x", "d/only": "x"})
    origin.commit({"index": "2"})
    bare = origin.bare()
    sources = Sources(tmp_path / "cache")
    repository = sources.resolve(bare.wanted()).repository
    changes = {
        "index": Written(0o100644, b"mended"),
        "new/file": Written(0o100755, b"\0"),
        "link": Written(0o120000, b"index"),
        "gone": None,
        "never/there": None,
        "d/only": None,
        "d": Written(0o100644, b"a file now"),
    }

    commit = repository.commit_on_top(base, "pull/web", changes, "Mend it\n", ADA)
    sources.push(bare.wanted(), "pull/web")

    assert bare.git("rev-parse", "pull/web", "pull/web^").split() == [commit, base]
    assert bare.git("ls-tree", "-r", "--format=%(objectmode) %(path)", commit).split("\n") == [
        "100644 bin/run",
        "100644 d",
        "100644 index",
        "120000 link",
        "100755 new/file",
    ]
    assert bare.git("log", "-1", "--format=%an %ae %at %s", commit) == "Ada ada@example.org 1700000000 Mend it"
    assert repository.commits(base, commit).deleted == ("d/only", "gone")


def test_a_push_never_goes_over_commits_that_it_lacks(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit({"index": "1"})
    bare = origin.bare()
    sources = Sources(tmp_path / "cache")
    repository = sources.resolve(bare.wanted()).repository
    for text in (b"one", b"two"):
        repository.commit_on_top(base, "hotfix", {"index": Written(0o100644, text)}, "Mend it", ADA)
        if text == b"one":
            sources.push(bare.wanted(), "hotfix")
    there = bare.git("rev-parse", "hotfix")
    with pytest.raises(SourceProblem, match="nothing was pushed") as caught:
        sources.push(bare.wanted(), "hotfix")
    assert caught.value.kind == "refused"
    assert bare.git("rev-parse", "hotfix") == there


def test_a_push_into_a_working_tree_is_refused(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit({"index": "1"})
    sources = Sources(tmp_path / "cache")
    repository = sources.resolve(origin.wanted()).repository
    repository.commit_on_top(base, "hotfix", {"index": Written(0o100644, b"2")}, "Mend it", ADA)
    with pytest.raises(SourceProblem, match="bare") as caught:
        sources.push(origin.wanted(), "hotfix")
    assert caught.value.kind == "refused"


@pytest.mark.parametrize("path", ["../x", "a//b", "/etc/passwd", ".git/hooks/post-update", "a\nb", "", "a/../b"])
def test_a_hostile_path_is_not_committed(origin: Origin, tmp_path: Path, path: str) -> None:
    base = origin.commit({"index": "1"})
    with pytest.raises(SourceProblem, match="cannot be committed"):
        fetched(origin, tmp_path).commit_on_top(base, "x", {path: Written(0o100644, b"x")}, "x", ADA)


@pytest.mark.parametrize("changes", [{"f/x": b"x"}, {"d": b"x"}])
def test_a_file_in_the_place_of_a_folder_must_say_so(origin: Origin, tmp_path: Path, changes: dict[str, bytes]) -> None:
    base = origin.commit({"f": "1", "d/x": "1"})
    written = {path: Written(0o100644, content) for path, content in changes.items()}
    with pytest.raises(SourceProblem, match="folder on the other"):
        fetched(origin, tmp_path).commit_on_top(base, "x", written, "x", ADA)


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "", "x.lock", "@{", "a\nb"])
def test_a_name_that_is_none_makes_no_branch(origin: Origin, tmp_path: Path, branch: str) -> None:
    base = origin.commit({"index": "1"})
    with pytest.raises(SourceProblem, match="not a name for a branch"):
        fetched(origin, tmp_path).commit_on_top(base, branch, {"index": Written(0o100644, b"x")}, "x", ADA)


def test_nothing_changed_makes_no_commit(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit({"index": "1"})
    with pytest.raises(SourceProblem, match="nothing to commit"):
        fetched(origin, tmp_path).commit_on_top(base, "x", {"index": Written(0o100644, b"1")}, "x", ADA)


def test_a_fetch_never_touches_the_branch_of_a_pull(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit({"index": "1"})
    bare = origin.bare()
    sources = Sources(tmp_path / "cache")
    repository = sources.resolve(bare.wanted()).repository
    commit = repository.commit_on_top(base, "main", {"index": Written(0o100644, b"x")}, "x", ADA)
    origin.commit({"index": "2"})
    subprocess.run(["git", "push", "-q", str(bare.root), "main"], cwd=origin.root, check=True)
    sources.refresh()
    assert sources.resolve(bare.wanted(), everything=True).commit == origin.git("rev-parse", "HEAD")
    assert repository.has(commit)
    with pytest.raises(SourceProblem, match="nothing was pushed"):
        sources.push(bare.wanted(), "main")
