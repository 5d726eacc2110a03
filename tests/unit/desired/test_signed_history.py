"""Which range of commits counts as signed: each commit of it, by the list as it stood before it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.git import open_repository
from desired.signatures.signers import Signers
from desired.signatures.walk import Walk, _steps
from tests.fleet import Fleet
from tests.unit.desired.signing import commit, listed, made, signer
from tests.unit.desired.support import HOST, loaded, mistake

LIST = "keys/allowed_signers"
SIGNED = "signers: keys/allowed_signers\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ada", "bob", "mallory"):
        signer(folder, name)
    return folder


@pytest.fixture
def ada(keys: Path) -> Path:
    return keys / "ada"


@pytest.fixture
def bob(keys: Path) -> Path:
    return keys / "bob"


def walk(fleet: Fleet, outside: str | None = None, inside: str = "") -> Walk:
    signers = Signers.of([("list", outside.encode())]) if outside is not None else None
    return Walk(open_repository(fleet.root), inside, signers, time.time())


def refused(fleet: Fleet, good: str, newest: str) -> str | None:
    """The commit that is not signed as it should be."""
    found = walk(fleet).refused(good, newest)
    return found.commit if found else None


def begun(fleet: Fleet, key: Path, *signers: Path) -> str:
    return commit(fleet, {"fleet.yaml": SIGNED, LIST: listed(*(signers or (key,)))}, key)


def test_a_range_counts_when_all_of_it_is_signed(fleet: Fleet, ada: Path) -> None:
    good = begun(fleet, ada)
    newest = [commit(fleet, {}, ada) for _ in range(3)][-1]
    assert refused(fleet, good, newest) is None
    assert refused(fleet, good, good) is None


def test_one_commit_in_the_middle_is_enough_to_refuse_it(fleet: Fleet, ada: Path) -> None:
    good = begun(fleet, ada)
    unsigned = commit(fleet, {})
    newest = commit(fleet, {}, ada)
    found = walk(fleet).refused(good, newest)
    assert found is not None
    assert found.commit == unsigned
    assert str(found) == f"commit {unsigned[:10]} (“a change”, by Ada) is not signed"


def test_a_merge_and_everything_that_it_brings_must_be_signed(fleet: Fleet, ada: Path) -> None:
    good = begun(fleet, ada)
    fleet.git("checkout", "-q", "-b", "side")
    first = commit(fleet, {"side": "1"}, ada)
    fleet.git("checkout", "-q", "main")
    commit(fleet, {"main": "1"}, ada)
    merge = ("merge", "--quiet", "--no-ff", "--message", "merged", "side")
    newest = made(fleet, *merge, key=ada)
    assert refused(fleet, good, newest) is None

    fleet.git("reset", "-q", "--hard", "HEAD~1")
    unsigned = made(fleet, *merge)
    assert refused(fleet, good, unsigned) == unsigned

    fleet.git("checkout", "-q", "side")
    hidden = commit(fleet, {"side": "2"})
    assert hidden != first
    fleet.git("checkout", "-q", newest)
    newest = made(fleet, *merge, key=ada)
    assert refused(fleet, good, newest) == hidden


def test_nobody_lets_himself_in(fleet: Fleet, ada: Path, keys: Path) -> None:
    """The list that counts for a commit is never its own."""
    good = begun(fleet, ada)
    mallory = keys / "mallory"
    newest = commit(fleet, {LIST: listed(ada, mallory)}, mallory)
    assert refused(fleet, good, newest) == newest
    on_top = commit(fleet, {}, ada)
    assert refused(fleet, good, on_top) == newest


def test_who_was_added_counts_from_the_next_commit_on_whenever_somebody_looks(fleet: Fleet, ada: Path, bob: Path) -> None:
    good = begun(fleet, ada)
    early = commit(fleet, {}, bob)
    assert refused(fleet, good, early) == early
    fleet.git("reset", "-q", "--hard", good)

    added = commit(fleet, {LIST: listed(ada, bob)}, ada)
    newest = commit(fleet, {}, bob)
    assert refused(fleet, good, added) is None
    assert refused(fleet, added, newest) is None
    assert refused(fleet, good, newest) is None


def test_who_was_taken_out_does_not_count_any_more_even_on_a_branch_from_before(fleet: Fleet, ada: Path, bob: Path) -> None:
    good = begun(fleet, ada, ada, bob)
    fleet.git("checkout", "-q", "-b", "side")
    late = commit(fleet, {"side": "1"}, bob)
    fleet.git("checkout", "-q", "main")
    out = commit(fleet, {LIST: listed(ada)}, ada)
    newest = commit(fleet, {}, bob)
    assert refused(fleet, good, newest) == newest

    fleet.git("reset", "-q", "--hard", out)
    merged = made(fleet, "merge", "--quiet", "--no-ff", "--message", "merged", "side", key=ada)
    assert refused(fleet, good, merged) == late


@pytest.mark.parametrize(
    "files",
    [{"fleet.yaml": ""}, {LIST: None}, {LIST: "# nobody\n"}, {"fleet.yaml": SIGNED + "version: 2\n"}, {"fleet.yaml": "["}],
    ids=["no signers", "no list", "an empty list", "settings of another version", "broken settings"],
)
def test_a_list_that_goes_away_counts_until_its_commit_is_in_force(
    fleet: Fleet, ada: Path, files: dict[str, str | None]
) -> None:
    good = begun(fleet, ada)
    away = commit(fleet, files, ada)
    assert refused(fleet, good, away) is None
    unsigned = commit(fleet, {"fleet.yaml": ""})
    assert refused(fleet, good, unsigned) == unsigned


def test_signers_can_be_brought_in_and_taken_away(fleet: Fleet, ada: Path) -> None:
    first = commit(fleet, {"fleet.yaml": ""})
    brought = commit(fleet, {"fleet.yaml": SIGNED, LIST: listed(ada)})
    assert refused(fleet, first, brought) is None
    unsigned = commit(fleet, {})
    assert refused(fleet, first, unsigned) == unsigned
    fleet.git("reset", "-q", "--hard", brought)
    away = commit(fleet, {"fleet.yaml": ""}, ada)
    free = commit(fleet, {})
    assert refused(fleet, away, free) is None


def test_a_list_from_outside_decides_whatever_the_fleet_says(fleet: Fleet, ada: Path, bob: Path) -> None:
    good = begun(fleet, ada)
    newest = commit(fleet, {"fleet.yaml": ""}, ada)
    free = commit(fleet, {}, bob)
    outside = walk(fleet, listed(bob))
    assert outside.alone(newest) is not None
    assert outside.alone(free) is None
    assert outside.refused(newest, free) is None
    found = outside.refused(good, free)
    assert found is not None
    assert found.commit == newest


def test_a_branch_that_took_the_good_commit_in_from_the_side_is_judged_as_a_whole(fleet: Fleet, ada: Path, bob: Path) -> None:
    root = begun(fleet, ada)
    good = commit(fleet, {"a": "1"}, ada)
    fleet.git("checkout", "-q", "-b", "other", root)
    commit(fleet, {LIST: listed(ada, bob)}, ada)
    by_bob = commit(fleet, {"b": "1"}, bob)
    newest = made(fleet, "merge", "--quiet", "--no-ff", "--message", "merged", good, key=ada)
    assert refused(fleet, good, newest) == by_bob


def test_a_fleet_in_a_folder_has_its_list_there(fleet: Fleet, ada: Path, bob: Path) -> None:
    files = {"machines/fleet.yaml": SIGNED, f"machines/{LIST}": listed(ada), LIST: listed(bob), "fleet.yaml": SIGNED}
    good = commit(fleet, files, ada)
    by_ada, by_bob = commit(fleet, {}, ada), commit(fleet, {}, bob)
    inside = walk(fleet, inside="machines")
    assert inside.refused(good, by_ada) is None
    found = inside.refused(good, by_bob)
    assert found is not None
    assert found.commit == by_bob


def test_who_remembers_nothing_asks_the_parent(fleet: Fleet, ada: Path, bob: Path) -> None:
    first = begun(fleet, ada)
    told = walk(fleet).after_parent(first)
    assert told is not None
    assert "has no parent here" in str(told)
    assert walk(fleet, listed(ada)).after_parent(first) is None
    assert walk(fleet).after_parent(commit(fleet, {}, ada)) is None
    assert walk(fleet).after_parent(commit(fleet, {LIST: listed(ada, bob)}, bob)) is not None
    assert walk(fleet).after_parent(commit(fleet, {}, bob)) is None
    broken = commit(fleet, {"fleet.yaml": "["})
    assert walk(fleet).after_parent(broken) is not None
    assert "lists nobody" in str(walk(fleet).after_parent(commit(fleet, {"fleet.yaml": ""}, ada)))


@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=3), min_size=1, max_size=20))
def test_every_new_commit_is_judged_once_and_never_before_what_it_stands_on(links: list[list[int]]) -> None:
    """Commit 0 is the good one; each later one has parents among those before it."""
    parents = {str(at): tuple(str(link % at) for link in found) for at, found in enumerate(links, 1)}
    newest = str(len(parents))
    reachable, waiting = set(), [newest]
    while waiting:
        commit_id = waiting.pop()
        if commit_id in parents and commit_id not in reachable:
            reachable.add(commit_id)
            waiting += parents[commit_id]
    found = {commit_id: parents[commit_id] for commit_id in sorted(reachable, key=int, reverse=True)}
    judged = [commit_id for step in _steps("0", newest, found) for commit_id in step]
    assert sorted(judged) == sorted(found)
    assert judged[-1] == newest
    for at, commit_id in enumerate(judged):
        assert not set(parents[commit_id]) & set(judged[at:])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "fleet.yaml:1:10: error: keys/allowed_signers is not in the repository"),
        ({LIST: ""}, "keys/allowed_signers: error: this file lists no signer: nobody could commit any more"),
        ({LIST: "# x\nada ssh-ed25519\n"}, "keys/allowed_signers:2:1: error: this line lists no signer: it has no key"),
    ],
)
def test_a_list_that_could_lock_everybody_out_is_a_mistake(fleet: Fleet, files: dict[str, str], told: str) -> None:
    assert told in mistake(fleet, {"fleet.yaml": SIGNED, "hosts/web.yaml": HOST, **files})


def test_signers_may_stand_in_several_files(fleet: Fleet, ada: Path, bob: Path) -> None:
    files: dict[str, str | bytes | None] = {"fleet.yaml": "signers: [a, b]\n", "a": listed(ada), "b": listed(bob)}
    found = loaded(fleet, {"hosts/web.yaml": HOST, **files})
    assert found.settings["signers"] == ["a", "b"]
    assert {"a", "b"} <= found.tree.keys()
    good = fleet.git("rev-parse", "HEAD")
    assert refused(fleet, good, commit(fleet, {}, bob)) is None
    told = mistake(fleet, {"fleet.yaml": "signers: [a, ../b]\n", "hosts/web.yaml": HOST})
    assert "fleet.yaml:1:14: error: ../b leads out of its folder" in told
