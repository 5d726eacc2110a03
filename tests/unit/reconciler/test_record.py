"""What the host remembers after a run: what was proved, and nothing that was only meant."""

from __future__ import annotations

from state.inventory import Record, parse_inventory
from tests.unit.reconciler.hosts import Box


def record(box: Box) -> Record:
    inventory = parse_inventory(box.inventory.read_bytes())
    assert not inventory.broken
    assert not inventory.unfinished
    return inventory.record


async def test_what_a_failed_step_did_not_make_is_not_ours(box: Box) -> None:
    refused = box.file("refused", validate="false {}")
    skipped = box.file("skipped", needs=[refused])
    box.file("other")
    assert (await box.apply()).status == "failed"
    assert not record(box).resources.keys() & {refused, skipped}
    # Somebody makes it by hand, and then it leaves the repository: it stays.
    (box.folder / "skipped").write_text("by hand\n")
    box.resources.clear()
    assert (await box.apply()).status == "converged"
    assert (box.folder / "skipped").read_text() == "by hand\n"
    assert not (box.folder / "other").exists()


async def test_what_a_failed_step_left_behind_is_ours(box: Box) -> None:
    (box.folder / "d").mkdir()
    ref = box.directory("d/new", mode="0700", owner="4294967294x")
    assert (await box.apply()).status == "failed"
    assert (box.folder / "d/new").exists()
    assert record(box).resources[ref].made


async def test_a_refused_change_that_is_taken_back_restarts_nothing(box: Box) -> None:
    good = box.file("f", "good\n")
    box.command("tell", f"echo told >>{box.folder}/log", follows=[good])
    await box.apply()
    told = box.resources.pop()
    box.resources.clear()
    box.file("f", "bad\n", validate="false {}")
    box.resources.append(told)
    assert (await box.apply()).status == "failed"
    assert record(box).pending == {}
    box.resources.clear()
    box.file("f", "good\n")
    box.resources.append(told)
    assert (await box.plan()).empty
    assert (box.folder / "log").read_text() == "told\n"


async def test_a_step_that_fails_after_its_work_was_done_still_owes_the_refresh(box: Box) -> None:
    done = box.command("do", f"touch {box.folder}/done; false", creates=f"{box.folder}/done")
    follower = box.command("tell", f"echo told >>{box.folder}/log", follows=[done])
    assert (await box.apply()).status == "failed"
    assert [item.ref for item in (await box.plan()).refreshes] == [follower]
    assert (await box.apply()).status == "converged"
    assert (box.folder / "log").read_text() == "told\n"


async def test_what_is_run_again_tells_those_who_follow_it(box: Box) -> None:
    source = box.file("source")
    built = box.command("build", f"cp {box.folder}/source {box.folder}/built", follows=[source])
    box.command("tell", f"cat {box.folder}/built >>{box.folder}/log", follows=[built])
    assert (await box.apply()).status == "converged"
    assert (box.folder / "log").read_text() == "text\n"
    assert (await box.plan()).empty


async def test_an_inventory_that_is_not_ours_is_renewed_though_nothing_differs(box: Box) -> None:
    ref = box.file("f")
    await box.apply()
    box.inventory.write_text("garbage\n")
    assert (await box.plan()).inventory.broken
    assert (await box.apply()).status == "converged"
    assert not record(box).resources[ref].made, "nobody knows who made it, so it is not ours to remove"
    assert box.inventory.with_name("inventory.broken").read_text() == "garbage\n"


async def test_two_files_of_the_same_large_content_both_get_it(box: Box) -> None:
    large = "x" * 200_000
    box.file("one", large)
    box.file("two", large)
    assert (await box.apply()).status == "converged"
    assert {path.name for path in box.inventory.parent.iterdir()} == {"inventory", "lock"}
