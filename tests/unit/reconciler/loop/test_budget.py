"""Deletions are counted over the whole fleet, and nothing is deleted before every host was asked."""

from __future__ import annotations

from pathlib import Path

from reconciler.loop.budget import OVER, Budget
from tests.fleet import Fleet
from tests.unit.reconciler.loop.boxes import Boxes
from tests.unit.reconciler.loop.turning import LONG, still

HOSTS = ("one", "two", "three")


def begun(allowed: int) -> Budget:
    budget = Budget()
    budget.begin(allowed, HOSTS, HOSTS)
    return budget


def test_nothing_is_deleted_before_every_host_was_asked_or_did_not_answer() -> None:
    budget = begun(5)
    budget.asked("one", {"file:/a"})
    assert budget.reason() == "deletions wait until every host was asked"
    budget.asked("two", None)
    budget.asked("three", ())
    assert budget.reason() is None


def test_what_many_hosts_delete_together_counts_and_the_reason_says_how_to_allow_it() -> None:
    budget = begun(5)
    for host in HOSTS:
        budget.asked(host, {"file:/a", "file:/b"})
    reason = budget.reason()
    assert reason is not None
    assert reason.startswith(OVER)
    assert "6 deletions in the whole fleet, and 5 are allowed" in reason
    assert reason.endswith("reconcile apply --allow-deletions 6")


def test_what_was_deleted_already_counts_on_for_hosts_that_come_later() -> None:
    budget = begun(2)
    for host in ("one", "two"):
        budget.asked(host, {"file:/a"})
    budget.asked("three", None)
    budget.deleted("one", ["file:/a"])
    budget.deleted("two", ["file:/a"])
    budget.asked("one", ())
    budget.asked("two", ())
    budget.asked("three", {"file:/a"})
    assert "3 deletions" in (budget.reason() or "")


def test_a_deletion_that_is_tried_again_counts_once() -> None:
    budget = begun(1)
    for host in HOSTS:
        budget.asked(host, {"file:/a"} if host == "one" else ())
    budget.deleted("one", ["file:/a"])
    budget.asked("one", {"file:/a"})
    assert budget.reason() is None


def test_a_commit_that_changes_one_host_keeps_what_is_known_of_the_others() -> None:
    budget = begun(1)
    for host in HOSTS:
        budget.asked(host, {"file:/a"} if host == "two" else ())
    budget.begin(1, HOSTS, ["one"])
    assert budget.reason() == "deletions wait until every host was asked"
    budget.asked("one", {"file:/b"})
    assert "2 deletions" in (budget.reason() or "")


def files(boxes: Boxes, *names: str) -> dict[str, str]:
    text = "".join(f'  @/{name}: {{content: "x\\n"}}\n' for name in names)
    return {path: content for host in HOSTS for path, content in boxes.manifest(host, f"files:\n{text}").items()}


async def test_a_commit_that_deletes_a_little_on_each_of_many_hosts_waits_for_a_person(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": f"{LONG}max_deletions: 3\n", **files(boxes, "a", "b", "c")})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.commit(files(boxes, "a", "d"))
        await here.looked()
        for host in HOSTS:
            assert (boxes.root / host / "d").exists(), "what deletes nothing is done all the same"
            assert (boxes.root / host / "b").exists()
            assert "reconcile apply --allow-deletions 6" in here.host(host).reasons[0]
            assert here.host(host).status == "held"
        plans = [(await here.visited("one")).plan for _ in range(3)]
        assert plans[1] is plans[2]

        approved = fleet.run("apply", "--yes", "--allow-deletions", "6")
        assert approved.code == 0, approved
        await here.visited(*HOSTS)
        assert {here.host(host).status for host in HOSTS} == {"converged"}


async def test_within_the_budget_everything_is_deleted_once_all_hosts_were_asked(
    fleet: Fleet, boxes: Boxes, state: Path
) -> None:
    fleet.commit({"fleet.yaml": f"{LONG}max_deletions: 6\n", **files(boxes, "a", "b", "c")})
    async with still(fleet, state) as here:
        await here.looked()
        fleet.commit({**files(boxes, "a"), "hosts/down.yaml": "address: ops@127.0.0.1:1\n"})
        await here.looked()
        assert [(boxes.root / host / "b").exists() for host in HOSTS] == [False] * 3
        assert {here.host(host).status for host in HOSTS} == {"converged"}
