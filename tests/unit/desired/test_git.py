"""Git repositories as a source: only their own objects count, and hostile trees are named, not followed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.git import changed_paths, commit_source, open_repository, uncommitted, worktree_source
from desired.load import load
from desired.model import Fleet as Desired
from desired.model import Invalid, RepositoryError
from desired.source import Entry, Source, Unusable, odd_name, repository_path
from tests.fleet import Fleet
from tests.unit.desired.support import HOST

FILE = 0o100644


def raw_tree(repository: pygit2.Repository, entries: list[tuple[int, bytes, pygit2.Oid]]) -> pygit2.Oid:
    """A tree with whatever names and modes, as no git command would write it."""
    data = b"".join(b"%o %s\0" % (mode, name) + bytes(oid.raw) for mode, name, oid in entries)
    return repository.odb.write(pygit2.enums.ObjectType.TREE, data)


def raw_commit(fleet: Fleet, tree: pygit2.Oid) -> None:
    repository = open_repository(fleet.root)
    ada = pygit2.Signature("Ada", "ada@example.org")
    repository.create_commit("refs/heads/main", ada, ada, "raw", tree, [])


def hostile(fleet: Fleet, name: bytes, mode: int = FILE, content: bytes = b"x", folder: bytes = b"hosts") -> pygit2.Oid:
    """Commits a fleet in which `folder` holds one entry more, with that name and mode."""
    repository = open_repository(fleet.root)
    host, blob = repository.create_blob(HOST.encode()), repository.create_blob(content)
    if mode == 0o40000:
        blob = raw_tree(repository, [(FILE, b"inner.yaml", blob)])
    folders = {b"hosts": [(FILE, b"web.yaml", host)]}
    folders.setdefault(folder, []).append((mode, name, blob))
    trees = [(0o40000, part, raw_tree(repository, entries)) for part, entries in folders.items()]
    raw_commit(fleet, raw_tree(repository, trees))
    return blob


def load_head(fleet: Fleet) -> Desired:
    return load(commit_source(open_repository(fleet.root)))


def refused(fleet: Fleet) -> str:
    with pytest.raises(Invalid) as caught:
        load_head(fleet)
    return "\n".join(map(str, caught.value.diagnostics))


def test_a_repository_is_found_from_any_folder_in_it(fleet: Fleet) -> None:
    commit = fleet.commit({"hosts/web.yaml": HOST, "deep/down/x": "x"})
    assert commit_source(open_repository(fleet.root / "deep" / "down")).commit == commit


def test_a_bare_repository_is_as_good(fleet: Fleet, tmp_path: Path) -> None:
    commit = fleet.commit({"hosts/web.yaml": HOST})
    fleet.git("clone", "--quiet", "--bare", str(fleet.root), str(tmp_path / "bare.git"))

    repository = open_repository(tmp_path / "bare.git")

    assert load(commit_source(repository)).commit == commit
    assert uncommitted(repository) == []
    with pytest.raises(RepositoryError, match="a bare repository has no working tree"):
        worktree_source(repository)


def test_no_repository_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no git repository at") as caught:
        open_repository(tmp_path)
    assert "git init" in caught.value.hint
    with pytest.raises(RepositoryError, match="is not a folder"):
        open_repository(tmp_path / "nowhere")


def test_a_repository_without_commits_is_said_so(fleet: Fleet) -> None:
    with pytest.raises(RepositoryError, match="has no commit yet"):
        commit_source(open_repository(fleet.root))


@pytest.mark.parametrize(
    "revision", ["mian", "HEAD~9", "no such thing", "", "-x", ":/nothing", "0" * 40, "a..b", "x\0y", "@{-1}"]
)
def test_an_unknown_revision_is_a_plain_error(fleet: Fleet, revision: str) -> None:
    fleet.commit({"hosts/web.yaml": HOST})
    with pytest.raises(RepositoryError):
        commit_source(open_repository(fleet.root), revision)


def test_an_unknown_revision_comes_with_the_nearest_name(fleet: Fleet) -> None:
    fleet.commit({"hosts/web.yaml": HOST})
    with pytest.raises(RepositoryError, match="there is no revision mian") as caught:
        commit_source(open_repository(fleet.root), "mian")
    assert caught.value.hint == "did you mean main?"


def test_a_revision_may_be_a_branch_a_tag_or_a_short_id_but_not_a_file(fleet: Fleet) -> None:
    commit = fleet.commit({"hosts/web.yaml": HOST})
    fleet.git("tag", "--annotate", "--message", "first", "v1")
    repository = open_repository(fleet.root)

    assert {commit_source(repository, name).commit for name in ("main", "v1", commit[:8], "HEAD")} == {commit}
    with pytest.raises(RepositoryError, match=r"does not lead to a commit|not a revision"):
        commit_source(repository, "HEAD:hosts/web.yaml")


def test_a_damaged_repository_is_an_error_and_never_an_empty_fleet(fleet: Fleet) -> None:
    fleet.commit({"hosts/web.yaml": HOST, "bundles/base.yaml": ""})
    blob = fleet.git("rev-parse", "HEAD:hosts/web.yaml")
    lost = fleet.root / ".git" / "objects" / blob[:2] / blob[2:]
    lost.unlink()
    with pytest.raises(RepositoryError, match="cannot be read from the repository") as caught:
        load_head(fleet)
    assert "git fsck" in caught.value.hint

    tree = fleet.git("rev-parse", "HEAD:hosts")
    (fleet.root / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(RepositoryError, match="cannot be read from the repository"):
        load_head(fleet)


def test_a_repository_of_somebody_else_is_refused_with_the_reason(fleet: Fleet) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    fleet.commit({"hosts/web.yaml": HOST})
    for path in [fleet.root, *fleet.root.rglob("*")]:
        os.chown(path, 12345, 12345)
    with pytest.raises(RepositoryError, match="belongs to another user") as caught:
        open_repository(fleet.root)
    assert "chown" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"..", "a name that points elsewhere"),
        (b".", "a name that points elsewhere"),
        (b".git", "a name that is reserved for git"),
        (b".GIT", "a name that is reserved for git"),
        (b"a/b.yaml", "a name with a slash in it"),
        (b"/etc", "a name with a slash in it"),
        (b"../../etc/passwd", "a name with a slash in it"),
        (b"x\ny.yaml", "a name with control or invisible characters"),
        (b"x\x1b[31m.yaml", "a name with control or invisible characters"),
        ("x\u202ey.yaml".encode(), "a name with control or invisible characters"),
        (b"\xff\xfe.yaml", "a name that is not UTF-8"),
    ],
)
@pytest.mark.parametrize("mode", [FILE, 0o40000])
def test_a_hostile_name_in_a_folder_of_the_fleet_is_refused(fleet: Fleet, name: bytes, reason: str, mode: int) -> None:
    hostile(fleet, name, mode)
    found = refused(fleet)
    assert reason in found
    assert found.isprintable() or "\n    rename it" in found
    assert "\x1b" not in found and "\u202e" not in found


def test_a_name_that_stands_twice_in_one_folder_is_refused(fleet: Fleet) -> None:
    hostile(fleet, b"web.yaml")
    assert "hosts/web.yaml: error: a name that stands twice in one folder" in refused(fleet)


@pytest.mark.parametrize("name", [b"hosts", b"fleet.yaml", b"hosts/evil.yaml", b"files/../hosts/evil.yaml"])
def test_nothing_at_the_top_can_pass_for_a_file_of_the_fleet(fleet: Fleet, name: bytes) -> None:
    repository = open_repository(fleet.root)
    blob = repository.create_blob(HOST.encode())
    hosts = raw_tree(repository, [(FILE, b"web.yaml", blob)])
    entries = [(FILE, b"fleet.yaml", repository.create_blob(b"")), (0o40000, b"hosts", hosts), (FILE, name, blob)]
    raw_commit(fleet, raw_tree(repository, entries))
    assert f"{name.decode()}: error: a name" in refused(fleet)


def test_a_folder_of_the_fleet_that_is_a_link_is_never_an_empty_one(fleet: Fleet) -> None:
    fleet.write({"fleet.yaml": "", "elsewhere/web.yaml": HOST})
    (fleet.root / "hosts").symlink_to("elsewhere")
    fleet.commit({})
    assert "hosts: error: this has to be a folder" in refused(fleet)


@pytest.mark.parametrize("name", [b"..", b"x\ny", b"\xff", b"a/b"])
def test_a_hostile_name_elsewhere_in_the_repository_is_none_of_our_business(fleet: Fleet, name: bytes) -> None:
    hostile(fleet, name, folder=b"website")
    assert list(load_head(fleet).hosts) == ["web"]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(0o120000, "hosts/more.yaml is a symbolic link; links are not followed"), (0o160000, "hosts/more.yaml is a submodule")],
)
def test_links_and_submodules_are_not_followed(fleet: Fleet, mode: int, reason: str) -> None:
    hostile(fleet, b"more.yaml", mode, content=b"/etc/passwd")
    assert reason in refused(fleet)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("files/link", "files/link is a symbolic link"),
        ("files/folder/x", "files/folder is a symbolic link"),
        ("files/module/x", "files/module is a submodule"),
        ("files/big", "files/big is only a pointer of Git LFS"),
        ("files/real/x/y", "files/real/x is a file"),
        ("files/real", "files/real is a folder"),
        ("files/reel/x", "files/reel/x is not in the repository\n    did you mean files/real/x?"),
        ("../etc/passwd", "leads out of its folder"),
        ("/etc/passwd", "is an absolute path"),
        ("files//", "files is a folder"),
        (".", "the path is empty"),
        ("", "the path is empty"),
    ],
)
def test_a_source_that_is_no_plain_file_of_the_repository_is_refused(fleet: Fleet, source: str, reason: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    host = HOST + f'files:\n  /a: {{source: "{source}"}}\n'
    fleet.write({"hosts/web.yaml": host, "files/big": pointer, "files/real/x": "x"})
    (fleet.root / "files" / "link").symlink_to("/etc/passwd")
    (fleet.root / "files" / "folder").symlink_to("/etc")
    fleet.git("add", "--all")
    fleet.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},files/module")
    fleet.git("commit", "--quiet", "--message", "odd files")
    found = refused(fleet)
    assert "hosts/web.yaml:3:16: error: source: " in found
    assert reason in found


def test_a_tree_that_repeats_itself_without_end_is_refused(fleet: Fleet) -> None:
    repository = open_repository(fleet.root)
    tree = raw_tree(repository, [(FILE, b"x", repository.create_blob(b"x"))])
    for _ in range(12):
        tree = raw_tree(repository, [(0o40000, b"%d" % n, tree) for n in range(10)])
    raw_commit(fleet, tree)
    with pytest.raises(RepositoryError, match="more than 200000 files"):
        load_head(fleet)


def test_a_tree_without_bottom_is_cut_off(fleet: Fleet) -> None:
    repository = open_repository(fleet.root)
    tree = raw_tree(repository, [(FILE, b"x", repository.create_blob(b"x"))])
    for _ in range(200):
        tree = raw_tree(repository, [(0o40000, b"files", tree)])
    raw_commit(fleet, tree)
    assert "more than 64 folders deep" in refused(fleet)


def test_a_large_manifest_is_refused_before_it_is_read(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.commit({"hosts/web.yaml": HOST + "#" * (9 << 20)})
    source = commit_source(open_repository(fleet.root))
    monkeypatch.setattr(source, "_read_blob", lambda *_: pytest.fail("the blob was read"))
    with pytest.raises(Invalid) as caught:
        load(source)
    assert "hosts/web.yaml has 9.0 MiB; the limit here is 1 MiB" in str(caught.value.diagnostics[0])


def test_a_large_file_may_be_installed_but_not_rendered(fleet: Fleet) -> None:
    big = b"x" * (9 << 20)
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": HOST + "files: {/a: {source: files/a}}\n", "files/a": big})
    (resource,) = load_head(fleet).hosts["web"].resources
    assert resource.spec.body == big

    fleet.commit({"hosts/web.yaml": HOST + "files: {/a: {source: files/a, template: true}}\n"})
    assert "files/a has 9.0 MiB; the limit here is 8 MiB" in refused(fleet)


def test_uncommitted_changes_are_named_and_not_loaded(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", ".gitignore": "*.swp\n", "hosts/web.yaml": HOST, "hosts/old.yaml": HOST})
    fleet.write({"hosts/new.yaml": HOST, "hosts/web.yaml": HOST + "become: sudo\n", "hosts/old.yaml": None, "x.swp": "x"})
    repository = open_repository(fleet.root)

    assert uncommitted(repository) == ["hosts/new.yaml", "hosts/old.yaml", "hosts/web.yaml"]
    assert sorted(load(commit_source(repository)).hosts) == ["old", "web"]


def test_the_working_tree_shows_tracked_and_new_files_as_they_are_now(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", ".gitignore": "ignored.yaml\n", "hosts/web.yaml": HOST, "hosts/old.yaml": HOST})
    fleet.write(
        {
            "hosts/new.yaml": HOST + "files: {/a: {source: files/a}}\n",
            "files/a": "fresh",
            "hosts/web.yaml": HOST + "become: sudo\n",
            "hosts/old.yaml": None,
            "hosts/ignored.yaml": HOST,
        }
    )
    found = load(worktree_source(open_repository(fleet.root)))

    assert found.commit is None
    assert sorted(found.hosts) == ["new", "web"]
    assert found.hosts["web"].become == "sudo"
    assert found.hosts["new"].resources[0].spec.body == b"fresh"


def test_the_working_tree_can_be_seen_before_the_first_commit(fleet: Fleet) -> None:
    fleet.write({"hosts/web.yaml": HOST, "fleet.yaml": ""})
    assert list(load(worktree_source(open_repository(fleet.root))).hosts) == ["web"]


def test_links_in_the_working_tree_are_not_followed(fleet: Fleet, tmp_path: Path) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": HOST, "files/a": "a"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("secret")
    shutil.rmtree(fleet.root / "files")
    (fleet.root / "files").symlink_to(tmp_path / "outside")
    (fleet.root / "hosts" / "link.yaml").symlink_to(tmp_path / "outside" / "a")

    source = worktree_source(open_repository(fleet.root))

    assert "files/a" not in source
    for path in ("files", "hosts/link.yaml"):
        with pytest.raises(Unusable, match="symbolic link"):
            source.read(path)


def test_a_file_has_the_same_id_in_the_working_tree_and_when_committed(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": HOST})
    fleet.write({"hosts/db.yaml": HOST, "hosts/web.yaml": HOST + "# more\n"})
    repository = open_repository(fleet.root)
    seen = worktree_source(repository)
    fleet.commit({})
    assert changed_paths(seen, commit_source(repository)) == []


def test_changed_paths_are_those_added_removed_or_different(fleet: Fleet) -> None:
    fleet.commit({"a": "1", "b": "1", "c": "1", "d": "1"})
    repository = open_repository(fleet.root)
    old = commit_source(repository)
    (fleet.root / "d").chmod(0o755)
    fleet.commit({"a": "2", "b": None, "e": "1"})
    assert changed_paths(old, commit_source(repository)) == ["a", "b", "d", "e"]


def test_nothing_outside_the_repository_has_a_say(fleet: Fleet, tmp_path: Path) -> None:
    """A global configuration that hides, rewrites or runs something is not read."""
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": HOST})
    fleet.write({"hosts/new.yaml": HOST})
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {home}/ignore\n\tfsmonitor = touch {home}/ran\n")
    (home / "ignore").write_text("*\n")
    script = (
        "import sys; from desired.git import *; r = open_repository(sys.argv[1]); "
        "print(uncommitted(r), len(worktree_source(r)), list(r.config))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(fleet.root)],
        env={"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("['hosts/new.yaml'] 3 ")
    assert not (home / "ran").exists()


def test_hooks_filters_and_monitors_of_the_repository_never_run(fleet: Fleet) -> None:
    fleet.commit({"fleet.yaml": "", "hosts/web.yaml": HOST, ".gitattributes": "* filter=trap diff=trap\n"})
    marker = fleet.home / "ran"
    for key in ("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "core.fsmonitor", "diff.trap.textconv"):
        fleet.git("config", key, f"touch {marker}; cat")
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        path = fleet.root / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {marker}\n")
        path.chmod(0o755)
    fleet.write({"hosts/web.yaml": HOST + "# changed\n", "hosts/new.yaml": HOST})
    repository = open_repository(fleet.root)
    uncommitted(repository)
    load(worktree_source(repository))
    load(commit_source(repository))
    assert not marker.exists()


@given(st.text(max_size=12))
def test_a_path_in_the_repository_never_leads_out_of_it(text: str) -> None:
    try:
        path = repository_path(text)
    except Unusable:
        return
    assert path and not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))


@given(st.text(alphabet=st.characters(), max_size=8))
def test_a_name_that_passes_is_one_plain_component(name: str) -> None:
    if odd_name(name) is None:
        assert name.encode() and "/" not in name and "\n" not in name and name not in (".", "..") and name.lower() != ".git"


def test_a_source_is_a_read_only_mapping() -> None:
    source = Source({"a": Entry("1", FILE)}, read_blob=lambda *_: b"x", blob_size=lambda *_: 1)
    assert dict(source) == {"a": Entry("1", FILE)}
    assert source.read("a") == b"x"
    assert source.commit is None
