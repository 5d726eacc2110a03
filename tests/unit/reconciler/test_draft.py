"""What a plan is made of: what differs, why, what follows from it, and what is kept from being done."""

from __future__ import annotations

from typing import Any

import pytest

from providers.base import Facts, Spec
from reconciler.draft import draft
from state.inventory import Entry, Inventory, Record
from state.snapshot import Snapshot
from tests.unit.reconciler.paper import Found, Paper, command, directory, file, package, service, symlink


def changes(paper: Paper) -> dict[str, tuple[str, str]]:
    """Reference → action and why."""
    return {item.ref: (item.change.action, item.why) for item in paper.draft.changes}


def held(paper: Paper) -> dict[str, str | None]:
    return {item.ref: item.held for item in paper.draft.changes}


def refreshes(paper: Paper) -> dict[str, tuple[str, ...]]:
    """What is refreshed → because of what."""
    return {item.ref: item.because for item in paper.draft.refreshes if item.held is None}


EVERY_KIND: list[Spec] = [
    package("nginx"),
    directory("/srv"),
    symlink("/l"),
    file("/f"),
    command("c", unless="test -e /f"),
    service("nginx"),
]


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: str(spec.kind))
def test_what_is_as_asked_is_in_no_plan(spec: Spec) -> None:
    paper = Paper()
    paper.add(spec, "as asked")
    assert paper.draft.empty


@pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: str(spec.kind))
def test_what_is_missing_is_created_and_what_differs_is_changed(spec: Spec) -> None:
    for found, action in (("missing", "create"), ("different", "change")):
        paper = Paper()
        paper.add(spec, found)  # type: ignore[arg-type]  # the two words are of the right sort
        assert changes(paper) == {spec.ref: (action, "commit")}


def test_a_change_names_the_fields_that_differ_and_no_others() -> None:
    paper = Paper()
    paper.add(directory("/srv", mode="0755", owner="root"), "different")
    assert [item.change.fields for item in paper.draft.changes] == [frozenset({"mode"})]


@pytest.mark.parametrize(("found", "planned"), [("missing", 0), ("as asked", 1), ("different", 1)])
def test_what_must_be_absent_is_removed_where_it_is_there_in_whatever_state(found: Found, planned: int) -> None:
    paper = Paper()
    paper.add(file("/f", ensure="absent"), found)
    assert [item.change.action for item in paper.draft.changes] == ["delete"] * planned


class TestWhy:
    def test_what_was_never_applied_comes_from_the_commit(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f"), "different")
        assert changes(paper)[ref][1] == "commit"

    def test_what_was_applied_and_is_not_so_any_more_has_drifted(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f"), "different", applied=True)
        assert changes(paper)[ref][1] == "drift"

    def test_what_was_applied_otherwise_comes_from_the_commit(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f", "new\n"), "different")
        paper.entries[ref] = Entry(digest=file("/f", "old\n").digest(), made=True)
        assert changes(paper)[ref][1] == "commit"

    def test_what_a_run_broke_off_in_the_middle_of_is_unfinished(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f"), "missing")
        paper.entries[ref] = Entry(digest="", made=True)
        assert changes(paper)[ref][1] == "unfinished"


class TestWhatLeftTheRepository:
    def test_it_goes_where_we_made_it_and_stays_where_we_did_not(self) -> None:
        paper = Paper()
        ours, theirs = paper.left(file("/ours")), paper.left(file("/theirs"), made=False)
        assert changes(paper) == {ours: ("delete", "pruned")}
        assert paper.draft.released == {theirs: "it was there before us"}

    def test_it_is_not_removed_a_second_time(self) -> None:
        paper = Paper()
        paper.left(file("/f"), found="missing")
        assert paper.draft.empty

    def test_what_is_unknown_is_not_removed(self) -> None:
        paper = Paper()
        ref = paper.left(file("/f"), found="unknown")
        assert changes(paper) == {}
        assert [doubt.resource.ref for doubt in paper.draft.doubts] == [ref]

    def test_nothing_is_removed_while_the_inventory_cannot_be_read(self) -> None:
        paper = Paper()
        paper.left(file("/f"))
        for inventory in (None, Inventory(record=Record(), broken="garbage")):
            assert draft(paper.host, Snapshot(Facts(), inventory, paper.answers, "")).changes == ()

    def test_services_go_before_packages_and_what_is_inside_before_what_is_around_it(self) -> None:
        paper = Paper()
        specs = [directory("/a"), package("app"), file("/a/b/f"), service("app"), directory("/a/b"), symlink("/a/b/l")]
        for spec in specs:
            paper.left(spec)
        order = [item.ref for item in paper.draft.changes]
        assert order == ["service:app", "file:/a/b/f", "symlink:/a/b/l", "directory:/a/b", "directory:/a", "package:apt/app"]

    def test_a_folder_stays_ours_while_something_declared_lies_in_it_however_deep(self) -> None:
        paper = Paper()
        paper.left(directory("/a"))
        paper.left(directory("/a/b"))
        paper.add(file("/a/b/c/f"), "as asked")
        assert paper.draft.empty
        assert paper.draft.released == {}

    def test_a_folder_of_a_similar_name_is_not_kept_for_it(self) -> None:
        paper = Paper()
        gone = paper.left(directory("/a/b"))
        paper.add(file("/a/bc/f"), "as asked")
        assert changes(paper) == {gone: ("delete", "pruned")}

    def test_a_path_that_another_resource_claims_is_handed_over(self) -> None:
        paper = Paper()
        old = paper.left(symlink("/p"))
        new = paper.add(file("/p"), "different")
        assert list(changes(paper)) == [new]
        assert paper.draft.released == {old: "its path belongs to another resource now"}

    @pytest.mark.parametrize(("ref", "spec"), [("file:/f", {"cogs": 3}), ("file:/f", {"mode": ["0644"]}), ("gizmo:x", {})])
    def test_what_another_version_recorded_is_let_go(self, ref: str, spec: dict[str, Any]) -> None:
        paper = Paper()
        paper.entries = {ref: Entry(digest="d", made=True, spec=spec)}
        assert paper.draft.empty
        assert "another version" in paper.draft.released[ref]


class TestUnknown:
    def test_it_is_told_and_not_touched(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f"), "unknown")
        assert changes(paper) == {}
        assert [(doubt.resource.ref, doubt.reason) for doubt in paper.draft.doubts] == [(ref, "the disk does not answer")]

    def test_what_nobody_asked_about_is_unknown(self) -> None:
        paper = Paper()
        ref = paper.add(file("/f"))
        del paper.answers[ref]
        assert [doubt.reason for doubt in paper.draft.doubts] == ["the host was not asked"]

    def test_what_needs_it_waits_also_through_what_is_as_asked_and_the_rest_does_not(self) -> None:
        paper = Paper()
        unclear = paper.add(package("app"), "unknown")
        between = paper.add(directory("/etc/app"), "as asked", needs=[unclear])
        waiting = paper.add(file("/etc/app/f"), needs=[between])
        free = paper.add(file("/f"))
        assert held(paper) == {waiting: f"it needs {unclear}, which is unknown", free: None}

    def test_a_refresh_of_it_is_not_forgotten(self) -> None:
        paper = Paper()
        changed = paper.add(file("/f"))
        follower = paper.add(service("app"), "unknown", follows=[changed])
        (refresh,) = paper.draft.refreshes
        assert (refresh.ref, refresh.held) == (follower, "it is unknown")
        assert paper.work().intent.causes == {follower: {changed: (0,)}}
        assert paper.work().intent.refresh == {}

    def test_what_needs_it_is_not_refreshed_and_stays_due(self) -> None:
        paper = Paper()
        unclear = paper.add(package("app"), "unknown")
        changed = paper.add(file("/f"))
        follower = paper.add(service("app"), "as asked", needs=[unclear], follows=[changed])
        (refresh,) = paper.draft.refreshes
        assert refresh.held == f"it needs {unclear}, which is unknown"
        assert follower in paper.work().intent.causes


class TestPolicy:
    def test_who_only_observes_changes_nothing(self) -> None:
        paper = Paper(sync="observe")
        paper.add(file("/f"))
        assert list(held(paper).values()) == ["sync: observe"]
        assert paper.draft.active == ()

    def test_who_only_deploys_applies_commits_and_reports_drift(self) -> None:
        paper = Paper(sync="deploy")
        drifted = paper.add(file("/drifted"), "different", applied=True)
        asked = paper.add(file("/asked"))
        assert held(paper) == {drifted: "sync: deploy (drift is only reported)", asked: None}

    def test_a_resource_has_the_last_word(self) -> None:
        paper = Paper(sync="observe")
        ref = paper.add(file("/f", sync="enforce"))
        assert held(paper) == {ref: None}

    def test_what_was_left_unfinished_is_not_drift(self) -> None:
        paper = Paper(sync="deploy")
        ref = paper.add(file("/f"), "different")
        paper.entries[ref] = Entry(digest="", made=True)
        assert held(paper) == {ref: None}

    def test_a_removal_counts_as_a_commit(self) -> None:
        paper = Paper(sync="deploy")
        ref = paper.left(file("/f"))
        assert held(paper) == {ref: None}

    def test_what_needs_something_that_is_missing_and_not_made_waits_for_it(self) -> None:
        paper = Paper()
        folder = paper.add(directory("/srv", sync="observe"))
        inner = paper.add(file("/srv/f"), needs=[folder])
        assert held(paper)[inner] == f"it needs {folder}, which is missing and held back (sync: observe)"

    def test_what_needs_something_that_only_differs_does_not_wait(self) -> None:
        paper = Paper()
        folder = paper.add(directory("/srv", sync="observe"), "different")
        inner = paper.add(file("/srv/f"), needs=[folder])
        assert held(paper)[inner] is None

    def test_a_service_that_is_only_observed_is_not_restarted_and_its_restart_stays_due(self) -> None:
        paper = Paper()
        changed = paper.add(file("/f"))
        follower = paper.add(service("app", sync="observe"), "as asked", follows=[changed])
        assert [(item.ref, item.held) for item in paper.draft.refreshes] == [(follower, "sync: observe")]
        assert follower in paper.work().intent.causes

    def test_a_commit_restarts_what_follows_it_also_where_drift_is_only_reported(self) -> None:
        paper = Paper(sync="deploy")
        changed = paper.add(file("/f"))
        follower = paper.add(service("app"), "different", follows=[changed], applied=True)
        assert held(paper)[follower] is not None
        assert refreshes(paper) == {follower: (changed,)}


class TestRefresh:
    def test_it_follows_from_what_changes_and_names_all_of_it(self) -> None:
        paper = Paper()
        one, two = paper.add(file("/1")), paper.add(file("/2"), "different")
        same = paper.add(file("/3"), "as asked")
        follower = paper.add(service("app"), "as asked", follows=[one, two, same])
        assert refreshes(paper) == {follower: (one, two)}

    def test_it_does_not_follow_from_what_is_held(self) -> None:
        paper = Paper()
        observed = paper.add(file("/f", sync="observe"))
        paper.add(service("app"), "as asked", follows=[observed])
        assert paper.draft.refreshes == ()

    def test_what_is_run_again_counts_as_changed(self) -> None:
        paper = Paper()
        changed = paper.add(file("/f"))
        built = paper.add(command("build"), "as asked", follows=[changed])
        follower = paper.add(service("app"), "as asked", follows=[built])
        assert refreshes(paper) == {built: (changed,), follower: (built,)}
        assert paper.work().intent.causes[follower] == {built: (1,)}

    def test_what_is_only_due_counts_as_changed_too(self) -> None:
        paper = Paper(pending={"command:build": "file:/f"})
        built = paper.add(command("build"), "as asked", follows=[paper.add(file("/f"), "as asked")])
        follower = paper.add(service("app"), "as asked", follows=[built])
        assert refreshes(paper) == {built: ("file:/f",), follower: (built,)}

    def test_what_is_run_in_any_case_is_not_run_twice(self) -> None:
        paper = Paper()
        changed = paper.add(file("/f"))
        paper.add(command("build", unless="false"), "different", follows=[changed])
        assert refreshes(paper) == {}

    def test_what_is_to_be_stopped_or_absent_is_not_restarted(self) -> None:
        paper = Paper()
        changed = paper.add(file("/f"))
        paper.add(service("stopped", running=False), "as asked", follows=[changed])
        paper.add(service("gone", ensure="absent"), "as asked", follows=[changed])
        assert paper.draft.refreshes == ()

    def test_one_that_a_dead_run_owes_is_made_up_for(self) -> None:
        paper = Paper(pending={"service:app": "file:/f"})
        follower = paper.add(service("app"), "as asked")
        (refresh,) = paper.draft.refreshes
        assert (refresh.ref, refresh.because, refresh.pending) == (follower, ("file:/f",), True)

    def test_one_of_something_that_left_the_repository_is_forgotten(self) -> None:
        assert Paper(pending={"service:app": "file:/f"}).draft.empty


UNIT = "/etc/systemd/system/app.service"


@pytest.mark.parametrize("part", [UNIT, f"{UNIT}.d/limits.conf"])
def test_a_unit_whose_file_is_written_is_read_again_in_the_same_run(part: str) -> None:
    paper = Paper()
    written = paper.add(file(part), "different", applied=True)
    reader = paper.add(service("app"), "as asked", needs=[written])
    paper.add(service("other"), "as asked")
    assert changes(paper) == {written: ("change", "drift"), reader: ("change", "drift")}
    (_, foreseen) = paper.draft.changes
    assert (foreseen.change.fields, foreseen.foreseen) == (frozenset({"stale"}), True)
    assert paper.order == [[written], [reader]]


def test_a_unit_that_is_restarted_after_its_file_or_whose_file_stays_needs_no_reading() -> None:
    paper = Paper()
    written = paper.add(file(UNIT), "different")
    paper.add(service("app", follows=[written]), "as asked", follows=[written])
    assert len(paper.draft.changes) == 1
    paper = Paper()
    paper.add(service("app"), "as asked", needs=[paper.add(file(UNIT, sync="observe"), "different")])
    assert list(held(paper).values()) == ["sync: observe"]
