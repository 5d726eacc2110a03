"""`reconcile adopt` on a real host: what it says of a folder that somebody else put there, and what becomes of that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.cli.terminal import terminal
from tests.unit.reconciler.settled import SITE, Settled, git, put, settled


@pytest.fixture
def town(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settled]:
    for name, value in (fleet.environment | {"XDG_CACHE_HOME": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    with settled(fleet, tmp_path) as made:
        yield made


def converged(town: Settled) -> None:
    """One apply, and the second plan is empty."""
    applied = town("apply", "--yes")
    assert applied.code == 0, applied
    again = town("plan", "--detailed-exitcode")
    assert again.code == 0, again


def test_an_exact_copy_is_told_by_its_commit_and_taken_over_without_a_touch(town: Settled) -> None:
    town.project()
    put(town.work, "v3", town.path)
    before = town.files()
    looked = town("adopt", "site")
    assert looked.code == 0, looked
    assert f"equals commit {town.commit_of('v3')[:10]} of " in looked.out
    assert "(Mend the app), the wanted one" in looked.out
    assert "which side is newer? neither" in looked.out
    taken = town("adopt", "site", "--take-over", "--yes")
    assert taken.code == 0, taken
    assert "✓ nas taken over: files that equal the commit were not touched" in taken.out
    assert town.files() == before
    assert not town.copies()
    converged(town)
    after = town.files()
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {".sync_rev"}


def test_an_older_copy_is_told_with_the_commits_that_it_lacks(town: Settled) -> None:
    town.project()
    put(town.work, "v1", town.path)
    looked = town("adopt", "site")
    assert f"equals commit {town.commit_of('v1')[:10]}" in looked.out
    assert "2 commits behind the wanted one" in looked.out
    assert "newer? the source, by 2 commits; none of the project's files was edited on the host" in looked.out
    before = town.files()
    assert town("adopt", "site", "--take-over", "--yes").code == 0
    converged(town)
    after = town.contents()
    assert "old.txt" not in after
    assert after["conf/app.yaml"] == b"a: 2\n"
    assert town.files()["bin/run"] == before["bin/run"]


def test_edits_and_an_env_of_their_own_are_copied_before_anything_overwrites_them(town: Settled) -> None:
    town.project(env="{OWNER: ada}")
    put(town.work, "v2", town.path)
    (town.path / "bin/run").write_text("echo hotfix\n")
    (town.path / ".env").write_text("OWNER=grace\n")
    (town.path / "NOTES").write_text("mine\n")
    looked = town("adopt", "site")
    assert "    ~ differ: bin/run\n    + not in it, and left alone: NOTES\n" in looked.out
    assert (
        "newer? both have what the other lacks: the source has commits, the host has edits. A hint by the clocks" in looked.out
    )
    taken = town("adopt", "site", "--take-over", "--yes")
    (copy,) = town.copies()
    assert f"copied before anything overwrites it: .env, bin/run to {copy}" in taken.out
    assert copy.stat().st_mode & 0o7777 == 0o700
    assert town.contents(copy) == {".env": b"OWNER=grace\n", "bin/run": b"echo hotfix\n"}
    converged(town)
    after = town.contents()
    assert (after["bin/run"], after[".env"], after["NOTES"]) == (b"echo hi\n", b"OWNER=ada\n", b"mine\n")
    assert town.contents(copy)["bin/run"] == b"echo hotfix\n"


def test_what_is_reached_by_a_link_is_neither_read_nor_copied_nor_written_to(town: Settled, tmp_path: Path) -> None:
    town.project(env="{OWNER: ada}")
    put(town.work, "v3", town.path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "app.yaml").write_text("theirs\n")
    (town.path / "conf/app.yaml").unlink()
    (town.path / "conf").rmdir()
    (town.path / "conf").symlink_to(elsewhere)
    (town.path / ".env").symlink_to(elsewhere / "app.yaml")
    taken = town("adopt", "site", "--take-over", "--yes")
    assert taken.code == 0, taken
    (copy,) = town.copies()
    assert [path.name for path in copy.iterdir()] == [".env"]
    assert (copy / ".env").is_symlink()
    applied = town("apply", "--yes")
    assert applied.code == 3, applied
    assert "conf is not a folder, or is reached by a link" in applied.out or "conf stands where a folder" in applied.out
    assert (elsewhere / "app.yaml").read_text() == "theirs\n"


def test_a_pipe_in_the_place_of_a_file_stops_it_before_anything_is_ours(town: Settled) -> None:
    town.project()
    put(town.work, "v3", town.path)
    (town.path / "bin/run").unlink()
    os.mkfifo(town.path / "bin/run")
    refused = town("adopt", "site", "--take-over", "--yes")
    assert refused.code == 3, refused
    assert "bin/run is neither a file nor a folder: move it away" in refused.out
    assert "is ours already" not in town("adopt", "site").out


def test_names_that_a_shell_would_read_are_copied_as_they_are(town: Settled) -> None:
    names = ["-n", "$(id)", "it's", "a\\b", "white  space", "*"]
    town.commit("Odd names", dict.fromkeys(names, "wanted\n"))
    town.project()
    put(town.work, "main", town.path)
    for name in names:
        (town.path / name).write_text(f"edited {name}\n")
    taken = town("adopt", "site", "--take-over", "--yes")
    assert taken.code == 0, taken
    (copy,) = town.copies()
    assert town.contents(copy) == {name: f"edited {name}\n".encode() for name in names}
    converged(town)


def test_a_project_that_was_taken_over_is_let_go_and_not_removed(town: Settled) -> None:
    town.project()
    put(town.work, "v3", town.path)
    assert town("adopt", "site", "--take-over", "--yes").code == 0
    converged(town)
    before = town.contents()
    town.fleet.commit({"projects/site.yaml": None})
    converged(town)
    assert town.contents() == before


def test_a_file_that_is_missing_is_healed_by_the_next_apply(town: Settled) -> None:
    town.project()
    put(town.work, "v3", town.path)
    (town.path / "index.html").unlink()
    assert "    - missing: index.html\n" in town("adopt", "site", "--take-over", "--yes").out
    converged(town)
    assert town.contents()["index.html"] == b"two\n"


def test_shared_data_is_neither_compared_nor_touched(town: Settled) -> None:
    town.project()
    put(town.work, "v3", town.path)
    (town.path / "data").mkdir()
    (town.path / "data/db").write_text("rows\n")
    assert "shared data: data" in town("adopt", "site", "--take-over", "--yes").out
    converged(town)
    assert town.contents()["data/db"] == b"rows\n"


def test_what_is_of_another_branch_is_found_there(town: Settled) -> None:
    git(town.work, "checkout", "--quiet", "-b", "other", "v2")
    town.commit("Another page", {"index.html": "other\n"})
    git(town.work, "checkout", "--quiet", "main")
    town.project()
    put(town.work, "other", town.path)
    report = town.console.json("adopt", "site")["hosts"][0]
    assert report["nearest"]["commit"] == town.commit_of("other")
    assert (report["nearest"]["behind"], report["nearest"]["ahead"], report["newer"]) == (1, 1, "both")


def test_a_folder_of_something_else_is_called_that(town: Settled) -> None:
    town.project()
    town.path.mkdir()
    (town.path / "photo").write_text("not ours\n")
    looked = town("adopt", "site")
    assert "holds 1 file, and none of them is as in any of 3 commits of the project" in looked.out
    assert "is nearest" not in looked.out


def test_set_aside_keeps_all_of_it_under_a_dated_name(town: Settled) -> None:
    town.project()
    put(town.work, "v1", town.path)
    (town.path / "NOTES").write_text("mine\n")
    before = town.files()
    done = town("adopt", "site", "--set-aside", "--yes")
    assert done.code == 0, done
    (aside,) = town.copies()
    assert f"✓ nas set aside: all of it is in {aside}\n" in done.out
    assert "+ release:site  create" in done.out
    assert town.files(aside) == before
    converged(town)
    assert "NOTES" not in town.contents()
    assert town.files(aside) == before


@pytest.mark.parametrize("bring", [True, False])
def test_shared_data_comes_along_only_when_it_is_asked_for_and_is_never_lost(town: Settled, bring: bool) -> None:
    town.project()
    put(town.work, "v1", town.path)
    (town.path / "data").mkdir()
    (town.path / "data/db").write_text("rows\n")
    inode = (town.path / "data/db").stat().st_ino
    done = town("adopt", "site", "--set-aside", "--yes", *(["--bring-shared"] if bring else []))
    (aside,) = town.copies()
    kept = (town.path if bring else aside) / "data/db"
    assert ("moved into the new folder: data" if bring else f"shared data stays in {aside}/data") in done.out
    assert kept.stat().st_ino == inode
    converged(town)
    assert kept.read_text() == "rows\n"


def test_a_git_clone_with_commits_of_its_own_becomes_a_checkout_that_keeps_them(town: Settled) -> None:
    town.project(strategy="checkout")
    git(town.host, "clone", "--quiet", str(town.source), "site")
    (town.path / "local.txt").write_text("local\n")
    git(town.path, "add", "local.txt")
    git(town.path, "commit", "--quiet", "--message", "Here only")
    mine = git(town.path, "rev-parse", "HEAD")
    (town.path / "index.html").write_text("dirty\n")
    looked = town("adopt", "site")
    assert f"a git clone, on main at {mine[:10]}, a commit that the source lacks: it is kept under refs/rec" in looked.out
    assert town("adopt", "site", "--take-over", "--yes").code == 0
    converged(town)
    assert git(town.path, "rev-parse", "HEAD") == town.commit_of("v3")
    assert mine in git(town.path, "for-each-ref", "refs/reconciler/kept")
    (copy,) = town.copies()
    assert town.contents(copy) == {"index.html": b"dirty\n"}


def test_a_release_made_by_hand_becomes_the_newest_of_ours(town: Settled) -> None:
    town.project(strategy="releases", folder="app")
    for name, revision in (("20260130-101010", "v1"), ("20260201-144722", "v2")):
        put(town.work, revision, town.path / "releases" / name / "app")
    (town.path / "current").symlink_to("releases/20260201-144722/app")
    before = town.files()
    taken = town("adopt", "site", "--take-over", "--yes")
    assert taken.code == 0, taken
    assert "current leads to the release 20260201-144722, which was not made by reconciler" in taken.out
    assert f"equals commit {town.commit_of('v2')[:10]}" in taken.out
    assert "releases/ holds 20260130-101010: made by somebody else, and left alone" in taken.out
    assert f"commit: {town.commit_of('v2')[:10]} → {town.commit_of('v3')[:10]}" in taken.out
    converged(town)
    after = town.files()
    assert {name: after[name] for name in before} == before
    assert str((town.path / "current").readlink()) != "releases/20260201-144722/app"


def test_a_layout_that_is_no_release_can_only_be_set_aside(town: Settled) -> None:
    town.project(strategy="releases")
    put(town.work, "v2", town.path)
    state = town.state()
    refused = town("adopt", "site", "--take-over", "--yes")
    assert refused.code == 5, refused
    assert "there is no link current to releases/NAME; so it can be set aside, and not be taken over" in refused.out
    assert town.state() == state
    assert town("adopt", "site", "--set-aside", "--yes").code == 0
    converged(town)


def test_a_mere_look_changes_nothing(town: Settled) -> None:
    town.project()
    put(town.work, "v1", town.path)
    state = town.state()
    assert town("adopt", "site").code == 0
    document = town.console.json("adopt", "site")
    assert (document["format"], document["exit_code"], document["hosts"][0]["state"]) == (1, 0, "foreign")
    refused = town("adopt", "site", "--take-over")
    assert refused.code == 5
    assert "there is no terminal to ask on; nothing was changed" in refused.err
    assert town.state() == state


def test_what_is_ours_or_not_there_needs_no_adoption(town: Settled) -> None:
    town.project()
    absent = town("adopt", "site", "--take-over", "--yes")
    assert "there is nothing to adopt" in absent.out
    assert not town.path.exists()
    assert town("apply", "--yes").code == 0
    state = town.state()
    assert "is ours already" in town("adopt", "site", "--set-aside", "--yes").out
    assert town.state() == state


def test_a_host_that_is_only_observed_is_not_changed(town: Settled) -> None:
    town.project(sync="observe")
    put(town.work, "v1", town.path)
    state = town.state()
    refused = town("adopt", "site", "--set-aside", "--yes")
    assert refused.code == 5, refused
    assert "sync: observe says that nothing is changed" in refused.out
    assert town.state() == state


def test_a_blocked_project_says_why(town: Settled) -> None:
    town.project(SITE.replace("main", "nosuch"))
    put(town.work, "v1", town.path)
    result = town("adopt", "site")
    assert result.code == 1, result
    assert "cannot be compared, because the project cannot be deployed: " in result.out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("adopt", "sitee"), 1, 'there is no project "sitee"\n    did you mean site?'),
        (("adopt", "site", "naz"), 1, 'there is no host "naz"'),
        (("adopt", "site", "away"), 1, "site does not go to away"),
        (("adopt",), 1, "Missing argument 'PROJECT'"),
        (("adopt", "site", "--take-over", "--set-aside"), 1, "either --take-over or --set-aside, not both"),
        (("adopt", "site", "--yes"), 1, "neither is given"),
        (("adopt", "site", "--bring-shared"), 1, "--bring-shared says what --set-aside does"),
        (("adopt", "site", "--take-over", "--json"), 1, "add --yes"),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(town: Settled, words: tuple[str, ...], code: int, told: str) -> None:
    town.project()
    town.fleet.commit({"hosts/away.yaml": "address: root@127.0.0.1:1\n"})
    result = town(*words)
    assert (result.code, told in result.err) == (code, True), result


def test_a_host_that_is_away_is_named_and_the_exit_code_says_so(town: Settled) -> None:
    town.fleet.commit({"hosts/away.yaml": "address: root@127.0.0.1:1\n"})
    town.project(SITE.replace("host: nas", "host: away"))
    result = town("adopt", "site")
    assert result.code == 4, result
    assert "unreachable: " in result.out


def test_on_a_terminal_the_choice_is_asked_for(town: Settled) -> None:
    town.project()
    put(town.work, "v2", town.path)
    with terminal(town.fleet, "adopt", "site") as there:
        there.until("What shall be done on nas? [1/2/N] ")
        there.type("\n")
        there.until("nothing was changed")
        assert there.end() == 0
    assert not town.copies()
    with terminal(town.fleet, "adopt", "site") as there:
        there.until("[1/2/N] ")
        there.type("2\n")
        there.until("set aside: all of it is in")
        assert there.end() == 0
    assert len(town.copies()) == 1
