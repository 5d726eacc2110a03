"""An edit becomes exactly one commit, and nobody's uncommitted work is touched, committed or lost."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desired.git import open_repository
from desired.git_push import push
from desired.git_write import Committed, Edit, commit_edit, versions
from desired.model import RepositoryError
from tests.fleet import Fleet

FILE = "projects/site.yaml"
OLD, NEW = b"revision: one # x\n", b"revision: two # x\n"
EDIT = Edit(FILE, OLD, NEW)
NOBODY = 65534


@pytest.fixture
def repository(fleet: Fleet) -> Fleet:
    """A fleet with one project's file, and a second file beside it."""
    fleet.commit({FILE: OLD, "other.yaml": "a: 1\n"}, "begin")
    return fleet


def commit(fleet: Fleet, branch: str | None = None, **environment: str) -> Committed:
    return commit_edit(
        open_repository(fleet.root),
        EDIT,
        "Deploy site two\n\nbody\n",
        branch=branch,
        environment=fleet.environment | environment,
    )


def state(fleet: Fleet) -> tuple[object, ...]:
    """Everything that must be as before when a commit was refused."""
    files = {str(path): path.read_bytes() for path in sorted(fleet.root.glob("*/*.yaml")) if path.is_file()}
    strays = [path.name for path in (fleet.root / "projects").iterdir()]
    return fleet.git("rev-parse", "--all"), fleet.git("ls-files", "--stage"), files, strays


def refused(fleet: Fleet, branch: str | None = None, **environment: str) -> str:
    before = state(fleet)
    with pytest.raises(RepositoryError) as caught:
        commit(fleet, branch, **environment)
    assert state(fleet) == before
    return f"{caught.value} / {caught.value.hint}"


def test_an_edit_is_one_commit_of_one_file_by_whoever_is_at_work(repository: Fleet) -> None:
    made = commit(repository, GIT_AUTHOR_NAME="Grace", GIT_AUTHOR_DATE="@1700000000 +0130")
    assert made.commit == repository.git("rev-parse", "main")
    assert made.branch == "main"
    assert repository.git("log", "--format=%s|%an <%ae>|%cn|%ai", "-1") == (
        "Deploy site two|Grace <ada@example.org>|Ada|2023-11-14 23:43:20 +0130"
    )
    assert repository.git("diff", "--stat", "HEAD~1", "HEAD").startswith(FILE)
    assert repository.git("rev-list", "--count", "HEAD") == "2"
    assert (repository.root / FILE).read_bytes() == NEW
    assert repository.git("status", "--porcelain") == ""


def test_what_others_have_staged_or_changed_is_neither_committed_nor_touched(repository: Fleet) -> None:
    repository.write({"other.yaml": "a: 2\n", "new.yaml": "b: 1\n", "staged.yaml": "c: 1\n"})
    repository.git("add", "staged.yaml")
    before = repository.git("status", "--porcelain")
    commit(repository)
    assert repository.git("status", "--porcelain") == before
    assert repository.git("show", "--format=", "--name-only", "HEAD") == FILE
    assert (repository.root / "other.yaml").read_text() == "a: 2\n"


def test_the_mode_of_the_file_stays(repository: Fleet) -> None:
    (repository.root / FILE).chmod(0o755)
    repository.commit({})
    commit(repository)
    assert repository.git("ls-tree", "HEAD", FILE).startswith("100755")
    assert os.access(repository.root / FILE, os.X_OK)


def test_another_branch_is_made_without_touching_the_working_tree(repository: Fleet) -> None:
    index = (repository.root / ".git/index").read_bytes()
    made = commit(repository, "deploy/site")
    assert repository.git("rev-parse", "deploy/site") == made.commit
    assert repository.git("show", f"deploy/site:{FILE}") == NEW.decode().strip()
    assert repository.git("rev-parse", "main") == repository.git("rev-parse", "deploy/site~1")
    assert (repository.root / FILE).read_bytes() == OLD
    assert (repository.root / ".git/index").read_bytes() == index


@pytest.mark.parametrize("name", ["-x", "a..b", "a b", "main", "", "x.lock"])
def test_a_branch_that_exists_or_cannot_exist_is_refused(repository: Fleet, name: str) -> None:
    assert "branch" in refused(repository, name)


def test_a_file_with_changes_of_somebody_is_left_to_them(repository: Fleet) -> None:
    repository.write({FILE: "revision: mine\n"})
    assert "has changes that are not committed; nothing was changed / commit them first" in refused(repository)
    repository.git("add", FILE)
    assert "not committed" in refused(repository)
    (repository.root / FILE).write_bytes(OLD)  # only the index differs now
    assert "not committed" in refused(repository)
    assert "not committed" in refused(repository, "elsewhere")


def test_changes_that_git_was_told_not_to_see_count_too(repository: Fleet) -> None:
    repository.git("update-index", "--assume-unchanged", FILE)
    repository.write({FILE: "revision: mine\n"})
    assert "not committed" in refused(repository)


def test_a_file_that_is_gone_from_the_working_tree_is_refused(repository: Fleet) -> None:
    (repository.root / FILE).unlink()
    assert "not committed" in refused(repository)


def test_a_detached_head_is_refused_unless_a_branch_is_named(repository: Fleet) -> None:
    repository.git("checkout", "--quiet", "--detach")
    assert "HEAD is detached" in refused(repository)
    assert commit(repository, "found-again").branch == "found-again"


def test_a_merge_in_progress_is_refused(repository: Fleet) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({"side.yaml": "x: 1\n"})
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    assert "a merge is in progress in the repository; nothing was changed / finish or abort it" in refused(repository)


def test_a_bare_repository_is_refused(repository: Fleet) -> None:
    repository.git("clone", "--quiet", "--bare", ".", "../bare")
    with pytest.raises(RepositoryError, match="bare repository has no working tree"):
        commit_edit(open_repository(repository.root.parent / "bare"), EDIT, "x", environment=repository.environment)


@pytest.mark.parametrize("lock", ["index.lock", "refs/heads/main.lock"])
def test_a_repository_that_another_git_has_locked_is_refused(repository: Fleet, lock: str) -> None:
    (repository.root / ".git" / lock).touch()
    assert "nothing was changed" in refused(repository)


def test_a_commit_of_somebody_else_in_between_undoes_nothing_of_theirs(
    repository: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import desired.git_write as module

    stage = module._stage

    def slowly(*arguments: object) -> None:
        stage(*arguments)  # type: ignore[arg-type]
        tree = repository.git("rev-parse", "HEAD^{tree}")
        theirs = repository.git("commit-tree", "-p", "HEAD", "-m", "theirs", tree)
        repository.git("update-ref", "refs/heads/main", theirs)
        monkeypatch.setattr(module, "_stage", stage)

    monkeypatch.setattr(module, "_stage", slowly)
    with pytest.raises(RepositoryError, match="could not be made") as caught:
        commit(repository)
    assert "run the same command again" in caught.value.hint
    assert repository.git("log", "-1", "--format=%s") == "theirs"
    assert (repository.root / FILE).read_bytes() == OLD
    assert repository.git("status", "--porcelain") == ""


def test_nobody_is_invented_where_git_knows_no_name(repository: Fleet) -> None:
    names = {f"GIT_{role}_{word}": "" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}
    assert "git does not know the name and the email to commit with" in refused(repository, **names)
    assert "git does not know the email" in refused(repository, **names | {"GIT_AUTHOR_NAME": "Ada"})


def test_the_identity_is_the_one_that_git_would_take(repository: Fleet) -> None:
    names = {f"GIT_{role}_{word}": "" for role in ("AUTHOR", "COMMITTER") for word in ("NAME", "EMAIL")}
    (repository.home / "work").write_text("[user]\n  email = ada@work.example\n")
    (repository.home / ".gitconfig").write_text(
        f'[user]\n  name = Ada L\n  email = ada@home.example\n[includeIf "gitdir:{repository.root}/"]\n  path = work\n'
    )
    commit(repository, **names)
    assert repository.git("log", "-1", "--format=%an <%ae>") == "Ada L <ada@work.example>"


def test_an_odd_date_is_refused(repository: Fleet) -> None:
    assert "is not a date" in refused(repository, GIT_AUTHOR_DATE="yesterday")


def test_hooks_and_signatures_that_were_left_out_are_told(repository: Fleet) -> None:
    marker = repository.home / "hook-was-run"
    hook = repository.root / ".git/hooks/pre-commit"
    hook.write_text(f"#!/bin/sh\ntouch {marker}\nexit 1\n")
    hook.chmod(0o755)
    repository.git("config", "commit.gpgsign", "true")
    made = commit(repository)
    assert made.notes[0] == "the repository's hooks were not run: pre-commit"
    assert "is not signed" in made.notes[1]
    assert not marker.exists()


def test_a_file_laid_out_with_carriage_returns_by_git_keeps_them(fleet: Fleet) -> None:
    fleet.git("config", "core.autocrlf", "true")
    fleet.commit({FILE: OLD.replace(b"\n", b"\r\n")})
    commit(fleet)
    assert (fleet.root / FILE).read_bytes() == NEW.replace(b"\n", b"\r\n")
    assert fleet.git("status", "--porcelain") == ""
    assert fleet.git("cat-file", "-s", f"HEAD:{FILE}") == str(len(NEW))


@pytest.fixture
def readable_only() -> Iterator[Fleet]:
    """A repository in which whoever runs the test may write nothing. Root hands it to another user and becomes that one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        fleet = Fleet.create(folder)
        fleet.commit({FILE: OLD})
        root = os.geteuid() == 0
        paths = [fleet.root, *fleet.root.rglob("*")]
        if root:
            for path in paths:
                os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            for path in paths:
                if path.is_dir():
                    path.chmod(0o555)
            yield fleet
        finally:
            for path in paths:
                if path.is_dir():
                    path.chmod(0o755)
            if root:
                os.seteuid(0)


def test_without_permission_nothing_is_changed(readable_only: Fleet) -> None:
    repo = open_repository(readable_only.root)
    head = repo.head.target
    with pytest.raises(RepositoryError, match="nothing was changed") as caught:
        commit_edit(repo, EDIT, "x", environment=readable_only.environment)
    assert "permissions" in caught.value.hint
    assert repo.head.target == head
    assert (readable_only.root / FILE).read_bytes() == OLD


def test_the_history_of_a_file_is_what_the_branch_went_through(repository: Fleet) -> None:
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({FILE: "revision: side\n"}, "on the side")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"other.yaml": "a: 3\n"}, "something else")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge side", "side")
    repository.commit({FILE: None}, "gone")
    found = list(versions(open_repository(repository.root), FILE))
    assert [(version.subject, version.content) for version in found] == [
        ("gone", None),
        ("merge side", b"revision: side\n"),
        ("begin", OLD),
    ]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_a_push_brings_the_commit_to_the_remote(repository: Fleet) -> None:
    repository.git("clone", "--quiet", "--bare", ".", "../remote")
    repository.git("remote", "add", "origin", "../remote")
    repository.git("config", "remote.origin.url", str(repository.root.parent / "remote"))
    made = commit(repository)
    assert push(open_repository(repository.root), "main") == "origin"
    assert git(repository.root.parent / "remote", "rev-parse", "main") == made.commit


def test_a_push_never_overwrites_what_others_have_pushed(repository: Fleet) -> None:
    remote = repository.root.parent / "remote"
    repository.git("clone", "--quiet", "--bare", ".", str(remote))
    repository.git("remote", "add", "origin", str(remote))
    theirs = repository.git("commit-tree", "-p", "HEAD", "-m", "theirs", "HEAD^{tree}")
    repository.git("push", "--quiet", "origin", f"{theirs}:refs/heads/main")
    commit(repository)
    with pytest.raises(RepositoryError, match="has commits that ours lacks") as caught:
        push(open_repository(repository.root), "main")
    assert "git pull --rebase" in caught.value.hint
    assert git(remote, "rev-parse", "main") == theirs


@pytest.mark.parametrize("url", ["https://example.org/x.git", "ext::sh -c id", "git://example.org/x", "http://x/y"])
def test_a_push_goes_nowhere_but_to_ssh_and_local_folders(repository: Fleet, url: str) -> None:
    repository.git("remote", "add", "origin", url)
    with pytest.raises(RepositoryError, match="not pushed") as caught:
        push(open_repository(repository.root), "main")
    assert "git push origin main" in caught.value.hint


def test_a_push_without_a_remote_says_how_to_add_one(repository: Fleet) -> None:
    with pytest.raises(RepositoryError, match="no remote origin"):
        push(open_repository(repository.root), "main")
