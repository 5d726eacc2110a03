"""Which commit a project's revision is, told by a repository on this machine; and every way in which that can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pygit2
import pytest

from desired.sources.model import Wanted
from desired.sources.remote import Rules
from desired.sources.resolve import Sources
from tests.unit.desired.origin import Origin, problem


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin.create(tmp_path / "site")


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path / "cache")


def cache_of(sources: Sources) -> Path:
    (found,) = sources.cache.glob("*.git")
    return found


def test_a_branch_is_the_commit_that_it_points_to_now(origin: Origin, sources: Sources) -> None:
    first = origin.commit({"index.html": "one"})
    assert sources.resolve(origin.wanted()).commit == first

    second = origin.commit({"index.html": "two"})
    sources.refresh()
    resolved = sources.resolve(origin.wanted())

    assert resolved.commit == second
    assert resolved.branch == "main"
    assert abs(resolved.fetched - time.time()) < 60
    assert resolved.repository.read(resolved.repository.tree_files(second).files["index.html"].blob) == b"two"


def test_a_bare_repository_is_as_good_as_a_clone(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    assert sources.resolve(origin.bare().wanted()).commit == commit


def test_a_path_may_begin_with_the_home_folder(
    origin: Origin, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = origin.commit({"index.html": "one"})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.resolve(Wanted("site", "~/site", "main")).commit == commit


def test_a_tag_is_the_commit_that_it_stands_for(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    origin.git("tag", "light")
    origin.git("tag", "--annotate", "--message", "x", "heavy")
    origin.git("tag", "--annotate", "--message", "x", "nested", "heavy")
    origin.commit({"index.html": "two"})
    for tag in ("light", "heavy", "nested", "refs/tags/heavy"):
        resolved = sources.resolve(origin.wanted(tag))
        assert (resolved.commit, resolved.branch) == (commit, None)


def test_a_tag_on_something_else_than_a_commit_is_refused(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    origin.git("tag", "tree", "HEAD^{tree}")
    assert problem(sources, origin.wanted("tree")).kind == "unknown-revision"


def test_a_commit_is_found_by_its_id_or_the_beginning_of_it(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    origin.commit({"index.html": "two"})
    for revision in (commit, commit.upper(), commit[:10], commit[:7]):
        resolved = sources.resolve(origin.wanted(revision))
        assert (resolved.commit, resolved.ref) == (commit, None)


def test_a_beginning_that_several_objects_share_is_not_guessed(origin: Origin, sources: Sources) -> None:
    origin.commit({f"{number}": f"{number}" for number in range(1000)})
    names = origin.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    shared = next(one[:4] for one, other in pairwise(names) if one[:4] == other[:4])
    found = problem(sources, origin.wanted(shared))
    assert found.kind == "unknown-revision"
    assert "several" in str(found)


def test_a_commit_in_the_cache_needs_no_source(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    origin.root.rename(origin.root.with_name("away"))
    sources.refresh()
    assert sources.resolve(origin.wanted(commit)).commit == commit


def test_a_commit_that_no_branch_holds_any_more_is_kept_while_it_is_in_the_cache(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    lost = origin.commit({"index.html": "two"})
    sources.resolve(origin.wanted())
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    sources.refresh()
    assert sources.resolve(origin.wanted(lost)).commit == lost


def test_a_name_that_is_a_branch_and_a_tag_must_be_told_apart(origin: Origin, sources: Sources) -> None:
    tagged = origin.commit({"index.html": "one"})
    origin.git("tag", "v1")
    origin.git("branch", "v1")
    found = problem(sources, origin.wanted("v1"))
    assert found.kind == "unknown-revision"
    assert "both a branch and a tag" in str(found)
    assert "refs/heads/v1" in found.hint
    assert sources.resolve(origin.wanted("refs/tags/v1")).commit == tagged


@pytest.mark.parametrize(
    "revision", ["mian", "HEAD~1", "main^", "-x", "main:index.html", "a..b", "", "a b", "\x1b[31m", "é" * 300]
)
def test_a_revision_that_is_none_is_said_so_on_one_clean_line(origin: Origin, sources: Sources, revision: str) -> None:
    origin.commit({"index.html": "one"})
    found = problem(sources, origin.wanted(revision))
    assert found.kind == "unknown-revision"
    assert str(found).isprintable()


def test_the_nearest_name_is_suggested(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    assert problem(sources, origin.wanted("mian")).hint == "did you mean main?"


@pytest.mark.parametrize("how", ["amend", "reset", "orphan"])
def test_a_rewritten_branch_is_not_followed_unless_that_is_allowed(origin: Origin, sources: Sources, how: str) -> None:
    origin.commit({"index.html": "zero"})
    old = origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    if how == "amend":
        origin.git("commit", "--quiet", "--amend", "--message", "rewritten")
    elif how == "reset":
        origin.git("reset", "--quiet", "--hard", "HEAD~1")
    else:
        origin.git("checkout", "--quiet", "--orphan", "other")
        origin.commit({"index.html": "new"})
        origin.git("branch", "--force", "main")
    new = origin.git("rev-parse", "main")

    for _ in range(2):
        sources.refresh()
        found = problem(sources, origin.wanted())
        assert (found.kind, found.last) == ("rewritten", old)
        assert f"it was {old[:10]}, and is now {new[:10]}" in str(found)
        assert "rewritten: allow" in found.hint
        assert f"revision: {new}" in found.hint
    assert sources.resolve(origin.wanted(rewritten="allow")).commit == new
    sources.refresh()
    assert sources.resolve(origin.wanted()).commit == new


def test_what_one_project_allows_another_does_not(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    other = Wanted("other", str(origin.root), "main", rewritten="allow")
    sources.resolve(origin.wanted())
    sources.resolve(other)
    origin.git("commit", "--quiet", "--amend", "--message", "rewritten")
    sources.refresh()
    sources.resolve(other)
    assert problem(sources, origin.wanted()).kind == "rewritten"


def test_a_moved_tag_is_a_rewritten_one(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    origin.git("checkout", "--quiet", "-b", "side")
    old = origin.commit({"index.html": "side"})
    origin.git("tag", "v1")
    sources.resolve(origin.wanted("v1"))
    origin.git("tag", "--force", "v1", "main")
    sources.refresh()
    found = problem(sources, origin.wanted("v1"))
    assert (found.kind, found.last) == ("rewritten", old)
    assert "the tag v1" in str(found)


def test_a_rewrite_is_noticed_even_when_the_cache_was_lost_in_between(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    subprocess.run(["rm", "-r", str(cache_of(sources))], check=True)
    origin.git("commit", "--quiet", "--amend", "--message", "rewritten")
    sources.refresh()
    found = problem(sources, origin.wanted())
    assert (found.kind, found.last) == ("rewritten", None)  # what was lost cannot stay in force


def test_a_vanished_branch_is_told_with_the_commit_that_it_was(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    origin.git("branch", "live")
    commit = sources.resolve(origin.wanted("live")).commit
    origin.git("branch", "--delete", "--force", "live")
    sources.refresh()
    found = problem(sources, origin.wanted("live"))
    assert (found.kind, found.last) == ("vanished", commit)
    assert found.fetched is not None
    assert f"it was last seen at {commit[:10]}" in str(found)
    assert f"revision: {commit}" in found.hint


def test_a_repository_that_became_empty_is_a_vanished_branch(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    subprocess.run(["rm", "-r", str(origin.root)], check=True)
    Origin.create(origin.root)
    sources.refresh()
    found = problem(sources, origin.wanted())
    assert (found.kind, found.last) == ("vanished", commit)


def test_a_repository_that_was_always_empty_has_no_such_revision(origin: Origin, sources: Sources) -> None:
    found = problem(sources, origin.wanted())
    assert found.kind == "unknown-revision"
    assert "no branch and no tag yet" in found.hint


def test_a_missing_repository_is_unreachable_and_the_last_commit_stays_known(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    origin.root.rename(origin.root.with_name("away"))
    sources.refresh()
    found = problem(sources, origin.wanted())
    assert (found.kind, found.last) == ("unreachable", commit)
    origin.root.mkdir()
    sources.refresh()
    assert problem(sources, origin.wanted()).kind == "unreachable"


def test_a_sha256_repository_is_told_as_what_it_is(tmp_path: Path, sources: Sources) -> None:
    subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha256", str(tmp_path / "new.git")], check=True)
    found = problem(sources, Wanted("site", str(tmp_path / "new.git"), "main"))
    assert found.kind == "unusable"
    assert "SHA-256" in str(found)


def test_a_branch_may_take_the_name_of_a_folder_of_branches(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    origin.git("branch", "a")
    sources.resolve(origin.wanted("a"))
    origin.git("branch", "--delete", "--force", "a")
    origin.git("branch", "a/b")
    sources.refresh()
    assert sources.resolve(origin.wanted("a/b")).branch == "a/b"


def test_a_source_is_asked_once_per_cycle_however_many_ask(origin: Origin, sources: Sources) -> None:
    first = origin.commit({"index.html": "one"})
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(sources.resolve(origin.wanted()).commit)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [first] * 8

    second = origin.commit({"index.html": "two"})
    assert sources.resolve(origin.wanted()).commit == first
    sources.refresh()
    assert sources.resolve(origin.wanted()).commit == second


def test_two_projects_of_one_source_see_the_same_commit_within_a_cycle(origin: Origin, sources: Sources) -> None:
    first = origin.commit({"index.html": "one"})
    assert sources.resolve(origin.wanted()).commit == first
    origin.commit({"index.html": "two"})
    assert sources.resolve(Wanted("other", str(origin.root), "main")).commit == first


def test_a_problem_too_is_told_once_per_cycle(origin: Origin, sources: Sources) -> None:
    assert problem(sources, origin.wanted()).kind == "unknown-revision"
    commit = origin.commit({"index.html": "one"})
    assert problem(sources, origin.wanted()).kind == "unknown-revision"
    sources.refresh()
    assert sources.resolve(origin.wanted()).commit == commit


def test_what_a_killed_fetch_left_behind_does_not_stop_the_next(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    cache = cache_of(sources)
    stale = [cache / "refs/reconciler/heads/main.lock", cache / "packed-refs.lock", cache / "objects/pack/pack_git2_abc"]
    for path in stale:
        path.touch()
    commit = origin.commit({"index.html": "two"})
    sources.refresh()
    assert sources.resolve(origin.wanted()).commit == commit
    assert not [path for path in stale if path.exists()]


@pytest.mark.parametrize("harm", ["objects", "config", "everything", "head"])
def test_a_damaged_cache_is_fetched_again(origin: Origin, tmp_path: Path, harm: str) -> None:
    commit = origin.commit({"index.html": "one"})
    before = Sources(tmp_path / "cache")
    before.resolve(origin.wanted())
    cache = cache_of(before)
    if harm == "config":
        (cache / "config").write_bytes(b"\0[[[")
    elif harm == "head":
        (cache / "HEAD").unlink()
    else:
        for path in [path for path in cache.rglob("*") if path.is_file()]:
            if harm == "everything" or "objects" in path.parts:
                path.chmod(0o600)
                path.write_bytes(b"garbage")

    sources = Sources(tmp_path / "cache")

    resolved = sources.resolve(origin.wanted())
    assert resolved.commit == commit
    assert list(resolved.repository.tree_files(commit).files) == ["index.html"]


def test_a_file_that_is_missing_from_the_cache_is_never_read_as_absent(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"a": "one", "b": "two"})
    resolved = sources.resolve(origin.wanted())
    for path in (cache_of(sources) / "objects" / "pack").iterdir():
        path.unlink()
    lone = pygit2.Repository(str(cache_of(sources)))
    lone.odb.write(pygit2.enums.ObjectType.COMMIT, pygit2.Repository(str(origin.root))[commit].read_raw())
    again = Sources(sources.cache)
    with pytest.raises(Exception, match="cannot be read") as caught:
        again.repository(str(origin.root)).tree_files(commit)
    assert caught.value.kind == "unusable"  # type: ignore[attr-defined]
    sources.refresh()
    assert sources.resolve(origin.wanted()).repository.tree_files(resolved.commit).files.keys() == {"a", "b"}


def test_a_damaged_source_is_unusable_and_never_empty(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    tree = origin.git("rev-parse", "HEAD^{tree}")
    (origin.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    assert problem(sources, origin.wanted()).kind == "unusable"


def test_memory_that_is_garbage_is_no_memory(origin: Origin, sources: Sources) -> None:
    commit = origin.commit({"index.html": "one"})
    sources.resolve(origin.wanted())
    (memory,) = sources.cache.glob("*.json")
    for text in ("", "{", "[]", json.dumps({"site": 1}), json.dumps({"site": {"seen": {}, "revisions": {"main": {}}}})):
        memory.write_text(text)
        sources.refresh()
        assert sources.resolve(origin.wanted()).commit == commit


def test_more_than_was_agreed_is_not_taken(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"large": os.urandom(3 << 20)})
    sources = Sources(tmp_path / "cache", Rules(most_bytes=1 << 20))
    found = problem(sources, origin.wanted())
    assert found.kind == "unusable"
    assert "1 MiB" in str(found)
    assert not list(cache_of(sources).rglob("pack_git2_*"))


def test_a_cancelled_transfer_ends(origin: Origin, sources: Sources) -> None:
    origin.commit({"index.html": "one"})
    sources.cancel()
    assert problem(sources, origin.wanted()).kind == "unreachable"


def test_many_fetches_do_not_leave_many_packs(origin: Origin, sources: Sources) -> None:
    commits = [origin.commit({"index.html": str(number)}) for number in range(60)]
    for commit in commits:
        origin.git("reset", "--quiet", "--hard", commit)
        sources.refresh()
        assert sources.resolve(origin.wanted(rewritten="allow")).commit == commit
    assert len(list((cache_of(sources) / "objects" / "pack").glob("*.pack"))) <= 51
    assert sources.resolve(origin.wanted(commits[0])).commit == commits[0]
    assert list(sources.repository(str(origin.root)).tree_files(commits[3]).files) == ["index.html"]


def test_the_cache_is_nobody_elses_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "xdg" / "reconciler").mkdir(parents=True, mode=0o755)
    sources = Sources()
    assert sources.cache == tmp_path / "xdg" / "reconciler"
    assert sources.cache.stat().st_mode & 0o777 == 0o700


FETCHER = """
import sys
from pathlib import Path
from desired.sources.resolve import Sources
from desired.sources.model import Wanted
print(Sources(Path(sys.argv[1])).resolve(Wanted("site", sys.argv[2], "main")).commit)
"""


def fetcher(cache: Path, origin: Origin) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCHER, str(cache), str(origin.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def test_several_processes_share_one_cache(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit({f"{number}": os.urandom(5000) for number in range(100)})
    running = [fetcher(tmp_path / "cache", origin) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in running] == [commit] * 3
    assert not list((tmp_path / "cache").glob("*.new"))


def test_a_fetch_killed_anywhere_leaves_a_cache_that_works(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit({f"{number}": os.urandom(20_000) for number in range(300)})
    for delay in (0.15, 0.2, 0.25, 0.3):
        process = fetcher(tmp_path / "cache", origin)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    sources = Sources(tmp_path / "cache")
    resolved = sources.resolve(origin.wanted())
    assert resolved.commit == commit
    assert len(resolved.repository.tree_files(commit).checked()) == 300
