"""The states that a repository can be in: a fleet beside other things, a branch without commits, a format of git's to come."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from desired.git import commit_source, folder_in, open_repository, uncommitted, worktree_source
from desired.load import load
from desired.model import Fleet as Desired
from desired.model import Invalid, RepositoryError
from tests.fleet import Fleet
from tests.unit.desired.support import HOST

MONO = {
    "README": "many things",
    "machines/fleet.yaml": "vars: {zone: UTC}\n",
    "machines/hosts/web.yaml": HOST + "files: {/a: {source: files/etc/hosts}}\n",
    "machines/files/etc/hosts": "127.0.0.1 localhost\n",
    "other/x.yaml": "[",
}


def load_from(folder: Path, *, worktree: bool = False) -> Desired:
    repository = open_repository(folder)
    inside = folder_in(repository, folder)
    return load(worktree_source(repository, inside) if worktree else commit_source(repository, "HEAD", inside))


@pytest.mark.parametrize("where", ["machines", "machines/hosts", "machines/files/etc"])
@pytest.mark.parametrize("worktree", [False, True])
def test_a_fleet_may_be_a_folder_of_a_larger_repository(fleet: Fleet, where: str, *, worktree: bool) -> None:
    fleet.commit(MONO)
    found = load_from(fleet.root / where, worktree=worktree)
    assert list(found.hosts) == ["web"]
    assert "files/etc/hosts" in found.tree


def test_its_uncommitted_changes_are_those_of_its_folder(fleet: Fleet) -> None:
    fleet.commit(MONO)
    fleet.write({"other/x.yaml": "]", "machines/hosts/db.yaml": HOST})
    repository = open_repository(fleet.root)
    assert uncommitted(repository, "machines") == ["hosts/db.yaml"]
    assert uncommitted(repository) == ["machines/hosts/db.yaml", "other/x.yaml"]
    assert sorted(load_from(fleet.root / "machines", worktree=True).hosts) == ["db", "web"]


def test_above_it_one_is_told_where_it_is(fleet: Fleet) -> None:
    fleet.commit(MONO)
    with pytest.raises(Invalid) as caught:
        load_from(fleet.root)
    assert "this is no fleet repository" in str(caught.value.diagnostics[0])
    assert caught.value.diagnostics[0].hint == "there is one in machines: name it with -C"


def test_a_folder_behind_a_link_is_found(fleet: Fleet, tmp_path: Path) -> None:
    fleet.commit(MONO)
    (tmp_path / "link").symlink_to(fleet.root / "machines")
    assert list(load_from(tmp_path / "link").hosts) == ["web"]


def test_a_linked_worktree_has_its_own_commit_and_files(fleet: Fleet, tmp_path: Path) -> None:
    fleet.commit(MONO)
    fleet.git("worktree", "add", "--quiet", "-b", "feature", str(tmp_path / "tree"))
    (tmp_path / "tree" / "machines" / "hosts" / "db.yaml").write_text(HOST)
    assert list(load_from(tmp_path / "tree" / "machines").hosts) == ["web"]
    assert sorted(load_from(tmp_path / "tree" / "machines", worktree=True).hosts) == ["db", "web"]
    assert uncommitted(open_repository(fleet.root)) == []


def test_a_branch_without_commits_is_told_from_a_repository_without_any(fleet: Fleet) -> None:
    fleet.commit({"hosts/web.yaml": HOST})
    fleet.git("checkout", "--quiet", "--orphan", "new")
    with pytest.raises(RepositoryError, match="the branch that is checked out has no commit") as caught:
        commit_source(open_repository(fleet.root))
    assert caught.value.hint == "check out a branch that has one, or name it: --rev main"


@pytest.mark.parametrize("revision", ["", " "])
def test_an_empty_revision_is_shown_in_quotes(fleet: Fleet, revision: str) -> None:
    fleet.commit({"hosts/web.yaml": HOST})
    with pytest.raises(RepositoryError, match=f'"{revision}" is not a revision'):
        commit_source(open_repository(fleet.root), revision)


def test_a_range_where_one_revision_belongs_is_explained(fleet: Fleet) -> None:
    fleet.commit({"hosts/web.yaml": HOST})
    with pytest.raises(RepositoryError) as caught:
        commit_source(open_repository(fleet.root), "main..main")
    assert caught.value.hint == "name two revisions with a blank between them"


def test_a_damaged_commit_is_not_taken_for_a_wrong_name(fleet: Fleet) -> None:
    commit = fleet.commit({"hosts/web.yaml": HOST})
    lost = fleet.root / ".git" / "objects" / commit[:2] / commit[2:]
    lost.chmod(0o600)
    lost.write_bytes(b"garbage")
    with pytest.raises(RepositoryError, match="HEAD cannot be followed to a commit") as caught:
        commit_source(open_repository(fleet.root))
    assert "git fsck" in caught.value.hint


def test_a_repository_of_sha256_is_refused_with_what_to_do(tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    subprocess.run([git, "init", "--quiet", "--object-format=sha256", str(tmp_path)], check=True)
    with pytest.raises(RepositoryError, match="has a format that this version cannot read: unknown object format") as caught:
        open_repository(tmp_path)
    assert "SHA-1" in caught.value.hint


def test_a_submodule_that_nobody_names_is_no_mistake(fleet: Fleet) -> None:
    commit = fleet.commit({"hosts/web.yaml": HOST})
    fleet.git("update-index", "--add", "--cacheinfo", f"160000,{commit},files")
    fleet.git("commit", "--quiet", "--message", "a submodule")
    assert list(load_from(fleet.root).hosts) == ["web"]
