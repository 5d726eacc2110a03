"""The loop with real repositories and shells: what is asked becomes so, stays so, and costs nothing while it is so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from providers.files import FileProvider
from reconciler.draft import Draft
from reconciler.loop.report import CycleReport
from reconciler.plan import HostPlan, describe
from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, SHORT, WAITS, Recorder, still, turning, until


async def test_what_is_asked_is_made_and_an_edit_is_healed_at_the_next_visit(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": SHORT, **boxes.with_file("nas", "hello")})
    async with turning(fleet, state) as here:
        assert boxes.text("nas") == "hello\n"
        (boxes.root / "nas/motd").write_text("edited\n")
        await until(lambda: boxes.text("nas") == "hello\n")
        await until(lambda: here.heard.reports[-1].quiet)
        healed = [report for report in here.heard.reports if report.outcome is not None]
        assert [action.cause.why for report in healed for action in report.plan.actions] == ["commit", "drift"]
        last = healed[-1]
        assert last.outcome is not None
        assert [(step.title, step.fate) for step in last.outcome.steps] == [(f"write file {boxes.root}/nas/motd", "done")]
        assert last.after is not None
        assert not last.after.actions
        assert here.host("nas").status == "converged"
        assert here.loop.ill() is None
        assert here.loop.unready() is None


async def test_an_unchanged_host_costs_no_parsing_no_wording_and_no_new_plan(
    fleet: Fleet, boxes: Boxes, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    async with still(fleet, state) as here:
        await here.looked()
        first = await here.visited("nas")
        second = await here.visited("nas")

        def never(*_: object) -> None:
            raise AssertionError("nothing has changed")

        monkeypatch.setattr(FileProvider, "parse", never)
        monkeypatch.setattr("reconciler.loop.host.describe", never)
        monkeypatch.setattr("reconciler.loop.host.converge", never)
        third = await here.visited("nas")
        assert first.quiet and third.plan.problem is None
        assert second.plan is third.plan


async def test_a_difference_that_is_only_reported_is_looked_at_once(
    fleet: Fleet, boxes: Boxes, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello", head="sync: observe\n")})
    worded: list[Draft] = []

    def counted(drafted: Draft) -> HostPlan:
        worded.append(drafted)
        return describe(drafted)

    monkeypatch.setattr("reconciler.loop.host.describe", counted)
    async with still(fleet, state) as here:
        await here.looked()
        plans = [(await here.visited("nas")).plan for _ in range(3)]
        assert plans[0].actions[0].held == "sync: observe"
        assert plans[0] is plans[1] is plans[2]
        assert len(worded) <= 2  # the first report tells what machine it is, too
        assert here.host("nas").status == "held"


async def test_a_commit_visits_the_hosts_that_it_changes_and_no_others(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    both = {**boxes.with_file("one", "hello"), **boxes.with_file("two", "hello")}
    fleet.commit({"fleet.yaml": LONG, **both})
    async with still(fleet, state) as here:
        await here.looked()
        here.heard.reports.clear()
        commit = fleet.commit(boxes.with_file("two", "changed"))
        await here.looked()
        assert {report.host for report in here.heard.reports} == {"two"}
        assert boxes.text("two") == "changed\n"
        assert boxes.record("two").commit == commit
        assert boxes.record("one").commit != commit
        assert here.host("one").behind == 1
        report = await here.visited("one")
        assert report.quiet
        assert boxes.record("one").commit == commit
        assert here.host("one").behind == 0


async def test_a_line_that_moves_in_its_file_changes_no_host(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    async with still(fleet, state) as here:
        await here.looked()
        here.heard.reports.clear()
        fleet.commit(boxes.with_file("nas", "hello", head="# a remark\n"))
        await here.looked()
        assert here.heard.reports == []


async def test_a_host_that_leaves_the_fleet_is_left_alone(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("one", "hello"), **boxes.with_file("two", "hello")})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.commit({"hosts/two.yaml": None})
        await here.looked()
        assert [host.host for host in here.loop.view().hosts] == ["one"]
        assert boxes.text("two") == "hello\n"


async def test_a_fault_of_our_own_on_one_host_stops_no_other(
    fleet: Fleet, boxes: Boxes, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("bad", "hello"), **boxes.with_file("good", "hello")})
    real = FileProvider.parse

    def faulty(self: FileProvider, out: bytes, specs: object) -> object:
        if b"/bad/" in out:
            raise ZeroDivisionError("by accident")
        return real(self, out, specs)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(FileProvider, "parse", faulty)
    async with still(fleet, state) as here:
        await here.looked()
        assert "ZeroDivisionError: by accident" in here.host("bad").problem
        assert here.host("bad").status == "failed"
        assert here.host("good").status == "converged"
        monkeypatch.setattr(FileProvider, "parse", real)
        await here.visited("bad")
        assert here.host("bad").status == "converged"


async def test_a_fault_of_one_who_listens_stops_neither_the_loop_nor_the_others(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})

    class Broken(Recorder):
        def visited(self, report: CycleReport) -> None:
            raise ZeroDivisionError("by accident")

    async with still(fleet, state) as here:
        after = Recorder()
        here.loop.watch(Broken())
        here.loop.watch(after)
        await here.looked()
        assert len(after.reports) == len(here.heard.reports) == 1
        assert (await here.visited("nas")).quiet


async def test_cycles_of_one_host_never_overlap_however_often_it_is_asked_for(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    slow = f'commands:\n  slow: {{run: "echo x >>@/ran; {WAITS}", creates: "@/never"}}\n'
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", slow)})
    async with still(fleet, state) as here:
        await here.loop.look()
        await until((boxes.folder("nas") / "begun").exists)
        for _ in range(20):
            here.loop.visit("nas")
            await asyncio.sleep(0.02)
        (boxes.folder("nas") / "go").touch()
        await here.loop.idle()
        assert boxes.text("nas", "ran") == "x\n"


async def test_the_view_tells_since_when_a_host_is_as_it_is(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello")})
    async with still(fleet, state) as here:
        await here.looked()
        first = here.host("nas")
        await here.visited("nas")
        second = here.host("nas")
        assert second.status == "converged"
        assert first.since == second.since
        assert (second.tried or 0) > (first.tried or 0)


async def test_a_suspension_is_told_in_the_same_words_everywhere(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    head = "suspend: {reason: moving, until: 2099-12-01T08:00:00Z}\n"
    fleet.commit({"fleet.yaml": LONG, **boxes.with_file("nas", "hello", head=head)})
    async with still(fleet, state) as here:
        await here.looked()
        view = here.host("nas")
        assert view.status == "suspended"
        assert view.suspended.startswith("the host is suspended until") and view.suspended.endswith(": moving")
        assert view.reasons == (view.suspended,)


EDITS = """files:
  @/motd: {content: "hello\\n"}
commands:
  edit: {run: "[ WHEN ] || echo edited >@/motd; touch @/was @/done", creates: "@/done", needs: ["file:@/motd"]}
"""


async def test_an_edit_between_a_step_and_our_look_is_put_right_at_once_and_held_against_nobody(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    edits = boxes.manifest("nas", EDITS.replace("WHEN", "-e @/was"))
    fleet.commit({"fleet.yaml": f"{LONG}rollout: {{canary: nas}}\n", **edits})
    async with turning(fleet, state) as here:
        await here.heard.told("nas", 2)
        first, second = here.heard.of("nas")[:2]
        assert first.outcome is not None and first.outcome.status == "failed"
        assert list(first.outcome.unconverged) == [f"file:{boxes.folder('nas')}/motd"]
        assert second.outcome is not None and second.outcome.status == "converged"
        assert boxes.text("nas") == "hello\n"
        assert here.host("nas").status == "converged"


async def test_what_differs_each_time_after_it_was_applied_is_left_alone_for_a_while(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", 'commands:\n  x: {run: "true", creates: "@/never"}\n')})
    async with turning(fleet, state) as here:
        await here.heard.told("nas", 2)
        for report in here.heard.of("nas"):
            assert report.outcome is not None and report.outcome.status == "failed"
        report = await here.visited("nas")
        assert report.outcome is None
        (action,) = report.plan.actions
        assert "it failed once" in (action.held or "")
