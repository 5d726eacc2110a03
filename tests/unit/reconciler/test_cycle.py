"""One cycle on a real shell: what was planned is what was done, and what was proved is what is remembered."""

from __future__ import annotations

import pytest

from providers.base import Unknown
from providers.commands import CommandProvider
from providers.files import FileSpec
from reconciler.cycle import converge
from reconciler.draft import draft
from reconciler.stages import StepEvent
from state.inventory import Entry, Intent, inventory_text
from tests.unit.reconciler.hosts import COMMIT, Box, asked


async def test_what_is_missing_is_made_and_the_second_plan_is_empty(box: Box) -> None:
    box.directory("d", mode="0750")
    ref = box.file("d/f", mode="0600")
    planned = await box.plan()
    assert [(item.change.action, item.why) for item in planned.changes] == [("create", "commit"), ("create", "commit")]
    outcome = await box.apply()
    assert (outcome.status, outcome.fates[ref]) == ("converged", "done")
    assert (box.folder / "d/f").read_text() == "text\n"
    assert (await box.plan()).empty


async def test_a_plan_changes_nothing_on_the_host_not_even_the_inventory(box: Box) -> None:
    box.file("f")
    await box.plan()
    assert list(box.folder.iterdir()) == []


async def test_an_edit_by_hand_is_drift_and_a_new_wish_is_a_commit(box: Box) -> None:
    box.file("f")
    await box.apply()
    (box.folder / "f").write_text("by hand\n")
    assert [item.why for item in (await box.plan()).changes] == ["drift"]
    box.resources.clear()
    box.file("f", "a new wish\n")
    assert [item.why for item in (await box.plan()).changes] == ["commit"]


async def test_what_we_made_goes_when_it_leaves_the_repository(box: Box) -> None:
    box.directory("d")
    inner = box.file("d/f")
    await box.apply()
    box.resources.clear()
    planned = await box.plan()
    assert [(item.ref, item.change.action, item.why) for item in planned.changes] == [
        (inner, "delete", "pruned"),
        (f"directory:{box.folder}/d", "delete", "pruned"),
    ]
    assert len(planned.deletions) == 2
    assert (await box.apply()).status == "converged"
    assert not (box.folder / "d").exists()
    assert box.record().resources == {}


async def test_a_folder_that_left_the_repository_waits_until_nothing_declared_lies_in_it(box: Box) -> None:
    folder = box.directory("d")
    inner = box.file("d/f")
    await box.apply()
    box.forget(folder)
    assert (await box.plan()).empty
    await box.apply()
    box.forget(inner)
    assert [item.ref for item in (await box.plan()).changes] == [inner, folder]
    assert (await box.apply()).status == "converged"
    assert not (box.folder / "d").exists()


async def test_a_folder_of_ours_that_holds_what_is_not_ours_is_let_go_with_the_reason(box: Box) -> None:
    folder = box.directory("d")
    box.file("d/ours")
    await box.apply()
    (box.folder / "d/data").write_text("precious\n")
    box.resources.clear()
    planned = await box.plan()
    assert [item.ref for item in planned.changes] == [f"file:{box.folder}/d/ours"]
    assert planned.released == {folder: "it is not empty: 'data' is not ours"}
    assert (await box.apply()).status == "converged"
    assert (box.folder / "d/data").read_text() == "precious\n"
    assert (await box.plan()).released == {}


async def test_the_folders_above_one_that_stays_stay_too(box: Box) -> None:
    outer, inner = box.directory("d"), box.directory("d/inner")
    empty = box.directory("d/empty")
    await box.apply()
    (box.folder / "d/inner/data").write_text("precious\n")
    box.resources.clear()
    planned = await box.plan()
    assert [item.ref for item in planned.changes] == [empty]
    assert planned.released == {
        inner: "it is not empty: 'data' is not ours",
        outer: f"{box.folder}/d/inner stays in it",
    }
    assert (await box.apply()).status == "converged"


async def test_what_was_there_before_us_stays_when_it_leaves_the_repository(box: Box) -> None:
    (box.folder / "f").write_text("older than us\n")
    ref = box.file("f")
    await box.apply()
    box.forget(ref)
    planned = await box.plan()
    assert planned.changes == ()
    assert planned.released == {ref: "it was there before us"}
    await box.apply()
    assert (box.folder / "f").exists()
    assert (await box.plan()).released == {}


async def test_a_controller_without_memory_goes_on_from_what_the_host_remembers(box: Box) -> None:
    ref = box.file("f")
    await box.apply()
    stranger = Box(box.folder)  # another controller: same repository, empty disk
    assert [item.ref for item in (await stranger.plan()).changes] == [ref]


async def test_a_failed_step_skips_what_needs_it_and_nothing_else(box: Box) -> None:
    (box.folder / "d").mkdir()
    (box.folder / "d/inner").write_text("in the way")
    bad = box.file("d")
    skipped = box.file("e", needs=[bad])
    free = box.file("f")
    outcome = await box.apply()
    assert outcome.status == "failed"
    assert outcome.fates == {bad: "failed", skipped: "skipped", free: "done"}
    assert str(box.folder / "d") in outcome.failures[0].output or "directory" in outcome.failures[0].output
    assert not (box.folder / "e").exists()


async def test_a_follower_is_refreshed_after_the_change_and_only_then(box: Box) -> None:
    log = box.folder / "log"
    ref = box.file("f")
    follower = box.command("tell", f"cat {box.folder}/f >>{log}", follows=[ref])
    planned = await box.plan()
    assert [(item.ref, item.because) for item in planned.refreshes] == [(follower, (ref,))]
    await box.apply()
    assert log.read_text() == "text\n"
    assert (await box.plan()).empty
    await box.apply()
    assert log.read_text() == "text\n"


async def test_a_refresh_that_a_dead_run_did_not_come_to_is_made_up_for(box: Box) -> None:
    log = box.folder / "log"
    ref = box.file("f")
    follower = box.command("tell", f"echo told >>{log}", follows=[ref])
    await box.apply()
    log.unlink()
    record = box.record()
    intent = Intent(
        entries={ref: record.resources[ref]}, steps={ref: (0,)}, refresh={follower: 1}, causes={follower: {ref: (0,)}}
    )
    box.inventory.write_text(inventory_text(record, intent) + '{"step":0,"status":"0"}\n')
    planned = await box.plan()
    assert [(item.ref, item.pending) for item in planned.refreshes] == [(follower, True)]
    assert (await box.apply()).status == "converged"
    assert log.read_text() == "told\n"
    assert (await box.plan()).empty


async def test_a_refresh_that_failed_stays_due(box: Box) -> None:
    ref = box.file("f")
    follower = box.command("tell", f"test -e {box.folder}/allowed", follows=[ref])
    outcome = await box.apply()
    assert (outcome.status, outcome.fates[f"refresh {follower}"]) == ("failed", "failed")
    assert [item.pending for item in (await box.plan()).refreshes] == [True]
    (box.folder / "allowed").touch()
    assert (await box.apply()).status == "converged"
    assert (await box.plan()).empty


async def test_the_unknown_is_reported_and_neither_it_nor_what_needs_it_is_touched(box: Box) -> None:
    unclear = box.command("check", f"touch {box.folder}/ran", unless="/no/such/program")
    waiting = box.file("f", needs=[unclear])
    planned = await box.plan()
    assert [doubt.resource.ref for doubt in planned.doubts] == [unclear]
    assert [(item.ref, bool(item.held)) for item in planned.changes] == [(waiting, True)]
    assert (await box.apply()).status == "failed"
    assert not (box.folder / "ran").exists()
    assert not (box.folder / "f").exists()


@pytest.mark.parametrize("policy", ["observe", "deploy"])
async def test_drift_is_reported_and_left_alone_where_the_policy_says_so(box: Box, policy: str) -> None:
    ref = box.file("f")
    await box.apply()
    (box.folder / "f").write_text("by hand\n")
    box.forget(ref)
    box.file("f", sync=policy)
    planned = await box.plan()
    assert [item.held is not None for item in planned.changes] == [True]
    await box.apply()
    assert (box.folder / "f").read_text() == "by hand\n"


async def test_observing_writes_nothing_on_the_host(box: Box) -> None:
    box.sync = "observe"
    (box.folder / "f").write_text("text\n")
    box.file("f")
    assert (await box.apply()).status == "converged"
    assert not box.inventory.exists()


async def test_a_plan_that_another_run_overtook_does_nothing(box: Box) -> None:
    box.file("f", "first\n")
    async with box.session() as session:
        planned = await session.survey()
        await box.apply()
        (box.folder / "f").write_text("by hand\n")
        outcome = await converge(session, planned, COMMIT)
    assert outcome.status == "stale"
    assert (box.folder / "f").read_text() == "by hand\n"


async def test_an_inventory_that_is_not_ours_removes_nothing_and_is_kept_aside(box: Box) -> None:
    ref = box.file("f")
    await box.apply()
    box.inventory.write_text("garbage\n")
    box.forget(ref)
    box.file("g")
    planned = await box.plan()
    assert planned.inventory.broken
    assert [item.change.action for item in planned.changes] == ["create"]
    assert (await box.apply()).status == "converged"
    assert (box.folder / "f").exists()
    assert box.inventory.with_name("inventory.broken").read_text() == "garbage\n"
    assert not (await box.plan()).inventory.broken


async def test_what_did_not_converge_is_named_by_its_fields(box: Box) -> None:
    ref = box.command("never", "true", unless="false")
    outcome = await box.apply()
    assert outcome.status == "failed"
    assert outcome.unconverged == {ref: ("done",)}
    assert [item.why for item in (await box.plan()).changes] == ["unfinished"], "it never was as asked, so it did not drift"


async def test_what_is_due_as_soon_as_it_is_done_has_converged(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CommandProvider, "cause", lambda *_: "due")
    box.command("again", "true", unless="false")
    outcome = await box.apply()
    assert (outcome.status, outcome.unconverged) == ("converged", {})


async def test_what_a_step_for_something_else_upsets_is_told(box: Box) -> None:
    ref = box.file("f")
    assert (await box.apply()).status == "converged"
    box.command("trample", f"echo other >{box.folder}/f; touch {box.folder}/done", creates=f"{box.folder}/done")
    outcome = await box.apply()
    assert (outcome.status, outcome.unconverged) == ("failed", {ref: ("digest",)})


async def test_progress_is_told_step_by_step(box: Box) -> None:
    box.file("f")
    box.command("fail", "false", unless="false")
    events: list[StepEvent] = []
    async with box.session() as session:
        await converge(session, await session.survey(), COMMIT, events.append)
    assert [(event.number, event.count, event.fate) for event in events] == [
        (0, 2, None),
        (0, 2, "done"),
        (1, 2, None),
        (1, 2, "failed"),
    ]


async def test_a_report_that_did_not_change_is_not_read_again(box: Box) -> None:
    box.file("f")
    await box.apply()
    async with box.session() as session:
        await session.survey()
        second = await session.survey()  # the host is not asked again what it is, so this report is another one
        assert await session.survey() is second
        (box.folder / "f").chmod(0o600)
        (box.folder / "f").write_text("other\n")
        assert (await session.survey()).changes


async def test_a_path_that_changes_its_kind_is_handed_over_and_stays_ours(box: Box) -> None:
    ref = box.file("p")
    await box.apply()
    (box.folder / "p").unlink()
    box.forget(ref)
    directory = box.directory("p")
    planned = await box.plan()
    assert [item.ref for item in planned.changes] == [directory]
    await box.apply()
    assert box.record().resources[directory].made


async def test_a_resource_nobody_asked_the_host_about_is_unknown(box: Box) -> None:
    box.file("f")
    planned = await box.plan()
    answers = dict.fromkeys(planned.snapshot.answers, Unknown("cut"))
    silent = draft(box.host(), type(planned.snapshot)(planned.snapshot.facts, planned.inventory, answers, ""))
    assert (len(silent.doubts), silent.changes) == (1, ())


async def test_what_an_older_program_recorded_and_we_cannot_read_is_let_go_with_the_reason(box: Box) -> None:
    box.file("f")
    await box.apply()
    record = box.record()
    resources = record.resources | {"gizmo:x": Entry(digest="d", made=True, spec={"cogs": 3})}
    box.inventory.write_text(inventory_text(record.model_copy(update={"resources": resources})))
    assert "another version" in (await box.plan()).released["gizmo:x"]


async def test_what_should_be_absent_and_comes_back_has_drifted(box: Box) -> None:
    (box.folder / "f").touch()
    spec = {"name": str(box.folder / "f"), "ensure": "absent"}
    box.resources.append(asked(FileSpec.model_validate(spec)))
    assert [item.why for item in (await box.plan()).changes] == ["commit"]
    await box.apply()
    (box.folder / "f").touch()
    assert [item.why for item in (await box.plan()).changes] == ["drift"]
    await box.apply()
    box.resources.clear()
    assert (await box.plan()).released == {}
