"""What may be gone back to, by the history of a project's file; and what a host remembers, read from its real files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.git_write import Version
from reconciler.going_back import Past, earlier_revisions, last_change, pasts
from reconciler.remembered import Remembered, ask, read
from state.connect import connect
from state.target import Target

TREE, OTHER = "a" * 32, "b" * 32
COMMIT = "c" * 40
REVISIONS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=12)


def history(*revisions: str, active: str | None = None) -> list[Past]:
    """Newest last, as a person would write it down."""
    return [Past(str(number), "", revision, active) for number, revision in enumerate(revisions)][::-1]


def back(*revisions: str) -> list[str]:
    return [past.revision for past in earlier_revisions(history(*revisions))]


@pytest.mark.parametrize(
    ("revisions", "candidates"),
    [
        ("a", []),
        ("ab", ["a"]),
        ("abc", ["b", "a"]),
        ("aba", []),
        ("abcb", ["a"]),
        ("abcbd", ["b", "a"]),
        ("aabb", ["a"]),
        ("abab", ["a"]),
    ],
)
def test_a_return_undoes_all_that_came_after(revisions: str, candidates: list[str]) -> None:
    assert back(*revisions) == candidates


@given(REVISIONS)
def test_rolling_back_again_and_again_ends_and_never_returns_to_what_was_left(revisions: list[str]) -> None:
    left: set[str] = set()
    for _ in range(len(revisions) + 1):
        candidates = back(*revisions)
        assert revisions[-1] not in candidates
        assert not left & set(candidates)
        if not candidates:
            return
        left.add(revisions[-1])
        revisions = [*revisions, candidates[0]]
    raise AssertionError("it does not end")


def test_the_last_change_is_the_newest_that_moved_the_revision_or_the_slot() -> None:
    def past(revision: str, active: str | None) -> Past:
        return Past("", "", revision, active)

    assert last_change([past("b", "blue"), past("b", "blue"), past("b", "green"), past("a", "green")]) == past("b", "green")
    assert last_change([past("b", None), past("a", None)]) == past("a", None)
    assert last_change([past("a", None), past("a", None)]) is None
    assert last_change([]) is None


def test_versions_that_cannot_be_read_say_nothing_and_a_gap_ends_the_history() -> None:
    texts = [
        b"revision: c\nslots: {blue: {}}\n",
        b"revision: [\n",
        b"- x\n",
        b"revision: 5\n",
        b"revision: b\n",
        None,
        b"revision: a\n",
    ]
    found = pasts((Version(str(number), "", text) for number, text in enumerate(texts)), "projects/x.yaml")
    assert [(past.revision, past.active) for past in found] == [("c", "auto"), ("b", None)]


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from([b"@0", b"@1", b"@9", b"over", b"route green 1", b"slot.blue " + b"a" * 32, b"\xff"]), max_size=8
    ).map(b"\n".join)
)
def test_whatever_a_host_says_is_read(out: bytes) -> None:
    for known in read(out, ["a", "b"]).values():
        assert known.route in (None, "blue", "green")


def test_what_was_cut_is_unknown_and_not_empty() -> None:
    whole = f"@0\nrelease {TREE} {COMMIT}\nroute green 1\nover\n".encode()
    assert read(whole, ["site"])["site"].route == "green"
    for end in range(len(whole) - 1):
        assert read(whole[:end], ["site"]) == {}


async def asked(folder: Path, *names: str) -> dict[str, Remembered]:
    channel = await connect(Target(name="box", host="local"))
    try:
        return await ask(channel, names, str(folder))
    finally:
        await channel.close()


async def test_what_a_host_noted_is_read_from_its_files(tmp_path: Path) -> None:
    name = "-odd $(id) name"
    project = tmp_path / "projects" / name
    (project / "releases").mkdir(parents=True)
    files = {
        "releases/one two.index": f"reconciler-tree 1 {TREE} {COMMIT}\n0644 {COMMIT} 3 over\n",
        "slot.blue": f"{TREE} x 1\n",
        "slot.green": "not what we wrote\n",
        "route": "blue 17",
        "quarantine": f"{OTHER} 17 GET / answered 500\nover\n",
        "runtime": f"{OTHER} y 2\n",
    }
    for path, text in files.items():
        (project / path).write_text(text)
    found = await asked(tmp_path, "unheard-of", name)
    assert found == {
        "unheard-of": Remembered(),
        name: Remembered({TREE: COMMIT}, {"blue": TREE}, OTHER, "blue", {OTHER: "GET / answered 500"}),
    }
    assert found[name].failed == frozenset()
    assert found[name].has(COMMIT)


async def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "projects" / "site").mkdir(parents=True)
    (tmp_path / "projects" / "site" / "quarantine").mkdir()
    found = await asked(tmp_path, "site", "other")
    assert found == {"other": Remembered()}
