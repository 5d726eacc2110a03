"""A running apply is let go when, and only when, a newer commit asks something else of that host; so it is when the loop
ends."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, WAITS, still, turning, until

SLOW = f"""commands:
  first: {{run: "{WAITS}; touch @/first", creates: "@/first"}}
  second: {{run: "touch @/second", creates: "@/second", needs: ["command:first"]}}
"""
NEWER = SLOW.replace("second", "third")


async def test_a_newer_commit_supersedes_a_running_apply_at_the_next_step(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", SLOW)})
    box = boxes.folder("nas")
    async with still(fleet, state) as here:
        await here.loop.look()
        await until((box / "begun").exists)
        newest = fleet.commit(boxes.manifest("nas", NEWER))
        await here.loop.look()
        (box / "go").touch()
        await here.loop.idle()
        assert (box / "first").exists(), "the step that was running is finished"
        assert not (box / "second").exists(), "what the older commit asked for next is not begun"
        assert (box / "third").exists()
        assert boxes.record("nas").commit == newest
        stopped, *_, last = here.heard.of("nas")
        assert stopped.outcome is not None and stopped.outcome.status == "stale"
        assert "a newer commit" in stopped.outcome.message
        assert last.outcome is not None and last.outcome.status == "converged"


@pytest.mark.parametrize("what", ["the host", "the fleet", "the windows"])
async def test_a_commit_that_only_suspends_lets_a_running_apply_go_at_its_next_step(
    fleet: Fleet, boxes: Boxes, state: Path, what: str
) -> None:
    commits = {
        "the host": boxes.manifest("nas", SLOW, head="suspend: {reason: moving}\n"),
        "the fleet": {"fleet.yaml": f"{LONG}suspend: {{reason: moving}}\n"},
        "the windows": {"fleet.yaml": f'{LONG}windows: [{{deny: "* * * * *", for: 1d}}]\n'},
    }
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", SLOW)})
    box = boxes.folder("nas")
    async with still(fleet, state) as here:
        await here.loop.look()
        await until((box / "begun").exists)
        fleet.commit(commits[what])
        await here.loop.look()
        (box / "go").touch()
        await here.loop.idle()
        assert (box / "first").exists(), "the step that was running is finished"
        assert not (box / "second").exists()
        stopped, *_, last = here.heard.of("nas")
        assert stopped.outcome is not None and stopped.outcome.status == "stale"
        assert last.outcome is None
        assert [action.held for action in last.plan.actions] != [None]
        fleet.git("revert", "--no-edit", "HEAD")
        await here.looked()
        assert (box / "second").exists(), "it goes on at once when that is taken back"


async def test_a_commit_that_suspends_a_project_is_judged_anew_where_the_project_goes(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    source = "source: https://127.0.0.1:1/site.git\nrevision: main\nstrategy: mirror\n"
    project = source + f"deploy: [{{host: nas, path: {boxes.folder('nas')}/site}}]\n"
    fleet.commit(
        {
            "fleet.yaml": LONG,
            **boxes.manifest("nas", SLOW),
            **boxes.manifest("other", SLOW),
            "projects/site.yaml": project,
        }
    )
    async with still(fleet, state) as here:
        await here.loop.look()
        for host in ("nas", "other"):
            await until((boxes.folder(host) / "begun").exists)
        fleet.commit({"projects/site.yaml": f"{project}suspend: {{reason: fair}}\n"})
        await here.loop.look()
        for host in ("nas", "other"):
            (boxes.folder(host) / "go").touch()
        await here.loop.idle()
        first = {host: here.heard.of(host)[0].outcome for host in ("nas", "other")}
        assert [one.status for one in first.values() if one is not None] == ["stale", "converged"]


async def test_a_commit_that_changes_another_host_lets_a_running_apply_be(fleet: Fleet, boxes: Boxes, state: Path) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", SLOW), **boxes.with_file("other", "hello")})
    box = boxes.folder("nas")
    async with still(fleet, state) as here:
        await here.loop.look()
        await until((box / "begun").exists)
        fleet.commit(boxes.with_file("other", "changed"))
        await here.loop.look()
        (box / "go").touch()
        await here.loop.idle()
        assert (box / "second").exists()
        assert [report.outcome.status for report in here.heard.of("nas") if report.outcome] == ["converged"]
        assert boxes.text("other") == "changed\n"


async def test_a_loop_that_is_stopped_waits_for_the_step_that_runs_and_begins_no_other(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": LONG, **boxes.manifest("nas", SLOW), **boxes.with_file("other", "hello")})
    box = boxes.folder("nas")
    async with still(fleet, state) as here:
        await here.loop.look()
        await until((box / "begun").exists)
        closing = asyncio.ensure_future(here.loop.close())
        await asyncio.sleep(0.2)
        (box / "go").touch()
        await closing
        assert (box / "first").exists()
        assert not (box / "second").exists()
        outcome = here.heard.of("nas")[-1].outcome
        assert outcome is not None and "the loop was stopped" in outcome.message
    async with still(fleet, state) as again:
        await again.looked()
        assert (box / "second").exists()


async def test_a_host_that_says_nothing_delays_no_other_and_a_hanging_step_neither(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    hanging = f'commands:\n  hang: {{run: "{WAITS}", creates: "@/never", timeout: 300}}\n'
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fleet.commit(
            {
                "fleet.yaml": "interval: 1s\npoll: 1h\n",
                "hosts/silent.yaml": f"address: ops@127.0.0.1:{silent.getsockname()[1]}\n",
                **boxes.manifest("hanging", hanging),
                **boxes.with_file("good", "hello"),
            }
        )
        async with still(fleet, state) as here:
            await here.loop.look()
            await until((boxes.folder("hanging") / "begun").exists)
            for number in range(3):
                here.loop.visit("good", again=True)
                await here.heard.told("good", number + 1)
            assert here.heard.of("hanging") == []
            (boxes.folder("hanging") / "go").touch()
            fleet.commit({"hosts/hanging.yaml": None, "hosts/silent.yaml": None})
            await here.loop.look()


async def test_an_unreachable_host_is_asked_less_and_less_often_and_at_its_own_pace_when_it_is_back(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": "interval: 1s\npoll: 1h\n", "hosts/down.yaml": "address: ops@127.0.0.1:1\n"})
    async with turning(fleet, state) as here:
        await until(lambda: len(here.heard.of("down")) >= 3)
        assert here.host("down").status == "unreachable"
        due = here.host("down").due
        assert due is not None and due - here.loop._wall() > 1.0
        fleet.commit(boxes.with_file("down", "hello"))
        here.loop.hint()
        await until(lambda: boxes.folder("down").joinpath("motd").exists())
        count = len(here.heard.of("down"))
        await until(lambda: len(here.heard.of("down")) >= count + 3)
        assert here.host("down").status == "converged"
