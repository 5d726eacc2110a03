"""Exclude patterns mean what they mean to git: each list of patterns is held against `git check-ignore`."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from providers.patterns import Patterns

PIECES = ["a", "b", "*", "**", "?", "[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[]a]", "[", "]", "-", "/", "**/", "/**"]
PIECES += ["!", "\\", " ", "#", ".", "é"]
NAMES = ["a", "b", "ab", ".a", "a b", "c", "!a", "#a", "a/b", "a/b/c", "b/a", "c/a/b", "ab/c", "ab/ab/a", "a\\b", "abc", "a "]
NAMES += ["-", "[a]", "a]", "[", "é", "a/é/b", "a/b/c/b", "b/a/b/a/b/a"]
QUIRKS = re.compile(r"\\/|[^/!]\*\*+/|\\.*/")
"""Where git's code says something else than its manual: a star after a plain beginning, an escaped slash."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / ".git" / "info").mkdir(exist_ok=True)
    return folder


def ignored(repository: Path, lines: list[str]) -> set[str]:
    (repository / ".git" / "info" / "exclude").write_text("".join(f"{line}\n" for line in lines))
    command = ["git", "-c", "core.ignoreCase=false", "check-ignore", "--no-index", "-z", "--stdin"]
    done = subprocess.run(command, cwd=repository, input="\0".join(NAMES).encode(), stdout=subprocess.PIPE, check=False)
    assert done.returncode in (0, 1)
    return {name.decode() for name in done.stdout.split(b"\0") if name}


@settings(max_examples=150)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), min_size=1, max_size=4))
def test_what_git_ignores_is_excluded_and_nothing_else(repository: Path, lines: list[str]) -> None:
    assume(not any(QUIRKS.search(line) for line in lines))
    excluded = Patterns(lines)
    assert {name for name in NAMES if excluded(name)} == ignored(repository, lines)


@pytest.mark.parametrize(
    ("lines", "excluded", "kept"),
    [
        (["docs/"], ["docs/", "docs/a", "x/docs/a"], ["docs", "docs.md"]),
        (["/docs"], ["docs", "docs/a"], ["x/docs"]),
        (["*.log", "!keep.log"], ["a.log", "x/a.log"], ["keep.log", "x/keep.log"]),
        (["build/", "!build/keep"], ["build/keep"], []),
        (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["b", "x/a/b"]),
        (["a/**"], ["a/b", "a/b/c"], ["a"]),
        (["# comment", "", "  "], [], ["# comment", " "]),
        ([".git"], [".git/", ".git/config", "sub/.git"], [".gitignore"]),
    ],
)
def test_patterns_by_example(lines: list[str], excluded: list[str], kept: list[str]) -> None:
    patterns = Patterns(lines)
    assert [path for path in excluded if not patterns(path)] == []
    assert [path for path in kept if patterns(path)] == []


@given(st.lists(st.text()), st.text())
def test_any_text_is_a_pattern_and_any_text_a_path(lines: list[str], path: str) -> None:
    assert Patterns(lines)(path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")) in (True, False)


def test_a_pattern_full_of_stars_takes_no_time() -> None:
    began = time.monotonic()
    assert not Patterns(["*a" * 40 + "b", "**/" * 40 + "b", "a*/" * 20 + "x"])("a" * 4000 + "/" + "a/" * 200 + "c")
    assert time.monotonic() - began < 1
