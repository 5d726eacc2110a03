"""The history that a checkout on a host is given: what it lacks, as a pack that git itself accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pygit2
import pytest

from desired.sources.pack import pack


def git(folder: Path, *arguments: str, data: bytes | None = None) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, input=data).stdout.decode().strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three commits and a merge."""
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in range(3):
        (folder / "below").mkdir(exist_ok=True)
        (folder / "below" / f"file{number}").write_text(f"{number}\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", f"--message={number}")
    git(folder, "checkout", "--quiet", "-b", "side", "HEAD~1")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=side")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message=merge", "side")
    return folder


def taken(host: Path, packed: tuple[bytes, bytes], commit: str) -> list[str]:
    """What git on the host says after the pack was put in: the subjects of its history."""
    (host / "objects/pack/pack-1.pack").write_bytes(packed[0])
    (host / "objects/pack/pack-1.idx").write_bytes(packed[1])
    git(host, "fsck", "--strict", "--full", commit)
    return git(host, "log", "--format=%s", commit).split("\n")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    folder = tmp_path / "host"
    git(tmp_path, "init", "--quiet", "--bare", str(folder))
    return folder


def test_who_has_nothing_gets_the_whole_history(source: Path, host: Path) -> None:
    commit = git(source, "rev-parse", "HEAD")
    said = taken(host, pack(pygit2.Repository(str(source)), commit, []), commit)
    assert sorted(said) == ["0", "1", "2", "merge", "side"]


def test_who_has_some_of_it_gets_the_rest_and_no_more(source: Path, host: Path) -> None:
    old, new = git(source, "rev-parse", "HEAD~1"), git(source, "rev-parse", "HEAD")
    git(host, "fetch", "--quiet", str(source), old)
    repo = pygit2.Repository(str(source))
    rest = pack(repo, new, [old])
    assert len(rest[0]) < len(pack(repo, new, [])[0])
    assert "merge" in taken(host, rest, new)


def test_a_commit_that_only_the_host_knows_is_no_obstacle(source: Path, host: Path) -> None:
    commit = git(source, "rev-parse", "HEAD")
    assert "merge" in taken(host, pack(pygit2.Repository(str(source)), commit, ["f" * 40]), commit)
