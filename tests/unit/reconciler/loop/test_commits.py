"""What the loop makes of commits: its own and others', how far a host is behind, and what a new one changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from desired.model import Address, Host, Place, Resource
from providers.files import FileSpec
from reconciler.loop.changes import changed, kept
from reconciler.loop.commits import Commits
from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, still, turning, until

OURS, OLDER, THEIRS, AHEAD = "a" * 40, "b" * 40, "c" * 40, "d" * 40


class Asked:
    """A moment, and how often git was to be looked at."""

    def __init__(self) -> None:
        self.now, self.hints = 0.0, 0

    def hint(self) -> None:
        self.hints += 1


def commits(asked: Asked) -> Commits:
    found = Commits({OLDER: 3, AHEAD: 0}.get, asked.hint, lambda: asked.now)
    found.follow(OURS)
    return found


async def test_a_commit_of_our_own_history_is_no_reason_to_wait() -> None:
    asked = Asked()
    known = commits(asked)
    assert [await known.foreign("nas", commit) for commit in (OURS, OLDER, None)] == [None] * 3
    assert (known.distance(OURS), known.distance(OLDER), known.distance(None)) == (0, 3, None)
    assert asked.hints == 0


@pytest.mark.parametrize("theirs", [THEIRS, AHEAD], ids=["unknown", "ahead of ours"])
async def test_a_commit_that_is_not_part_of_ours_waits_for_one_look_that_began_afterwards(theirs: str) -> None:
    asked = Asked()
    known = commits(asked)
    asked.now = 5.0
    reason = await known.foreign("nas", theirs)
    assert reason == f"another run brought it to commit {theirs[:10]}, which git was not seen to have so far"
    assert asked.hints == 1
    known.looked(4.0)
    assert known.waited() == {"nas"}
    assert await known.foreign("nas", theirs) == reason, "that look may have missed it"
    known.looked(6.0)
    assert await known.foreign("nas", theirs) is None, "git has not got it: a person's, and undone as any other difference"


async def test_a_branch_that_somebody_applied_by_hand_is_taken_back_after_a_look(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "main")})
    async with turning(fleet, state) as here:
        fleet.git("checkout", "--quiet", "-b", "trial")
        fleet.commit(boxes.with_file("nas", "trial"))
        fleet.git("checkout", "--quiet", "main")
        assert fleet.run("apply", "--yes", "--rev", "trial").code == 0
        assert boxes.text("nas") == "trial\n"
        here.loop.visit("nas", again=True)
        await until(lambda: boxes.text("nas") == "main\n")


async def test_many_hints_make_few_looks(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    async with turning(fleet, state) as here:
        before = len(here.heard.seen)
        for _ in range(200):
            here.loop.hint()
            await asyncio.sleep(0.01)
        assert len(here.heard.seen) - before <= 3


async def test_a_repository_that_cannot_be_read_keeps_the_last_good_commit_in_force(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.root.rename(fleet.root.with_name("gone"))
        await here.looked()
        (boxes.root / "nas/motd").write_text("edited\n")
        await here.visited("nas")
        assert boxes.text("nas") == "hello\n"
        source = here.loop.view().source
        assert source.problem
        assert source.commit is not None
        assert here.loop.unready() is None


def host(*contents: str, line: int = 1) -> Host:
    specs = [
        FileSpec.model_validate({"name": f"/etc/{number}", "source": f"files/{number}"}).with_body(content.encode())
        for number, content in enumerate(contents)
    ]
    resources = tuple(Resource(spec, Place("hosts/nas.yaml", line + number, 3)) for number, spec in enumerate(specs))
    return Host("nas", Place("hosts/nas.yaml", line), Address("nas.lan"), resources=resources)


def test_a_host_is_changed_by_what_is_asked_of_it_and_by_nothing_else() -> None:
    before = host("a", "b")
    assert not changed(before, host("a", "b"))
    assert not changed(before, host("a", "b", line=7))
    assert not changed(before, replace(before, tags=("new",)))
    assert changed(before, host("a", "c")), "a content that no field shows"
    assert changed(before, host("a"))
    assert changed(before, replace(before, address=Address("other.lan")))
    assert changed(before, replace(before, sync="observe"))


def test_an_equal_host_stays_the_same_object() -> None:
    before = host("a")
    assert kept(before, host("a")) is before
    moved = host("a", line=9)
    assert kept(before, moved) is moved
