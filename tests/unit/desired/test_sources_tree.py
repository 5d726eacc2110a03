"""The files of a project's commit: hostile trees are named with a reason, and contents are hashed only once."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.sources.model import SourceProblem, SourceTree
from desired.sources.repository import ProjectRepository
from desired.sources.resolve import Sources
from desired.sources.sums import Sum, Sums
from providers.patterns import Patterns
from tests.unit.desired.origin import Origin

FILE, LINK, FOLDER, SUBMODULE = 0o100644, 0o120000, 0o040000, 0o160000
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
Entries: TypeAlias = list[tuple[int, bytes, bytes]]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin.create(tmp_path / "site")


@pytest.fixture
def raw(origin: Origin, tmp_path: Path) -> Callable[[Entries], tuple[ProjectRepository, str]]:
    """Fetches a commit with whatever names and modes, as no git command would write it."""
    repository = pygit2.Repository(str(origin.root))

    def write(entries: Entries) -> pygit2.Oid:
        data = b""
        for mode, name, content in entries:
            oid = pygit2.Oid(hex=content.decode()) if mode in (FOLDER, SUBMODULE) else repository.create_blob(content)
            data += b"%o %s\0" % (mode, name) + bytes(oid.raw)
        return repository.odb.write(pygit2.enums.ObjectType.TREE, data)

    def fetched(entries: Entries) -> tuple[ProjectRepository, str]:
        ada = pygit2.Signature("Ada", "ada@example.org")
        repository.create_commit("refs/heads/raw", ada, ada, "raw", write(entries), [])
        resolved = Sources(tmp_path / "cache").resolve(origin.wanted("raw"))
        return resolved.repository, resolved.commit

    return fetched


def fetch(origin: Origin, tmp_path: Path) -> tuple[ProjectRepository, str]:
    resolved = Sources(tmp_path / "cache").resolve(origin.wanted())
    return resolved.repository, resolved.commit


def told(tree: SourceTree) -> dict[str, str]:
    return {problem.path: problem.reason for problem in tree.problems}


def test_files_come_with_mode_digest_and_size(origin: Origin, tmp_path: Path) -> None:
    (origin.root / "bin").mkdir()
    (origin.root / "bin" / "run").write_text("#!/bin/sh\n")
    (origin.root / "bin" / "run").chmod(0o755)
    (origin.root / "latest").symlink_to("bin/run")
    origin.commit({"a b é": b"\0\xff"})
    repository, commit = fetch(origin, tmp_path)

    files = repository.tree_files(commit).checked()

    assert {path: (file.mode, file.size) for path, file in files.items()} == {
        "a b é": ("0644", 2),
        "bin/run": ("0755", 10),
        "latest": ("link", 7),
    }
    assert files["a b é"].sha256 == hashlib.sha256(b"\0\xff").hexdigest()
    assert repository.read(files["latest"].blob) == b"bin/run"


@pytest.mark.parametrize(
    "name",
    [b"..", b".", b".git", b".GIT", b"a/b", b"/etc", b"x\ny", b"\xff", b"\x1b[31m", "\u202ex".encode(), b"\x7f"],
)
@pytest.mark.parametrize("mode", [FILE, LINK])
def test_a_hostile_name_is_told_with_its_reason(
    raw: Callable[..., tuple[ProjectRepository, str]], name: bytes, mode: int
) -> None:
    repository, commit = raw([(FILE, b"good", b"x"), (mode, name, b"good")])
    tree = repository.tree_files(commit)
    assert list(tree.files) == ["good"]
    assert list(told(tree)) == [name.decode("utf-8", "surrogateescape")]
    with pytest.raises(SourceProblem, match="name") as caught:
        tree.checked()
    assert caught.value.kind == "unusable"
    assert str(caught.value).isprintable()


def test_a_tree_that_cannot_be_parsed_is_unusable_and_never_empty(origin: Origin, tmp_path: Path) -> None:
    repository = pygit2.Repository(str(origin.root))
    blob = bytes(repository.create_blob(b"x").raw)
    for broken in (b"100644 \0" + blob, b"100644 f\0" + blob[:-1], b"what f\0" + blob, b"100644"):
        tree = repository.odb.write(pygit2.enums.ObjectType.TREE, broken)
        text = f"tree {tree}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx".encode()
        commit = repository.odb.write(pygit2.enums.ObjectType.COMMIT, text)
        repository.references.create("refs/heads/main", commit, force=True)
        with pytest.raises(SourceProblem) as caught:
            fetch(origin, tmp_path)[0].tree_files(str(commit))
        assert caught.value.kind in ("unusable", "unreachable")


def test_a_name_that_stands_twice_is_told(raw: Callable[..., tuple[ProjectRepository, str]]) -> None:
    repository, commit = raw([(FILE, b"same", b"one"), (FILE, b"same", b"two")])
    assert "twice" in told(repository.tree_files(commit))["same"]


def test_a_mode_that_git_does_not_have_is_told(raw: Callable[..., tuple[ProjectRepository, str]]) -> None:
    repository, commit = raw([(0o104755, b"setuid", b"x"), (0o010644, b"pipe", b"x"), (FILE, b"good", b"x")])
    tree = repository.tree_files(commit)
    assert list(tree.files) == ["good"]
    assert told(tree).keys() == {"setuid", "pipe"}


def test_submodules_and_pointers_are_told_unless_they_are_excluded(raw: Callable[..., tuple[ProjectRepository, str]]) -> None:
    repository, commit = raw([(FILE, b"big.bin", LFS), (SUBMODULE, b"lib", b"1" * 40), (FILE, b"index", b"x")])

    assert told(repository.tree_files(commit)) == {
        "big.bin": "only a pointer of Git LFS, not the file itself",
        "lib": "a submodule",
    }
    assert list(repository.tree_files(commit, Patterns(["lib", "*.bin"])).checked()) == ["index"]


@pytest.mark.parametrize("target", ["b", "./b", "../site/b", "x/../b", "nowhere/yet", "d/../b", "d/up/b"])
def test_a_link_that_stays_in_the_tree_is_fine(origin: Origin, tmp_path: Path, target: str) -> None:
    (origin.root / "site").mkdir()
    (origin.root / "site" / "d").mkdir()
    (origin.root / "site" / "d" / "up").symlink_to("..")
    (origin.root / "site" / "link").symlink_to(target)
    origin.commit({"site/b": "x"})
    repository, commit = fetch(origin, tmp_path)
    assert repository.tree_files(commit).checked()["site/link"].mode == "link"


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "..", "../..", "a/../../x", "deep/up/../x", "link", ".git/config", "a\nb", "//x", "deep/up/.."],
)
def test_a_link_that_leads_out_of_the_tree_is_told(origin: Origin, tmp_path: Path, target: str) -> None:
    (origin.root / "deep" / "er").mkdir(parents=True)
    (origin.root / "deep" / "up").symlink_to("..")
    (origin.root / "link").symlink_to(target)
    origin.commit({"b": "x"})
    repository, commit = fetch(origin, tmp_path)
    tree = repository.tree_files(commit)
    if target == "..":
        assert "leads out of the tree" in told(tree)["link"]
    assert list(told(tree)) == ["link"]
    assert "link" not in tree.files


def test_what_is_excluded_is_neither_read_nor_told(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"docs/a": "x", "docs/deep/b": "x", "a.log": "x", "index": "x", ".gitignore": "x"})
    repository, commit = fetch(origin, tmp_path)
    asked: list[str] = []

    def excluded(path: str) -> bool:
        asked.append(path)
        return Patterns(["docs/", "*.log"])(path)

    assert sorted(repository.tree_files(commit, excluded).files) == [".gitignore", "index"]
    assert not [path for path in asked if path.startswith("docs/") and path != "docs/"]


def test_a_tree_that_repeats_itself_without_end_is_refused(origin: Origin, tmp_path: Path) -> None:
    repository = pygit2.Repository(str(origin.root))
    tree = repository.odb.write(pygit2.enums.ObjectType.TREE, b"100644 f\0" + bytes(repository.create_blob(b"x").raw))
    for _ in range(30):
        data = b"".join(b"40000 %d\0" % number + bytes(tree.raw) for number in range(10))
        tree = repository.odb.write(pygit2.enums.ObjectType.TREE, data)
    ada = pygit2.Signature("Ada", "ada@example.org")
    repository.create_commit("refs/heads/main", ada, ada, "bomb", tree, [])
    source, commit = fetch(origin, tmp_path)
    with pytest.raises(SourceProblem, match="more than 400,000") as caught:
        source.tree_files(commit)
    assert caught.value.kind == "unusable"


def test_a_tree_that_is_too_deep_is_told(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"/".join("d" * 70) + "/f": "x", "index": "x"})
    source, commit = fetch(origin, tmp_path)
    tree = source.tree_files(commit)
    assert list(tree.files) == ["index"]
    assert "folders deep" in next(iter(told(tree).values()))


def test_a_content_over_the_limit_is_not_read(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"index": "x" * 1000})
    source, commit = fetch(origin, tmp_path)
    blob = source.tree_files(commit).files["index"].blob
    with pytest.raises(SourceProblem, match="1,000 bytes"):
        source.read(blob, limit=999)
    assert source.read(blob, limit=1000) == b"x" * 1000


def test_no_code_of_the_project_ever_runs(origin: Origin, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    hook = f"#!/bin/sh\ntouch {marker}\n"
    origin.commit(
        {".gitattributes": "* filter=evil diff=evil\n", ".lfsconfig": "x", "conftest.py": f"open({str(marker)!r}, 'w')"}
    )
    for name in ("pre-receive", "post-checkout", "post-update", "reference-transaction", "pre-push"):
        (origin.root / ".git" / "hooks").mkdir(exist_ok=True)
        (origin.root / ".git" / "hooks" / name).write_text(hook)
        (origin.root / ".git" / "hooks" / name).chmod(0o755)
    for key in (
        "core.fsmonitor",
        "filter.evil.smudge",
        "filter.evil.clean",
        "diff.evil.textconv",
        "uploadpack.packObjectsHook",
    ):
        origin.git("config", key, f"touch {marker}")
    source, commit = fetch(origin, tmp_path)
    marker.unlink(missing_ok=True)
    source.tree_files(commit).checked()
    source.diff_text(commit, commit)
    Sources(tmp_path / "second").resolve(origin.wanted())
    assert not marker.exists()


def test_digests_are_kept_and_a_broken_file_of_them_is_no_harm(origin: Origin, tmp_path: Path) -> None:
    origin.commit({f"{number}": f"{number}" for number in range(20)})
    source, commit = fetch(origin, tmp_path)
    right = source.tree_files(commit).files
    (kept,) = (tmp_path / "cache").glob("*.sums")
    whole = kept.read_bytes()
    assert whole
    for broken in (b"", whole[:-1], whole[:10], b"\0" * len(whole), whole[:-1] + bytes([whole[-1] ^ 1]), whole + b"sum1"):
        kept.write_bytes(broken)
        again, _ = fetch(origin, tmp_path)
        assert again.tree_files(commit).files == right
        assert kept.read_bytes().startswith(whole)


@given(
    st.lists(st.dictionaries(st.binary(min_size=20, max_size=20), st.integers(0, 2**63)), max_size=4), st.binary(max_size=40)
)
def test_what_was_added_is_found_again_by_others(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[bytes, int]], rubbish: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "kept.sums"
    path.write_bytes(rubbish)
    expected: dict[bytes, Sum] = {}
    for batch in batches:
        fresh = {blob: Sum(hashlib.sha256(blob).digest(), size, pointer=size % 2 == 0) for blob, size in batch.items()}
        Sums(path).add(fresh)
        expected |= fresh
    reader = Sums(path)
    reader.refresh()
    assert {blob: reader.get(blob) for blob in expected} == expected


def test_hashes_are_those_of_git_and_sha256sum(origin: Origin, tmp_path: Path) -> None:
    content = os.urandom(1000)
    origin.commit({"x": content})
    source, commit = fetch(origin, tmp_path)
    file = source.tree_files(commit).files["x"]
    assert file.blob == origin.git("hash-object", "x")
    done = subprocess.run(["sha256sum"], input=content, stdout=subprocess.PIPE, check=True)
    assert file.sha256 == done.stdout.split()[0].decode()
